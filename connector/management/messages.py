"""What the management API is asked, as it stands on the wire: strict, camelCase."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from connector.contracts.offers import Acceptance, Outcome
from hexi.canonical import Wire
from sandbox.algorithms.algorithm import EXAMPLE, Algorithm

# The longest query or program, in characters. The sandbox reviews it again, with limits of its own.
MAX_QUERY_CHARACTERS = 65_536
# The most transfers one encrypted sum may join.
MAX_CONTRIBUTORS = 64
MAX_TABLES = 64

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
# Chosen by the client, so that it can ask again without asking twice.
RequestId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9:._~-]+$")]
RunId = Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)]
PreviewMode = Literal["sandbox-sql", "sandbox-program"]


# What examples show.
PRODUCT = "691620000000000000X6210A1B2C3D41"
AGREEMENT, TRANSFER = (f"urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-{n:012d}" for n in (2, 3))


def _asked(**example: Any) -> ConfigDict:
    """The configuration of a question with an example for OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class AddResource(Wire):
    """Name tables that lie on the connector's own machine, a source to deliver from, or both."""

    model_config = _asked(name="claims", tables={"visits": "/data/visits.csv"})

    name: Name
    tables: Annotated[dict[str, Path], Field(default_factory=dict, max_length=MAX_TABLES)]
    # What `connector.sources.descriptions` reads; secrets are named in it, never written.
    source: dict[str, Any] | None = None


class PublishProduct(BaseModel):
    """A product description without identifier, version, provider and parties; `registry.catalogue` reads the rest."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "resource": "claims",
                    "title": {"zh": "门诊", "en": "Visits"},
                    "modes": ["sandbox-sql"],
                    "policy": {"permission": [{"action": "use"}]},
                }
            ]
        },
    )

    resource: Name

    @property
    def description(self) -> dict[str, Any]:
        """The members that describe the product."""
        return dict(self.model_extra or {})


class Negotiate(Wire):
    """Ask for a product, of whoever publishes it or of one `provider` only."""

    model_config = _asked(product=PRODUCT, purpose="urn:hexi:purpose:research", id="planning-2026-11")

    product: Name
    provider: Name | None = None
    purpose: Name | None = None
    id: RequestId | None = None


class RequestTransfer(Wire):
    """Ask for delivery under an agreement."""

    model_config = _asked(agreement=AGREEMENT, format="HttpData-PULL", id="planning-2026-11-data")

    agreement: Name
    format: Name
    order: Annotated[str, Field(max_length=100_000)] | None = None
    # Where the data shall lie here: an absolute path to a file that does not exist yet.
    to: Path | None = None
    # A push to another place than this connector: a data address, such as {"baseUrl": "https://..."}.
    destination: dict[str, Any] | None = None
    id: RequestId | None = None


Terms = Annotated[dict[str, Any], Field(description="ODRL: permission, prohibition, obligation. 条款。")]


class SelectProducts(Wire):
    """Which products an offer is for: those that meet every criterion given, each by any of its values."""

    everything: bool = Field(default=False, description="All products; has to be said.")
    products: tuple[Name, ...] = ()
    themes: tuple[Name, ...] = ()
    keywords: tuple[Name, ...] = ()
    modes: tuple[Name, ...] = ()


class AnswerRule(Wire):
    """A rule of a scripted offer: the first whose conditions are all met decides, else a person does."""

    outcome: Outcome
    when: dict[Name, tuple[Name, ...]] = Field(
        default={}, description="By operand (participant, purpose, region...) the values it may have."
    )
    other_terms: bool | None = Field(default=None, description="Whether other terms than offered are asked for.")
    terms: Terms | None = Field(default=None, description="What a counter-offer says.")
    reason: Annotated[str, Field(max_length=1_000)] = ""


class DefineOffer(Wire):
    """Who may see what (access), on which terms (contract), and who answers (acceptance)."""

    model_config = _asked(
        contract={"permission": [{"action": "use"}]}, selector={"themes": ["C0000"]}, acceptance="manual"
    )

    access: Terms | None = Field(default=None, description="Who may see it; null: everybody. Never shown.")
    contract: Terms
    selector: SelectProducts
    acceptance: Acceptance = Acceptance.AUTOMATIC
    rules: Annotated[tuple[AnswerRule, ...], Field(max_length=64)] = ()


class OfferProduct(Wire):
    """Offer a product to one consumer that has not asked."""

    model_config = _asked(consumer="did:web:planner.example", product=PRODUCT)

    consumer: Name
    product: Name
    terms: Terms | None = Field(default=None, description="Terms for it alone; null: those it is published with.")


class Counter(Wire):
    """Propose other terms for what is on the table."""

    model_config = _asked(terms={"permission": [{"action": "use"}]})

    terms: Terms


class Terminate(Wire):
    """Give up a process, and say why."""

    model_config = _asked(reason="no longer needed")

    reason: Name = "ended by its owner"


class Perform(Wire):
    """Say that what the terms ask for after the use was done."""

    model_config = _asked(duty="delete")

    duty: Literal["delete", "anonymize"]


class Suspend(Wire):
    """Pause a transfer, and say why."""

    model_config = _asked(reason="maintenance until noon")

    reason: Name = "suspended by its owner"


class AskRun(Wire):
    """Ask a query of a provider's sandbox, or give it a program: the text is what the transfer's format is for."""

    model_config = _asked(transfer=TRANSFER, query="SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex")

    transfer: Name
    query: Query
    purpose: Name | None = None
    run: RunId | None = None


class AskPreview(Wire):
    """Ask what would come of a query or a program over a product of the space."""

    model_config = _asked(product=PRODUCT, query="SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex")

    product: Name
    query: Query
    mode: PreviewMode = Field(default="sandbox-sql", description="sandbox-program: `query` is the text of a program.")


class CancelJob(Wire):
    """End a job: the transfer it was sent under."""

    model_config = _asked(transfer=TRANSFER)

    transfer: Name


class WithdrawRun(Wire):
    """Give up a run that is held for review: the transfer it was asked under."""

    model_config = _asked(transfer=TRANSFER)

    transfer: Name


class SubmitAlgorithm(Wire):
    """Send an algorithm to a provider's repository."""

    model_config = _asked(provider="did:web:clinic.example", algorithm=EXAMPLE)

    provider: Name
    algorithm: Algorithm


class AskEncryptedSum(Wire):
    """Ask the same query of several providers, and get only the sum."""

    model_config = _asked(transfers=[TRANSFER], query="SELECT SUM(cost) AS total FROM visits", job="sum-2026-11")

    transfers: Annotated[list[Name], Field(min_length=1, max_length=MAX_CONTRIBUTORS)]
    query: Query
    job: RequestId | None = None


class Apply(Wire):
    """Apply for membership of the space."""

    model_config = _asked(
        name="First Hospital",
        nameZh="第一医院",
        ownerCode="91620000000000000X",
        region="6210",
        roles=["provider"],
        contact="it@hospital.example",
    )

    name: Name
    name_zh: Name
    owner_code: Name
    region: Name
    roles: Annotated[list[Name], Field(min_length=1, max_length=4)]
    contact: Name
