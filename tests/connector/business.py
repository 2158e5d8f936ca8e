"""Two participants, an operator and a product, signed and stored: the common case is one call."""

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session

from connector.contracts import product_store, store
from connector.contracts.agreements import SIGNATURE
from connector.contracts.contracting import Contracting
from connector.contracts.evidence import Evidence
from connector.contracts.products import PublishedProduct
from connector.contracts.resources import Resource
from connector.contracts.store import HeldAgreement, RecordedEvidence
from connector.decisions import BusinessDecisions
from connector.fulfilment import Fulfilment
from connector.management import store as management_store
from connector.protocol.negotiation import Agree, Verify
from connector.protocol.processes import Kind, Process, Role
from connector.settings import ConnectorSettings
from hexi.database import Database
from hexi.keys import SigningKey, VerifyingKey
from ledger.documents import SignedDocument, sign_document
from registry.catalogue import read_product
from registry.errors import ParticipantUnknown
from registry.identity import Identity, did_of
from registry.participants import Participant, ParticipantStatus
from tests.builders import SettableClock

OPERATOR = Identity("did:web:space.example", SigningKey.generate())
PROVIDER = Identity("did:web:hospital.example", SigningKey.generate())
CONSUMER = Identity("did:web:planner.example", SigningKey.generate())
STRANGER = Identity("did:web:stranger.example", SigningKey.generate())

PRODUCT = "691620000000000000X6210A1B2C3D41"
TITLE = {"zh": "门诊", "en": "Visits"}
USE = {"permission": [{"action": "use"}]}
PAID = {"permission": [{"action": "use", "duty": [{"action": "compensate"}]}]}


@dataclass
class KnownParticipants:
    """A `Trust` over the identities of this module; `revoked` ones are refused."""

    operator: str = OPERATOR.did
    revoked: set[str] = field(default_factory=set)
    known: tuple[Identity, ...] = (OPERATOR, PROVIDER, CONSUMER)

    def participant(self, did: str) -> Participant:
        for identity in self.known:
            if identity.did == did and did not in self.revoked:
                url = f"https://{did.removeprefix('did:web:')}/dsp/2025-1"
                document = identity.did_document()
                return Participant(did, did, did, "", "", frozenset(), ParticipantStatus.ACTIVE, document, url, "6210")
        raise ParticipantUnknown(f"{did} is not a participant")

    def resolve(self, kid: str) -> VerifyingKey:
        self.participant(did_of(kid))
        return next(identity.key.public for identity in self.known if identity.kid == kid)


def description(**changes: Any) -> dict[str, Any]:
    """A product description as a provider writes it."""
    return {
        "title": TITLE,
        "description": TITLE,
        "theme": "C0000",
        "industry": "0084",
        "region": "6210",
        "deliveryForm": "002",
        "updateFrequency": "007",
        "securityLevel": "003",
        "qualityLevel": "001",
        "sourceType": "001",
        # Counted and controlled like persons, and none: the lanes of single tables answer.
        "hasPersonalInformation": False,
        "classification": {"grade": "general", "level": 3, "scheme": "GB/T 43697-2024"},
        "temporal": {"start": "2025-01-01", "end": "2026-06-30"},
        "tables": [
            {
                "name": "visits",
                "title": TITLE,
                "entityKey": "person",
                "columns": [
                    {"name": "person", "title": TITLE, "datatype": "string", "role": "entity-key"},
                    {
                        "name": "sex",
                        "title": TITLE,
                        "datatype": "string",
                        "role": "dimension",
                        "domain": ["f", "m"],
                    },
                    {"name": "cost", "title": TITLE, "datatype": "number", "role": "measure", "range": [0, 1000]},
                ],
            }
        ],
        "evidence": {"source": "the hospital's own register", "authorisation": "consent form 3"},
        "modes": ["sandbox-sql"],
        "policy": USE,
        **changes,
    }


def published(policy: dict[str, Any] = USE, version: int = 1, identity: Identity = PROVIDER) -> PublishedProduct:
    """The product, signed by its provider."""
    figures = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")
    document = read_product(
        description(policy=policy)
        | {
            "type": "data-product",
            "identifier": PRODUCT,
            "version": version,
            "provider": identity.did,
            "parties": [identity.did],
            "rows": 1000,
            "entities": 400,
            "quality": dict.fromkeys(figures, 1.0) | {"assessedAt": "2026-11-23"},
        }
    )
    signature = sign_document(document.document(), identity.key, identity.kid)
    return PublishedProduct("claims", document, SignedDocument(document.document(), {identity.did: signature}))


