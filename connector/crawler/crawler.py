"""One step at a time: a peer that is due, one question to it, and what follows from the answer.

Lease (transaction), ask (none), record (transaction). A crash between any two leaves what the last page left: the page
that was not recorded is asked for again. What was recorded is whole, datasets and the address of the next page alike.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

import structlog
from sqlmodel import Session

from connector.crawler import steps, store
from connector.crawler.asking import Asker
from connector.crawler.errors import CatalogueUnusable
from connector.crawler.pages import read_page
from connector.crawler.states import Peer
from connector.crawler.steps import (
    NOT_MODIFIED,
    Chance,
    Failure,
    Left,
    Outcome,
    Postponed,
    Question,
    Read,
    Returned,
    Unchanged,
)
from connector.crawler.store import Leased
from connector.protocol.callbacks import check_callback
from connector.protocol.errors import CallbackRefused
from connector.protocol.peers import Peers
from hexi.canonical import Clock, instant
from hexi.client import Unreachable
from hexi.database import Database
from hexi.errors import DataspaceError
from registry.errors import ParticipantRevoked, ParticipantUnknown
from sandbox import owners

log = structlog.get_logger("connector.crawler")

# How long a peer is one attempt's own, in seconds. It outlasts a page asked for in three ways and a busy database.
LEASE_SECONDS = 180.0
# An attempt that took longer, in seconds, makes a peer slow: some of the threads leave it to the others.
SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class Changes:
    """What a whole crawl has changed in what we show."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0


# Tells of the changes at a peer, in the transaction that completes them: session, DID, generation, changes.
Tell = Callable[[Session, str, int, Changes], None]


class Crawler:
    """Crawls the peers in `database`, each `every` so many seconds. Safe to share between threads and processes."""

    def __init__(
        self,
        database: Database,
        peers: Peers,
        asker: Asker,
        clock: Clock,
        *,
        every: float,
        chance: Chance,
        tell: Tell,
        unsafe_allow_loopback: bool,
    ) -> None:
        self._database = database
        self._peers = peers
        self._asker = asker
        self._clock = clock
        self._every = every
        self._chance = chance
        self._tell = tell
        self._unsafe_allow_loopback = unsafe_allow_loopback
        # Pages are read one at a time: a page of the largest size takes ten times its length in memory.
        self._reading = threading.Lock()

    def recover(self) -> int:
        """Take the peers back that a process which was killed was just asking. Call it at start."""
        with self._database.transaction() as session:
            return store.release(session, owners.is_alive)

    def step(self, *, quick: bool = False) -> bool:
        """Ask one peer that is due for one page; whether there was any. `quick`: none that was slow the last time."""
        leased = self._lease(quick)
        if leased is None:
            return False
        begun = time.monotonic()
        try:
            outcome = self._attempt(leased.peer)
        except Exception as error:
            # Whatever a peer sends that we did not think of must not come back at once, for ever.
            log.error("a crawl failed unexpectedly", peer=leased.peer.did, exc_info=error)
            outcome = _unexpected(error)
        slow = leased.peer.slow if isinstance(outcome, Postponed) else time.monotonic() - begun > SLOW_SECONDS
        try:
            self._record(leased, outcome, slow=slow)
        except Exception as error:  # the same of what the database would not take
            log.error("a crawl was not recorded", peer=leased.peer.did, exc_info=error)
            self._record(leased, _unexpected(error), slow=slow)
        return True

    def close(self) -> None:
        """Close the connections."""
        self._asker.close()

    def _lease(self, quick: bool) -> Leased | None:
        now = self._clock()
        with self._database.reading() as session:  # an idle pass must not take SQLite's only write lock
            if not store.is_anything_due(session, instant(now), quick=quick):
                return None
        with self._database.transaction() as session:
            until = instant(now + timedelta(seconds=LEASE_SECONDS))
            return store.lease(session, instant(now), until, owners.this_process(), quick=quick)

    def _attempt(self, peer: Peer) -> Outcome:
        """What comes of asking `peer`: everything that others can cause, as a value."""
        try:
            address = self._peers.trust.participant(peer.did).dsp_url
        except (ParticipantRevoked, ParticipantUnknown) as error:
            return Left(error.code, error.detail)
        except DataspaceError as error:  # the registry does not answer
            return Postponed(error.code, error.detail)
        if steps.is_gone(peer):
            return Returned()
        try:
            address = check_callback(peer.address or address, unsafe_allow_loopback=self._unsafe_allow_loopback)
            return self._asked(peer, address)
        except Unreachable as error:
            return Failure(error.code, error.detail, passing=True)
        except (CallbackRefused, CatalogueUnusable) as error:
            return Failure(error.code, error.detail)

    def _asked(self, peer: Peer, address: str) -> Outcome:
        asked: Question | None = steps.question(peer, address)
        while asked is not None:
            try:
                authorisation = self._asker.authorisation(peer.did)
            except DataspaceError as error:  # we are no member yet, or cannot say so
                return Postponed(error.code, error.detail)
            put, answer = asked, self._asker.ask(asked, authorisation)
            asked = steps.instead(put, answer.status, address)
        failure = steps.failure_of(put, answer)
        if failure is not None:
            return failure
        if answer.status == NOT_MODIFIED:
            return Unchanged()
        with self._reading:
            page = read_page(answer, put.url, peer.did, address)
        steps.check_page(peer, put, page, self._clock())
        return Read(put, page)

    def _record(self, leased: Leased, outcome: Outcome, *, slow: bool) -> None:
        now = self._clock()
        with self._database.transaction() as session:
            if not store.holds(session, leased):
                return  # it took too long, or somebody has changed the peer meanwhile
            peer = steps.after(leased.peer, outcome, now, self._every, self._chance)
            if isinstance(outcome, Read):
                peer = self._take(session, leased, outcome, peer)
            elif isinstance(outcome, Left):
                gone = store.drop(session, peer.did)
                self._tell(session, peer.did, peer.generation, Changes(withdrawn=gone))
            store.save(session, leased, replace(peer, slow=slow))
        if isinstance(outcome, Failure):
            log.info("crawl failed", peer=peer.did, why=outcome.message, failures=peer.failures)

    def _take(self, session: Session, leased: Leased, read: Read, peer: Peer) -> Peer:
        """Write the page down; and with the last one, what the crawl did not see goes."""
        so_far = None if read.asked.opening else leased.peer.progress
        taken = store.take(session, leased.id, peer.generation, read.page.entries, instant(self._clock()))
        added = taken.added + (so_far.added if so_far else 0)
        changed = taken.changed + (so_far.changed if so_far else 0)
        if peer.progress is not None:
            return replace(peer, progress=replace(peer.progress, added=added, changed=changed))
        changes = Changes(added, changed, store.sweep(session, leased.id, peer.generation))
        log.info("catalogue crawled", peer=peer.did, generation=peer.generation, **asdict(changes))
        self._tell(session, peer.did, peer.generation, changes)
        return peer


def _unexpected(error: Exception) -> Failure:
    return Failure(DataspaceError.code, f"unexpected: {type(error).__name__}; the log says more")
