"""Bad input, through the real HTTP surface: a clear problem with a stable code, and nothing changes.

"Nothing" is meant as said: the databases of the space and of both connectors are compared whole, before and after.
That is also why all cases share one data space.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from hexi.errors import PROBLEM_TYPE
from hexi.keys import SigningKey
from hexi.settings import MAX_BODY_BYTES
from ledger.documents import sign_document
from registry.credentials import issue_membership
from registry.identity import Identity
from registry.presentation import present
from sandbox.permits import Permit, seal_permit
from sandbox.queries.review import SUM_MODE
from sandbox.requests import RunRequest, seal_request
from tests.builders import SettableClock
from tests.connector.business import PAID, PRODUCT, description
from tests.marketplace.builders import DECLARED
from tests.simulator import HOSPITAL, PLANNER, QUERY, SPACE, Dataspace

DSP = "/dsp/2025-1"
MOON = {"leftOperand": "moonPhase", "operator": "eq", "rightOperand": "full"}
UNKNOWN_TERMS = {"permission": [{"action": "use", "constraint": [MOON]}]}


@dataclass
class Deal:
    """A data space in which everything went well once: a product, an agreement, an order of one run, that run made."""

    dataspace: Dataspace
    product: str
    agreement: str
    listing: str
    transfer: str
    permit: Permit
    negotiation: str
    revoked: Identity

    @property
    def provider(self) -> Identity:
        return self.identity("provider")

    @property
    def consumer(self) -> Identity:
        return self.identity("consumer")

    def identity(self, member: str) -> Identity:
        found: Identity = getattr(self.dataspace, member).app.state.identity
        return found

    def everything(self) -> dict[str, list[tuple[str, Any]]]:
        """All that the three services keep: each row, and the table that it is in."""
        kept = {}
        for home in ("space", "hospital", "planner"):
            with sqlite3.connect(self.dataspace.home / home / "hexi.sqlite") as connection:
                # The index of words cannot be read back; what it is made of lies in tables that can.
                listed = "SELECT name FROM pragma_table_list WHERE type IN ('table', 'shadow') ORDER BY name"
                names = [name for (name,) in connection.execute(listed)]
                kept[home] = [(name, row) for name in names for row in connection.execute(f'SELECT * FROM "{name}"')]
            connection.close()
        return kept

    def send(self, method: str, host: str, path: str, authorization: str = "", **sent: Any) -> httpx.Response:
        """A request as it stands on the wire."""
        headers = {"Authorization": authorization} if authorization else {}
        with httpx.Client(transport=self.dataspace.network, base_url=f"http://{host}") as http:
            return http.request(method, path, headers=headers, **sent)

    def present(self, host: str, identity: Identity | None = None, credential: str | None = None) -> str:
        """A presentation for the service at `host`, of the consumer unless said otherwise."""
        audience = self.dataspace.identity.did if host == SPACE else self.provider.did
        if identity is None and credential is None:
            return str(self.dataspace.consumer.app.state.membership.authorise(audience))
        return present(identity or self.consumer, audience, credential, self.dataspace.clock)

    def manage(self, host: str, method: str, path: str, body: Any) -> httpx.Response:
        """A call of the management API by its owner."""
        member = self.dataspace.provider if host == HOSPITAL else self.dataspace.consumer
        token = f"Bearer {member.app.state.management_token}"
        return self.send(method, host, f"/management{path}", token, json=body)

    def run(self, permit: str | None = None, query: str = QUERY, **changes: Any) -> httpx.Response:
        """A run asked of the provider's sandbox, under a permit that holds unless another one is given."""
        given = {
            "run": f"urn:uuid:{uuid.uuid4()}",
            "permit": self.permit.id,
            "mode": "sandbox-sql",
            "query": query,
            "at": self.permit.not_before,
        }
        request = seal_request(RunRequest(**{**given, **changes}), self.consumer.key, self.consumer.kid)
        return self.send(
            "POST", HOSPITAL, "/sandbox/runs", json={"permit": permit or self.signed(), "request": request}
        )

    def signed(self, key: SigningKey | None = None, **changes: Any) -> str:
        """The permit with `changes`, signed under the provider's name: by its own key, or by a forger's."""
        permit = self.permit.model_copy(update=changes)
        return seal_permit(permit, key or self.provider.key, self.provider.kid)

    def order(self, price: int) -> httpx.Response:
        body = {"listing": self.listing, "agreement": self.agreement, "runs": 1, "unitPriceFen": price}
        return self.send("POST", SPACE, "/market/orders", self.present(SPACE), json=body)


