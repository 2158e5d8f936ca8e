"""The outbox: crashes, losses, refusals, patience, the ledger, the worker. Everything arrives, and counts once."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connector.protocol import outbox, store
from connector.protocol.negotiation import Accept, Agree, Offer, TerminateNegotiation
from connector.protocol.outbox import Answer, Verdict, backoff, judge_ledger, judge_peer
from connector.protocol.outbox_items import OutboxItem, OutboxState
from connector.protocol.worker import Worker
from hexi.canonical import Json, instant
from sandbox import owners
from tests.connector.pair import Crash, Pair, agreement, offer

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
MESSAGES = ["ContractRequest", "ContractAgreement", "ContractAgreementVerification", "ContractNegotiationEvent"]


def eventually(done: Callable[[], bool]) -> None:
    """Wait for what threads do; fail when they never do it."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def once(what: str, message: str) -> Callable[[httpx.Request], str]:
    """That fate for the first message of that type, and no other."""
    waiting = [what]

    def fate(request: httpx.Request) -> str:
        return waiting.pop() if waiting and f'"{message}Message"'.encode() in request.content else "pass"

    return fate


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("what", ["crash before", "crash after", "lose", "lose answer", "double", "hold"])
def test_whatever_happens_to_a_message_it_counts_once(pair_on_both: Pair, message: str, what: str) -> None:
    pair = pair_on_both
    pair.network.fate = once(what, message)
    pid = pair.consumer.negotiate(pair.provider)
    for _ in range(3):
        with suppress(Crash):
            pair.run()
        pair.provider.start()  # a new process over the same database
        pair.consumer.start()
    for request in pair.network.held:
        pair.network.hand_over(request)
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    assert (len(pair.consumer.processes()), len(pair.provider.processes())) == (1, 1)
    entered = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert pair.consumer.script.states(pid) == entered
    assert pair.provider.script.states(pair.other(pid).pid) == entered
    ids = [body["@id"] for _, body in pair.network.sent]
    assert len(set(ids)) == 4  # every further attempt carried the id of the first
    assert set(pair.network.answers) <= {200, 201}


def test_what_a_killed_process_had_begun_to_send_comes_due_when_it_starts_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "this_process", lambda: f"{socket.gethostname()}/1/0")  # no process has that start
    pid = pair.consumer.negotiate(pair.provider)
    pair.network.fate = once("crash before", "ContractRequest")
    with suppress(Crash):
        pair.consumer.engine.deliver_due()
    assert pair.consumer.engine.deliver_due() == 0, "its lease has not run out"
    assert pair.consumer.engine.recover() == 1
    assert pair.consumer.engine.recover() == 0
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")


def test_a_lease_of_a_living_process_is_left_alone(pair: Pair) -> None:
    pair.consumer.negotiate(pair.provider)
    pair.network.fate = once("crash before", "ContractRequest")
    with suppress(Crash):
        pair.consumer.engine.deliver_due()
    assert pair.consumer.engine.recover() == 0


def test_a_crash_while_receiving_leaves_nothing_and_the_message_comes_again(pair: Pair) -> None:
    def dies(_: object) -> None:
        pair.provider.script.negotiations["REQUESTED"] = lambda p: Agree(agreement(p))
        raise Crash

    pair.provider.script.negotiations["REQUESTED"] = dies  # type: ignore[assignment]
    pid = pair.consumer.negotiate(pair.provider)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - however the event loop wraps it
        pair.consumer.engine.deliver_due()
    assert pair.provider.processes() == []
    pair.consumer.start()
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")


def test_the_consumers_process_stands_before_anything_is_sent(pair: Pair) -> None:
    pair.network.fate = lambda request: "lose"
    pid = pair.consumer.negotiate(pair.provider)
    assert pair.consumer.process(pid).state == "REQUESTED"
    assert pair.network.sent == []


