"""What the management API is asked about peers, and answers, as it stands on the wire."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from connector.management.answers import PRODUCT, PROVIDER, Answer
from connector.management.messages import Name, RequestId
from connector.protocol.callbacks import MAX_ADDRESS_CHARACTERS
from hexi.canonical import Wire

# Of a peer's protocol endpoint, up to and without ``/catalog/request``. Left away: the one in the registry.
Address = Annotated[str, Field(min_length=1, max_length=MAX_ADDRESS_CHARACTERS)]
# What examples show.
OFFER: dict[str, Any] = {
    "@id": f"{PRODUCT}#v1",
    "@type": "Offer",
    "target": PRODUCT,
    "permission": [{"action": "use"}],
}


class AskCatalogue(Wire):
    """Ask a peer what it offers. What a `filter` means is the peer's to say; the protocol has it in a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"counterparty": PROVIDER}]})

    counterparty: Name
    address: Address | None = None
    filter: Any = None


class NegotiateOffer(Wire):
    """Ask a peer for a contract on an offer of its catalogue, as it stands there."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"counterparty": PROVIDER, "offer": OFFER}]})

    counterparty: Name
    address: Address | None = None
    offer: dict[str, Any]
    id: RequestId | None = None


class PeerDatasetAnswer(Answer):
    """One dataset of a peer. Each of `offers` is complete: it names its dataset as `target`."""

    id: str
    formats: tuple[str, ...]
    offers: tuple[dict[str, Any], ...]
    lanes: dict[str, str] = Field(
        default={}, description="By format, what answers and whom, such as urn:hexi:lane:controlled:named-analysts."
    )


class PeerCatalogueAnswer(Answer):
    """What a peer offers us. 对方目录。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "participant": PROVIDER,
                    "address": "https://hospital.example/dsp/2025-1",
                    "datasets": [{"id": PRODUCT, "formats": ["HttpData-PULL"], "offers": [OFFER]}],
                }
            ]
        },
    )

    participant: str
    address: str
    datasets: tuple[PeerDatasetAnswer, ...]
