"""What the management API answers, as it stands on the wire; `connector.client` gives programs the same values.

The questions stand in `connector.management.messages`.
"""

from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, Field

from connector.protocol import negotiation, transfer
from connector.protocol.history import Direction, Outcome
from connector.protocol.processes import Role
from hexi.canonical import Wire
from sandbox.messages import ReasonBody, RunAnswer

T = TypeVar("T")

# What examples show.
INSTANT = "2026-11-23T08:00:00.000Z"
PROVIDER = "did:web:hospital.example"
PRODUCT = "691620000000000000X6210A1B2C3D41"
NEGOTIATION, AGREEMENT, TRANSFER = (f"urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-{n:012d}" for n in (1, 2, 3))
RUN = "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000006"


def _shown(**example: Any) -> ConfigDict:
    """The configuration of an answer with an example for OpenAPI. A client older than its connector passes over
    members that it does not know yet."""
    return ConfigDict(extra="ignore", json_schema_extra={"examples": [example]})


class Answer(Wire):
    """Something the connector answers."""

    model_config = ConfigDict(extra="ignore")

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return self.model_dump(mode="json", by_alias=True)


class Page(Answer, Generic[T]):
    """One page, newest first."""

    items: tuple[T, ...]
    next: str | None = Field(default=None, description="The cursor of the next page; null at the end.")


class Membership(Answer):
    """Where this connector stands with the space. 成员资格。"""

    model_config = _shown(state="active", id="app-1", did=PROVIDER, identifier="1916200000000000006210")

    state: str = Field(
        description="none, pending, active, rejected or revoked; unknown while the space is not reached."
    )
    id: str | None = Field(default=None, description="The application's id at the space.")
    did: str | None = None
    identifier: str | None = Field(default=None, description="The unified identifier, once approved. 统一标识。")
    reason: str | None = Field(default=None, description="Why it was rejected or revoked.")
    way: str | None = Field(default=None, description="What to do next.")
    why: str | None = Field(default=None, description="Why the space could not be asked.")


class EvidenceCount(Answer):
    """How many entries were sealed, and how many wait for the ledger's receipt."""

    total: int
    waiting: int


class MessageCount(Answer):
    """Messages to others: on their way, and given up."""

    waiting: int
    failed: int


class Status(Answer):
    """Who this connector is, where it stands, and what waits. 连接器状态。"""

    model_config = _shown(
        did=PROVIDER,
        url="https://hospital.example",
        version="0.1.0",
        space="https://space.example",
        operator="did:web:space.example",
        membership={"state": "active", "did": PROVIDER},
        resources=1,
        products=1,
        agreements=3,
        evidence={"total": 12, "waiting": 0},
        messages={"waiting": 0, "failed": 0},
    )

    did: str
    url: str
    version: str
    space: str
    operator: str
    membership: Membership
    resources: int
    products: int
    agreements: int
    evidence: EvidenceCount
    messages: MessageCount


class Evidence(Answer):
    """An entry sealed here for the ledger. 存证。"""

    model_config = _shown(
        kind="agreement-concluded",
        subject=AGREEMENT,
        digest=f"sha256:{'5' * 64}",
        entry="header.payload.signature",
        receipt=None,
        created=INSTANT,
    )

    kind: str
    subject: str = Field(description="What it is about: an agreement, a permit, a run.")
    digest: str
    entry: str = Field(description="The entry as signed (compact JWS).")
    receipt: dict[str, Any] | None = Field(description="The ledger's receipt; null until it came back.")
    created: str


class EvidencePage(Page[Evidence]):
    """A page of entries."""


class Resource(Answer):
    """Tables on the connector's machine, or a source it delivers from. 数据资源。"""

    model_config = _shown(name="claims", tables={"visits": "/data/visits.csv"}, source=None)

    name: str
    tables: dict[str, str]
    source: dict[str, Any] | None = None


class Publication(Answer):
    """A product version as published. 已发布的数据产品版本。"""

    model_config = _shown(
        identifier=PRODUCT, version=1, offer=f"{PRODUCT}#v1", digest=f"sha256:{'5' * 64}", receipt={"index": 17}
    )

    identifier: str
    version: int
    offer: str = Field(description="The id of the version's offer.")
    digest: str = Field(description="Digest of the signed product document.")
    receipt: dict[str, Any] | None = Field(description="The ledger's receipt for the publication.")


