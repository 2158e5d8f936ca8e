"""Property: whatever is lost, doubled, delayed or cut short by a crash, both ends come to one legal result.

Either end may open the negotiation. It is then driven by scripts, or by both ends acting as they please: offers and
counter-offers cross, and so do suspensions and resumptions. Every act carries a word of its own, so that an act that
counted twice is seen.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.management import store as management_store
from connector.protocol import negotiation, transfer
from connector.protocol.binding import Action, fresh_id
from connector.protocol.errors import IllegalTransition, MessageInFlight, ProcessUnknown
from connector.protocol.history import Direction, entries
from connector.protocol.messages import PATH
from connector.protocol.negotiation import Accept, Agree, Finalize, Offer, Request, TerminateNegotiation, Verify
from connector.protocol.processes import Kind, Process
from connector.protocol.transfer import Complete, Start, Suspend, TerminateTransfer
from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.hand import Hand
from tests.connector.pair import (
    ADDRESS,
    CONSUMER,
    PROVIDER_AGREES,
    PROVIDER_OFFERS,
    Crash,
    End,
    Pair,
    agreement,
    may_follow,
    offer,
)
from tests.profiles import looking

# Databases of a moment need no disk.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

FATES = ["pass", "pass", "lose", "lose answer", "double", "hold", "crash before", "crash after"]
# The ways out of an outbox: found there, or handed over in memory and recorded later.
WORK: dict[str, Callable[[End, Hand], object]] = {
    "delivers": lambda end, hand: end.engine.deliver_due(),
    "sends": lambda end, hand: hand.send(),
    "records": lambda end, hand: hand.record(),
}
ENDS = ["provider", "consumer"]
STEPS = [*(f"{end} {work}" for end in ENDS for work in WORK), "release", "wait", "wait"]
# A number goes with each step: how long to wait, which held message to release, which act of those the state allows.
Storm = tuple[list[tuple[str, int]], list[str]]

QUICK = looking(40)
# Where both ends act as they please there is more to meet.
HAGGLING = looking(80)


@pytest.fixture(scope="module")
def pair(migrated_sqlite: Path) -> Iterator[Pair]:
    """One pair for all examples: each leaves it at rest, and the next is another process of many."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        paths = [Path(folder, name) for name in ("ours", "theirs")]
        databases = [Database(f"sqlite:///{shutil.copy(migrated_sqlite, path)}") for path in paths]
        pair = Pair(databases, SettableClock())
        for end in (pair.provider, pair.consumer):
            end.patience = timedelta(days=1)  # storms are long, and giving up is tested elsewhere
            end.start()
        yield pair
        for database in databases:
            database.dispose()


@pytest.fixture(scope="module")
def agreed(pair: Pair) -> str:
    """The agreement that all transfers are under."""
    scripted(pair, offering=False)
    pair.network.fate = lambda request: "pass"
    return pair.concluded()[1]


def storms(acts: list[str]) -> st.SearchStrategy[Storm]:
    """What happens, step by step, and what becomes of each message sent meanwhile."""
    steps = st.tuples(st.sampled_from(STEPS + acts), st.sampled_from([1, 31, 100]))
    return st.tuples(st.lists(steps, min_size=3, max_size=30), st.lists(st.sampled_from(FATES), max_size=30))


def free_play() -> st.SearchStrategy[Storm]:
    """Both ends act whenever they may, on fairer weather: long enough for many turns."""
    acts = ["both act"] * 4 + [f"{end} {what}" for end in ENDS for what in ("acts", "delivers", "delivers", "sends")]
    steps = st.tuples(st.sampled_from(STEPS + acts), st.integers(0, 100))
    fates = st.lists(st.sampled_from(FATES + ["pass"] * 8), min_size=20, max_size=20)
    return st.tuples(st.lists(steps, min_size=40, max_size=40), fates)


def scripted(pair: Pair, *, offering: bool) -> None:
    """Both ends do what leads to an agreement; `offering`: the provider makes an offer first."""
    pair.provider.script.negotiations = dict(PROVIDER_OFFERS if offering else PROVIDER_AGREES)
    pair.consumer.script.negotiations = dict(CONSUMER)


