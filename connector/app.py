"""A connector, put together: protocol engine, decisions, sandbox, management API, worker.

    app = create_app(ConnectorSettings(home=Path("clinic"), port=8081, space_url="http://127.0.0.1:8080"))

When `create_app` returns, the connector answers. The lifespan adds what runs beside it: runs that a crash orphaned are
executed again, and the worker begins to deliver.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx
from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from connector.api import data, dsp, management, previews
from connector.api import deliveries as deliveries_api
from connector.api import federated as federated_api
from connector.api import peers as peers_api
from connector.api.management import views
from connector.computing import Computing
from connector.contracts import publishing
from connector.contracts.bargaining import Bargaining
from connector.contracts.contracting import Contracting
from connector.contracts.evidence import Evidence
from connector.contracts.publishing import Publisher
from connector.crawler.service import FederatedCatalogue, federated_catalogue
from connector.decisions import BusinessDecisions
from connector.deliveries.receiving import DELIVERIES_PATH, Receiving
from connector.deliveries.service import Deliveries, deliveries
from connector.fulfilment import SANDBOX_PATH, Fulfilment
from connector.management.algorithms import OwnRepository, Repositories
from connector.management.computations import Computations
from connector.management.dealings import Dealings
from connector.management.desk import Desk
from connector.management.peer_catalogue import PeerCatalogues
from connector.management.previews import Previews
from connector.management.prices import Prices
from connector.management.token import management_token
from connector.monitoring import Monitor
from connector.planes import DataPlane, http_pull, http_push, s3_push
from connector.planes.access import DATA_PATH, Access, Place
from connector.planes.handovers import Handovers
from connector.planes.http_pull import PullPlane
from connector.planes.push import CheckPlace, PushPlane
from connector.protocol.engine import Engine
from connector.protocol.engine import Settings as EngineSettings
from connector.protocol.messages import PATH
from connector.protocol.peers import Peers, of_the_space
from connector.protocol.worker import Worker
from connector.retirement import Endings, Retirement
from connector.services import Services, services_places
from connector.settings import ConnectorSettings
from connector.sources.descriptions import Sources
from connector.space import Space, space_of
from connector.webhooks.events import PRODUCT_PUBLISHED, PRODUCT_WITHDRAWN
from connector.webhooks.sender import WebhookSender
from connector.webhooks.signing import webhook_key
from connector.webhooks.subscriptions import Subscriptions
from hexi.canonical import Clock, Json, system_clock
from hexi.database import Database
from hexi.web import Lifespan, create_shell
from registry.identity import Identity, did_web


@dataclass(frozen=True)
class _Node:
    """Who this connector is, and what all of it stands on. `transport` replaces the network towards space and peers."""

    settings: ConnectorSettings
    clock: Clock
    transport: httpx.BaseTransport | None
    identity: Identity
    database: Database
    space: Space
    evidence: Evidence
    subscriptions: Subscriptions


@dataclass(frozen=True)
class _Planes:
    """What data are handed over by, and from where."""

    sources: Sources
    handovers: Handovers
    pull: PullPlane
    services: Services
    of_format: dict[str, DataPlane]


@dataclass(frozen=True)
class _Protocol:
    """This end of the protocol, with what decides for it and what watches what it started."""

    contracting: Contracting
    endings: Endings
    engine: Engine
    monitor: Monitor


@dataclass(frozen=True)
class _Connector:
    """All parts of a connector."""

    node: _Node
    computing: Computing
    planes: _Planes
    protocol: _Protocol
    deliveries: Deliveries
    desk: Desk
    catalogues: PeerCatalogues
    federated: FederatedCatalogue
    webhook_sender: WebhookSender


def create_app(
    settings: ConnectorSettings,
    *,
    clock: Clock = system_clock,
    transport: httpx.BaseTransport | None = None,
    start_worker: bool = True,
    peers: Callable[[Peers], Peers] = of_the_space,
) -> FastAPI:
    """The connector that `settings` describe. `transport` replaces the network towards space and peers; `peers` stands
    other kinds of peers beside those of the space (`connector.protocol.peers`).

    Without the worker nothing goes by itself: whoever has the application steps the outbox
    (``app.state.engine.deliver_due()``) and the webhooks (``app.state.webhook_sender.deliver_due()``), looks at the
    deliveries (``app.state.monitor.look()``) and crawls (``app.state.federated.crawler.step()``).
    """
    connector = _connector(_node(settings, clock, transport, peers))
    worker = Worker(connector.protocol.engine, idle_seconds=settings.worker_seconds) if start_worker else None
    app = create_shell(
        "Hexi connector",
        settings,
        connector.node.database,
        *_routers(connector),
        lifespan=_lifespan(connector, worker),
        streamed=DELIVERIES_PATH,
    )
    _set_state(app, connector)
    _add_did_document(app, connector.node.identity, settings)
    return app


def _node(
    settings: ConnectorSettings,
    clock: Clock,
    transport: httpx.BaseTransport | None,
    peers: Callable[[Peers], Peers],
) -> _Node:
    """The connector's own folder and database, made ready."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity.load_or_create(settings.home, did_web(settings.url))
    database = Database(settings.database)
    database.migrate("sandbox")
    database.migrate("connector")
    publishing.complete_catalogue(database)
    space = space_of(settings, identity, clock, transport, peers)
    evidence = Evidence(identity, settings.operator, f"{settings.space_url.rstrip('/')}/ledger/entries", clock)
    subscriptions = Subscriptions(
        identity.did, webhook_key(settings.home), clock, unsafe_allow_private=settings.allows_private_webhooks
    )
    return _Node(settings, clock, transport, identity, database, space, evidence, subscriptions)


