"""A whole space in memory: everybody speaks HTTP, only the network is missing."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from hexi.canonical import Clock, digest, encode, instant
from hexi.errors import RemoteProblem
from hexi.keys import verify
from ledger.bundle import verify_bundle
from ledger.chain import Chain
from ledger.client import LedgerClient
from ledger.documents import SignedDocument, sign_document, verify_document
from ledger.entries import Kind, seal
from ledger.errors import BundleUnreadable, ChainUnavailable, DocumentInvalid
from marketplace import bundle, orders
from marketplace.client import MarketplaceClient
from marketplace.settings import SpaceSettings
from marketplace.space import Space, create_app, policy_problem
from registry.client import RegistryClient
from registry.identity import Identity, key_from_document
from registry.presentation import present
from tests.asgi import Hosts
from tests.builders import SettableClock
from tests.marketplace.builders import DECLARED
from tests.registry import builders as members

HOSPITAL, PLANNER, OPERATOR = members.HOSPITAL, members.PLANNER, members.OPERATOR


@dataclass
class Town:
    """The space with a hospital and a planner admitted, and the hospital's product published."""

    space: Space
    app: FastAPI
    hosts: Hosts
    clock: Clock
    credentials: dict[str, str]
    product: str = ""

    def authorise(self, did: str) -> str:
        who = self.space.identity if did == OPERATOR else members.identity(did)
        return present(who, OPERATOR, self.credentials.get(did), self.clock)

    def market(self, did: str | None = None) -> MarketplaceClient:
        return MarketplaceClient(members.SPACE_URL, (lambda: self.authorise(did)) if did else None, self.hosts)

    def ledger(self, did: str | None = None) -> LedgerClient:
        return LedgerClient(members.SPACE_URL, (lambda: self.authorise(did)) if did else None, self.hosts)

    def registry(self, did: str | None = None) -> RegistryClient:
        return RegistryClient(members.SPACE_URL, (lambda: self.authorise(did)) if did else None, self.hosts)

    def admit(self, did: str, *roles: str) -> None:
        self.hosts.join(did.removeprefix("did:web:").replace("%3A", ":"), members.participant_app(did))
        applied = self.registry().apply(members.application(did, roles=roles))
        self.credentials[did] = str(self.registry(OPERATOR).approve(applied.id).credential)

    def publish(self, **changes: Any) -> str:
        identifier = str(self.registry(HOSPITAL).allocate("product"))
        signed = members.signed_product(
            identifier=identifier, rights=["processing-use", "product-operation"], **changes
        )
        self.registry(HOSPITAL).publish(signed)
        return identifier

    def agree(self) -> SignedDocument:
        """An agreement signed by both and logged by the hospital."""
        document = {
            "type": "agreement",
            "parties": [HOSPITAL, PLANNER],
            "id": f"urn:uuid:{uuid.uuid4()}",
            "product": self.product,
            "provider": HOSPITAL,
            "consumer": PLANNER,
        }
        signed = both(document)
        facts = {"product": self.product, "provider": HOSPITAL, "consumer": PLANNER}
        self.say(Kind.AGREEMENT_CONCLUDED, str(document["id"]), signed.digest, facts)
        return signed

    def run(self, order: Any, **changes: Any) -> SignedDocument:
        """A run of the planner, receipted and logged by the hospital."""
        document = {"type": "run-receipt", "parties": [HOSPITAL], "run": f"urn:uuid:{uuid.uuid4()}"}
        signed = both(document)
        facts = {
            "order": order.id,
            "agreement": order.agreement,
            "permit": "urn:uuid:permit",
            "product": order.product,
            "units": 1,
            "outcome": "released",
            "request": digest("request"),
            **changes,
        }
        self.say(Kind.RUN_COMPLETED, document["run"], signed.digest, facts)
        return signed

    def say(self, kind: Kind, subject: str, of: str, facts: dict[str, Any]) -> None:
        who = members.identity(HOSPITAL)
        jws = seal(kind, subject, of, key=who.key, kid=who.kid, at=instant(self.clock()), facts=facts)
        self.ledger(HOSPITAL).submit(jws)


def both(document: dict[str, Any]) -> SignedDocument:
    """`document`, signed by its parties."""
    parties = [members.identity(did) for did in document["parties"]]
    return SignedDocument(document, {who.did: sign_document(document, who.key, who.kid) for who in parties})


def found(home: Path, clock: Clock, chain: Chain | None = None) -> Town:
    """A town in `home`, with everybody in it and the product published."""
    hosts = Hosts()
    settings = SpaceSettings(home=home, insecure_http_did_web=True)
    app = create_app(settings, clock=clock, transport=hosts, chain=chain)
    hosts.join("127.0.0.1:8080", app)
    town = Town(app.state.space, app, hosts, clock, {})
    town.admit(HOSPITAL, "provider")
    town.admit(PLANNER, "consumer")
    town.product = town.publish()
    return town