class Product(Answer):
    """The newest version of a product published from here. 数据产品。"""

    model_config = _shown(
        identifier=PRODUCT,
        version=1,
        resource="claims",
        digest=f"sha256:{'5' * 64}",
        document={"type": "data-product", "identifier": PRODUCT, "version": 1, "title": {"zh": "门诊", "en": "Visits"}},
        signatures={PROVIDER: "header..signature"},
        receipt={"index": 17},
    )

    identifier: str
    version: int
    resource: str
    digest: str
    document: dict[str, Any] = Field(description="The product document, as signed.")
    signatures: dict[str, str]
    receipt: dict[str, Any] | None


class CatalogueProduct(Answer):
    """A product of the space's catalogue, as its provider signed it. 目录产品。"""

    model_config = _shown(
        identifier=PRODUCT,
        version=1,
        digest=f"sha256:{'5' * 64}",
        document={"type": "data-product", "identifier": PRODUCT, "version": 1, "title": {"zh": "门诊", "en": "Visits"}},
        signatures={PROVIDER: "header..signature"},
    )

    identifier: str
    version: int
    digest: str
    document: dict[str, Any] = Field(description="The product document, as signed; the signatures were verified here.")
    signatures: dict[str, str]


class Products(Page[Product]):
    """A page of products."""


class Negotiation(Answer):
    """A contract negotiation, as we see it. 合约协商。"""

    model_config = _shown(
        id=NEGOTIATION,
        role="consumer",
        state="FINALIZED",
        counterparty=PROVIDER,
        peerId="urn:uuid:7d0a3f52-0000-4000-8000-000000000001",
        product=PRODUCT,
        agreement=AGREEMENT,
        offer={"@id": f"{PRODUCT}#v1", "@type": "Offer", "target": PRODUCT, "permission": [{"action": "use"}]},
        ourTurn=False,
        reason=[],
        created=INSTANT,
        updated=INSTANT,
    )

    id: str
    role: Role
    state: negotiation.State
    counterparty: str = Field(description="The other end's DID. 对方。")
    peer_id: str | None = Field(description="The other end's id of the same negotiation, once known.")
    product: str | None
    agreement: str | None = Field(description="The agreement it led to, once there is one.")
    offer: dict[str, Any] | None = Field(description="The offer on the table, with its terms. 当前要约。")
    our_turn: bool = Field(description="Whether it may wait for a person of ours: accept, counter or end. 待本方处理。")
    reason: tuple[str, ...] = Field(description="Why it was terminated: a code first, then words. 终止原因。")
    created: str
    updated: str


class Offer(Answer):
    """An offer definition in force. 要约定义。"""

    model_config = _shown(
        name="research",
        revision=2,
        access={"permission": [{"action": "use"}]},
        contract={"permission": [{"action": "use"}]},
        selector={"everything": False, "products": [], "themes": ["C0000"], "keywords": [], "modes": []},
        acceptance="manual",
        rules=[],
    )

    name: str
    revision: int = Field(description="Counts changes; offers made before a change are told from those after it.")
    access: dict[str, Any] | None
    contract: dict[str, Any]
    selector: dict[str, Any]
    acceptance: str
    rules: tuple[dict[str, Any], ...]


class Negotiations(Page[Negotiation]):
    """A page of negotiations."""


class Agreement(Answer):
    """An agreement, in either role. 数字合约。"""

    model_config = _shown(
        id=AGREEMENT,
        role="consumer",
        counterparty=PROVIDER,
        state="CONCLUDED",
        product=PRODUCT,
        negotiation=NEGOTIATION,
        agreement={"document": {"type": "agreement"}, "signatures": {PROVIDER: "header..signature"}},
        created=INSTANT,
        receipt=None,
    )

    id: str
    role: Role
    counterparty: str
    state: str
    product: str
    negotiation: str
    agreement: dict[str, Any] = Field(description="The document both signed, with the signatures so far.")
    created: str
    receipt: dict[str, Any] | None = Field(
        default=None, description="The ledger's receipt; asked for a single agreement only."
    )


class Agreements(Page[Agreement]):
    """A page of agreements."""


