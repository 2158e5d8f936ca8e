"""The management API of the federated catalogue: searching it, and whose catalogues it is made of."""

from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter, Path
from sqlmodel import Session

from connector.api.management.access import PREFIX, Owner
from connector.catalogue.errors import FilterUnsupported
from connector.catalogue.question import page_of, read_filter, read_token, write_token
from connector.crawler import search_store, store
from connector.crawler.answers import (
    MAX_FOUND,
    AddCrawledPeer,
    CrawledPeer,
    CrawlNow,
    CrawlProgress,
    CrawlReason,
    FacetValue,
    FoundDataset,
    FoundDatasets,
    SearchDatasets,
)
from connector.crawler.errors import CrawledPeerUnknown, OwnCatalogue, TooManyCrawledPeers
from connector.crawler.roster import Roster
from connector.crawler.states import Peer
from connector.protocol.errors import CallbackRefused
from hexi.web import Read, SessionRoute, Write, problems
from registry.errors import ParticipantRevoked, ParticipantUnknown
from registry.identity import MAX_DID_CHARACTERS

# A DID, as it stands in the path.
Participant = Annotated[str, Path(max_length=MAX_DID_CHARACTERS, pattern=r"^[^\x00-\x1f]+$")]


def create_router(roster: Roster) -> APIRouter:
    """The routes under ``/management/federated``."""
    router = APIRouter(route_class=SessionRoute, prefix=f"{PREFIX}/federated", tags=["federated catalogue"])

    @router.post("/datasets", responses=problems(FilterUnsupported))
    def search_federated_catalogue(_: Owner, body: SearchDatasets, session: Read) -> FoundDatasets:
        """Search what all the other participants offer us, as far as it was found. 检索联邦目录。

        What a peer has changed since it was last asked is not here yet; `GET /management/federated/peers` tells when
        each was.
        """
        return _search(session, body)

    _add_peers(router, roster)
    return router


def _add_peers(router: APIRouter, roster: Roster) -> None:
    @router.get("/peers")
    def list_crawled_peers(_: Owner, session: Read) -> list[CrawledPeer]:
        """Whose catalogues are crawled: where each stands, and why it failed if it did. 采集对象列表。"""
        return _shown(session, store.peers(session))

    @router.post(
        "/peers",
        status_code=201,
        responses=problems(OwnCatalogue, ParticipantUnknown, ParticipantRevoked, CallbackRefused, TooManyCrawledPeers),
    )
    def add_crawled_peer(_: Owner, body: AddCrawledPeer, session: Write) -> CrawledPeer:
        """Crawl a participant's catalogue, whether the registry lists it or not. 添加采集对象。

        The same again has it asked again.
        """
        return _one(session, roster.add(session, body.participant, body.address))

    @router.get("/peers/{participant}", responses=problems(CrawledPeerUnknown))
    def read_crawled_peer(_: Owner, participant: Participant, session: Read) -> CrawledPeer:
        """How the crawl of one catalogue stands. 查看采集对象。"""
        return _one(session, store.peer(session, participant))

    @router.delete("/peers/{participant}", responses=problems(CrawledPeerUnknown))
    def remove_crawled_peer(_: Owner, participant: Participant, session: Write) -> CrawledPeer:
        """Take back that a participant was added; what was found there goes, unless the registry lists it. 移除。"""
        before = _one(session, store.peer(session, participant))
        removed = roster.remove(session, participant)
        return before.model_copy(update={"by_hand": removed.by_hand, "address": removed.address or None})

    @router.post("/crawl", responses=problems(CrawledPeerUnknown))
    def crawl_now(_: Owner, body: CrawlNow, session: Write) -> list[CrawledPeer]:
        """Ask one peer, or all, at once, also those that are being left alone after a failure. 立即采集。"""
        return _shown(session, roster.ask_now(session, body.participant))


def _search(session: Session, asked: SearchDatasets) -> FoundDatasets:
    wanted = read_token(asked.cursor) if asked.cursor else read_filter(asked.filter)
    wanted = replace(wanted, limit=min(asked.limit or wanted.limit, MAX_FOUND))
    found = page_of(wanted, search_store.page(session, wanted))
    counted = search_store.facets(session, wanted.criteria) if asked.facets else None
    return FoundDatasets(
        items=tuple(FoundDataset.model_validate(item) for item in found.datasets),
        next=write_token(found.next) if found.next else None,
        facets=None if counted is None else {name: tuple(map(_value, values)) for name, values in counted.items()},
        incomplete=store.incomplete(session),
    )


def _value(counted: tuple[str, int]) -> FacetValue:
    return FacetValue(value=counted[0], count=counted[1])


def _one(session: Session, peer: Peer) -> CrawledPeer:
    return _shown(session, [peer])[0]


def _shown(session: Session, peers: list[Peer]) -> list[CrawledPeer]:
    counts = store.dataset_counts(session)
    return [_peer(peer, counts.get(peer.did, 0)) for peer in peers]


def _peer(peer: Peer, datasets: int) -> CrawledPeer:
    under_way = peer.progress
    return CrawledPeer(
        participant=peer.did,
        address=peer.address or None,
        by_hand=peer.by_hand,
        member=peer.member,
        state=peer.state,
        datasets=datasets,
        due=peer.due,
        failures=peer.failures,
        reason=CrawlReason(**asdict(peer.reason)) if peer.reason else None,
        checked=peer.checked,
        completed=peer.completed,
        progress=CrawlProgress(began=under_way.began, pages=under_way.pages, datasets=under_way.datasets)
        if under_way
        else None,
        left_out=peer.left_out,
        left_out_why=peer.left_out_why or None,
    )