def weather(pair: Pair, storm: Storm, pid: str) -> None:
    """The storm; then the sun comes out, all held messages arrive, and both ends run to rest."""
    steps, fates = storm
    coming = iter(fates)
    pair.network.held.clear()
    pair.network.fate = lambda request: next(coming, "pass")
    hands = {"provider": Hand(pair.provider), "consumer": Hand(pair.consumer)}
    for step, number in steps:
        pair.clock.advance(milliseconds=1)  # or the history could not tell what came first
        who, _, what = step.partition(" ")
        if what in WORK:
            with suppress(Crash):  # what was handed over is lost by it; the outbox has it
                WORK[what](getattr(pair, who), hands[who])
        elif step == "release" and pair.network.held:
            pair.network.hand_over(pair.network.held.pop(number % len(pair.network.held)))
        elif step == "wait":
            pair.clock.advance(seconds=number)
        elif step != "release":
            for end in ENDS if who == "both" else [who]:  # what both say crosses on its way
                act(getattr(pair, end), number, pid, ending=what == "gives up")
    pair.network.fate = lambda request: "pass"
    for hand in hands.values():
        hand.lose()
    pair.run()
    for held in pair.network.held:
        pair.network.hand_over(held)
    pair.run()


NEGOTIATING: dict[negotiation.Event, Callable[[Process, str], Action]] = {
    negotiation.Event.OFFER: lambda process, word: Offer({**offer(), "@id": word}),
    negotiation.Event.REQUEST: lambda process, word: Request({**offer(), "@id": word}),
    negotiation.Event.ACCEPTED: lambda process, word: Accept(),
    negotiation.Event.AGREEMENT: lambda process, word: Agree({**agreement(process), "@id": word}),
    negotiation.Event.VERIFICATION: lambda process, word: Verify(),
    negotiation.Event.FINALIZED: lambda process, word: Finalize(),
    negotiation.Event.TERMINATION: lambda process, word: TerminateNegotiation("1", [word]),
}
TRANSFERRING: dict[transfer.Event, Callable[[Process, str], Action]] = {
    transfer.Event.START: lambda process, word: Start({**ADDRESS, "endpoint": f"https://provider.test/{word}"}),
    transfer.Event.SUSPENSION: lambda process, word: Suspend("1", [word]),
    transfer.Event.COMPLETION: lambda process, word: Complete(),
    transfer.Event.TERMINATION: lambda process, word: TerminateTransfer("1", [word]),
}
ENDINGS = (negotiation.Event.TERMINATION, transfer.Event.TERMINATION, transfer.Event.COMPLETION)
# One act in so many ends the process.
ENDS_ONE_IN = 16


def choose(process: Process, number: int, *, ending: bool) -> Action | None:
    """The act of that number among those that the state allows; mostly one that does not end everything."""
    negotiating = process.kind is Kind.NEGOTIATION
    table: Any = negotiation.TRANSITIONS if negotiating else transfer.TRANSITIONS
    actions: Any = NEGOTIATING if negotiating else TRANSFERRING
    events = [event for sender, state, event in table if (sender, state) == (process.role, process.state)]
    wanted = [event for event in events if (event in ENDINGS) == (ending or number % ENDS_ONE_IN == 0)]
    return actions[wanted[number % len(wanted)]](process, fresh_id()) if wanted else None


def act(end: End, number: int, pid: str, *, ending: bool) -> None:
    """`end` does something about the process, as far as its state allows."""
    process = end.side_of(pid)
    action = None if process is None else choose(process, number, ending=ending)
    if process is not None and action is not None:
        with suppress(IllegalTransition, MessageInFlight, ProcessUnknown):  # not now; tested elsewhere
            end.act(process.pid, action)


