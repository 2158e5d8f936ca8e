"""A space: registry, ledger, marketplace and neutral adder in one process, over one database.

::

    app = create_app(SpaceSettings(home=Path("space"), public_url="https://space.example"))

Whatever a request needs stands when `create_app` returns; only the witness, which tells the chain what the log holds,
starts with the application's lifespan. Nothing waits for the chain.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from connector.policies.policy import read_policy
from hexi.canonical import Clock, Json, system_clock
from hexi.database import Database
from hexi.errors import DataspaceError
from hexi.keys import SigningKey
from hexi.web import create_shell
from ledger.api import create_router as create_ledger_router
from ledger.chain import Chain
from ledger.log import Log
from marketplace import certificates
from marketplace.api import Market
from marketplace.api import create_router as create_market_router
from marketplace.clearing import Clearing
from marketplace.departures import Departures
from marketplace.exchange import Exchange
from marketplace.notary import Notary
from marketplace.registrar import Registrar
from marketplace.settings import SpaceSettings
from marketplace.witness import Witness
from registry import access
from registry.app import Registry
from registry.app import build as build_registry
from registry.identity import Identity, did_web
from registry.registrar import Operator
from registry.resolution import document_fetcher
from sandbox.aggregation import AggregationPoint
from sandbox.api import create_aggregation_router

LOG_KEY_FILE = "log.pem"


@dataclass(frozen=True)
class Space:
    """Everything a space is made of; an application keeps it in ``app.state.space``."""

    settings: SpaceSettings
    database: Database
    identity: Identity
    log_key: SigningKey
    log: Log
    chain: Chain
    registry: Registry
    market: Market
    aggregations: AggregationPoint
    witness: Witness


def build(
    settings: SpaceSettings,
    *,
    clock: Clock = system_clock,
    transport: httpx.BaseTransport | None = None,
    chain: Chain | None = None,
) -> Space:
    """A space in `settings.home`: its keys made on first use, its tables set up, its operator enrolled.

    `transport` stands in for the network towards applicants, `chain` for the one in the settings.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity.load_or_create(settings.home, did_web(settings.url))
    log_key = SigningKey.load_or_create(settings.home / LOG_KEY_FILE, "Ed25519")
    log = Log(settings.log_origin or settings.url.partition("://")[2], log_key, clock)
    database = Database(settings.database)
    database.migrate("sandbox")
    database.migrate("marketplace")
    notary = Notary(identity, log, clock)
    registry = build_registry(
        database,
        identity,
        Operator(settings.name, settings.name_zh, settings.owner_code, settings.region, settings.url),
        log,
        clock,
        fetch=document_fetcher(
            insecure_http_did_web=settings.insecure_http_did_web,
            unsafe_allow_private_hosts=settings.unsafe_allow_private_did_hosts,
            transport=transport,
        ),
        insecure_http_did_web=settings.insecure_http_did_web,
        strict_owner_codes=settings.strict_owner_codes,
        on_departure=Departures(notary),
    )
    chain = chain or _chain(settings)
    witness = Witness(database, log, chain, settings.chain_seconds)
    return Space(
        settings=settings,
        database=database,
        identity=identity,
        log_key=log_key,
        log=log,
        chain=chain,
        registry=registry,
        market=_market(settings, registry, notary, witness),
        aggregations=AggregationPoint(identity, notary.evidence, clock),
        witness=witness,
    )


def create_app(
    settings: SpaceSettings,
    *,
    clock: Clock = system_clock,
    transport: httpx.BaseTransport | None = None,
    chain: Chain | None = None,
) -> FastAPI:
    """The application of a space; see `build`."""
    space = build(settings, clock=clock, transport=transport, chain=chain)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        space.witness.start()
        yield
        space.witness.stop()

    app = create_shell(
        "Hexi space",
        settings,
        space.database,
        space.registry.router,
        create_ledger_router(space.log, space.registry.trust.resolve, access.operator, space.chain),
        create_market_router(space.market),
        create_aggregation_router(space.aggregations),
        lifespan=lifespan,
    )
    app.state.presentations = space.registry.presentations
    app.state.space = space

    @app.get("/.well-known/did.json", tags=["operations"])
    def did_document() -> dict[str, Json]:
        """Public. The operator's DID document."""
        return space.identity.did_document()

    return app


def _market(settings: SpaceSettings, registry: Registry, notary: Notary, witness: Witness) -> Market:
    products, clock = registry.registrar.product, notary.clock
    registrar = certificates.Registrar(
        did=notary.identity.did,
        name=settings.name,
        name_zh=settings.name_zh,
        region=settings.registrar_region,
        institution=settings.registrar_institution,
        accredited=settings.registrar_accredited,
    )
    return Market(
        registrar=Registrar(
            notary,
            products,
            registrar,
            policy_problem,
            clock,
            years=settings.certificate_years,
            weights=settings.quality_weights,
        ),
        exchange=Exchange(notary, products, registry.registrar.is_offered, clock, settings.order_days),
        clearing=Clearing(notary, settings.split),
        on_chain=witness.on_chain,
    )


def policy_problem(policy: Json) -> str | None:
    """Why connectors could not enforce `policy`; None if they can."""
    try:
        read_policy(policy)
    except DataspaceError as error:
        return error.detail
    return None


def _chain(settings: SpaceSettings) -> Chain:
    key_file = settings.home / "chain.key"
    if settings.chain_url:
        return Chain.at(settings.chain_url, key_file=key_file if key_file.exists() else None)
    return Chain.in_process()
