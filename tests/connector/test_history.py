"""The history of a process, on either database; that it is what happened is held by `test_any_order`."""

from datetime import timedelta

from connector.management import store as management_store
from connector.protocol.history import Direction, Entry, Outcome, entries
from tests.connector.pair import End, Pair


def steps(end: End, pid: str) -> list[Entry]:
    process = end.side_of(pid)
    assert process is not None
    with end.database.reading() as session:
        return entries(process, *management_store.messages(session, process.pid))


def test_both_ends_tell_the_same_messages(pair_on_both: Pair) -> None:
    pair = pair_on_both
    pid, agreement = pair.concluded()
    transfer = pair.consumer.ask(pair.provider, agreement)
    pair.run()
    opposite = {Direction.SENT: Direction.RECEIVED, Direction.RECEIVED: Direction.SENT}
    for process in (pid, transfer):
        ours, theirs = steps(pair.consumer, process), steps(pair.provider, process)
        assert [(s.message, s.message_id, s.state, s.outcome) for s in ours] == [
            (s.message, s.message_id, s.state, s.outcome) for s in theirs
        ]
        assert [opposite[s.direction] for s in ours] == [s.direction for s in theirs]
    assert [s.state for s in steps(pair.consumer, pid)] == ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]


def test_a_peer_that_never_answers_is_given_up_and_the_reason_shown(pair_on_both: Pair) -> None:
    pair = pair_on_both
    pair.consumer.patience = timedelta(minutes=1)
    pair.consumer.start()
    pair.network.fate = lambda request: "lose"
    pid = pair.consumer.negotiate(pair.provider)
    (waiting,) = steps(pair.consumer, pid)
    assert (waiting.outcome, waiting.state, waiting.attempts) == (Outcome.WAITING, "REQUESTED", 0)
    pair.run()
    asked, ended = steps(pair.consumer, pid)
    assert (asked.outcome, asked.state) == (Outcome.FAILED, "REQUESTED")
    assert (asked.attempts or 0) >= 2
    assert asked.reason == ended.reason == ("nobody answered (ReadTimeout)",)
    assert (ended.direction, ended.state, ended.at) == (
        Direction.HERE,
        "TERMINATED",
        pair.consumer.process(pid).updated,
    )
