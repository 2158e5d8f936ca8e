"""The connector that the kit tests: the real engine, protocol API and worker over a real database, with the script
for decisions, and the addresses by which the kit makes us begin.

    python -m tests.conformance.dsp.connector --port 8282 --database-url sqlite:///kit.sqlite --messages sent.jsonl

Every JSON body that leaves it, message or answer, is appended to the file of messages.
"""

import threading
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.api import dsp
from connector.protocol import store
from connector.protocol.engine import Engine, Settings
from connector.protocol.messages import PATH
from connector.protocol.negotiation import State
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.worker import Worker
from hexi.canonical import Json, encode, instant, parse, system_clock
from hexi.database import Database
from hexi.keys import SigningKey
from hexi.settings import ServiceSettings
from hexi.web import Write, configure_logging, create_shell, serve
from registry.identity import Identity, did_web
from registry.participants import Participant, ParticipantStatus
from registry.participants import Role as Registered
from registry.presentation import Caller
from tests.conformance.dsp.script import (
    CONSUMER_TRANSFERS,
    KIT,
    POLICY,
    PROVIDER_TRANSFERS,
    Script,
)

# How long we try to reach the kit. Its next test must not meet the messages of the last one.
PATIENCE = timedelta(seconds=5)


class EverybodyIsTheKit:
    """In place of `registry.presentation.PresentationVerifier`: the kit cannot sign, whatever it shows."""

    def __init__(self, operator: str) -> None:
        roles = frozenset({Registered.PROVIDER, Registered.CONSUMER})
        kit = Participant(KIT, KIT, KIT, "", KIT, roles, ParticipantStatus.ACTIVE, {}, "", "")
        self._caller = Caller(KIT, kit, operator)

    def verify(self, header: str | None) -> Caller:
        return self._caller


class Recorder:
    """Appends what we send to a file, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def record(self, where: str, body: Json) -> None:
        with self._lock:
            self._file.write(encode({"where": where, "body": body}) + b"\n")


class RecordingTransport(httpx.HTTPTransport):
    """The network; what goes out is recorded."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._recorder.record(str(request.url), parse(request.read()))
        return super().handle_request(request)


class RecordingAnswers:
    """The application; what it answers under the protocol's path is recorded."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                self._recorder.record(f"{scope['method']} {scope['path']}", parse(message["body"]))
            await send(message)

        watched = scope["type"] == "http" and scope["path"].startswith(PATH)
        await self._app(scope, receive, sending if watched else send)


class NegotiationTrigger(BaseModel):
    """What the kit says to make us negotiate as the consumer."""

    providerId: str  # noqa: N815 - the kit's spelling
    offerId: str  # noqa: N815
    datasetId: str  # noqa: N815
    connectorAddress: str  # noqa: N815


class TransferTrigger(BaseModel):
    """What the kit says to make us ask for a transfer."""

    providerId: str  # noqa: N815
    agreementId: str  # noqa: N815
    format: str
    connectorAddress: str  # noqa: N815


def create_triggers(engine: Engine) -> APIRouter:
    """The addresses where the kit makes us begin."""
    router = APIRouter(prefix="/kit")

    @router.post("/negotiations", status_code=201)
    def negotiate(wish: NegotiationTrigger, session: Write) -> dict[str, str]:
        offer = {"@id": wish.offerId, "@type": "Offer", "target": wish.datasetId, **POLICY}
        return {"pid": engine.request_negotiation(session, wish.providerId, wish.connectorAddress, offer).pid}

    @router.post("/transfers", status_code=201)
    def transfer(wish: TransferTrigger, session: Write) -> dict[str, str]:
        address = wish.connectorAddress
        return {"pid": engine.request_transfer(session, wish.providerId, address, wish.agreementId, wish.format).pid}

    return router


def seed_agreements(database: Database) -> None:
    """The finalized negotiations that the kit's transfers rest on."""
    now = instant(system_clock())
    with database.transaction() as session:
        for role, agreements in ((Role.PROVIDER, PROVIDER_TRANSFERS), (Role.CONSUMER, CONSUMER_TRANSFERS)):
            for agreement_id in agreements:
                pid = f"urn:hexi:seed:{agreement_id}"
                process = Process(
                    pid, Kind.NEGOTIATION, role, State.FINALIZED, KIT, "http://kit", created=now, updated=now
                )
                agreement = {"@id": agreement_id, "@type": "Agreement", "target": "CAT0101", **POLICY}
                settled = replace(process, peer_pid=pid, dataset_id="CAT0101", agreement=agreement)
                store.insert_process(session, replace(settled, agreement_id=agreement_id))


def create_app(settings: ServiceSettings, messages: Path) -> FastAPI:
    """The connector, seeded."""
    database = Database(settings.database)
    database.migrate("connector")
    seed_agreements(database)
    identity = Identity(did_web(settings.url), SigningKey.generate())
    recorder = Recorder(messages)
    engine = Engine(
        database,
        Script(),
        identity,
        authorise=lambda audience: "Bearer the-kit-reads-none",
        own_url=settings.url,
        clock=system_clock,
        settings=Settings(unsafe_allow_loopback_callbacks=True, patience=PATIENCE),
        transport=RecordingTransport(recorder),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with Worker(engine):
            yield

    app = create_shell(
        "The connector under test",
        settings,
        database,
        dsp.create_router(engine),
        create_triggers(engine),
        lifespan=lifespan,
    )
    app.add_middleware(RecordingAnswers, recorder=recorder)
    app.state.presentations = EverybodyIsTheKit(identity.did)
    return app


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.conformance.dsp.connector", description=__doc__.split("\n\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--messages", type=Path, required=True)
    given = parser.parse_args()
    configure_logging()
    settings = ServiceSettings(port=given.port, database_url=given.database_url)
    serve(create_app(settings, given.messages), settings)


if __name__ == "__main__":
    main()