@pytest.fixture
def town(tmp_path: Path, clock: SettableClock) -> Iterator[Town]:
    town = found(tmp_path / "space", clock)
    yield town
    town.space.database.dispose()


def test_the_whole_road_over_http(town: Town, tmp_path: Path) -> None:
    hospital, planner, operator = town.market(HOSPITAL), town.market(PLANNER), town.market(OPERATOR)
    certificate = hospital.certify(town.product, DECLARED)
    assert not certificate.on_chain
    listing = hospital.list_product(town.product, 101)
    assert [found.id for found in town.market().listings(q="医保")] == [listing.id]
    agreement = town.agree()
    order = planner.order(listing.id, agreement.document["id"], runs=3, unit_price_fen=101)
    key = key_from_document(town.registry().operator().document, f"{OPERATOR}#key-1")
    assert verify(order.confirmation, typ=orders.CONFIRMATION, resolve=lambda _kid: key)["consumer"] == PLANNER
    receipts = [town.run(order.order), town.run(order.order, outcome="refused", units=0)]
    assert (planner.read_order(order.order.id).order.used, hospital.orders()[0].order.state) == (1, "active")

    statement = planner.state()
    assert verify_document(statement, lambda _kid: key, of_type="statement")["totalFen"] == 101
    assert planner.statement(statement.document["id"]).digest == statement.digest
    assert planner.own_accounts() == {f"receivable:{PLANNER}": 101}
    settled = operator.settle(statement.document["id"])
    assert operator.settle(statement.document["id"]).digest == settled.digest
    assert operator.accounts()["bank"] == 101
    assert hospital.own_accounts() == {f"payable:{HOSPITAL}": -86}
    assert operator.anomalies() == []

    assert town.space.witness.look()
    assert town.market().certificate(certificate.number).on_chain
    written = bundle.write(town.space, tmp_path / "bundle", [agreement, *receipts])
    assert written.anchored
    assert written.documents == 6
    report = verify_bundle(tmp_path / "bundle", vkey=town.space.log.vkey)
    assert [check for check in report.checks if not check.ok] == []
    assert {"product", "certificate", "agreement", "run-receipt", "statement", "chain record"} <= {
        check.name for check in report.checks
    }


def test_the_gate_tells_over_http_what_would_help(town: Town) -> None:
    with pytest.raises(RemoteProblem) as refused:
        town.market(HOSPITAL).certify(town.product)
    assert (refused.value.status, refused.value.code) == (422, "market.compliance-refused")
    failed = [check for check in refused.value.context["report"]["checks"] if check["outcome"] == "failed"]
    assert [check["id"] for check in failed] == ["C02", "C05", "C06", "C08", "C10"]
    assert town.market(HOSPITAL).assess(town.product, DECLARED)["verdict"] == "passed"


def test_a_changed_price_is_a_conflict_that_tells_the_price(town: Town) -> None:
    hospital, planner = town.market(HOSPITAL), town.market(PLANNER)
    hospital.certify(town.product, DECLARED)
    listing = hospital.list_product(town.product, 100, draft=True)
    assert hospital.put_on_sale(listing.id).state == "listed"
    agreement = town.agree().document["id"]
    hospital.reprice(listing.id, 120)
    with pytest.raises(RemoteProblem) as refused:
        planner.order(listing.id, agreement, runs=1, unit_price_fen=100)
    assert (refused.value.status, refused.value.code) == (409, "market.price-changed")
    assert refused.value.context["unitPriceFen"] == 120
    order_id = f"urn:uuid:{uuid.uuid4()}"
    first = planner.order(listing.id, agreement, runs=1, unit_price_fen=120, order_id=order_id)
    assert planner.order(listing.id, agreement, runs=1, unit_price_fen=120, order_id=order_id) == first
    assert planner.cancel(order_id).order.state == "cancelled"
    assert hospital.suspend(listing.id).state == "suspended"
    assert hospital.resume(listing.id).state == "listed"
    assert hospital.withdraw(listing.id).state == "withdrawn"
    assert [e.step for e in town.market().listing(listing.id).history] == [
        "list", "reprice", "suspend", "resume", "withdraw",
    ]  # fmt: skip


PUBLIC = {
    "GET /market/certificates/{number}",
    "GET /market/listings",
    "GET /market/listings/{listing_id}",
    "GET /registry/applications/{application_id}",
    "GET /registry/identifiers/{identifier}",
    "GET /registry/interface",
    "GET /registry/interface/{version}",
    "GET /registry/interface/{version}/code-lists.json",
    "GET /registry/interface/{version}/openapi.json",
    "GET /registry/interface/{version}/schemas/{name}.json",
    "GET /registry/operator",
    "GET /registry/participants",
    "GET /registry/participants/{did}",
    "GET /registry/products",
    "GET /registry/products/{identifier}",
    "POST /registry/applications",
    "GET /.well-known/did.json",
    "GET /health",
    "GET /metrics",
    # The ledger is for everybody to read; entries are let in by their own signature.
    "GET /ledger/anchors",
    "GET /ledger/anchors/{size}",
    "GET /ledger/checkpoint",
    "GET /ledger/consistency",
    "GET /ledger/entries",
    "GET /ledger/entries/{index}/receipt",
    "GET /ledger/log.vkey",
    "GET /ledger/receipts",
    "GET /ledger/tile/{path:path}",
    "POST /ledger/chain",
    "POST /ledger/entries",
    "POST /ledger/entries/batch",
}