def _connector(node: _Node) -> _Connector:
    settings, database, space = node.settings, node.database, node.space
    computing = Computing.over(
        settings, database, node.identity, space.peers.trust, node.evidence.record, space.contribute, node.clock
    )
    planes = _planes(node)
    protocol = _protocol(node, computing, planes.of_format)
    delivered = deliveries(
        settings,
        protocol.engine,
        planes.sources,
        planes.handovers,
        space.peers.authorise,
        node.clock,
        node.transport,
        partial(views.announce_delivery, node.subscriptions),
    )
    catalogues = PeerCatalogues(
        database,
        protocol.engine,
        space.peers,
        unsafe_allow_loopback=settings.allows_loopback,
        transport=node.transport,
    )
    federated = federated_catalogue(
        settings,
        node.identity.did,
        database,
        space.peers,
        space.registry,
        node.subscriptions,
        node.clock,
        node.transport,
    )
    desk = _desk(node, protocol, _publisher(node, planes.sources), delivered.receiving)
    webhook_sender = WebhookSender(database, node.subscriptions, node.transport)
    return _Connector(node, computing, planes, protocol, delivered, desk, catalogues, federated, webhook_sender)


def _planes(node: _Node) -> _Planes:
    settings, database, clock = node.settings, node.database, node.clock
    sources, handovers = Sources(settings.home), Handovers(database, clock)
    access = Access(database, node.identity, handovers, settings.url, clock, _places(settings))
    pull = PullPlane(database, sources, handovers, access)
    places: dict[str, CheckPlace] = {
        http_push.FORMAT: partial(http_push.read_destination, unsafe_allow_loopback=settings.allows_loopback),
        s3_push.FORMAT: partial(s3_push.read_storage, unsafe_allow_loopback=settings.allows_loopback),
    }
    pushes = {format_: PushPlane(format_, check, sources, clock) for format_, check in places.items()}
    services = Services.over(settings, database, sources, handovers, access)
    return _Planes(sources, handovers, pull, services, {pull.format: pull, **pushes, **services.planes})


def _places(settings: ConnectorSettings) -> dict[str, Place]:
    """Where each format is fetched."""
    data_of_transfer = f"{settings.url}{DATA_PATH}/{{transfer}}"
    return {http_pull.FORMAT: Place(data_of_transfer), **services_places(settings, data_of_transfer)}


def _protocol(node: _Node, computing: Computing, planes: dict[str, DataPlane]) -> _Protocol:
    settings, identity, clock, evidence = node.settings, node.identity, node.clock, node.evidence
    trust = node.space.peers.trust
    contracting = Contracting(identity, trust, evidence, settings, clock)
    fulfilment = Fulfilment(identity, trust, evidence, computing.sandbox.revoke, settings, clock, planes)
    endings = Endings(evidence, partial(views.announce_end, node.subscriptions))
    engine = Engine(
        node.database,
        BusinessDecisions(contracting, fulfilment),
        identity,
        node.space.peers.authorise,
        settings.url,
        clock,
        EngineSettings(unsafe_allow_loopback_callbacks=settings.allows_loopback),
        on_ledger_receipt=evidence.received,
        on_state=partial(views.announce_state, node.subscriptions),
        on_agreement_ended=endings.hear,
        transport=node.transport,
    )
    monitor = Monitor(node.database, engine, fulfilment, trust, clock, seconds=settings.monitor_seconds)
    return _Protocol(contracting, endings, engine, monitor)


def _publisher(node: _Node, sources: Sources) -> Publisher:
    return Publisher(
        node.database,
        node.space.registry,
        node.identity,
        node.clock,
        sources,
        partial(views.announce_product, node.subscriptions, PRODUCT_PUBLISHED),
        partial(views.announce_product, node.subscriptions, PRODUCT_WITHDRAWN),
        node.settings.space_url.rstrip("/"),
        node.settings.operator,
        node.settings.unserved,
    )


