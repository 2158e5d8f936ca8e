"""What the registry's HTTP interface reads and writes, one class a message; JSON keys are camelCase."""

from typing import Literal

from pydantic import ConfigDict, Field

from hexi.canonical import Json, Wire
from registry.identifiers import Kind
from registry.identity import MAX_DID_CHARACTERS
from registry.participants import Participant, ParticipantStatus, Role
from registry.search import Found

# Where a service mounts the registry's routes, and clients find them.
PREFIX = "/registry"

# Names, addresses and reasons, in characters: what fits on a form.
MAX_NAME_CHARACTERS = 200
MAX_URL_CHARACTERS = 2_000
MAX_REASON_CHARACTERS = 1_000
# Compact JWS of an application, in characters: names and addresses, nothing large.
MAX_APPLICATION_CHARACTERS = 16_384


class Message(Wire):
    """Frozen, camelCase, and nothing that is not expected."""

    def to_json(self) -> dict[str, Json]:
        """The JSON form; what is None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Application(Message):
    """What an organisation says about itself when it applies; it signs this with the key in its DID document."""

    type: Literal["application"] = "application"
    did: str = Field(max_length=MAX_DID_CHARACTERS)
    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    name_zh: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    owner_code: str
    region: str = Field(pattern=r"^[0-9]{4}$")
    roles: tuple[Literal[Role.PROVIDER, Role.CONSUMER, Role.AUDITOR], ...] = Field(min_length=1, max_length=3)
    dsp_url: str = Field(pattern=r"^https?://", max_length=MAX_URL_CHARACTERS)
    contact: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)


class ApplicationRequest(Message):
    """POST /applications: the application as a JWS of type ``hexi-application+jws``."""

    application: str = Field(max_length=MAX_APPLICATION_CHARACTERS)


class ApplicationState(Message):
    """Where an application stands; identifier and credential once it was approved."""

    id: str
    did: str
    state: ParticipantStatus
    identifier: str | None = None
    credential: str | None = None
    reason: str | None = None


class ApplicationDetail(ApplicationState):
    """What the operator sees of an application, contact included."""

    name: str
    name_zh: str
    owner_code: str
    region: str
    roles: tuple[Role, ...]
    dsp_url: str
    contact: str
    applied_at: str


class ReasonRequest(Message):
    """POST .../rejection and .../revocation: why. It is shown to the one concerned."""

    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARACTERS)


class ParticipantMessage(Message):
    """A participant, as everybody may know it."""

    did: str
    name: str
    name_zh: str
    owner_code: str
    identifier: str
    roles: tuple[Role, ...]
    status: ParticipantStatus
    document: dict[str, Json]
    dsp_url: str
    region: str

    @classmethod
    def of(cls, participant: Participant) -> "ParticipantMessage":
        """The message about `participant`."""
        return cls.model_validate({**vars(participant), "roles": sorted(participant.roles)})

    def participant(self) -> Participant:
        """The frozen value."""
        return Participant(**{**{name: getattr(self, name) for name in vars(self)}, "roles": frozenset(self.roles)})


class ParticipantsAnswer(Message):
    """GET /participants."""

    items: tuple[ParticipantMessage, ...]


class ApplicationsAnswer(Message):
    """GET /applications."""

    items: tuple[ApplicationDetail, ...]


class IdentifierRequest(Message):
    """POST /identifiers: an identifier for what?"""

    kind: Literal["product", "resource"]

    @property
    def of(self) -> Kind:
        """The kind asked for."""
        return Kind[self.kind.upper()]


class IdentifierAnswer(Message):
    """To whom an identifier was given."""

    identifier: str
    kind: str
    holder: str
    allocated_at: str


class WithdrawalRequest(Message):
    """POST /products/{identifier}/withdrawal: the version that was withdrawn, or without it the newest there is."""

    version: int | None = Field(default=None, ge=1)


class Publication(Message):
    """PUT /products/{identifier}: what was published, and the ledger's receipt for it."""

    identifier: str
    version: int
    digest: str
    receipt: dict[str, Json]


class FacetValueMessage(Message):
    """One value of a facet, how many products have it, and its label in both languages where it has one."""

    value: str
    count: int
    label: dict[str, str] | None = None


class SearchAnswer(Message):
    """GET /products: one page of results, and how all results divide.

    Where `exact` is false, `total` and `facets` are estimated from the newest products. `next` is what to ask `after`
    for the page that follows; such a page has no `total` and no `facets`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": 1,
                    "offset": 0,
                    "items": [
                        {"identifier": "691620000000000000X6210A1B2C3D41", "title": {"zh": "门诊", "en": "Visits"}}
                    ],
                    "facets": {"region": [{"value": "6210", "count": 1, "label": {"zh": "庆阳市", "en": "Qingyang"}}]},
                }
            ]
        }
    )

    total: int | None = None
    offset: int
    items: tuple[dict[str, Json], ...]
    facets: dict[str, tuple[FacetValueMessage, ...]]
    exact: bool = True
    next: int | None = None

    @classmethod
    def of(cls, found: Found) -> "SearchAnswer":
        """The message about what was found."""
        divided = {
            facet: tuple(
                FacetValueMessage(value=v.value, count=v.count, label=dict(v.label) if v.label else None)
                for v in values
            )
            for facet, values in found.facets.items()
        }
        return cls(
            total=found.total,
            offset=found.offset,
            items=found.items,
            facets=divided,
            exact=found.exact,
            next=found.next,
        )


class OperatorAnswer(Message):
    """GET /operator: who runs the space, with its DID document and the key its log signs with."""

    did: str
    document: dict[str, Json]
    log_vkey: str
