"""Property: a connector may die between any two statements to its database; restarted from it, the story goes on.

One story is told again and again: an offer and a counter-offer, an agreement, a transfer suspended, resumed and
ended. It takes the road of production (handed over in memory, recorded at once or settled by the reply), and the ends
die on it: before a statement, before a commit, or between a commit and the answer. Wherever that is, both must have
lived through the same states, by the same messages, as in the story that nobody disturbed.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import event

from connector.management import store as management_store
from connector.protocol.history import entries
from connector.protocol.negotiation import Agree, Finalize, Offer, Request, Verify
from connector.protocol.outbox_items import OutboxState
from connector.protocol.processes import Process
from connector.protocol.transfer import Complete, Start, Suspend, TerminateTransfer
from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.hand import Hand
from tests.connector.pair import ADDRESS, PROVIDER_STARTS, Crash, End, Pair, Scripted, agreement, offer
from tests.connector.test_any_order import MEMORY
from tests.profiles import DEEP

# Somebody dies at every so many places of a story, in as many stories, each beginning at another place. In the deep
# profile each place of the undisturbed story (some 200) also gets a story of its own, with one death.
STRIDE = 23
# Deaths in one story at most: who dies at each attempt for ever never comes to rest, and need not.
MOST_DEATHS = 10
# Lease and back-off are over by then, in seconds.
A_WHILE = 100
T = TypeVar("T")


def offered(word: str) -> dict[str, Any]:
    return {**offer(), "@id": word}


def haggle(process: Process) -> Offer | Agree:
    """The provider offers something else; to the consumer's counter-offer it agrees."""
    return Agree(agreement(process)) if (process.offer or {})["@id"] == "counter" else Offer(offered("made"))


