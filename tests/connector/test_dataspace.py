"""The road through a whole data space: a provider and a consumer who deal with each other."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connector.management.answers import Run
from hexi.canonical import parse
from hexi.client import Unreachable
from hexi.errors import RemoteProblem
from ledger.documents import SignedDocument, verify_document
from ledger.receipts import Receipt, verify_receipt
from tests.asgi import Hosts
from tests.builders import SettableClock
from tests.connector.business import PAID, description
from tests.marketplace.builders import DECLARED
from tests.simulator import HOSPITAL, QUERY, SPACE, Dataspace, Member


def test_the_main_road(dataspace: Dataspace) -> None:
    trust = dataspace.space.state.space.registry.trust
    published = dataspace.publish()
    assert (published.version, (published.receipt or {})["type"]) == (1, "ledger-receipt")
    found = dataspace.consumer.client.catalogue("Visits")
    assert [item["identifier"] for item in found.items] == [published.identifier]

    negotiation = dataspace.agree(published.identifier, purpose="research")
    assert negotiation.state == "FINALIZED", negotiation
    mine = dataspace.consumer.client.agreement(str(negotiation.agreement))
    theirs = dataspace.provider.client.agreement(str(negotiation.agreement))
    assert mine.agreement == theirs.agreement
    document = verify_document(SignedDocument.from_json(mine.agreement), trust.resolve, of_type="agreement")
    assert (document["purpose"], document["productDigest"]) == ("research", published.digest)
    entry = verify_receipt(Receipt.from_json(mine.receipt), dataspace.space.state.space.log.vkey, trust.resolve)
    assert entry.digest == SignedDocument.from_json(mine.agreement).digest
    assert mine.receipt == theirs.receipt

    transfer = dataspace.transfer(negotiation.agreement)
    assert transfer.state == "STARTED", transfer
    run = f"urn:uuid:{uuid.uuid4()}"
    answer = dataspace.consumer.client.run(transfer.id, QUERY, run=run)
    assert answer.verdict == "released", answer
    assert sorted(answer.rows) == [("f", 100), ("m", 100)]
    assert dataspace.consumer.client.run(transfer.id, QUERY, run=run) == answer
    assert dataspace.consumer.client.answer(run) == Run(run=run, answer=answer)

    dataspace.settle()
    evidence = {e.kind: e for e in dataspace.provider.client.evidence()}
    assert set(evidence) == {"agreement-concluded", "permit-issued", "run-completed"}
    assert all(e.receipt and e.receipt["type"] == "ledger-receipt" for e in evidence.values())
    status = dataspace.provider.client.status()
    assert (status.membership.state, status.evidence.waiting) == ("active", 0)


def test_asking_again_starts_nothing(dataspace: Dataspace) -> None:
    published = dataspace.publish()
    assert dataspace.publish() == published
    client, product = dataspace.consumer.client, published.identifier

    first = client.negotiate(product, request_id="n-1")
    assert client.negotiate(product, request_id="n-1").id == first.id
    with pytest.raises(RemoteProblem) as taken:
        client.negotiate(product, purpose="other", request_id="n-1")
    assert taken.value.code == "connector.request-id-taken"
    dataspace.settle()
    agreement = str(client.negotiation(first.id).agreement)
    started = client.transfer(agreement, "HexiSandbox-SQL", request_id="t-1")
    assert client.transfer(agreement, "HexiSandbox-SQL", request_id="t-1").id == started.id
    assert len(list(client.transfers())) == 1


def test_another_description_is_the_next_version_and_the_old_offer_is_gone(dataspace: Dataspace) -> None:
    first = dataspace.publish()
    asked = dataspace.consumer.client.negotiate(first.identifier)

    second = dataspace.publish({"permission": [{"action": "urn:hexi:compute"}]})
    assert (second.identifier, second.version) == (first.identifier, 2)
    dataspace.settle()

    refused = dataspace.consumer.client.negotiation(asked.id)
    assert refused.state == "TERMINATED"
    assert refused.reason[0] == "connector.offer-changed"


def test_what_cannot_be_judged_is_not_published_and_nothing_changes(dataspace: Dataspace) -> None:
    constraint = {"leftOperand": "moonPhase", "operator": "eq", "rightOperand": "full"}
    with pytest.raises(RemoteProblem) as caught:
        dataspace.publish({"permission": [{"action": "use", "constraint": [constraint]}]})

    assert (caught.value.code, caught.value.status) == ("connector.policy-unknown-constraint", 422)
    assert list(dataspace.provider.client.products()) == []


def test_paid_use(dataspace: Dataspace) -> None:
    product = dataspace.publish(PAID).identifier
    agreement = dataspace.agree(product).agreement

    unpaid = dataspace.transfer(agreement)
    assert unpaid.state == "TERMINATED"
    assert "order the listing and show its confirmation" in " ".join(unpaid.reason)

    seller, buyer = dataspace.market(dataspace.provider), dataspace.market(dataspace.consumer)
    seller.certify(product, DECLARED)
    listing = seller.list_product(product, 500)
    bought = buyer.order(listing.id, agreement, runs=1, unit_price_fen=500)
    paid = dataspace.transfer(agreement, order=bought.confirmation)
    assert paid.state == "STARTED", paid
    assert dataspace.consumer.client.run(paid.id, QUERY).verdict == "released"
    with pytest.raises(RemoteProblem) as used_up:
        dataspace.consumer.client.run(paid.id, "SELECT COUNT(*) AS n FROM visits")
    assert used_up.value.code == "sandbox.count-exhausted"
    again = dataspace.transfer(agreement, order=bought.confirmation)
    assert (again.state, again.reason[0]) == ("TERMINATED", "policy.count")


class Liar(Hosts):
    """A network on which somebody changes the sandbox's answers."""

    def __init__(self, network: Hosts, change: Callable[[Any], None]) -> None:
        super().__init__()
        self._network, self._change = network, change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._network.handle_request(request)
        if request.url.path != "/sandbox/runs":
            return answer
        body = parse(answer.read())
        self._change(body)
        return httpx.Response(answer.status_code, json=body, request=request)


