"""Whose catalogues are crawled: the providers in the registry, and the participants that somebody here has named.

Who leaves the registry is dropped with all datasets; who was named by hand stays until the name is taken back. Never
ourselves.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
from sqlmodel import Session

from connector.crawler import steps, store
from connector.crawler.crawler import Changes, Tell
from connector.crawler.errors import OwnCatalogue, TooManyCrawledPeers
from connector.crawler.states import Peer, PeerState
from connector.crawler.steps import Chance, Left
from connector.protocol.callbacks import check_callback
from connector.protocol.peers import Peers
from hexi.canonical import Clock, instant
from hexi.database import Database, after_commit
from registry.client import RegistryClient
from registry.errors import ParticipantRevoked
from registry.participants import Participant, ParticipantStatus, Role

log = structlog.get_logger("connector.crawler")

# The most participants named by hand, and the most taken from the registry: a space has hundreds.
MAX_BY_HAND = 500
MAX_MEMBERS = 10_000
# New members are first asked within so many seconds, not all in the same one.
FIRST_SECONDS = 10.0


@dataclass(frozen=True)
class Roster:
    """The peers of the connector `did`; each is crawled `every` so many seconds."""

    database: Database
    registry: RegistryClient
    peers: Peers
    did: str
    clock: Clock
    every: float
    chance: Chance
    tell: Tell
    unsafe_allow_loopback: bool
    # Set once somebody's wish to have a peer asked now is committed.
    work: threading.Event = field(default_factory=threading.Event)

    def follow_registry(self) -> bool:
        """Take in who has joined, and drop who has left; True. Nothing changes unless the whole list could be read.

        Raises `Unreachable`, `RemoteProblem`.
        """
        providers = set(self._providers(self.registry.participants()))
        with self.database.transaction() as session:
            known = {peer.did: peer for peer in store.peers(session)}
            for did in sorted(providers - {peer.did for peer in known.values() if peer.member}):
                self._join(session, known.get(did), did)
            for peer in known.values():
                if peer.member and peer.did not in providers:
                    self._leave(session, peer)
        return True

    def forget_members(self) -> None:
        """Crawl nobody any more but who was named by hand, and drop the others' datasets."""
        with self.database.transaction() as session:
            for peer in store.peers(session):
                if peer.by_hand and peer.member:
                    store.put(session, replace(peer, member=False))
                elif not peer.by_hand:
                    store.remove(session, peer.did)

    def add(self, session: Session, did: str, address: str | None) -> Peer:
        """Crawl a participant's catalogue by somebody's wish, at once; the same again asks it at once again.

        Raises `OwnCatalogue`, `ParticipantUnknown`, `ParticipantRevoked`, `CallbackRefused`, `TooManyCrawledPeers`.
        """
        if did == self.did:
            raise OwnCatalogue("our own catalogue is not crawled; see it with: hexi connector product list")
        known_at = self.peers.trust.participant(did).dsp_url
        check_callback(address or known_at, unsafe_allow_loopback=self.unsafe_allow_loopback)
        known = store.find(session, did)
        if (known is None or not known.by_hand) and store.count_by_hand(session) >= MAX_BY_HAND:
            raise TooManyCrawledPeers(f"{MAX_BY_HAND} participants are named by hand already; remove one first")
        now = instant(self.clock())
        peer = known or Peer(did, now)
        if steps.is_gone(peer):
            peer = steps.after_return(peer, self.clock())
        peer = replace(peer, by_hand=True, address=address or "", due=now)
        store.put(session, peer)
        after_commit(session, self.work.set)
        return peer

    def remove(self, session: Session, did: str) -> Peer:
        """Take back that somebody has named it. A provider in the registry stays, and is asked at the registry's
        address; others go with all that was found there. The peer as it is now, or was. Raises `CrawledPeerUnknown`."""
        peer = replace(store.peer(session, did), by_hand=False, address="")
        if peer.member:
            store.put(session, peer)
        else:
            store.remove(session, did)
        return peer

    def ask_now(self, session: Session, did: str | None) -> list[Peer]:
        """Ask one peer, or all, at once, however long each should have been left alone. Raises `CrawledPeerUnknown`."""
        now = instant(self.clock())
        chosen = store.peers(session) if did is None else [store.peer(session, did)]
        due = [replace(peer, due=now) for peer in chosen if peer.state is not PeerState.GONE or peer.by_hand]
        for peer in due:
            store.hasten(session, peer.did, now)
        after_commit(session, self.work.set)
        return due

    def _providers(self, participants: Iterable[Participant]) -> Iterable[str]:
        found = 0
        for participant in participants:
            active = participant.status is ParticipantStatus.ACTIVE and Role.PROVIDER in participant.roles
            if active and participant.dsp_url and participant.did != self.did:
                found += 1
                if found > MAX_MEMBERS:
                    log.warning("more providers than are crawled", most=MAX_MEMBERS)
                    return
                yield participant.did

    def _join(self, session: Session, known: Peer | None, did: str) -> None:
        now = self.clock()
        peer = known or Peer(did, instant(now))
        if steps.is_gone(peer):
            peer = steps.after_return(peer, now)
        soon = instant(now + timedelta(seconds=FIRST_SECONDS * self.chance()))
        store.put(session, replace(peer, member=True, due=peer.due or soon))

    def _leave(self, session: Session, peer: Peer) -> None:
        if peer.by_hand:  # looked for at each attempt: it may be known elsewhere
            store.put(session, replace(peer, member=False))
            return
        why = f"{peer.did} is no provider of this space any more"
        left = steps.after(peer, Left(ParticipantRevoked.code, why), self.clock(), self.every, self.chance)
        self.tell(session, peer.did, left.generation, Changes(withdrawn=store.drop(session, peer.did)))
        store.put(session, replace(left, member=False))
        log.info("peer left", peer=peer.did)