def test_a_reply_before_the_answer_is_taken(pair: Pair) -> None:
    """The provider answers the request with an agreement before the consumer has seen that the request arrived."""
    pair.network.fate = once("lose answer", "ContractRequest")
    pid = pair.consumer.negotiate(pair.provider)
    pair.consumer.engine.deliver_due()
    assert pair.consumer.process(pid).peer_pid is None
    pair.provider.engine.deliver_due()
    assert (pair.consumer.process(pid).state, pair.consumer.process(pid).peer_pid) == ("AGREED", pair.other(pid).pid)
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    assert pair.network.types().count("ContractRequestMessage") == 1


def test_a_transfer_request_shows_that_the_last_word_arrived(pair: Pair) -> None:
    pair.network.fate = once("lose answer", "ContractNegotiationEvent")
    pid = pair.consumer.negotiate(pair.provider)
    for _ in range(3):
        pair.consumer.engine.deliver_due()
        pair.provider.engine.deliver_due()
    assert pair.states(pid) == ("FINALIZED", "VERIFIED")
    transfer = pair.consumer.ask(pair.provider, str(pair.consumer.process(pid).agreement_id))
    pair.consumer.engine.deliver_due()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    pair.run()
    assert pair.states(transfer) == ("STARTED", "STARTED")


def test_another_pid_than_before_ends_it(pair: Pair) -> None:
    def answer_wrongly(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"providerPid": "urn:uuid:somebody-else"})

    pid = pair.consumer.negotiate(pair.provider)
    pair.network.fate = once("lose answer", "ContractRequest")
    pair.consumer.engine.deliver_due()  # arrives; the provider's pid is not seen
    pair.network.hosts["provider.test"].handle_request = answer_wrongly  # type: ignore[method-assign]
    pair.clock.advance(seconds=100)
    pair.consumer.engine.deliver_due()
    assert pair.consumer.process(pid).peer_pid == "urn:uuid:somebody-else"
    body = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
        "@type": "ContractOfferMessage",
        "providerPid": pair.other(pid).pid,
        "consumerPid": pid,
        "offer": offer(),
    }
    path = f"/dsp/2025-1/negotiations/{pid}/offers"
    answer = pair.consumer.call("POST", path, body, by=pair.provider.did)
    assert (answer.status_code, answer.json()["code"]) == (400, "connector.pid-mismatch")


def test_terminating_before_the_other_end_has_answered(pair: Pair) -> None:
    pair.network.fate = once("lose", "ContractRequest")
    pid = pair.consumer.negotiate(pair.provider)
    pair.consumer.engine.deliver_due()
    pair.consumer.act(pid, TerminateNegotiation("1", ["never mind"]))
    assert pair.consumer.process(pid).state == "TERMINATED"
    pair.run()
    assert pair.provider.processes() == []


def test_who_learns_too_late_whom_to_tell_tells_them(pair: Pair) -> None:
    pair.provider.script.negotiations = {}
    pid = pair.consumer.negotiate(pair.provider)

    def terminate_meanwhile(request: httpx.Request) -> str:
        if b"ContractRequestMessage" in request.content:
            pair.consumer.act(pid, TerminateNegotiation("1", ["never mind"]))
        return "pass"

    pair.network.fate = terminate_meanwhile
    pair.run()
    assert pair.states(pid) == ("TERMINATED", "TERMINATED")


def test_a_delayed_action_waits_and_gives_way(pair: Pair) -> None:
    pair.provider.script.negotiations = {"REQUESTED": lambda p: Offer(offer(), delay=5.0)}
    pair.consumer.script.negotiations = {}
    pid = pair.consumer.negotiate(pair.provider)
    pair.consumer.engine.deliver_due()
    assert pair.provider.engine.deliver_due() == 0
    pair.clock.advance(seconds=4)
    assert pair.provider.engine.deliver_due() == 0
    pair.clock.advance(seconds=2)
    assert pair.provider.engine.deliver_due() == 1
    assert pair.states(pid) == ("OFFERED", "OFFERED")
    second = pair.consumer.negotiate(pair.provider, "dataset-2")
    pair.consumer.engine.deliver_due()
    pair.consumer.act(second, TerminateNegotiation("1", []))
    pair.run()
    assert pair.states(second) == ("TERMINATED", "TERMINATED")
    assert pair.network.types().count("ContractOfferMessage") == 1  # the second one was overtaken