def test_only_an_answer_that_its_receipt_proves_is_kept(dataspace: Dataspace) -> None:
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    transfer, client, run = dataspace.transfer(agreement), dataspace.consumer.client, f"urn:uuid:{uuid.uuid4()}"
    desk = dataspace.consumer.app.state.desk
    lies: list[Callable[[Any], None]] = [
        lambda body: body["rows"].append(["x", 5]),
        lambda body: body.update(columns=["sex", "m"]),
        lambda body: body.update(verdict="refused"),
        lambda body: body["receipt"]["document"].update(output=None),
        lambda body: body["receipt"].update(signatures={}),
        lambda body: body.update(receipt={}),
    ]
    for lie in lies:
        honest, desk.computations._transport = desk.computations._transport, Liar(dataspace.network, lie)
        with pytest.raises(RemoteProblem) as caught:
            client.run(transfer.id, QUERY, run=run)
        assert caught.value.code == "connector.answer-invalid"
        assert client.answer(run).answer is None
        desk.computations._transport = honest
    # The provider has counted one run in all: the same id asked for once more is the same run.
    assert client.run(transfer.id, QUERY, run=run).verdict == "released"
    with pytest.raises(RemoteProblem) as other:
        client.run(transfer.id, "SELECT COUNT(*) AS n FROM visits", run=run)
    assert other.value.code == "connector.request-id-taken"


def test_a_provider_that_does_not_speak_like_a_sandbox_counts_as_not_answering(dataspace: Dataspace) -> None:
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    transfer, client, run = dataspace.transfer(agreement), dataspace.consumer.client, f"urn:uuid:{uuid.uuid4()}"
    dataspace.consumer.app.state.desk.computations._transport = Liar(dataspace.network, lambda body: body.clear())

    with pytest.raises(RemoteProblem) as caught:
        client.run(transfer.id, QUERY, run=run)

    assert (caught.value.code, caught.value.status) == ("hexi.unreachable", 503)
    assert client.answer(run).answer is None


def test_a_publication_that_the_space_did_not_hear_of_is_sent_again(dataspace: Dataspace) -> None:
    first = dataspace.publish()
    dataspace.network.leave(SPACE)
    with pytest.raises(RemoteProblem) as down:
        dataspace.publish(PAID)
    assert down.value.code == "hexi.unreachable"
    assert len(list(dataspace.provider.client.products())) == 1

    dataspace.network.join(SPACE, dataspace.space)
    second = dataspace.publish(PAID)
    assert (second.identifier, second.version) == (first.identifier, 2)


def test_a_transfer_that_ended_gives_no_runs(dataspace: Dataspace) -> None:
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    client, transfer = dataspace.consumer.client, dataspace.transfer(agreement)

    dataspace.provider.client.end_transfer(next(dataspace.provider.client.transfers()).id, "maintenance")
    with pytest.raises(RemoteProblem):
        dataspace.provider.client.end_transfer("urn:uuid:unknown", "x")
    dataspace.settle()

    assert client.transfer_status(transfer.id).state == "TERMINATED"
    with pytest.raises(RemoteProblem) as refused:
        client.run(transfer.id, QUERY)
    assert refused.value.code == "connector.transfer-not-started"


