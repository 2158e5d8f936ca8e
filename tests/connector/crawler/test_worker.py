"""The threads: slow and silent peers hold nobody up, and the registry is followed while they run."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import httpx
import pytest

from connector.crawler import store
from connector.crawler.roster import Roster
from connector.crawler.worker import CrawlWorker
from connector.protocol.peers import Peers
from hexi.database import Database
from hexi.errors import Unavailable
from registry.participants import Participant, ParticipantStatus, Role
from tests.builders import SettableClock
from tests.connector.crawler.peers import EVERY, Local, PagedPeer
from tests.databases import fresh_postgresql

US = "did:web:us.example"
# Nothing here takes as long, in seconds, unless it is broken.
PATIENCE = 30.0


@dataclass
class Listing:
    """A registry that knows these, and once answers nothing."""

    listed: dict[str, tuple[ParticipantStatus, Role]] = field(default_factory=dict)
    broken: int = 0
    read: threading.Event = field(default_factory=threading.Event)

    def participants(self) -> Iterator[Participant]:
        for did, (status, role) in self.listed.items():
            address = f"https://{did.removeprefix('did:web:')}/dsp/2025-1"
            yield Participant(did, did, did, "", "", frozenset({role}), status, {}, address, "6210")
            if self.broken:
                self.broken -= 1
                raise Unavailable("the second page did not come")
        self.read.set()


def roster(local: Local, listing: Listing) -> Roster:
    peers: Peers = local.crawler._peers

    def tell(*_: object) -> None:
        pass

    return Roster(local.database, listing, peers, US, local.clock, EVERY, lambda: 0.0, tell, True)  # type: ignore[arg-type]


def until(what: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if what():
            return
        ended.wait(0.05)
    raise AssertionError("it never came")


def test_peers_that_never_answer_hold_up_nobody(connectors: Database, clock: SettableClock) -> None:
    silent = [PagedPeer(f"did:web:s{n}.example", {"d0": 1}) for n in range(3)]
    quick = [PagedPeer(f"did:web:q{n}.example", {f"d{m}": 1 for m in range(5)}) for n in range(3)]
    local = Local(connectors, clock, [*silent, *quick])
    asked, released = threading.Semaphore(0), threading.Event()

    def wait(request: httpx.Request) -> httpx.Response:
        asked.release()
        released.wait(PATIENCE)
        raise httpx.ReadTimeout("too late", request=request)

    for peer in silent:
        peer.answer = wait  # type: ignore[method-assign]
        # As it is known after their first silence.
        with connectors.transaction() as session:
            store.put(session, replace(local.peer(peer.did), slow=True))
    worker = CrawlWorker(local.crawler, roster(local, Listing()), follows_registry=False, parallel=4)
    worker.start()
    try:
        for _ in range(2):  # two threads are theirs, and are waiting now
            assert asked.acquire(timeout=PATIENCE)
        until(lambda: all(local.shown(peer.did) == peer.datasets for peer in quick))
        assert not asked.acquire(blocking=False)  # the third waits for a thread, and nobody for it
    finally:
        released.set()
        worker.stop()
    assert all(local.peer(peer.did).failures <= 1 for peer in silent)


def test_the_registry_is_followed_by_whole_lists_only(sqlite_connectors: Database, clock: SettableClock) -> None:
    active, provider = ParticipantStatus.ACTIVE, Role.PROVIDER
    a, b, c, d = (f"did:web:{name}.example" for name in "abcd")
    listing = Listing(
        {
            a: (active, provider),
            US: (active, provider),
            b: (active, Role.CONSUMER),
            c: (ParticipantStatus.REVOKED, provider),
            d: (active, provider),
        }
    )
    local = Local(sqlite_connectors, clock)
    following = roster(local, listing)
    worker = CrawlWorker(local.crawler, following, follows_registry=True, parallel=1)
    worker.start()
    try:
        assert listing.read.wait(PATIENCE)
        until(lambda: known(local) == {a, d})
    finally:
        worker.stop()
        local.crawler.close()
    listing.broken = 1
    with pytest.raises(Unavailable):
        following.follow_registry()
    assert known(local) == {a, d}
    del listing.listed[a]
    following.follow_registry()
    assert known(local) == {d}


def known(local: Local) -> set[str]:
    with local.database.reading() as session:
        return {peer.did for peer in store.peers(session) if peer.member}


def test_two_processes_on_one_database_never_ask_a_peer_at_the_same_time(
    postgresql_url: str, clock: SettableClock
) -> None:
    """The lease is the database's: two crawlers with connections of their own, as two processes have."""
    with fresh_postgresql(postgresql_url) as url:
        first, second = Database(url), Database(url)
        first.migrate("connector")
        peer = PagedPeer("did:web:a.example", {"d0": 1})
        locals_ = [Local(database, clock, [peer]) for database in (first, second)]
        passed = peer.answer

        def meanwhile(request: httpx.Request) -> httpx.Response:
            assert locals_[1].crawler.step() is False
            return passed(request)

        peer.answer = meanwhile  # type: ignore[method-assign]
        assert locals_[0].crawler.step() is True
        assert locals_[1].shown(peer.did) == {"d0": 1}
        first.dispose()
        second.dispose()