def test_these_endpoints_are_public_and_no_others(town: Town) -> None:
    public = set()
    for route in routes(town.app.routes):
        if not asks_who_calls(route.dependant):
            public |= {f"{method} {route.path}" for method in route.methods}
    assert public == PUBLIC


def routes(found: Any) -> Iterator[APIRoute]:
    for route in found:
        if isinstance(route, APIRoute):
            yield route
        elif inner := getattr(route, "original_router", None) or getattr(route, "router", None):
            yield from routes(inner.routes)


def asks_who_calls(dependant: Any) -> bool:
    callers = {"member", "operator"}
    return any(
        getattr(inner.call, "__name__", "") in callers or asks_who_calls(inner) for inner in dependant.dependencies
    )


@pytest.mark.parametrize("did", [None, HOSPITAL, PLANNER])
def test_only_the_operator_settles_and_sees_the_books(town: Town, did: str | None) -> None:
    market = town.market(did)
    for call in (lambda: market.settle("x"), market.accounts, market.anomalies, lambda: town.ledger(did).anchor()):
        with pytest.raises(RemoteProblem) as refused:
            call()
        assert refused.value.status == (403 if did else 401)


def test_a_revoked_participant_sells_and_orders_nothing_more(town: Town) -> None:
    town.market(HOSPITAL).certify(town.product, DECLARED)
    town.registry(OPERATOR).revoke(HOSPITAL, "left")
    with pytest.raises(RemoteProblem) as refused:
        town.market(HOSPITAL).list_product(town.product, 100)
    assert refused.value.code == "registry.participant-revoked"


def test_a_chain_that_fails_delays_nothing_and_is_tried_again(tmp_path: Path, clock: SettableClock) -> None:
    class Broken:
        def __init__(self) -> None:
            raise ChainUnavailable("the node is away")

    chain = Chain(Broken, forgets=False)
    town = found(tmp_path / "space", clock, chain)
    certificate = town.market(HOSPITAL).certify(town.product, DECLARED)
    assert not town.space.witness.look()
    assert not town.market().certificate(certificate.number).on_chain
    chain._connect = Chain.in_process()._connect
    assert town.space.witness.look()
    assert town.market().certificate(certificate.number).on_chain
    assert chain.right(certificate.number) == bytes.fromhex(
        SignedDocument.from_json(certificate.certificate).digest.removeprefix("sha256:")
    )
    town.space.database.dispose()


def test_a_space_that_starts_again_is_the_same_one(tmp_path: Path, clock: SettableClock) -> None:
    settings = SpaceSettings(home=tmp_path / "space")
    found = []
    for _ in range(2):
        space = create_app(settings, clock=clock).state.space
        with space.database.reading() as session:
            first = space.log.entries(session)
        found.append((space.identity.kid, space.log.vkey, [e.entry.kind for e in first], first[0].entry.subject))
        space.database.dispose()
    assert found[0] == found[1]
    assert found[0][2:] == ([Kind.PARTICIPANT_REGISTERED], OPERATOR)
    assert Identity.load(settings.home, OPERATOR).kid == found[0][0]


def test_a_bundle_without_an_anchor_says_so(town: Town, tmp_path: Path) -> None:
    written = bundle.write(town.space, tmp_path / "bundle", [])
    assert not written.anchored
    assert not (tmp_path / "bundle" / "chain.json").exists()
    assert verify_bundle(tmp_path / "bundle", vkey=town.space.log.vkey).ok


def test_handed_in_files(town: Town, tmp_path: Path) -> None:
    agreement = town.agree()
    one, many, wrong = tmp_path / "one.json", tmp_path / "many.json", tmp_path / "wrong.json"
    one.write_bytes(encode(agreement.to_json()))
    many.write_bytes(encode([agreement.to_json()]))
    assert bundle.read_documents([one, many]) == [agreement, agreement]
    wrong.write_bytes(encode({"document": {"type": "letter"}, "signatures": {}}))
    with pytest.raises(BundleUnreadable):
        bundle.read_documents([wrong])
    with pytest.raises(BundleUnreadable):
        bundle.read_documents([tmp_path / "none.json"])
    wrong.write_bytes(b"{}")
    with pytest.raises(DocumentInvalid):
        bundle.read_documents([wrong])


def test_a_policy_is_what_connectors_can_enforce() -> None:
    assert policy_problem({"permission": [{"action": "use"}]}) is None
    assert policy_problem({"permission": []})
    assert policy_problem(
        {
            "permission": [
                {"action": "use", "constraint": [{"leftOperand": "moon", "operator": "eq", "rightOperand": 1}]}
            ]
        }
    )