@pytest.fixture(scope="module")
def deal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deal]:
    dataspace = Dataspace(tmp_path_factory.mktemp("deal"), SettableClock())
    product = dataspace.publish(PAID).identifier
    negotiation = dataspace.agree(product)
    agreement = negotiation.agreement
    seller, buyer = dataspace.market(dataspace.provider), dataspace.market(dataspace.consumer)
    seller.certify(product, DECLARED)
    listing = seller.list_product(product, 500).id
    order = buyer.order(listing, agreement, runs=1, unit_price_fen=500)
    transfer = dataspace.transfer(agreement, order=order.confirmation).id
    assert dataspace.consumer.client.run(transfer, QUERY).verdict == "released"
    seller.reprice(listing, 700)
    left = dataspace.join("left", "127.0.0.1:8083", "consumer")
    dataspace.operator.revoke(left.did, "left the space")
    dataspace.settle()
    access = dataspace.consumer.app.state.desk.computations._access(transfer)
    revoked: Identity = left.app.state.identity
    yield Deal(dataspace, product, agreement, listing, transfer, access.permit, negotiation.id, revoked)
    assert buyer.read_order(order.order.id).order.used == 1


Ask = Callable[[Deal], httpx.Response]


def stranger() -> Identity:
    return Identity("did:web:127.0.0.1%3A9999", SigningKey.generate())


def asks_the_space(who: Callable[[Deal], tuple[Identity | None, str | None]]) -> Ask:
    """Asks for an identifier: what any member may do."""
    return lambda deal: deal.send(
        "POST", SPACE, "/registry/identifiers", deal.present(SPACE, *who(deal)), json={"kind": "product"}
    )


def credential(deal: Deal, *, key: SigningKey | None = None, days_ago: int = 0, days: int = 365) -> str:
    """The consumer's membership credential, as the operator issued it, or somebody with another `key` would."""
    operator = deal.dataspace.identity
    clock = SettableClock(deal.dataspace.clock() - timedelta(days=days_ago))
    holder = deal.dataspace.operator.participant(deal.consumer.did)
    return issue_membership(Identity(operator.did, key or operator.key), holder, clock, days)