def test_a_revoked_participant_gets_nothing(dataspace: Dataspace, clock: SettableClock) -> None:
    product = dataspace.publish().identifier
    dataspace.operator.revoke(dataspace.consumer.did, "left the space")
    clock.advance(seconds=10)

    refused = dataspace.agree(product)

    assert (refused.state, refused.agreement) == ("TERMINATED", None)
    assert list(dataspace.provider.client.negotiations()) == []


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Basic x"])
def test_the_management_api_wants_its_token(dataspace: Dataspace, token: str) -> None:
    with httpx.Client(transport=dataspace.network, base_url=f"http://{HOSPITAL}") as http:
        refused = http.get("/management/status", headers={"Authorization": token} if token else {})
        large = http.post("/management/products", content=b"x" * (5 * 1024 * 1024))

    assert (refused.status_code, refused.json()["code"]) == (401, "connector.management-token-invalid")
    assert large.status_code == 413


SUM = "SELECT SUM(cost) AS total FROM visits"


def contributors(dataspace: Dataspace) -> tuple[list[str], list[Member]]:
    """Three hospitals, and a started transfer with each."""
    transfers, hospitals = [], []
    for number in range(3):
        member = dataspace.join(f"clinic{number}", f"127.0.0.1:{8090 + number}", "provider")
        hospitals.append(member)
        visits = dataspace.home / f"visits{number}.csv"
        lines = [f"p{i},{'f' if i % 2 else 'm'},{10 * (number + 1)}" for i in range(50)]
        visits.write_text("\n".join(["person,sex,cost", *lines]) + "\n", encoding="utf-8")
        member.client.add_resource("claims", {"visits": str(visits)})
        product = member.client.publish("claims", description(modes=["sandbox-sql", "encrypted-sum"])).identifier
        asked = dataspace.consumer.client.negotiate(product)
        dataspace.settle(member, dataspace.consumer)
        agreement = dataspace.consumer.client.negotiation(asked.id).agreement
        started = dataspace.consumer.client.transfer(str(agreement), "HexiSandbox-EncryptedSum")
        dataspace.settle(member, dataspace.consumer)
        transfers.append(started.id)
    return transfers, hospitals


def test_encrypted_sum_of_three(dataspace: Dataspace) -> None:
    transfers, hospitals = contributors(dataspace)

    answer = dataspace.consumer.client.encrypted_sum(transfers, SUM)

    assert answer.total == 50 * (10 + 20 + 30), answer
    assert answer.contributors == tuple(member.did for member in hospitals)
    assert (answer.receipt or {})["document"]["type"] == "aggregation-receipt"
    client = dataspace.consumer.client
    assert client.encrypted_sum(transfers, SUM, job=answer.job) == answer
    refused = client.encrypted_sum(transfers, "SELECT person FROM visits")
    assert refused.total is None
    assert tuple(r.contributor for r in refused.refused) == answer.contributors
    with pytest.raises(RemoteProblem) as two:
        client.encrypted_sum(transfers[:2], SUM)
    assert two.value.status == 422


def test_a_planner_reads_whose_number_may_have_left_before_its_permit_was_taken_back(dataspace: Dataspace) -> None:
    transfers, (first, *_) = contributors(dataspace)
    client, job, lanes = dataspace.consumer.client, f"urn:uuid:{uuid.uuid4()}", first.app.state.sandbox._lanes
    send = lanes._contribute

    def unheard(*sent: Any) -> None:
        send(*sent)
        raise Unreachable("the point's answer was lost")

    lanes._contribute = unheard
    with pytest.raises(RemoteProblem) as lost:
        client.encrypted_sum(transfers, SUM, job=job)
    assert lost.value.code == "hexi.unreachable"
    first.client.end_transfer(next(first.client.transfers()).id, "the consent was withdrawn")

    answer = client.encrypted_sum(transfers, SUM, job=job)

    assert (answer.total, answer.receipt) == (None, None)
    assert [(one.contributor, [reason.code for reason in one.reasons]) for one in answer.refused] == [
        (first.did, ["sandbox.perhaps-sent"])
    ]
    proof = next(one["document"] for one in answer.receipts if first.did in one["signatures"])
    point = dataspace.consumer.app.state.desk.computations._aggregation.view(job)
    assert point.contributed == answer.contributors
    assert proof["output"] in [one["digest"] for one in point.receipt["document"]["contributions"]]
    assert client.encrypted_sum(transfers, SUM, job=job) == answer