def test_one_message_at_a_time(pair: Pair) -> None:
    from connector.protocol.errors import IllegalTransition, MessageInFlight, ProcessUnknown

    pair.provider.script.negotiations = {"REQUESTED": lambda p: Offer(offer())}
    pair.consumer.script.negotiations = {}
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    pair.consumer.act(pid, Accept())
    with pytest.raises(MessageInFlight):
        pair.consumer.act(pid, Accept())
    pair.run()
    with pytest.raises(IllegalTransition):
        pair.consumer.act(pid, Accept())
    with pytest.raises(ProcessUnknown):
        pair.consumer.act("urn:uuid:nobody", Accept())


def test_nobody_answers_for_too_long(pair: Pair) -> None:
    pair.network.fate = lambda request: "lose"
    pid = pair.consumer.negotiate(pair.provider)
    for _ in range(60):
        pair.clock.advance(seconds=30)
        pair.consumer.engine.deliver_due()
    assert pair.consumer.process(pid).state == "TERMINATED"
    assert pair.consumer.process(pid).reason == ["nobody answered (ReadTimeout)"]
    assert not pair.waiting()


def item(attempts: int = 1) -> OutboxItem:
    return OutboxItem(1, "peer", "p", "did", "m", "https://x", {}, None, OutboxState.PENDING, attempts, instant(NOW))


@pytest.mark.parametrize(
    ("status", "age", "verdict"),
    [
        (200, 0, Verdict.TAKEN),
        (201, 900, Verdict.TAKEN),
        (204, 0, Verdict.TAKEN),
        (None, 0, Verdict.AGAIN),
        (None, 599, Verdict.AGAIN),
        (None, 601, Verdict.GIVEN_UP),
        (404, 9.9, Verdict.AGAIN),
        (404, 10.1, Verdict.REFUSED),
        (409, 9.9, Verdict.AGAIN),
        (409, 10.1, Verdict.REFUSED),
        (408, 0, Verdict.AGAIN),
        (425, 0, Verdict.AGAIN),
        (429, 0, Verdict.AGAIN),
        (429, 601, Verdict.GIVEN_UP),
        (500, 0, Verdict.AGAIN),
        (503, 601, Verdict.GIVEN_UP),
        (302, 0, Verdict.REFUSED),
        (400, 0, Verdict.REFUSED),
        (401, 0, Verdict.REFUSED),
    ],
)
def test_patience_with_peers(status: int | None, age: float, verdict: Verdict) -> None:
    assert judge_peer(item(), Answer(status), NOW + timedelta(seconds=age)) is verdict


def test_an_address_we_will_not_call_is_not_tried_again() -> None:
    assert judge_peer(item(), Answer(refused_here=True), NOW) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200, {}), Verdict.TAKEN),
        (Answer(200), Verdict.AGAIN),
        (Answer(None), Verdict.AGAIN),
        (Answer(401), Verdict.AGAIN),
        (Answer(404), Verdict.AGAIN),
        (Answer(503), Verdict.AGAIN),
        (Answer(400), Verdict.REFUSED),
        (Answer(409), Verdict.REFUSED),
        (Answer(422), Verdict.REFUSED),
    ],
)
def test_patience_with_the_ledger(answer: Answer, verdict: Verdict) -> None:
    assert judge_ledger(answer) is verdict


def test_the_wait_doubles_up_to_a_cap() -> None:
    for attempts, longest in [(1, 0.25), (2, 0.5), (3, 1.0), (8, 30.0), (100, 30.0)]:
        waits = {backoff(attempts).total_seconds() for _ in range(50)}
        assert longest / 2 <= min(waits) <= max(waits) <= longest
        assert len(waits) > 5


