"""Property: whatever is published, withdrawn, lost, broken and killed between, a crawl that ends has it all right.

And until it ends nothing is taken away that the peer has shown all the while. Two peers of any make at once, so that
the troubles of one are seen not to be the other's. Deaths are injected before every statement of a whole story, and
every commit; a real SIGKILL stands at the end.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from connector.crawler.states import PeerState
from hexi.canonical import system_clock
from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.crawler.peers import A_WHILE, Local, PagedPeer, catalogue, dataset, send, serving
from tests.connector.pair import Crash
from tests.connector.test_any_order import MEMORY
from tests.profiles import looking

NAMES = [f"d{number}" for number in range(7)]

MAKES = st.fixed_dictionaries(
    {
        "page": st.integers(1, 3),
        "revision": st.booleans(),
        "link_method": st.sampled_from(["GET", "POST"]),
        "takes_filter": st.booleans(),
    }
)
FAULTS = st.sampled_from(["lost", "garbage", 500, 404, 429, 302])
EVENTS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("withdraw"), st.sampled_from(NAMES)),
    st.tuples(
        st.just("fail"), st.lists(st.sampled_from(["lost", "garbage", 500, 404, 429, 302]), min_size=1, max_size=3)
    ),
    st.tuples(st.just("die"), st.integers(0, 25)),
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from([10, 600, 30_000])),
)
STORIES = st.lists(st.tuples(st.integers(0, 1), EVENTS), min_size=5, max_size=40)


class Deaths:
    """While armed, kills whoever is about to do the n-th thing to its database from now: a statement or a commit."""

    def __init__(self, database: Database) -> None:
        self.left: int | None = None
        self._armed = False
        event.listen(database.engine, "before_cursor_execute", self._pass_by)
        event.listen(database.engine, "commit", self._pass_by)

    def _pass_by(self, *_: Any) -> None:
        if self._armed and self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash

    def step(self, local: Local) -> bool:
        """A step, which may be the last of who makes it. Then the lease of the dead runs out."""
        self._armed = True
        try:
            return local.crawler.step()
        except Crash:
            local.clock.now += timedelta(minutes=5)
            return True
        finally:
            self._armed = False


class Watched:
    """A crawler and its peers: nothing may be taken away that a peer has shown all the time since its crawl began."""

    def __init__(self, local: Local, peers: list[PagedPeer]) -> None:
        self.local, self.peers = local, peers
        self.deaths = Deaths(local.database)
        self.lasting: dict[str, set[str]] = {}

    def step(self) -> bool:
        for peer in self.peers:
            if self.local.peer(peer.did).progress is None:
                self.lasting[peer.did] = set(peer.datasets)
        before = {did: self.local.shown(did).keys() & names for did, names in self.lasting.items()}
        worked = self.deaths.step(self.local)
        for did, names in before.items():
            assert names <= self.local.shown(did).keys()
        return worked

    def happen(self, peer: PagedPeer, what: str, given: Any, version: int = 0) -> None:
        match what:
            case "publish":
                peer.datasets[given] = version
            case "withdraw":
                peer.datasets.pop(given, None)
                self.lasting.get(peer.did, set()).discard(given)
            case "fail":
                peer.faults = list(given)
            case "die":
                self.deaths.left = given
            case "step":
                for _ in range(given):
                    self.step()
            case "wait":
                self.local.clock.advance(seconds=given)


@looking(60)
@given(STORIES, st.lists(MAKES, min_size=2, max_size=2))
def test_after_a_whole_crawl_the_copy_is_what_the_peer_shows(
    migrated_sqlite: Path, story: list[tuple[int, tuple[Any, ...]]], makes: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = shutil.copy(migrated_sqlite, folder)
        database = Database(f"sqlite:///{path}")
        peers = [PagedPeer(f"did:web:{name}.example", **make) for name, make in zip("ab", makes, strict=True)]
        watched = Watched(Local(database, SettableClock(), peers), peers)
        for which, what in story:
            watched.happen(peers[which], *what)
        watched.deaths.left = None
        for peer in peers:
            peer.faults = []
        for _ in range(2):  # what changed in the middle of a crawl is seen by the next one
            watched.local.clock.now += A_WHILE
            while watched.step():
                pass
        for peer in peers:
            assert watched.local.shown(peer.did) == peer.datasets
            assert watched.local.peer(peer.did).state is PeerState.IDLE
        database.dispose()


def test_death_at_any_statement_shows_no_half_as_a_whole_and_loses_no_page(
    connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer("did:web:a.example", {})
    local = Local(connectors, clock, [peer])
    deaths, place, died = Deaths(connectors), 0, True
    while died:
        peer.datasets = {f"d{n}": place for n in range(place % 2, 5 + place % 3)}
        clock.now += A_WHILE
        deaths.left = place
        pages: list[int] = []
        while deaths.step(local):
            now = local.peer(peer.did)
            if now.progress is not None:
                pages.append(now.progress.pages)
            elif now.tag == peer.tag:
                assert local.shown(peer.did) == peer.datasets
        assert local.shown(peer.did) == peer.datasets
        assert pages == sorted(pages)  # it never went back to the beginning
        died = deaths.left is None  # else the story is over before the place is reached
        place += 1
    assert place > 20


CRAWLING = """
import sys
from connector.crawler import store
from connector.crawler.states import Peer
from hexi.canonical import instant, system_clock
from hexi.database import Database
from tests.connector.crawler.peers import Local

local = Local(Database(sys.argv[1]), system_clock)
local.add(sys.argv[2], sys.argv[3])
local.crawl()
"""


@pytest.mark.process
def test_a_crawl_that_was_killed_goes_on_at_the_page_after_the_last_one_recorded(
    connectors: Database, clock: SettableClock
) -> None:
    did, names = "did:web:a.example", [f"d{n}" for n in range(6)]
    asked: list[str] = []
    killing = threading.Event()
    crawling: list[subprocess.Popen[bytes]] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        page = int(handler.path.rpartition("p=")[2]) if "p=" in handler.path else 0
        if page == 2 and not killing.is_set():
            killing.set()
            os.kill(crawling[0].pid, signal.SIGKILL)
            return
        link = {"Link": f'<?p={page + 1}>; rel="next"'} if page < 5 else {}
        send(handler, catalogue(did, [dataset(names[page])]), **link)

    url = connectors.engine.url.render_as_string(hide_password=False)
    with serving(respond) as address:
        process = subprocess.Popen([sys.executable, "-c", CRAWLING, url, did, address])
        crawling.append(process)
        assert process.wait(60) == -signal.SIGKILL
        clock.now = system_clock()
        local = Local(connectors, clock)
        local.known.addresses[did] = address
        half = local.peer(did)
        assert (half.state, half.completed, set(local.shown(did))) == (PeerState.CRAWLING, None, {"d0", "d1"})
        assert local.crawler.step() is False  # the dead one has it still
        assert local.crawler.recover() == 1
        asked.clear()
        local.crawl()
        local.crawler.close()
    assert [path.rpartition("?")[2] for path in asked] == ["p=2", "p=3", "p=4", "p=5"]
    assert set(local.shown(did)) == set(names)
    assert local.peer(did).completed is not None