@dataclass
class Party:
    """One participant's decisions over its own database."""

    identity: Identity
    database: Database
    clock: SettableClock
    trust: KnownParticipants
    unsigned: bool = False
    revoked: list[str] = field(default_factory=list)
    used: int = 0

    def __post_init__(self) -> None:
        self.database.migrate("connector")
        home = f"https://{self.identity.did.removeprefix('did:web:')}"
        unsigned = {"unsafe_accept_unsigned_agreements": self.unsigned}
        settings = ConnectorSettings(public_url=home).model_copy(update=unsigned)
        evidence = Evidence(self.identity, OPERATOR.did, "https://space.example/ledger/entries", self.clock)
        self.decisions = BusinessDecisions(
            Contracting(self.identity, self.trust, evidence, settings, self.clock),
            Fulfilment(self.identity, self.trust, evidence, self._revoke, settings, self.clock, planes={}),
        )

    def _revoke(self, session: Session, permit: str, reason: str) -> int:
        self.revoked.append(permit)
        return self.used

    def agreements(self) -> list[HeldAgreement]:
        with self.database.reading() as session:
            return management_store.agreements(session, {}, None, None, 100).items

    def evidence(self) -> list[RecordedEvidence]:
        with self.database.reading() as session:
            return management_store.evidence(session, {}, None, None, 100).items

    def publish(self, product: PublishedProduct) -> PublishedProduct:
        with self.database.transaction() as session:
            store.add_resource(session, Resource("claims", {"visits": Path("/data/visits.csv")}), "2026-11-23")
            product_store.add_product(session, product, "sha256:0", "2026-11-23")
            product_store.mark_published(
                session, product.product.identifier, product.product.version, {"index": 1}, "2026"
            )
        return product

    def negotiating(self, process: Process) -> Any:
        with self.database.transaction() as session:
            return self.decisions.after_negotiation(session, process)

    def transferring(self, process: Process) -> Any:
        with self.database.transaction() as session:
            return self.decisions.after_transfer(session, process)


def negotiation(role: Role, state: str, **members: Any) -> Process:
    """A negotiation between the two, as one of them sees it."""
    counterparty = CONSUMER.did if role is Role.PROVIDER else PROVIDER.did
    pid = members.pop("pid", f"urn:uuid:{uuid.uuid4()}")
    return Process(pid, Kind.NEGOTIATION, role, state, counterparty, "https://x/dsp", **members)


def agreed(offer: dict[str, Any], agree: Agree) -> Process:
    """The consumer's end once the provider's agreement to `offer` has come."""
    return negotiation(
        Role.CONSUMER, "AGREED", offer=offer, agreement=agree.agreement, properties=dict(agree.properties)
    )


def transfer(agreement: str, **members: Any) -> Process:
    """A transfer asked of the provider."""
    shown = {"state": "REQUESTED", "format": "HexiSandbox-SQL", "counterparty": CONSUMER.did, **members}
    pid = shown.pop("pid", f"urn:uuid:{uuid.uuid4()}")
    return Process(
        pid,
        Kind.TRANSFER,
        Role.PROVIDER,
        shown.pop("state"),
        shown.pop("counterparty"),
        "https://x/dsp",
        agreement_id=agreement,
        **shown,
    )


def conclude(provider: Party, consumer: Party, product: PublishedProduct) -> str:
    """A whole negotiation, message by message; returns the agreement's id."""
    at_provider = negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer)
    agree = provider.negotiating(at_provider)
    assert isinstance(agree, Agree), agree
    at_consumer = agreed(product.offer, agree)
    verify = consumer.negotiating(at_consumer)
    assert isinstance(verify, Verify), verify
    provider.negotiating(replace(at_provider, state="VERIFIED", properties={SIGNATURE: verify.properties[SIGNATURE]}))
    consumer.negotiating(replace(at_consumer, state="FINALIZED"))
    return str(agree.agreement["@id"])


def order(agreement: str, product: str, signer: Identity = OPERATOR, **changes: Any) -> str:
    """An order confirmation."""
    payload = {
        "type": "order",
        "id": "urn:uuid:order-1",
        "listing": "listing-1",
        "product": product,
        "agreement": agreement,
        "consumer": CONSUMER.did,
        "provider": PROVIDER.did,
        "unitPriceFen": 500,
        "runs": 3,
        "placedAt": "2026-11-23T07:00:00.000Z",
        "expires": "2026-12-23T07:00:00.000Z",
        **changes,
    }
    return signer.key.sign(payload, typ="hexi-order+jws", kid=signer.kid)