class Ledger(httpx.BaseTransport):
    """Answers in turn with the statuses given, then takes everything."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[Json] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return httpx.Response(status, json={"code": "ledger.entry-conflict", "detail": "another digest"})
        assert "Authorization" not in request.headers
        self.taken.append(request.content)
        return httpx.Response(200, json={"type": "ledger-receipt", "index": len(self.taken) - 1})


def test_ledger_entries_are_delivered_and_their_receipts_kept(pair: Pair) -> None:
    ledger = Ledger(503, 401)
    pair.network.hosts["space.test"] = ledger  # type: ignore[assignment]
    with pair.provider.database.transaction() as session:
        outbox.enqueue(
            session,
            "ledger",
            None,
            "urn:uuid:e",
            "http://space.test/ledger/entries",
            {"entry": "jws"},
            reference="run 1",
        )
    pair.run()
    assert pair.provider.receipts == [("run 1", {"type": "ledger-receipt", "index": 0})]
    assert ledger.taken == [b'{"entry":"jws"}']


def test_an_entry_the_ledger_refuses_is_set_aside(pair: Pair) -> None:
    pair.network.hosts["space.test"] = Ledger(409)  # type: ignore[assignment]
    with pair.provider.database.transaction() as session:
        outbox.enqueue(session, "ledger", None, "urn:uuid:e", "http://space.test/ledger/entries", {"entry": "jws"})
    pair.run()
    with pair.provider.database.reading() as session:
        assert store.count_items(session, "ledger", OutboxState.FAILED) == 1
    assert pair.provider.receipts == []


def test_who_was_away_itself_does_not_give_its_peer_up_for_it(pair: Pair) -> None:
    pid = pair.consumer.negotiate(pair.provider)
    pair.network.fate = lambda request: "lose"
    pair.clock.advance(hours=1)  # the machine was off, with all that is on it
    pair.consumer.start()
    pair.consumer.engine.deliver_due()
    assert pair.consumer.process(pid).state == "REQUESTED"
    pair.network.fate = lambda request: "pass"  # the provider is up too
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")


def test_two_passes_at_once_share_the_work(pair_on_both: Pair) -> None:
    pair = pair_on_both
    for _ in range(8):
        pair.consumer.negotiate(pair.provider)
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(pair.consumer.engine.deliver_due())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 8
    assert len(pair.network.sent) == 8
    assert len(pair.provider.processes()) == 8


def test_the_worker_runs_the_outbox_and_stops(pair_on_both: Pair) -> None:
    pair = pair_on_both
    with Worker(pair.provider.engine, idle_seconds=0.02), Worker(pair.consumer.engine, idle_seconds=0.02):
        pids = [pair.consumer.negotiate(pair.provider) for _ in range(3)]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and {pair.consumer.process(pid).state for pid in pids} != {"FINALIZED"}:
            time.sleep(0.02)
    assert [pair.consumer.process(pid).state for pid in pids] == ["FINALIZED"] * 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("connector-worker")]
    pair.run()
    assert [pair.states(pid) for pid in pids] == [("FINALIZED", "FINALIZED")] * 3


def test_the_worker_outlives_a_pass_that_fails(pair: Pair) -> None:
    failing = [True]
    passing = pair.consumer.engine.dispatcher.lease

    def lease(limit: int, destinations: Sequence[str]) -> list[OutboxItem]:
        if failing and "peer" in destinations:
            failing.pop()
            raise OSError("the database is away")
        return passing(limit, destinations)

    pair.consumer.engine.dispatcher.lease = lease  # type: ignore[method-assign]
    pid = pair.consumer.negotiate(pair.provider)
    with Worker(pair.consumer.engine, senders=1, idle_seconds=0.02):
        eventually(lambda: pair.consumer.process(pid).peer_pid is not None)
    assert not failing


def test_one_message_that_cannot_be_recorded_does_not_hold_up_the_rest(pair: Pair) -> None:
    first, second = pair.consumer.negotiate(pair.provider), pair.consumer.negotiate(pair.provider)

    def fails_for_the_first(process: object) -> None:
        if getattr(process, "pid", "") == first:
            raise LookupError("a mistake in the decisions")

    pair.consumer.script.negotiations["REQUESTED"] = fails_for_the_first  # type: ignore[assignment]
    with pytest.raises(LookupError):
        pair.consumer.engine.deliver_due()
    assert pair.consumer.process(second).peer_pid is not None