def too_large(host: str, path: str, *, declared: bool) -> Ask:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 1024] * (MAX_BODY_BYTES // 1024 + 1)

    return lambda deal: deal.send("POST", host, path, content=b"".join(chunks()) if declared else chunks())


def published_by_hand(deal: Deal, **changes: Any) -> httpx.Response:
    """A signed product sent to the registry past the connector, which would have refused it."""
    signed = deal.dataspace.operator.product(deal.product)
    document = {**signed.document, "version": 2, **changes}
    signatures = {deal.provider.did: sign_document(document, deal.provider.key, deal.provider.kid)}
    authorization = deal.dataspace.provider.app.state.membership.authorise(deal.dataspace.identity.did)
    path = f"/registry/products/{document['identifier']}"
    return deal.send("PUT", SPACE, path, authorization, json={"document": document, "signatures": signatures})


def wrong_check_digit(identifier: str) -> str:
    return identifier[:-1] + ("0" if identifier[-1] != "0" else "1")


def one_letter_changed(jws: str) -> str:
    header, payload, signature = jws.split(".")
    return f"{header}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


CASES: dict[str, tuple[Ask, int, str]] = {
    "unknown participant at the space": (
        asks_the_space(lambda deal: (stranger(), credential(deal))),
        401,
        "registry.participant-unknown",
    ),
    "unknown participant asked about": (
        lambda deal: deal.send("GET", SPACE, "/registry/participants/did:web:nobody.example"),
        404,
        "registry.participant-unknown",
    ),
    "unknown participant at the sandbox": (
        lambda deal: deal.send("GET", HOSPITAL, "/sandbox/runs/x", deal.present(HOSPITAL, stranger())),
        401,
        "registry.participant-unknown",
    ),
    "revoked participant at the space": (
        asks_the_space(lambda deal: (deal.revoked, None)),
        403,
        "registry.participant-revoked",
    ),
    "revoked participant at the sandbox": (
        lambda deal: deal.send("GET", HOSPITAL, "/sandbox/runs/x", deal.present(HOSPITAL, deal.revoked)),
        403,
        "registry.participant-revoked",
    ),
    "no credential": (asks_the_space(lambda deal: (deal.consumer, None)), 401, "registry.credential-invalid"),
    "forged credential": (
        asks_the_space(lambda deal: (None, credential(deal, key=SigningKey.generate()))),
        401,
        "registry.credential-invalid",
    ),
    "credential changed": (
        asks_the_space(lambda deal: (None, one_letter_changed(credential(deal)))),
        401,
        "registry.credential-invalid",
    ),
    "credential of another": (
        asks_the_space(lambda deal: (deal.provider, credential(deal))),
        401,
        "registry.credential-invalid",
    ),
    "expired credential": (
        asks_the_space(lambda deal: (None, credential(deal, days_ago=30, days=29))),
        401,
        "registry.credential-invalid",
    ),
    "presentation forged": (
        asks_the_space(lambda deal: (Identity(deal.consumer.did, SigningKey.generate()), credential(deal))),
        401,
        "registry.presentation-invalid",
    ),
    "forged permit": (lambda deal: deal.run(deal.signed(SigningKey.generate())), 400, "sandbox.permit-invalid"),
    "permit changed": (lambda deal: deal.run(one_letter_changed(deal.signed())), 400, "sandbox.permit-invalid"),
    "permit by its holder": (
        lambda deal: deal.run(
            seal_permit(
                deal.permit.model_copy(update={"issuer": deal.consumer.did}), deal.consumer.key, deal.consumer.kid
            )
        ),
        400,
        "sandbox.permit-invalid",
    ),
    "expired permit": (
        lambda deal: deal.run(deal.signed(not_before="2026-01-01T00:00:00.000Z", expires="2026-11-23T08:00:00.000Z")),
        403,
        "sandbox.permit-expired",
    ),
    "permit of another product": (
        lambda deal: deal.run(deal.signed(product=PRODUCT)),
        404,
        "connector.product-unknown",
    ),
    "permit of another version": (
        lambda deal: deal.run(deal.signed(product_digest=f"sha256:{'0' * 64}")),
        400,
        "sandbox.permit-invalid",
    ),
    "request for another permit": (
        lambda deal: deal.run(deal.signed(id="urn:uuid:another")),
        400,
        "sandbox.request-invalid",
    ),
    "query outside the permit, by mode": (
        lambda deal: deal.run(mode=SUM_MODE),
        403,
        "sandbox.query-outside-permit",
    ),
    "query outside the permit, by purpose": (
        lambda deal: deal.run(purpose="marketing"),
        403,
        "sandbox.query-outside-permit",
    ),
    "unknown constraint, published": (
        lambda deal: deal.manage(
            HOSPITAL, "POST", "/products", {**description(policy=UNKNOWN_TERMS), "resource": "claims"}
        ),
        422,
        "connector.policy-unknown-constraint",
    ),
    "count exhausted at the sandbox": (
        lambda deal: deal.run(query="SELECT COUNT(*) AS n FROM visits"),
        403,
        "sandbox.count-exhausted",
    ),
    "price changed after it was seen": (lambda deal: deal.order(500), 409, "market.price-changed"),
    "wrong check digit, asked about": (
        lambda deal: deal.send("GET", SPACE, f"/registry/identifiers/{wrong_check_digit(deal.product)}"),
        422,
        "registry.identifier-check-digit",
    ),
    "wrong check digit, published": (
        lambda deal: published_by_hand(deal, identifier=wrong_check_digit(deal.product), version=1),
        422,
        "registry.identifier-check-digit",
    ),
    "oversized body at the space": (too_large(SPACE, "/market/orders", declared=True), 413, "hexi.too-large"),
    "oversized body of no stated length": (too_large(SPACE, "/ledger/entries", declared=False), 413, "hexi.too-large"),
    "oversized body at the sandbox": (too_large(HOSPITAL, "/sandbox/runs", declared=False), 413, "hexi.too-large"),
    "oversized body for the owner": (too_large(PLANNER, "/management/runs", declared=True), 413, "hexi.too-large"),
    "illegal transition of a listing": (
        lambda deal: deal.send(
            "POST",
            SPACE,
            f"/market/listings/{deal.listing}/resumption",
            deal.dataspace.provider.app.state.membership.authorise(deal.dataspace.identity.did),
        ),
        409,
        "market.step-impossible",
    ),
    "illegal transition of an application": (
        lambda deal: deal.send(
            "POST",
            SPACE,
            f"/registry/applications/{(deal.dataspace.home / 'planner' / 'application').read_text()}/rejection",
            present(deal.dataspace.identity, deal.dataspace.identity.did, None, deal.dataspace.clock),
            json={"reason": "too late"},
        ),
        409,
        "registry.step-impossible",
    ),
    "illegal transition of a negotiation, by its owner": (
        lambda deal: deal.manage(PLANNER, "POST", f"/negotiations/{deal.negotiation}/termination", {"reason": "x"}),
        400,
        "connector.transition-illegal",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_clear_problem_and_nothing_changes(deal: Deal, case: str) -> None:
    ask, status, code = CASES[case]
    before = deal.everything()

    answer = ask(deal)

    assert answer.headers["content-type"] == PROBLEM_TYPE
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert (problem["status"], problem["type"]) == (status, f"urn:hexi:error:{code}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("urn:hexi:request:")
    assert deal.everything() == before


def catalogue_request() -> dict[str, Any]:
    return {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"}


def follow_up(deal: Deal, type_: str, **members: Any) -> dict[str, Any]:
    """A message about the negotiation that ended well."""
    process = deal.dataspace.consumer.client.negotiation(deal.negotiation)
    pids = {"consumerPid": process.id, "providerPid": process.peer_id}
    return {**catalogue_request(), "@type": type_, "@id": f"urn:uuid:{uuid.uuid4()}", **pids, **members}


def ask_catalogue(who: Callable[[Deal], tuple[Identity | None, str | None]]) -> Ask:
    return lambda deal: deal.send(
        "POST", HOSPITAL, f"{DSP}/catalog/request", deal.present(HOSPITAL, *who(deal)), json=catalogue_request()
    )


def send_follow_up(path: str, type_: str, **members: Any) -> Ask:
    def ask(deal: Deal) -> httpx.Response:
        message = follow_up(deal, type_, **members)
        url = f"{DSP}/negotiations/{message['providerPid']}/{path}"
        return deal.send("POST", HOSPITAL, url, deal.present(HOSPITAL), json=message)

    return ask


PROTOCOL_CASES: dict[str, tuple[Ask, int, str, str]] = {
    "unknown participant": (
        ask_catalogue(lambda _: (stranger(), None)),
        401,
        "registry.participant-unknown",
        "CatalogError",
    ),
    "revoked participant": (
        ask_catalogue(lambda deal: (deal.revoked, None)),
        403,
        "registry.participant-revoked",
        "CatalogError",
    ),
    "forged credential": (
        ask_catalogue(lambda deal: (None, credential(deal, key=SigningKey.generate()))),
        401,
        "registry.credential-invalid",
        "CatalogError",
    ),
    "expired credential": (
        ask_catalogue(lambda deal: (None, credential(deal, days_ago=30, days=29))),
        401,
        "registry.credential-invalid",
        "CatalogError",
    ),
    "illegal transition": (
        send_follow_up("agreement/verification", "ContractAgreementVerificationMessage"),
        400,
        "connector.transition-illegal",
        "ContractNegotiationError",
    ),
    "illegal ending": (
        send_follow_up("termination", "ContractNegotiationTerminationMessage"),
        400,
        "connector.transition-illegal",
        "ContractNegotiationError",
    ),
}


@pytest.mark.parametrize("case", PROTOCOL_CASES)
def test_the_protocol_says_it_in_its_own_words(deal: Deal, case: str) -> None:
    ask, status, code, type_ = PROTOCOL_CASES[case]
    before = deal.everything()

    answer = ask(deal)

    assert (answer.status_code, answer.json()["code"], answer.json()["@type"]) == (status, code, type_), answer.text
    assert answer.json()["reason"]
    assert deal.everything() == before


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT COUNT(*) AS n FROM visits; SELECT COUNT(*) AS n FROM visits", "sandbox.query-not-one-select"),
        ("DROP TABLE visits", "sandbox.query-not-one-select"),
        ("SELECT COUNT(*) AS n FROM '/etc/passwd'", "sandbox.query-file-access"),
        ("SELECT COUNT(*) AS n FROM read_csv('/etc/passwd')", "sandbox.query-file-access"),
        ("SELECT COUNT(*) AS n FROM another_product", "sandbox.query-table"),
    ],
)
def test_a_query_that_may_not_be_asked_is_answered_with_a_signed_refusal(deal: Deal, query: str, code: str) -> None:
    # An answer and no fault: the refusal is evidence, so it is kept and logged, but nothing is counted or released.
    before = deal.everything()["hospital"]

    answer = deal.run(query=query)

    assert answer.status_code == 200
    body = answer.json()
    assert (body["verdict"], body["columns"], body["rows"]) == ("refused", [], [])
    assert body["reasons"][0]["code"] == code, body["reasons"]
    assert body["receipt"]["document"]["outcome"] == "refused"
    added = [table for table, row in deal.everything()["hospital"] if (table, row) not in before]
    assert sorted(added) == ["connector_outbox", "connector_receipt", "sandbox_run"]


def test_an_order_keeps_its_price_when_the_listing_changes_its_own(deal: Deal) -> None:
    buyer = deal.dataspace.market(deal.dataspace.consumer)
    (order,) = buyer.orders()
    assert (order.order.unit_price_fen, buyer.listing(deal.listing).unit_price_fen) == (500, 700)


def test_a_used_up_order_gives_no_other_transfer(deal: Deal) -> None:
    (order,) = deal.dataspace.market(deal.dataspace.consumer).orders()
    evidence = len(list(deal.dataspace.provider.client.evidence()))

    again = deal.dataspace.transfer(deal.agreement, order=order.confirmation)

    assert (again.state, again.reason[0]) == ("TERMINATED", "policy.count")
    assert len(list(deal.dataspace.provider.client.evidence())) == evidence
