"""Two connectors' engines on one bendable network: real routes, real databases, scripted decisions.

    pair = Pair(databases, clock)
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()

The network does to each message what `network.fate` says; tests replace it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
from sqlmodel import Session

from connector.api.dsp import create_router
from connector.catalogue.question import Page, Wanted, page_of
from connector.protocol import negotiation, store, transfer
from connector.protocol.binding import Action
from connector.protocol.engine import Engine, Settings
from connector.protocol.errors import DatasetUnknown
from connector.protocol.messages import PATH
from connector.protocol.negotiation import Accept, Agree, Finalize, NegotiationAction, Offer, Verify
from connector.protocol.outbox import PATIENCE
from connector.protocol.outbox_items import OutboxState
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.transfer import Start, TransferAction
from hexi.canonical import Json, parse
from hexi.database import Database
from hexi.errors import Unauthenticated
from hexi.keys import SigningKey
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from registry.identity import Identity
from registry.presentation import Caller
from tests.asgi import ASGITransport
from tests.builders import SettableClock
from tests.conformance.schemas import check_if_at_hand

POLICY = {"permission": [{"action": "use"}]}
ADDRESS = {"@type": "DataAddress", "endpointType": "urn:hexi:sandbox", "endpoint": "https://provider.test/sandbox"}


class Crash(BaseException):
    """The process dies here; nothing may catch it."""


class Network(httpx.BaseTransport):
    """Hosts by name. `fate(request)` says what becomes of a message; `sent` keeps every message that was tried."""

    def __init__(self) -> None:
        self.hosts: dict[str, ASGITransport] = {}
        self.sent: list[tuple[str, dict[str, Json]]] = []
        self.answers: list[int] = []
        self.held: list[httpx.Request] = []
        self.fate: Callable[[httpx.Request], str] = lambda request: "pass"

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        message = parse(request.read())
        if request.url.path.startswith(PATH):
            check_if_at_hand(message)
        self.sent.append((str(request.url), message))
        fate = self.fate(request)
        if fate == "hold":
            self.held.append(request)
        if fate in {"hold", "lose"}:
            raise httpx.ReadTimeout("lost", request=request)
        if fate == "crash before":
            raise Crash
        answer = self.hand_over(request)
        if fate == "double":
            self.hand_over(request)
        if fate == "crash after":
            raise Crash
        if fate == "lose answer":
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer

    def hand_over(self, request: httpx.Request) -> httpx.Response:
        answer = self.hosts[request.url.host].handle_request(request)
        self.answers.append(answer.status_code)
        return answer

    def types(self) -> list[str]:
        return [str(message["@type"]) for _, message in self.sent]


class Presentations:
    """Takes the Authorization header at its word, as ``did:web:somebody``."""

    def verify(self, header: str | None) -> Caller:
        if not header:
            raise Unauthenticated("no presentation")
        return Caller(header, SimpleNamespace(did=header), "did:web:operator")  # type: ignore[arg-type]


Script = dict[str, Callable[[Process], Action | None]]


@dataclass
class Scripted:
    """Decisions by state; a state not in the script waits. `entered` keeps every state entry."""

    negotiations: Script = field(default_factory=dict)
    transfers: Script = field(default_factory=dict)
    datasets: list[dict[str, Json]] = field(default_factory=list)
    revision: str | None = None
    entered: list[Process] = field(default_factory=list)

    def catalogue(self, session: Session, caller: Caller, wanted: Wanted) -> Page:
        edge = wanted.after if isinstance(wanted.after, int) else wanted.offset - 1
        rows = [(place, dataset) for place, dataset in enumerate(self.datasets) if place > edge]
        return page_of(wanted, rows[: wanted.limit + 1], self.revision)

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        for dataset in self.datasets:
            if dataset["@id"] == dataset_id:
                return dataset
        raise DatasetUnknown("no such dataset")

    def after_negotiation(self, session: Session, process: Process) -> NegotiationAction | None:
        return self._next(self.negotiations, process)  # type: ignore[return-value]

    def after_transfer(self, session: Session, process: Process) -> TransferAction | None:
        return self._next(self.transfers, process)  # type: ignore[return-value]

    def _next(self, script: Script, process: Process) -> Action | None:
        self.entered.append(process)
        return script.get(process.state, lambda _: None)(process)

    def states(self, pid: str) -> list[str]:
        return [process.state for process in self.entered if process.pid == pid]


def offer(target: str = "dataset-1") -> dict[str, Json]:
    return {"@id": f"offer:{target}", "@type": "Offer", "target": target, **POLICY}


def agreement(process: Process) -> dict[str, Json]:
    return {
        "@id": f"urn:uuid:agreement-{process.pid[-12:]}",
        "@type": "Agreement",
        "target": process.dataset_id,
        "assigner": "did:web:provider",
        "assignee": process.counterparty,
        "timestamp": "2026-11-23T08:00:00Z",
        "urn:hexi:signature": "header..signature",
        **POLICY,
    }


PROVIDER_AGREES: Script = {"REQUESTED": lambda p: Agree(agreement(p)), "VERIFIED": lambda p: Finalize()}
PROVIDER_OFFERS: Script = {
    "REQUESTED": lambda p: Offer(offer()),
    "ACCEPTED": lambda p: Agree(agreement(p)),
    "VERIFIED": lambda p: Finalize(),
}
CONSUMER: Script = {"OFFERED": lambda p: Accept(), "AGREED": lambda p: Verify({"urn:hexi:signature": "c..s"})}
PROVIDER_STARTS: Script = {"REQUESTED": lambda p: Start(ADDRESS, {"urn:hexi:note": "hello"})}


class End:
    """One connector: its engine, its application, its database."""

    def __init__(self, name: str, database: Database, network: Network, clock: SettableClock, script: Scripted) -> None:
        self.patience = PATIENCE
        self.did, self.url = f"did:web:{name}", f"http://{name}.test"
        self.database, self.network, self.clock, self.script = database, network, clock, script
        self.receipts: list[tuple[str, Json]] = []
        self.start()

    def start(self) -> None:
        """(Re)start: a new engine and application over the same database."""
        self.engine = Engine(
            self.database,
            self.script,
            Identity(self.did, SigningKey.generate()),
            authorise=lambda audience: self.did,
            own_url=self.url,
            clock=self.clock,
            settings=Settings(unsafe_allow_loopback_callbacks=True, patience=self.patience),
            on_ledger_receipt=lambda session, key, receipt: self.receipts.append((key, receipt)),
            transport=self.network,
        )
        app = create_shell("connector", ServiceSettings(), self.database, create_router(self.engine))
        app.state.presentations = Presentations()
        self.network.hosts[self.url.removeprefix("http://")] = ASGITransport(app)
        self.app = app

    def negotiate(self, provider: "End", target: str = "dataset-1") -> str:
        with self.database.transaction() as session:
            return self.engine.request_negotiation(session, provider.did, provider.url + PATH, offer(target)).pid

    def ask(self, provider: "End", agreement_id: str) -> str:
        with self.database.transaction() as session:
            order = {"urn:hexi:order": "order.jws.x"}
            address = provider.url + PATH
            return self.engine.request_transfer(session, provider.did, address, agreement_id, "SQL", order).pid

    def act(self, pid: str, action: Action) -> None:
        with self.database.transaction() as session:
            if isinstance(action, NegotiationAction):
                self.engine.act_negotiation(session, pid, action)
            else:
                self.engine.act_transfer(session, pid, action)

    def side_of(self, pid: str) -> Process | None:
        """This end's process of the two that their opener knows as `pid`, if it has heard of it."""
        ours = Role(self.did.removeprefix("did:web:"))
        other = f"did:web:{ours.other}"
        with self.database.reading() as session:
            answering = (store.process_of_peer(session, kind, ours, other, pid) for kind in Kind)
            return store.read_process(session, pid) or next(filter(None, answering), None)

    def process(self, pid: str) -> Process:
        return next(process for process in self.processes() if process.pid == pid)

    def processes(self) -> list[Process]:
        with self.database.reading() as session:
            return [process for kind in Kind for process in self.engine.processes(session, kind)]

    def call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        by: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Somebody calls this connector."""
        with httpx.Client(transport=ASGITransport(self.app), base_url=self.url) as client:
            sent = ({"Authorization": by} if by else {}) | (headers or {})
            return client.request(method, path, json=body, headers=sent)


class Pair:
    """A provider and a consumer."""

    def __init__(self, databases: Iterable[Database], clock: SettableClock) -> None:
        self.network, self.clock = Network(), clock
        ours, theirs = databases
        self.provider = End(
            "provider", ours, self.network, clock, Scripted(dict(PROVIDER_AGREES), dict(PROVIDER_STARTS))
        )
        self.consumer = End("consumer", theirs, self.network, clock, Scripted(dict(CONSUMER)))

    def run(self, rounds: int = 40) -> None:
        """Deliver until nothing is on its way any more."""
        for _ in range(rounds):
            with suppress(Crash):
                tried = self.provider.engine.deliver_due() + self.consumer.engine.deliver_due()
                if not tried and not self.waiting():
                    return
            self.clock.advance(seconds=100)
        raise AssertionError("still not at rest")

    def waiting(self) -> bool:
        found = 0
        for end in (self.provider, self.consumer):
            with end.database.reading() as session:
                found += sum(store.count_items(session, kind, OutboxState.PENDING) for kind in ("peer", "ledger"))
        return found > 0

    def other(self, pid: str) -> Process:
        """The provider's process for the consumer's `pid`."""
        return next(process for process in self.provider.processes() if process.peer_pid == pid)

    def states(self, pid: str) -> tuple[str, str]:
        """The consumer's state and the provider's."""
        return self.consumer.process(pid).state, self.other(pid).state

    def concluded(self) -> tuple[str, str]:
        """The consumer's pid of a finalized negotiation, and its agreement's id."""
        pid = self.consumer.negotiate(self.provider)
        self.run()
        assert self.states(pid) == ("FINALIZED", "FINALIZED")
        return pid, str(self.consumer.process(pid).agreement_id)


def may_follow(kind: str, before: str | None, after: str) -> bool:
    """Whether some end's message leads from `before` to `after`."""
    table: Any = negotiation.TRANSITIONS if kind == "negotiation" else transfer.TRANSITIONS
    return any((s, str(t)) == (before, after) for (_, s, _), t in table.items())