def _desk(node: _Node, protocol: _Protocol, publisher: Publisher, receiving: Receiving) -> Desk:
    space, engine, monitor = node.space, protocol.engine, protocol.monitor
    return Desk(
        settings=node.settings,
        did=node.identity.did,
        clock=node.clock,
        database=node.database,
        engine=engine,
        membership=space.membership,
        publisher=publisher,
        dealings=Dealings(node.database, engine, space.registry, space.peers.trust, monitor, receiving),
        bargaining=Bargaining(engine, protocol.contracting, space.peers.trust, node.clock),
        retirement=Retirement(engine, monitor, protocol.endings, node.identity.did),
        computations=Computations(
            node.database,
            engine,
            node.identity,
            space.peers.trust,
            space.aggregation,
            node.settings.aggregation_point,
            node.clock,
            authorise=space.peers.authorise,
            unsafe_allow_loopback=node.settings.allows_loopback,
            transport=node.transport,
        ),
        previews=Previews(
            space.registry,
            space.peers.trust,
            space.peers.authorise,
            Prices.of_space(node.settings.space_url, node.transport),
            node.settings.allows_loopback,
            node.transport,
        ),
        registry=space.registry,
        ledger=space.ledger,
    )


def _routers(connector: _Connector) -> tuple[APIRouter, ...]:
    """The routes for others, and last those for the owner."""
    node, computing, planes = connector.node, connector.computing, connector.planes
    peers = node.space.peers
    return (
        dsp.create_router(connector.protocol.engine),
        *computing.routers(),
        previews.create_router(computing.sandbox.preview, connector.protocol.contracting, node.database),
        data.create_router(planes.pull),
        *planes.services.routers,
        deliveries_api.create_receiving_router(connector.deliveries.receiving),
        management.create_router(
            connector.desk,
            peers_api.create_router(connector.catalogues),
            federated_api.create_router(connector.federated.roster),
            deliveries_api.create_router(connector.deliveries),
            management.webhooks.create_router(node.subscriptions),
            management.reviews.create_router(computing.sandbox.airlock),
            management.algorithms.create_router(
                Repositories(
                    OwnRepository(computing.algorithms, node.identity.did),
                    peers.trust,
                    peers.authorise,
                    node.settings.allows_loopback,
                    node.transport,
                )
            ),
            *planes.services.management,
        ),
    )


def _lifespan(connector: _Connector, worker: Worker | None) -> Lifespan:
    """What a crash interrupted is taken up before the first request; what is under way is finished at the end."""
    engine, monitor, computing = connector.protocol.engine, connector.protocol.monitor, connector.computing
    delivering, crawling = connector.deliveries.worker(), connector.federated.worker()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(computing.sandbox.recover)
        await run_in_threadpool(engine.recover)
        await run_in_threadpool(connector.deliveries.recover)
        await run_in_threadpool(connector.federated.recover)
        if worker:
            worker.start()
            monitor.start()
            delivering.start()
            connector.webhook_sender.start()
            computing.worker.start()
            crawling.start()
        async with connector.planes.services.running():
            yield
        if worker:
            await run_in_threadpool(crawling.stop)
            await run_in_threadpool(delivering.stop)
            await run_in_threadpool(monitor.stop_looking)
            await run_in_threadpool(connector.webhook_sender.stop)
            await run_in_threadpool(computing.worker.stop)
            await run_in_threadpool(worker.stop)
        engine.close()
        connector.deliveries.close()
        connector.webhook_sender.close()
        connector.catalogues.close()
        connector.federated.crawler.close()

    return lifespan


def _set_state(app: FastAPI, connector: _Connector) -> None:
    """What the routes, and whoever steps the connector, reach through ``app.state``."""
    node, protocol, state = connector.node, connector.protocol, app.state
    state.presentations = node.space.peers.verifier
    state.management_token = management_token(node.settings.home)
    state.monitor, state.webhook_sender = protocol.monitor, connector.webhook_sender
    state.engine, state.sandbox, state.identity = protocol.engine, connector.computing.sandbox, node.identity
    state.computing = connector.computing
    state.membership, state.desk = node.space.membership, connector.desk
    state.deliveries = connector.deliveries
    state.federated = connector.federated


def _add_did_document(app: FastAPI, identity: Identity, settings: ConnectorSettings) -> None:
    @app.get("/.well-known/did.json", tags=["identity"])
    def did_document() -> dict[str, Json]:
        """Public. The DID document: this connector's key, and where it speaks the Dataspace Protocol."""
        services = [
            ("dsp", "DataspaceProtocol", settings.url + PATH),
            ("sandbox", "HexiSandbox", settings.url + SANDBOX_PATH),
        ]
        return identity.did_document(services=services)