@dataclass
class Deaths:
    """Where somebody dies. A place is what is about to happen while `armed`; `fatal` says whether its number is one."""

    fatal: Callable[[int], bool] = lambda place: False
    armed: bool = False
    passed: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)

    def pass_by(self, what: str) -> None:
        if not self.armed:
            return
        self.passed.append(what)
        if len(self.died) < MOST_DEATHS and self.fatal(len(self.passed)):
            self.died.append(what)
            raise Crash

    def watch(self, database: Database) -> None:
        def statement(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
            self.pass_by(sql.split(None, 1)[0])

        event.listen(database.engine, "before_cursor_execute", statement)
        event.listen(database.engine, "commit", lambda _connection: self.pass_by("COMMIT"))

    @contextmanager
    def possible(self) -> Iterator[None]:
        self.armed = True
        try:
            yield
        finally:
            self.armed = False


class Mortal(httpx.BaseTransport):
    """The way to an end that may die while it answers: its caller hears nothing, and it starts anew."""

    def __init__(self, inner: httpx.BaseTransport, deaths: Deaths, restart: Callable[[], None]) -> None:
        self._inner, self._deaths, self._restart = inner, deaths, restart

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = self._inner.handle_request(request)
            self._deaths.pass_by("ANSWER")
        except BaseException as error:
            if not is_crash(error):
                raise
            self._restart()
            raise httpx.ReadError("the other end died", request=request) from None
        return answer


def is_crash(error: BaseException) -> bool:
    return isinstance(error, Crash) or (isinstance(error, BaseExceptionGroup) and error.subgroup(Crash) is not None)


class Story:
    """Two ends with their workers, moved step by step in one thread.

    `late`: what became of a message is recorded after the other end's turn, so that its reply may have settled it.
    """

    def __init__(self, pair: Pair, deaths: Deaths, *, late: bool) -> None:
        self.pair, self.deaths, self.late = pair, deaths, late
        self.hands: dict[str, Hand] = {}
        pair.network.sent.clear()
        pair.provider.script = Scripted({"REQUESTED": haggle, "VERIFIED": lambda p: Finalize()}, dict(PROVIDER_STARTS))
        pair.consumer.script = Scripted(
            {"OFFERED": lambda p: Request(offered("counter")), "AGREED": lambda p: Verify()}
        )
        for end in (pair.consumer, pair.provider):
            self.restart(end)

    def tell(self) -> list[Any]:
        """All of it; returns what both ends remember."""
        consumer, provider = self.pair.consumer, self.pair.provider
        negotiation = self.again(consumer, lambda: consumer.negotiate(provider))
        self.rest()
        agreed = str(consumer.process(negotiation).agreement_id)
        transfer = self.again(consumer, lambda: consumer.ask(provider, agreed))
        self.rest()
        acts = [
            (consumer, Suspend("1", ["lunch"])),
            (provider, Start(ADDRESS)),
            (consumer, TerminateTransfer("1", ["enough"])) if self.late else (provider, Complete()),
        ]
        for end, action in acts:
            side = end.side_of(transfer)
            assert side is not None
            self.again(end, lambda end=end, pid=side.pid, action=action: end.act(pid, action) or True)  # type: ignore[misc]
            self.rest()
        return [remembered(end, pid) for pid in (negotiation, transfer) for end in (consumer, provider)]

    def restart(self, end: End) -> None:
        """What was in memory is gone."""
        end.start()
        host = end.url.removeprefix("http://")
        hosts: dict[str, Any] = self.pair.network.hosts
        hosts[host] = Mortal(hosts[host], self.deaths, lambda: self.restart(end))
        self.hands[end.did] = Hand(end)

    def living(self, end: End, do: Callable[[], T]) -> T | None:
        """What `do` gives, or None when `end` dies of it."""
        try:
            with self.deaths.possible():
                return do()
        except Crash:
            self.restart(end)
            return None

    def again(self, end: End, do: Callable[[], T]) -> T:
        """`do`, as somebody does who tries again when the connector did not answer."""
        return next(done for _ in range(20) if (done := self.living(end, do)) is not None)

    def rest(self) -> None:
        """Both ends work until nothing is on its way."""
        for _ in range(200):
            moved = [
                self.living(end, lambda end=end: self.turn(end)) for end in (self.pair.consumer, self.pair.provider)
            ]  # type: ignore[misc]
            if any(move is not False for move in moved):
                continue
            if not self.pair.waiting():
                return
            self.pair.clock.advance(seconds=A_WHILE)
        raise AssertionError("still not at rest")

    def turn(self, end: End) -> bool:
        """What a worker's threads do, once; whether there was anything."""
        hand = self.hands[end.did]
        moved = recorded = hand.record()
        while recorded:
            recorded = hand.record()
        while hand.send():
            moved = self.late or hand.record()
        return end.engine.deliver_due() > 0 or moved


def remembered(end: End, pid: str) -> tuple[Any, ...]:
    """What is in `end`'s database about the process that its opener calls `pid`."""
    process = end.side_of(pid)
    assert process is not None
    with end.database.reading() as session:
        received, sent = management_store.messages(session, process.pid)
    assert {message.state for message in sent} <= {OutboxState.DELIVERED}
    told = [(step.direction, step.state) for step in entries(process, received, sent) if step.state]
    return process.role, told, process.state, process.suspended_by, process.reason, process.data_address


@pytest.fixture(scope="module")
def pair(migrated_sqlite: Path) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        paths = [Path(folder, name) for name in ("ours", "theirs")]
        databases = [Database(f"sqlite:///{shutil.copy(migrated_sqlite, path)}") for path in paths]
        pair = Pair(databases, SettableClock())
        for end in (pair.provider, pair.consumer):
            end.patience = timedelta(days=1)  # giving up is tested elsewhere
        yield pair
        for database in databases:
            database.dispose()


@pytest.fixture(scope="module")
def deaths(pair: Pair) -> Deaths:
    deaths = Deaths()
    for end in (pair.provider, pair.consumer):
        deaths.watch(end.database)
    return deaths


@pytest.mark.parametrize("late", [False, True], ids=["recorded at once", "settled by the reply"])
def test_the_same_is_lived_through_whoever_dies_wherever(pair: Pair, deaths: Deaths, late: bool) -> None:
    deaths.fatal, deaths.passed = lambda place: False, []
    undisturbed = Story(pair, deaths, late=late).tell()
    assert {"SELECT", "INSERT", "UPDATE", "COMMIT", "ANSWER"} <= set(deaths.passed)
    fatal: list[Callable[[int], bool]] = [lambda place, at=at: place % STRIDE == at for at in range(STRIDE)]  # type: ignore[misc]
    if DEEP:
        fatal += [lambda place, at=at: place == at + 1 for at in range(len(deaths.passed))]  # type: ignore[misc]
    for number, deaths.fatal in enumerate(fatal):
        deaths.passed, deaths.died = [], []
        assert Story(pair, deaths, late=late).tell() == undisturbed, (number, deaths.died)
        assert deaths.died
