"""A connector, put together: protocol engine, decisions, sandbox, management API, worker.

    app = create_app(ConnectorSettings(home=Path("clinic"), port=8081, space_url="http://127.0.0.1:8080"))

When `create_app` returns, the connector answers. The lifespan adds what runs beside it: runs that a crash orphaned are
executed again, and the worker begins to deliver.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import httpx
from fastapi import FastAPI
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
from connector.management.algorithms import PeerAlgorithms
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
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity.load_or_create(settings.home, did_web(settings.url))
    database = Database(settings.database)
    database.migrate("sandbox")
    database.migrate("connector")
    publishing.complete_catalogue(database)
    space = space_of(settings, identity, clock, transport, peers)
    trust = space.peers.trust
    evidence = Evidence(identity, settings.operator, f"{settings.space_url.rstrip('/')}/ledger/entries", clock)
    computing = Computing.over(settings, database, identity, trust, evidence.record, space.contribute, clock)
    sources, handovers = Sources(settings.home), Handovers(database, clock)
    access = Access(database, identity, handovers, settings.url, clock, _places(settings))
    pull = PullPlane(database, sources, handovers, access)
    places: dict[str, CheckPlace] = {
        http_push.FORMAT: partial(http_push.read_destination, unsafe_allow_loopback=settings.allows_loopback),
        s3_push.FORMAT: partial(s3_push.read_storage, unsafe_allow_loopback=settings.allows_loopback),
    }
    pushes = {format_: PushPlane(format_, check, sources, clock) for format_, check in places.items()}
    services = Services.over(settings, database, sources, handovers, access)
    planes: dict[str, DataPlane] = {pull.format: pull, **pushes, **services.planes}
    contracting = Contracting(identity, trust, evidence, settings, clock)
    fulfilment = Fulfilment(identity, trust, evidence, computing.sandbox.revoke, settings, clock, planes)
    subscriptions = Subscriptions(
        identity.did, webhook_key(settings.home), clock, unsafe_allow_private=settings.allows_private_webhooks
    )
    webhook_sender = WebhookSender(database, subscriptions, transport)
    endings = Endings(evidence, partial(views.announce_end, subscriptions))
    engine = Engine(
        database,
        BusinessDecisions(contracting, fulfilment),
        identity,
        space.peers.authorise,
        settings.url,
        clock,
        EngineSettings(unsafe_allow_loopback_callbacks=settings.allows_loopback),
        on_ledger_receipt=evidence.received,
        on_state=partial(views.announce_state, subscriptions),
        on_agreement_ended=endings.hear,
        transport=transport,
    )
    monitor = Monitor(database, engine, fulfilment, trust, clock, seconds=settings.monitor_seconds)
    delivered = deliveries(
        settings,
        engine,
        sources,
        handovers,
        space.peers.authorise,
        clock,
        transport,
        partial(views.announce_delivery, subscriptions),
    )
    publisher = Publisher(
        database,
        space.registry,
        identity,
        clock,
        sources,
        partial(views.announce_product, subscriptions, PRODUCT_PUBLISHED),
        partial(views.announce_product, subscriptions, PRODUCT_WITHDRAWN),
        settings.space_url.rstrip("/"),
        settings.operator,
        settings.unserved,
    )
    bargaining = Bargaining(engine, contracting, trust, clock)
    retirement = Retirement(engine, monitor, endings, identity.did)
    desk = _desk(
        settings,
        identity,
        clock,
        database,
        engine,
        monitor,
        space,
        publisher,
        delivered.receiving,
        bargaining,
        retirement,
        transport,
    )
    catalogues = PeerCatalogues(
        database, engine, space.peers, unsafe_allow_loopback=settings.allows_loopback, transport=transport
    )
    federated = federated_catalogue(
        settings, identity.did, database, space.peers, space.registry, subscriptions, clock, transport
    )
    worker = Worker(engine, idle_seconds=settings.worker_seconds) if start_worker else None
    app = create_shell(
        "Hexi connector",
        settings,
        database,
        dsp.create_router(engine),
        *computing.routers(),
        previews.create_router(computing.sandbox.preview, contracting, database),
        data.create_router(pull),
        *services.routers,
        deliveries_api.create_receiving_router(delivered.receiving),
        management.create_router(
            desk,
            peers_api.create_router(catalogues),
            federated_api.create_router(federated.roster),
            deliveries_api.create_router(delivered),
            management.webhooks.create_router(subscriptions),
            management.reviews.create_router(computing.sandbox.airlock),
            management.algorithms.create_router(
                PeerAlgorithms(trust, space.peers.authorise, settings.allows_loopback, transport)
            ),
            *services.management,
        ),
        lifespan=_lifespan(
            computing, engine, catalogues, federated, delivered, monitor, worker, services, webhook_sender
        ),
        streamed=DELIVERIES_PATH,
    )
    app.state.presentations = space.peers.verifier
    app.state.management_token = management_token(settings.home)
    app.state.monitor, app.state.webhook_sender = monitor, webhook_sender
    app.state.engine, app.state.sandbox, app.state.identity = engine, computing.sandbox, identity
    app.state.computing = computing
    app.state.membership, app.state.desk = space.membership, desk
    app.state.deliveries = delivered
    app.state.federated = federated
    _add_did_document(app, identity, settings)
    return app


def _lifespan(
    computing: Computing,
    engine: Engine,
    catalogues: PeerCatalogues,
    federated: FederatedCatalogue,
    delivered: Deliveries,
    monitor: Monitor,
    worker: Worker | None,
    services: Services,
    webhook_sender: WebhookSender,
) -> Lifespan:
    """What a crash interrupted is taken up before the first request; what is under way is finished at the end."""
    delivering, crawling = delivered.worker(), federated.worker()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(computing.sandbox.recover)
        await run_in_threadpool(engine.recover)
        await run_in_threadpool(delivered.recover)
        await run_in_threadpool(federated.recover)
        if worker:
            worker.start()
            monitor.start()
            delivering.start()
            webhook_sender.start()
            computing.worker.start()
            crawling.start()
        async with services.running():
            yield
        if worker:
            await run_in_threadpool(crawling.stop)
            await run_in_threadpool(delivering.stop)
            await run_in_threadpool(monitor.stop_looking)
            await run_in_threadpool(webhook_sender.stop)
            await run_in_threadpool(computing.worker.stop)
            await run_in_threadpool(worker.stop)
        engine.close()
        delivered.close()
        webhook_sender.close()
        catalogues.close()
        federated.crawler.close()

    return lifespan


def _places(settings: ConnectorSettings) -> dict[str, Place]:
    """Where each format is fetched."""
    data_of_transfer = f"{settings.url}{DATA_PATH}/{{transfer}}"
    return {http_pull.FORMAT: Place(data_of_transfer), **services_places(settings, data_of_transfer)}


def _desk(
    settings: ConnectorSettings,
    identity: Identity,
    clock: Clock,
    database: Database,
    engine: Engine,
    monitor: Monitor,
    space: Space,
    publisher: Publisher,
    receiving: Receiving,
    bargaining: Bargaining,
    retirement: Retirement,
    transport: httpx.BaseTransport | None,
) -> Desk:
    return Desk(
        settings=settings,
        did=identity.did,
        clock=clock,
        database=database,
        engine=engine,
        membership=space.membership,
        publisher=publisher,
        dealings=Dealings(database, engine, space.registry, space.peers.trust, monitor, receiving),
        bargaining=bargaining,
        retirement=retirement,
        computations=Computations(
            database,
            engine,
            identity,
            space.peers.trust,
            space.aggregation,
            settings.aggregation_point,
            clock,
            authorise=space.peers.authorise,
            unsafe_allow_loopback=settings.allows_loopback,
            transport=transport,
        ),
        previews=Previews(
            space.registry,
            space.peers.trust,
            space.peers.authorise,
            Prices.of_space(settings.space_url, transport),
            settings.allows_loopback,
            transport,
        ),
        registry=space.registry,
        ledger=space.ledger,
    )


def _add_did_document(app: FastAPI, identity: Identity, settings: ConnectorSettings) -> None:
    @app.get("/.well-known/did.json", tags=["identity"])
    def did_document() -> dict[str, Json]:
        """Public. The DID document: this connector's key, and where it speaks the Dataspace Protocol."""
        services = [
            ("dsp", "DataspaceProtocol", settings.url + PATH),
            ("sandbox", "HexiSandbox", settings.url + SANDBOX_PATH),
        ]
        return identity.did_document(services=services)
