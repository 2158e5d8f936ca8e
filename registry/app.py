"""Putting a registry together, by itself (`create_app`) or as a part of a whole space (`build`)."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from fastapi import APIRouter, FastAPI
from sqlmodel import Session

from hexi.canonical import Clock, Json, system_clock
from hexi.database import Database
from hexi.keys import SigningKey
from hexi.web import create_shell
from ledger.log import Log
from registry.api import create_router
from registry.directory import DirectoryTrust
from registry.errors import ApplicationConflict
from registry.identity import Identity, did_web
from registry.presentation import PresentationVerifier
from registry.registrar import Operator, Registrar, tell_nobody
from registry.resolution import Fetch, document_fetcher
from registry.settings import RegistrySettings


@dataclass(frozen=True)
class Registry:
    """A registry ready to be mounted: put `presentations` into ``app.state.presentations`` and include `router`."""

    registrar: Registrar
    trust: DirectoryTrust
    presentations: PresentationVerifier
    router: APIRouter


def build(
    database: Database,
    identity: Identity,
    operator: Operator,
    log: Log,
    clock: Clock,
    *,
    fetch: Fetch | None = None,
    insecure_http_did_web: bool = False,
    strict_owner_codes: bool = False,
    on_departure: Callable[[Session, str, str], None] = tell_nobody,
) -> Registry:
    """The registry over `database`, its tables set up (the ledger's, too) and the operator enrolled.

    `on_departure` is told of every product that leaves the catalogue; see `Registrar`.
    """
    database.migrate("ledger")
    database.migrate("registry")
    trust = DirectoryTrust(database.reading, identity.did)
    registrar = Registrar(
        identity=identity,
        operator=operator,
        log=log,
        trust=trust,
        fetch=fetch or document_fetcher(insecure_http_did_web=insecure_http_did_web),
        clock=clock,
        insecure_http_did_web=insecure_http_did_web,
        strict_owner_codes=strict_owner_codes,
        on_departure=on_departure,
    )
    _enrol(database, registrar)
    presentations = PresentationVerifier(identity.did, trust, clock)
    return Registry(registrar, trust, presentations, create_router(registrar))


def _enrol(database: Database, registrar: Registrar) -> None:
    try:
        with database.transaction() as session:
            registrar.enrol_operator(session)
    except ApplicationConflict:
        # Another process of the same space started in the same moment and was first; now it finds what that one wrote.
        with database.transaction() as session:
            registrar.enrol_operator(session)


def create_app(
    settings: RegistrySettings, *, clock: Clock = system_clock, transport: httpx.BaseTransport | None = None
) -> FastAPI:
    """A registry with a log of its own and nothing else. `transport` stands in for the network towards applicants."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity.load_or_create(settings.home, did_web(settings.url))
    log_key = SigningKey.load_or_create(settings.home / "log.pem", "Ed25519")
    database = Database(settings.database)
    registry = build(
        database,
        identity,
        Operator(settings.name, settings.name_zh, settings.owner_code, settings.region, settings.url),
        Log(settings.url.partition("://")[2], log_key, clock),
        clock,
        fetch=document_fetcher(
            insecure_http_did_web=settings.insecure_http_did_web,
            unsafe_allow_private_hosts=settings.unsafe_allow_private_did_hosts,
            transport=transport,
        ),
        insecure_http_did_web=settings.insecure_http_did_web,
        strict_owner_codes=settings.strict_owner_codes,
    )
    app = create_shell("Hexi registry", settings, database, registry.router)
    app.state.presentations = registry.presentations
    app.state.registry = registry

    @app.get("/.well-known/did.json", tags=["operations"])
    def did_document() -> dict[str, Json]:
        """Public. The operator's DID document."""
        return identity.did_document()

    return app
