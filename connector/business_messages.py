"""What the management API is asked, as it stands on the wire: strict, camelCase."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hexi.canonical import Wire

# The longest query, in characters. The sandbox reviews it again, with a limit of its own.
MAX_QUERY_CHARACTERS = 20_000
# The most transfers one encrypted sum may join.
MAX_CONTRIBUTORS = 64
MAX_TABLES = 64

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
# Chosen by the client, so that it can ask again without asking twice.
RequestId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9:._~-]+$")]
RunId = Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)]


class AddResource(Wire):
    """Name tables that lie on the connector's own machine, a source to deliver from, or both."""

    name: Name
    tables: Annotated[dict[str, Path], Field(default_factory=dict, max_length=MAX_TABLES)]
    # What `connector.sources.descriptions` reads; secrets are named in it, never written.
    source: dict[str, Any] | None = None


class PublishProduct(BaseModel):
    """A product description without identifier, version, provider and parties; `registry.catalogue` reads the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")

    resource: Name

    @property
    def description(self) -> dict[str, Any]:
        """The members that describe the product."""
        return dict(self.model_extra or {})


class Negotiate(Wire):
    """Ask for a product, of whoever publishes it or of one `provider` only."""

    product: Name
    provider: Name | None = None
    purpose: Name | None = None
    id: RequestId | None = None


class RequestTransfer(Wire):
    """Ask for delivery under an agreement."""

    agreement: Name
    format: Name
    order: Annotated[str, Field(max_length=100_000)] | None = None
    # Where the data shall lie here: an absolute path to a file that does not exist yet.
    to: Path | None = None
    # A push to another place than this connector: a data address, such as {"baseUrl": "https://..."}.
    destination: dict[str, Any] | None = None
    id: RequestId | None = None


class Terminate(Wire):
    """Give up a process, and say why."""

    reason: Name = "ended by its owner"


class Suspend(Wire):
    """Pause a transfer, and say why."""

    reason: Name = "suspended by its owner"


class AskRun(Wire):
    """Ask a query of a provider's sandbox."""

    transfer: Name
    query: Query
    purpose: Name | None = None
    run: RunId | None = None


class AskEncryptedSum(Wire):
    """Ask the same query of several providers, and get only the sum."""

    transfers: Annotated[list[Name], Field(min_length=1, max_length=MAX_CONTRIBUTORS)]
    query: Query
    job: RequestId | None = None


class Apply(Wire):
    """Apply for membership of the space."""

    name: Name
    name_zh: Name
    owner_code: Name
    region: Name
    roles: Annotated[list[Name], Field(min_length=1, max_length=4)]
    contact: Name
