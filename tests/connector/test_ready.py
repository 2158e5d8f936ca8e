"""The short cut from whoever queues a message to whoever sends it: nothing rests on it, and nothing is done twice."""

import itertools
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from connector.protocol import ready, store, worker
from connector.protocol.dispatch import Outcome
from connector.protocol.messages import PATH
from connector.protocol.negotiation import TerminateNegotiation
from connector.protocol.outbox_items import OutboxItem, OutboxState
from connector.protocol.ready import Ready
from connector.protocol.worker import Worker
from hexi.canonical import Json, instant, parse
from sandbox import owners
from tests.connector.pair import End, Pair, offer
from tests.connector.test_dispatch import NOW, eventually

# Longer than any test: a finder that looks so seldom finds nothing.
NEVER = 3_600.0


def item(number: int, peer: str = "did") -> OutboxItem:
    return OutboxItem(
        number, "peer", f"p{number}", peer, "m", "https://x", {}, None, OutboxState.PENDING, 1, instant(NOW)
    )


def is_concluded(pair: Pair, pid: str) -> bool:
    """Whether both ends say so."""
    return pair.consumer.process(pid).state == "FINALIZED" and pair.other(pid).state == "FINALIZED"


def test_a_message_due_now_is_sent_though_nobody_looks_for_it(pair_on_both: Pair) -> None:
    pair = pair_on_both
    with Worker(pair.provider.engine, idle_seconds=NEVER), Worker(pair.consumer.engine, idle_seconds=NEVER):
        pids = [pair.consumer.negotiate(pair.provider) for _ in range(5)]
        eventually(lambda: all(is_concluded(pair, pid) for pid in pids))
    assert not pair.waiting() or pair.run() is None  # an answer that came while stopping is asked for again
    assert len(pair.provider.processes()) == 5


def test_only_what_nobody_replies_to_is_recorded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "REPLY_SECONDS", 60.0)  # no machine is so busy
    recorded: list[str] = []

    def watch(end: End) -> None:
        record = end.engine.dispatcher.record

        def recording(outcomes: Sequence[Outcome]) -> None:
            recorded.extend(item.body["@type"] for item, _ in outcomes)
            record(outcomes)

        monkeypatch.setattr(end.engine.dispatcher, "record", recording)

    watch(pair.provider)
    watch(pair.consumer)
    with Worker(pair.provider.engine, idle_seconds=NEVER), Worker(pair.consumer.engine, idle_seconds=NEVER):
        pid = pair.consumer.negotiate(pair.provider)
        eventually(lambda: is_concluded(pair, pid))
    assert recorded == ["ContractNegotiationEventMessage"]


def test_what_was_not_committed_is_not_sent(pair: Pair) -> None:
    class Mistake(Exception):
        pass

    def negotiate_by_mistake() -> None:
        with pair.consumer.database.transaction() as session:
            pair.consumer.engine.request_negotiation(session, pair.provider.did, pair.provider.url + PATH, offer())
            raise Mistake

    with Worker(pair.consumer.engine, idle_seconds=NEVER):
        with pytest.raises(Mistake):
            negotiate_by_mistake()
        pid = pair.consumer.negotiate(pair.provider)
        eventually(lambda: pair.consumer.process(pid).peer_pid is not None)
    assert pair.network.types() == ["ContractRequestMessage"]


def test_a_process_that_dies_between_the_commit_and_the_sending_loses_the_short_cut_only(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "this_process", lambda: f"{socket.gethostname()}/1/0")  # no process has that start
    pair.consumer.engine.ready.open()
    pid = pair.consumer.negotiate(pair.provider)
    pair.consumer.start()  # what was in memory is gone
    assert pair.consumer.engine.deliver_due() == 0, "the lease has not run out"
    assert pair.consumer.engine.recover() == 1
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    assert pair.network.types().count("ContractRequestMessage") == 1


def test_another_process_takes_it_up_when_the_lease_has_run_out(pair: Pair) -> None:
    pair.consumer.engine.ready.open()
    pid = pair.consumer.negotiate(pair.provider)
    first, late = pair.consumer.engine, pair.consumer.engine.ready.get()
    assert late is not None
    pair.consumer.start()  # the other process; the first one lives, but its thread does not get on
    pair.clock.advance(seconds=ready.LEASE_SECONDS + 1)
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    first.dispatcher.record([(late, first.dispatcher.attempt(late))])  # now it does
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    assert len(pair.provider.processes()) == 1
    assert not pair.waiting()


def test_what_has_waited_for_too_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Ready()
    waiting.open()
    waiting.put(item(1))
    monkeypatch.setattr(ready, "MAX_WAIT_SECONDS", 0.0)
    waiting.close()
    assert waiting.get() is None


def filled(**peers: int) -> Ready:
    """Messages numbered from 1 on, so many for each peer."""
    waiting = Ready()
    waiting.open()
    numbers = itertools.count(1)
    for peer, count in peers.items():
        for _ in range(count):
            waiting.put(item(next(numbers), peer))
    return waiting


def numbers_of(waiting: Ready, count: int) -> list[int]:
    return [found.id for found in (waiting.get() for _ in range(count)) if found is not None]