class Transfer(Answer):
    """A transfer, as we see it; a computation is one too. 数据传输（含计算）。"""

    model_config = _shown(
        id=TRANSFER,
        role="consumer",
        state="STARTED",
        counterparty=PROVIDER,
        peerId="urn:uuid:7d0a3f52-0000-4000-8000-000000000002",
        product=PRODUCT,
        agreement=AGREEMENT,
        format="HexiSandbox-SQL",
        suspendedBy=None,
        reason=[],
        created=INSTANT,
        updated=INSTANT,
    )

    id: str
    role: Role
    state: transfer.State
    counterparty: str = Field(description="The other end's DID. 对方。")
    peer_id: str | None = Field(description="The other end's id of the same transfer, once known.")
    product: str | None
    agreement: str | None
    format: str | None
    suspended_by: Role | None = Field(description="Who suspended it: they or the provider may resume.")
    reason: tuple[str, ...] = Field(description="Why it was refused, suspended or terminated. 原因。")
    created: str
    updated: str


class Transfers(Page[Transfer]):
    """A page of transfers."""


class Step(Answer):
    """One message of a process, or what was decided without one, and the state it led to. 历史记录。"""

    model_config = _shown(
        at=INSTANT,
        direction="received",
        message="TransferStartMessage",
        messageId="urn:uuid:7d0a3f52-0000-4000-8000-000000000003",
        outcome="taken",
        state="STARTED",
        attempts=None,
        reason=[],
    )

    at: str = Field(description="When it was taken; when it was queued, as long as it waits.")
    direction: Direction = Field(description="sent, received, or here: decided at our end alone.")
    message: str | None = Field(description="The message's type.")
    message_id: str | None = Field(description="Its @id; null where the other end gave none.")
    outcome: Outcome = Field(
        description="taken; waiting, still on its way; cancelled, overtaken; failed, refused or given up."
    )
    state: str | None = Field(description="The state it led to; null if it led to none. 状态。")
    attempts: int | None = Field(description="How often we tried to send it.")
    reason: tuple[str, ...] = Field(description="What the message gave as reason, or why it failed. 原因。")


class History(Answer):
    """The steps of a process, oldest first. 过程历史。"""

    items: tuple[Step, ...]


class Run(Answer):
    """A run asked for from here. 计算。"""

    model_config = _shown(run=RUN, answer=None)

    run: str
    answer: RunAnswer | None = Field(description="What came back; null while nothing has.")


class Job(Answer):
    """A run that waits at its provider, is executed there, or has ended; with its proved answer. 任务。"""

    model_config = _shown(
        run=RUN,
        product="691620000000000000X6210A1B2C3D41",
        state="queued",
        attempts=0,
        submitted="2026-11-26T08:00:00.000Z",
        finished=None,
        reason=None,
        answer=None,
    )

    run: str
    product: str
    state: str = Field(description="queued, running, done, cancelled or failed. 状态。")
    attempts: int = Field(description="How often a worker began it.")
    submitted: str
    finished: str | None = Field(description="When it ended; null while it has not.")
    reason: ReasonBody | None = Field(description="Why it has no answer, or waits again.")
    answer: RunAnswer | None = Field(description="What came back; null while nothing has. It may be held for review.")


class Jobs(Answer):
    """Jobs at one provider, newest first, without their answers. 任务列表。"""

    items: tuple[Job, ...]


class Refusal(Answer):
    """A provider that did not release its number for an encrypted sum, and why."""

    contributor: str
    reasons: tuple[ReasonBody, ...]


class EncryptedSum(Answer):
    """A total over several providers, or who refused and why. 密文求和。"""

    model_config = _shown(
        job="urn:uuid:job",
        total=1200,
        contributors=[PROVIDER],
        runs={PROVIDER: "urn:uuid:run"},
        refused=[],
        receipts=[],
        receipt=None,
    )

    job: str
    total: int | None = Field(description="The rounded total; null if anybody refused.")
    contributors: tuple[str, ...]
    runs: dict[str, str]
    refused: tuple[Refusal, ...]
    receipts: tuple[dict[str, Any], ...] = Field(description="Every provider's signed receipt.")
    receipt: dict[str, Any] | None = Field(description="The operator's signed word on how it was added up.")