def check(pair: Pair, opener: End, pid: str) -> None:
    """Both ends in one state, by legal steps, with one process each and nothing counted twice."""
    answerer = pair.provider if opener is pair.consumer else pair.consumer
    ours, theirs = opener.side_of(pid), answerer.side_of(pid)
    assert ours is not None
    if theirs is not None:
        assert_same(ours, theirs)
    else:
        assert ours.state == "TERMINATED"
    for end, process in ((opener, ours), (answerer, theirs)):
        if process is None:
            continue
        passed = [entry for entry in end.script.entered if entry.pid == process.pid]
        assert passed[-1].state == process.state
        for before, after in pairwise(passed):
            assert may_follow(process.kind, before.state, after.state), [entry.state for entry in passed]
        check_history(end, process, passed)
        words = [word for entry in passed if (word := word_of(entry)) is not None]
        assert len(words) == len(set(words)), words


def check_history(end: End, process: Process, passed: list[Process]) -> None:
    """What inbox and outbox tell afterwards is what happened: the same states in the same order."""
    with end.database.reading() as session:
        steps = entries(process, *management_store.messages(session, process.pid))
    told = [step.state for step in steps if step.state is not None]
    states = [entry.state for entry in passed]
    # What we open has its state from the beginning; the decisions see it once the other end has answered.
    assert told in (states, [told[0], *states]), (process, steps)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert all(step.message_id for step in steps if step.direction is not Direction.HERE)


def word_of(entry: Process) -> str | None:
    """What was said by the message that led to this state, where it is one that may come more than once."""
    said = {
        "REQUESTED": entry.offer and entry.offer["@id"],
        "OFFERED": entry.offer and entry.offer["@id"],
        "SUSPENDED": entry.reason and entry.reason[-1],
        "STARTED": entry.data_address and entry.data_address["endpoint"],
    }.get(entry.state)
    return f"{entry.state} {said}" if said else None


def assert_same(ours: Process, theirs: Process) -> None:
    assert ours.state == theirs.state
    assert ours.pid == theirs.peer_pid
    # Who gave up before anybody answered never learned whom it had asked.
    assert ours.peer_pid in ({theirs.pid, None} if ours.state == "TERMINATED" else {theirs.pid})
    if ours.state != "TERMINATED":
        assert (ours.offer, ours.agreement) == (theirs.offer, theirs.agreement)
        assert (ours.suspended_by, ours.data_address) == (theirs.suspended_by, theirs.data_address)


def open_by(opener: End, other: End) -> str:
    """A negotiation that `opener` opens: with a request, or with an offer."""
    with opener.database.transaction() as session:
        begin = (
            opener.engine.offer_negotiation if opener.did == "did:web:provider" else opener.engine.request_negotiation
        )
        return begin(session, other.did, other.url + PATH, {**offer(), "@id": fresh_id()}).pid


@QUICK
@given(storm=storms([]), opening=st.sampled_from(["request", "request for an offer", "offer"]))
def test_negotiations_agree(pair: Pair, storm: Storm, opening: str) -> None:
    scripted(pair, offering=opening != "request")
    opener, other = (pair.provider, pair.consumer) if opening == "offer" else (pair.consumer, pair.provider)
    pid = open_by(opener, other)
    weather(pair, storm, pid)
    assert opener.process(pid).state == "FINALIZED"
    check(pair, opener, pid)
    assert len(opener.script.states(pid)) == len(set(opener.script.states(pid)))


@QUICK
@given(storm=storms(["provider gives up", "consumer gives up"]), offering=st.booleans())
def test_negotiations_that_somebody_gives_up_agree(pair: Pair, storm: Storm, offering: bool) -> None:
    scripted(pair, offering=offering)
    pid = open_by(pair.consumer, pair.provider)
    weather(pair, storm, pid)
    check(pair, pair.consumer, pid)


@HAGGLING
@given(storm=free_play(), offered=st.booleans())
def test_negotiations_that_both_ends_drive_agree(pair: Pair, storm: Storm, offered: bool) -> None:
    pair.provider.script.negotiations = pair.consumer.script.negotiations = {}
    opener, other = (pair.provider, pair.consumer) if offered else (pair.consumer, pair.provider)
    pid = open_by(opener, other)
    weather(pair, storm, pid)
    check(pair, opener, pid)


@HAGGLING
@given(storm=free_play())
def test_transfers_agree(pair: Pair, agreed: str, storm: Storm) -> None:
    pid = pair.consumer.ask(pair.provider, agreed)
    weather(pair, storm, pid)
    check(pair, pair.consumer, pid)