def test_participants_take_turns() -> None:
    waiting = filled(a=4, b=1, c=2)
    assert numbers_of(waiting, 7) == [1, 5, 6, 2, 7, 3, 4]
    assert waiting.is_empty()


def test_who_does_not_answer_holds_one_sender_and_no_more() -> None:
    waiting = filled(a=4, b=2)
    first = waiting.get()
    assert first is not None
    waiting.sent(first, answered=False)
    assert numbers_of(waiting, 3) == [5, 2, 6]
    taken: list[int] = []
    sender = threading.Thread(target=lambda: taken.extend(numbers_of(waiting, 2)))
    sender.start()
    assert not waiting.is_empty()  # two for a, and a sender with nothing to do
    waiting.sent(item(2, "a"), answered=True)
    sender.join()
    assert taken == [3, 4]


def test_closing_wakes_who_waits_and_leaves_what_cannot_be_sent_now() -> None:
    waiting = filled(a=3)
    first, second = waiting.get(), None
    assert first is not None
    waiting.sent(first, answered=False)
    second = waiting.get()
    assert second is not None
    taken: list[OutboxItem | None] = []
    sender = threading.Thread(target=lambda: taken.append(waiting.get()))
    sender.start()
    waiting.close()
    sender.join()
    assert taken == [None]


def test_memory_is_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "MAX_WAITING", 2)
    pair.consumer.engine.ready.open()
    for _ in range(5):
        pair.consumer.negotiate(pair.provider)
    assert pair.consumer.engine.deliver_due() == 3  # the other two are leased, and wait in memory
    assert not pair.consumer.engine.ready.has_room()


def test_a_message_called_off_before_it_was_sent_leads_to_nothing(pair: Pair) -> None:
    """The termination finds nobody to tell; the request goes out all the same, and who took it is told."""
    pair.consumer.engine.ready.open()
    pid = pair.consumer.negotiate(pair.provider)
    pair.consumer.act(pid, TerminateNegotiation("1", ["never mind"]))
    late = pair.consumer.engine.ready.get()
    assert late is not None
    pair.consumer.engine.dispatcher.record([(late, pair.consumer.engine.dispatcher.attempt(late))])
    pair.consumer.engine.ready.close()
    for _ in range(3):
        pair.clock.advance(seconds=100)
        pair.consumer.engine.deliver_due()
        pair.provider.engine.deliver_due()
    assert pair.states(pid) == ("TERMINATED", "TERMINATED")


def replied_before_answered(pair: Pair, answer: Json) -> Callable[[httpx.Request], httpx.Response]:
    """The provider's host takes the request, sends its reply, and only then answers: with `answer`."""
    host = pair.network.hosts["provider.test"]
    take = host.handle_request

    def handle(request: httpx.Request) -> httpx.Response:
        taken = take(request)
        if parse(request.read())["@type"] != "ContractRequestMessage":
            return taken
        pair.provider.engine.deliver_due()
        return httpx.Response(201, json=answer)

    host.handle_request = handle  # type: ignore[method-assign]
    return handle


@pytest.mark.parametrize("named", [[], {}, None, 7, "", [["x"]]])
def test_an_answer_that_says_nothing_after_the_reply_changes_nothing(pair: Pair, named: Any) -> None:
    """The recorder must outlive whatever a peer puts into the place of a process id."""
    replied_before_answered(pair, {"providerPid": named, "consumerPid": named})
    with Worker(pair.provider.engine, idle_seconds=0.02), Worker(pair.consumer.engine, idle_seconds=NEVER):
        pids = [pair.consumer.negotiate(pair.provider) for _ in range(2)]
        eventually(lambda: all(is_concluded(pair, pid) for pid in pids))


def test_an_answer_that_names_another_process_than_the_reply_ends_it(pair: Pair) -> None:
    replied_before_answered(pair, {"providerPid": "urn:uuid:somebody-else"})
    with Worker(pair.consumer.engine, idle_seconds=NEVER):
        pid = pair.consumer.negotiate(pair.provider)
        eventually(lambda: pair.consumer.process(pid).state == "TERMINATED")
    assert pair.consumer.process(pid).reason == ["the other end named another process than before"]


def test_outcomes_are_recorded_together_and_one_that_fails_is_left_out(pair: Pair) -> None:
    pair.consumer.engine.ready.open()
    pids = [pair.consumer.negotiate(pair.provider) for _ in range(3)]
    outcomes = []
    for _ in pids:
        sent = pair.consumer.engine.ready.get()
        assert sent is not None
        outcomes.append((sent, pair.consumer.engine.dispatcher.attempt(sent)))
    adopting = store.process_of_peer

    def fails_for_the_second(session: Any, *sought: str) -> Any:
        if sought[-1] == outcomes[1][1].body["providerPid"]:
            raise LookupError("a mistake")
        return adopting(session, *sought)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "process_of_peer", fails_for_the_second)
        with pytest.raises(LookupError):
            pair.consumer.engine.dispatcher.record(outcomes)
    assert [pair.consumer.process(pid).peer_pid is None for pid in pids] == [False, True, False]
    pair.consumer.engine.ready.close()
    pair.run()
    assert [pair.states(pid) for pid in pids] == [("FINALIZED", "FINALIZED")] * 3
