"""Builders for registry tests: participants, a trust that holds still, product documents, a space in memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from hexi.database import Database
from hexi.keys import SigningKey, VerifyingKey
from ledger.documents import SignedDocument, sign_document
from privacy.lattice.policy import read_policy
from registry.app import create_app
from registry.applications import seal_application
from registry.catalogue import read_product
from registry.client import RegistryClient
from registry.errors import ParticipantUnknown
from registry.identity import Identity, did_of, key_from_document
from registry.messages import Application
from registry.participants import Participant, ParticipantStatus, Role
from registry.presentation import present
from registry.settings import RegistrySettings
from registry.trust import check_active
from tests.asgi import Hosts
from tests.builders import SettableClock

OWNER = "91620000000000000X"
SPACE_URL = "http://127.0.0.1:8080"
OPERATOR = "did:web:127.0.0.1%3A8080"
HOSPITAL = "did:web:127.0.0.1%3A8081"
PLANNER = "did:web:127.0.0.1%3A8082"
PRODUCT = "691620000000000000X6210A1B2C3D41"


def identity(did: str = HOSPITAL) -> Identity:
    """One key per DID and test session."""
    return _identity(did)


@cache
def _identity(did: str) -> Identity:
    return Identity(did, SigningKey.generate())


def participant(did: str = HOSPITAL, **changes: Any) -> Participant:
    fields: dict[str, Any] = {
        "did": did,
        "name": "First hospital",
        "name_zh": "第一医院",
        "owner_code": OWNER,
        "identifier": "591620000000000000X621000000001G",
        "roles": frozenset({Role.PROVIDER}),
        "status": ParticipantStatus.ACTIVE,
        "document": identity(did).did_document(),
        "dsp_url": "http://127.0.0.1:8081/dsp/2025-1",
        "region": "6210",
    }
    return Participant(**{**fields, **changes})


class FixedTrust:
    """A `Trust` over a list, for what does not depend on where participants are kept."""

    operator = OPERATOR

    def __init__(self, participants: Iterable[Participant] = ()) -> None:
        everybody = [participant(OPERATOR, roles=frozenset({Role.OPERATOR})), *participants]
        self.known = {one.did: one for one in everybody}

    def participant(self, did: str) -> Participant:
        if did not in self.known:
            raise ParticipantUnknown(f"{did} is unknown")
        return check_active(self.known[did])

    def resolve(self, kid: str) -> VerifyingKey:
        return key_from_document(self.participant(did_of(kid)).document, kid)


def column(name: str, datatype: str = "string", role: str = "dimension", **more: Any) -> dict[str, Any]:
    return {"name": name, "title": {"zh": f"列{name}", "en": name}, "datatype": datatype, "role": role, **more}


# Whose answers come from a cube: what a product about persons declares unless it names its analysts.
LATTICE: dict[str, Any] = read_policy(
    {
        "type": "lattice-policy",
        "entity": "person",
        "size": 400,
        "mincell": 40,
        "attributes": [{"name": "sex", "levels": [{"name": "sex", "labels": ["女", "男"]}]}],
        "measures": [{"name": "age", "family": "age", "range": [0, 120]}],
        "families": [{"name": "age", "mu": 0.33}],
    }
).document()


def product_document(**changes: Any) -> dict[str, Any]:
    """A product as it goes over the wire; `changes` by camelCase key."""
    document: dict[str, Any] = {
        "type": "data-product",
        "identifier": PRODUCT,
        "version": 1,
        "provider": HOSPITAL,
        "parties": [HOSPITAL],
        "title": {"zh": "门诊医保结算", "en": "Outpatient insurance claims"},
        "description": {"zh": "每行一次结算", "en": "One row per claim"},
        "keywords": ["医保", "claims"],
        "theme": "C0100",
        "industry": "0084",
        "region": "6210",
        "deliveryForm": "001",
        "updateFrequency": "004",
        "securityLevel": "003",
        "qualityLevel": "001",
        "sourceType": "001",
        "hasPersonalInformation": True,
        "classification": {"grade": "general", "level": 3, "scheme": "GB/T 43697-2024"},
        "temporal": {"start": "2025-01-01", "end": "2025-12-31"},
        "rows": 1000,
        "entities": 400,
        "tables": [
            {
                "name": "claims",
                "title": {"zh": "结算", "en": "Claims"},
                "entityKey": "person",
                "columns": [
                    column("person", role="entity-key"),
                    column("sex", domain=["女", "男"]),
                    column("age", "integer", "measure", range=[0, 120]),
                    column("paid_on", "date"),
                ],
            }
        ],
        "quality": {
            "normativity": 1,
            "completeness": 0.98,
            "accuracy": 0.97,
            "consistency": 1,
            "timeliness": 0.9,
            "accessibility": 1,
            "assessedAt": "2026-11-01",
        },
        "rights": ["holding", "processing-use"],
        "evidence": {"source": "hospital information system", "authorisation": "sha256:" + "0" * 64},
        "modes": ["sandbox-sql"],
        "disclosure": {
            "minimumEntities": 10,
            "rounding": 5,
            "minimumIsolation": 2,
            "maximumRows": 5000,
            "dominance": False,
        },
        "lattice": LATTICE,
        "policy": {"permission": [{"action": "use"}]},
    }
    return {**document, **changes}


def signed_product(did: str = HOSPITAL, **changes: Any) -> SignedDocument:
    who = identity(did)
    document = read_product(product_document(provider=did, parties=[did], **changes)).document()
    return SignedDocument(document, {did: sign_document(document, who.key, who.kid)})


def application(did: str = HOSPITAL, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "did": did,
        "name": "First hospital",
        "name_zh": "第一医院",
        "owner_code": OWNER,
        "region": "6210",
        "roles": ("provider",),
        "dsp_url": "http://127.0.0.1:8081/dsp/2025-1",
        "contact": "data office, 0934-0000000",
    }
    return seal_application(identity(did), Application(**{**fields, **changes}))


def participant_app(did: str) -> FastAPI:
    """The least a connector serves: its DID document."""
    app = FastAPI()

    @app.get("/.well-known/did.json")
    def did_document() -> dict[str, Any]:
        return identity(did).did_document()

    return app


@dataclass
class Space:
    """A registry in memory, with clients for everybody."""

    app: FastAPI
    hosts: Hosts
    clock: SettableClock
    database: Database
    home: Path

    def client(self, did: str | None = None, credential: str | None = None) -> RegistryClient:
        """A client for `did`, or one that shows nothing."""
        if did is None:
            return RegistryClient(SPACE_URL, transport=self.hosts)
        who = self.operator if did == OPERATOR else identity(did)
        return RegistryClient(SPACE_URL, lambda: present(who, OPERATOR, credential, self.clock), self.hosts)

    @property
    def operator(self) -> Identity:
        return Identity.load(self.home, OPERATOR)

    def admit(self, did: str = HOSPITAL, **changes: Any) -> RegistryClient:
        """Apply, be approved, and get a client that shows the credential."""
        self.hosts.join(did.removeprefix("did:web:").replace("%3A", ":"), participant_app(did))
        self.clock.advance(seconds=1)
        applied = self.client().apply(application(did, **changes))
        state = self.client(OPERATOR).approve(applied.id)
        return self.client(did, state.credential)


def space(home: Path, clock: SettableClock, database_url: str = "") -> Space:
    hosts = Hosts()
    settings = RegistrySettings(home=home, database_url=database_url, insecure_http_did_web=True)
    app = create_app(settings, clock=clock, transport=hosts)
    hosts.join("127.0.0.1:8080", app)
    return Space(app, hosts, clock, app.state.database, home)
