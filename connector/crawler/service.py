"""The federated catalogue, put together: what crawls, whom, and what happens beside it."""

import secrets
from dataclasses import asdict, dataclass

import httpx
from sqlmodel import Session

from connector.crawler.asking import Asker
from connector.crawler.crawler import Changes, Crawler
from connector.crawler.roster import Roster
from connector.crawler.worker import CrawlWorker
from connector.protocol.peers import Peers
from connector.settings import ConnectorSettings
from connector.webhooks.events import CATALOGUE_CHANGED
from connector.webhooks.subscriptions import Subscriptions
from hexi.canonical import Clock
from hexi.database import Database
from registry.client import RegistryClient


@dataclass(frozen=True)
class FederatedCatalogue:
    """One connector's."""

    crawler: Crawler
    roster: Roster
    follows_registry: bool
    parallel: int

    def recover(self) -> None:
        """Call it at start: peers that a killed process was asking are free, and the roster is as the settings say."""
        self.crawler.recover()
        if not self.follows_registry:
            self.roster.forget_members()

    def worker(self) -> CrawlWorker:
        """The threads that crawl, not started yet."""
        return CrawlWorker(self.crawler, self.roster, follows_registry=self.follows_registry, parallel=self.parallel)


def federated_catalogue(
    settings: ConnectorSettings,
    did: str,
    database: Database,
    peers: Peers,
    registry: RegistryClient,
    subscriptions: Subscriptions,
    clock: Clock,
    transport: httpx.BaseTransport | None = None,
) -> FederatedCatalogue:
    """That of the connector `did`. `transport` replaces the network towards peers."""

    def tell(session: Session, provider: str, generation: int, changes: Changes) -> None:
        about = asdict(changes)
        if any(about.values()):
            subscriptions.announce(session, CATALOGUE_CHANGED, provider, {"provider": provider, **about}, generation)

    chance, allowed = secrets.SystemRandom().random, settings.allows_loopback
    asker = Asker(peers.authorise, unsafe_allow_loopback=allowed, transport=transport)
    crawler = Crawler(
        database,
        peers,
        asker,
        clock,
        every=settings.crawl_seconds,
        chance=chance,
        tell=tell,
        unsafe_allow_loopback=allowed,
    )
    roster = Roster(database, registry, peers, did, clock, settings.crawl_seconds, chance, tell, allowed)
    return FederatedCatalogue(crawler, roster, settings.crawl_members, settings.crawl_parallel)
