"""A small market on a real log and a real database; only the registry's catalogue is a dictionary."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from hexi.canonical import digest, instant
from hexi.database import Database
from hexi.keys import SigningKey
from ledger.documents import SignedDocument
from ledger.entries import Kind, open_entry, seal
from ledger.log import Log
from marketplace import settlement
from marketplace.certificates import Registrar as RegistrarIdentity
from marketplace.clearing import Clearing
from marketplace.exchange import Exchange
from marketplace.listings import Listing, Title
from marketplace.notary import Notary
from marketplace.orders import Order, Wish
from marketplace.registrar import Registrar
from registry.errors import ProductUnknown
from registry.identity import Identity
from registry.participants import Participant, ParticipantStatus, Role
from registry.presentation import Caller
from tests.builders import SettableClock

OPERATOR = "did:web:space.example"
HOSPITAL = "did:web:hospital.example"
PLANNER = "did:web:planner.example"
STRANGER = "did:web:stranger.example"
PRODUCT = "691620000000000000X6210A1B2C3D41"

TERMS = Title("按次计费", "Charged by the run")
DECLARED: Mapping[str, str] = {
    "disputes": "none",
    "prohibitedContentScan": "catalogue texts and column values, 2026-11-20, nothing found",
    "businessQualification": "medical institution licence",
    "personalInformationAssessment": "assessment 2026-10",
    "crossBorder": "forbidden",
}


def product(**changes: Any) -> dict[str, Any]:
    """A product document that passes every check, given `DECLARED`."""
    return {
        "type": "data-product",
        "identifier": PRODUCT,
        "version": 1,
        "provider": HOSPITAL,
        "parties": [HOSPITAL],
        "title": {"zh": "庆阳市门诊量", "en": "Outpatient visits in Qingyang"},
        "description": {"zh": "门诊", "en": "Visits by month and department"},
        "keywords": ["health"],
        "industry": "0084",
        "region": "6210",
        "securityLevel": "003",
        "sourceType": "001",
        "hasPersonalInformation": True,
        "classification": {"grade": "general", "level": 3, "scheme": "GB/T 43697"},
        "tables": [{"name": "visits", "entityKey": "patient", "columns": [{"name": "patient"}]}],
        "quality": {
            "normativity": 1.0,
            "completeness": 0.98,
            "accuracy": 0.97,
            "consistency": 0.99,
            "timeliness": 0.9,
            "accessibility": 1.0,
            "assessedAt": "2026-10-01",
        },
        "rights": ["holding", "processing-use", "product-operation"],
        "evidence": {"source": "own treatment records", "authorisation": "hospital board, 2026-05"},
        "modes": ["sandbox-sql"],
        "disclosure": {"minimumEntities": 10, "rounding": 5, "minimumIsolation": 2, "maximumRows": 5000},
        "policy": {"permission": [{"action": "use"}]},
        **changes,
    }


def caller(did: str, *roles: Role, status: ParticipantStatus = ParticipantStatus.ACTIVE) -> Caller:
    """Somebody who presented itself."""
    name = did.removeprefix("did:web:")
    participant = Participant(
        did, name, name, "91620000000000000X", "5", frozenset(roles or Role), status, {}, f"https://{name}/dsp", "6210"
    )
    return Caller(did, participant, OPERATOR)


HOSPITAL_CALLS = caller(HOSPITAL, Role.PROVIDER)
PLANNER_CALLS = caller(PLANNER, Role.CONSUMER)
STRANGER_CALLS = caller(STRANGER, Role.PROVIDER, Role.CONSUMER)
OPERATOR_CALLS = caller(OPERATOR, Role.OPERATOR)


@dataclass
class Market:
    """The three desks over one database, and hands to put entries into the log as others would."""

    database: Database
    clock: SettableClock
    products: dict[str, dict[str, Any]] = field(default_factory=lambda: {PRODUCT: product()})
    rule: Mapping[str, int] = field(default_factory=lambda: settlement.DEFAULT_SPLIT)
    policy_problem: str | None = None

    def __post_init__(self) -> None:
        self.database.migrate("ledger")
        self.database.migrate("marketplace")
        self.keys = {did: SigningKey.generate() for did in (OPERATOR, HOSPITAL, PLANNER, STRANGER)}
        self.log = Log("space.example", SigningKey.generate("Ed25519"), self.clock)
        notary = Notary(Identity(OPERATOR, self.keys[OPERATOR]), self.log, self.clock)
        identity = RegistrarIdentity(OPERATOR, "Space", "空间", "62", "1", accredited=False)
        self.registrar = Registrar(
            notary, self.published, identity, lambda _policy: self.policy_problem, self.clock, years=3
        )
        self.exchange = Exchange(notary, self.published, lambda _session, product: product in self.products, self.clock)
        self.clearing = Clearing(notary, self.rule)

    def published(self, _session: Session, identifier: str, version: int | None) -> SignedDocument:
        if identifier not in self.products or version not in {None, self.products[identifier]["version"]}:
            raise ProductUnknown("no such product")
        return SignedDocument(self.products[identifier], {})

    def say(self, issuer: str, kind: Kind, subject: str, **facts: str | int) -> None:
        """Put an entry of `issuer` into the log."""
        key, at = self.keys[issuer], instant(self.clock())
        jws = seal(kind, subject, digest(facts), key=key, kid=f"{issuer}#key-1", at=at, facts=facts)
        with self.database.transaction() as session:
            self.log.append(session, jws, open_entry(jws, lambda _kid: key.public))

    def on_sale(self, price: int = 1250) -> Listing:
        """The product, certified and on sale."""
        with self.database.transaction() as session:
            self.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED)
            listing = self.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, price, TERMS)
            return self.exchange.put_on_sale(session, HOSPITAL_CALLS, listing.id)

    def agreement(self, *, issuer: str = HOSPITAL, consumer: str = PLANNER, about: str = PRODUCT) -> str:
        """An agreement on the log."""
        agreement = f"urn:uuid:{uuid.uuid4()}"
        self.say(issuer, Kind.AGREEMENT_CONCLUDED, agreement, product=about, provider=issuer, consumer=consumer)
        return agreement

    def order(self, listing: Listing, agreement: str, runs: int = 3, price: int = 1250) -> Order:
        """An order of the planner."""
        wish = Wish(PLANNER, agreement, runs, price)
        with self.database.transaction() as session:
            return self.exchange.order(session, PLANNER_CALLS, None, listing.id, wish)

    def ran(self, under: Order, run: str = "", issuer: str = HOSPITAL, **changes: str | int) -> str:
        """A run under the order, logged by its provider unless told otherwise."""
        run = run or f"urn:uuid:{uuid.uuid4()}"
        facts: dict[str, str | int] = {
            "order": under.id,
            "agreement": under.agreement,
            "permit": "urn:uuid:permit",
            "product": under.product,
            "units": 1,
            "outcome": "released",
            "request": digest(run),
        }
        self.say(issuer, Kind.RUN_COMPLETED, run, **facts | changes)
        return run

    def metered(self, order: Order) -> Order:
        """`order` after what is on the log by now."""
        with self.database.transaction() as session:
            self.clearing.meter(session)
            return self.exchange.read_order(session, PLANNER_CALLS, order.id)
