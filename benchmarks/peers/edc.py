"""EDC's pair: two runtimes of Eclipse EDC that deal with each other, put together by Maven (tests/conformance/edc).

At EDC's own pace its state machines rest a second between two looks; at a faster one as many milliseconds as it is
told. Its stores are in memory, or on one PostgreSQL with durable commits. A transfer start is an HTTP push of a few
bytes, which works out of the box; both ends run control plane and data plane in one process.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.machine import resident_megabytes
from benchmarks.peers import SETTLE_SECONDS, Connection, Seen
from benchmarks.peers.database import database_server
from examples.longyizhen.processes import Services, free_ports
from tests.conformance.edc import management
from tests.conformance.edc.management import Management
from tests.conformance.edc.runtime import FOLDER, ON_POSTGRESQL, Database, Edc, start_edc, version
from tests.conformance.edc.web import Web
from tests.conformance.maven import class_path

PROVIDER, CONSUMER = "edc-provider", "edc-consumer"
ASSET = "visits"
_GIVEN_UP = {"TERMINATING", "TERMINATED"}


@dataclass(frozen=True)
class EdcPair:
    """Two EDCs; the provider offers one asset."""

    name: str
    consumer: Edc
    provider: Edc
    others: Mapping[str, int]
    start_seconds: Sequence[float]
    idle_megabytes: Sequence[float]
    offer: Mapping[str, Any]
    sink: str

    @property
    def ends(self) -> Mapping[str, int]:
        """Consumer and provider."""
        return {"consumer": _pid(self.consumer), "provider": _pid(self.provider)}

    def client(self) -> "EdcClient":
        """A client for one thread."""
        return EdcClient(self)


class EdcClient:
    """The consumer's management API."""

    def __init__(self, pair: EdcPair) -> None:
        address = urlsplit(pair.consumer.management_url)
        self._base = f"{address.path}/v3"
        self._pair = pair
        self._http = Connection("127.0.0.1", address.port or 0, {})

    def negotiate(self) -> str:
        """Start a negotiation over the one asset."""
        asked = management.contract_request(PROVIDER, self._pair.provider.dsp_url, dict(self._pair.offer))
        return str(self._http.call("POST", f"{self._base}/contractnegotiations", asked)["@id"])

    def negotiation(self, process: str) -> Seen:
        """How it stands."""
        return _seen(self._http.call("GET", f"{self._base}/contractnegotiations/{process}"), {"FINALIZED"})

    def transfer(self, agreement: str) -> str:
        """Ask for a push of the asset."""
        asked = management.transfer_request(PROVIDER, self._pair.provider.dsp_url, agreement, self._pair.sink)
        return str(self._http.call("POST", f"{self._base}/transferprocesses", asked)["@id"])

    def transfer_status(self, process: str) -> Seen:
        """How it stands; what is over so soon has been started."""
        wanted = {"STARTED", "COMPLETING", "COMPLETED"}
        return _seen(self._http.call("GET", f"{self._base}/transferprocesses/{process}"), wanted)

    def catalogue_page(self, offset: int, limit: int = 50) -> int:
        """Ask the provider for a page of its catalogue, through the consumer; returns how many datasets came."""
        asked = management.catalogue_request(PROVIDER, self._pair.provider.dsp_url, limit, offset)
        found = self._http.call("POST", f"{self._base}/catalog/request", asked).get("dataset", [])
        return len(found) if isinstance(found, list) else 1


@contextmanager
def edc_pair(folder: Path, *, tick_milliseconds: int | None = None, on_postgresql: bool = False) -> Iterator[EdcPair]:
    """Start both below `folder`, and stop them at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_now:
        services = open_now.enter_context(Services(folder))
        web = open_now.enter_context(Web())
        databases: list[Database | None] = [None, None]
        others: dict[str, int] = {}
        if on_postgresql:
            databases, others["PostgreSQL"] = open_now.enter_context(_databases(folder, 2))
        class_path(ON_POSTGRESQL if on_postgresql else FOLDER)  # before the clock runs
        edcs, started = [], []
        for name, database in zip((CONSUMER, PROVIDER), databases, strict=True):
            begun = time.monotonic()
            edcs.append(start_edc(services, name, tick_milliseconds=tick_milliseconds, database=database))
            started.append(time.monotonic() - begun)
        consumer, provider = edcs
        time.sleep(SETTLE_SECONDS)
        idle = [resident_megabytes(_pid(edc)) for edc in edcs]
        web.files[ASSET] = b"one,two\n1,2\n"
        offer = _offered(consumer, provider, web.url(ASSET))
        pace = "default ticks" if tick_milliseconds is None else f"{tick_milliseconds} ms ticks"
        stores = "PostgreSQL" if on_postgresql else "in memory"
        name = f"EDC {version()}, {pace}, {stores}"
        yield EdcPair(name, consumer, provider, others, started, idle, offer, web.url("sink"))


def add_assets(pair: EdcPair, first: int, last: int) -> None:
    """Let the provider offer as many assets more, for the catalogue's question."""
    at = Management.at(pair.provider.management_url)
    try:
        for number in range(first, last):
            at.offer_asset(f"asset-{number:06}", "http://127.0.0.1:9/nothing")
    finally:
        at.http.close()


def _offered(consumer: Edc, provider: Edc, source: str) -> dict[str, Any]:
    """The asset, offered by the provider, and its offer as the consumer finds it."""
    at_provider, at_consumer = Management.at(provider.management_url), Management.at(consumer.management_url)
    try:
        at_provider.open_to_everybody()
        at_provider.offer_asset(ASSET, source)
        found = at_consumer.catalogue(PROVIDER, provider.dsp_url)
        (dataset,) = found["dataset"] if isinstance(found["dataset"], list) else [found["dataset"]]
        policy = dataset["hasPolicy"]
        return {**(policy[0] if isinstance(policy, list) else policy), "target": ASSET}
    finally:
        at_provider.http.close()
        at_consumer.http.close()


@contextmanager
def _databases(folder: Path, count: int) -> Iterator[tuple[list[Database | None], int]]:
    """Databases on a server of their own that listens on loopback: Java's driver knows no Unix sockets."""
    (port,) = free_ports(1)
    with database_server(folder, port=port) as (server, pid):
        made: list[Database | None] = []
        for _ in range(count):
            name = f"edc_{uuid.uuid4().hex[:12]}"
            with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            made.append(Database(f"jdbc:postgresql://127.0.0.1:{port}/{name}", "postgres", "postgres"))
        yield made, pid


def _pid(edc: Edc) -> int:
    assert edc.service.process is not None
    return edc.service.process.pid


def _seen(process: dict[str, Any], wanted: set[str]) -> Seen:
    state = str(process["state"])
    agreement = process.get("contractAgreementId")
    return Seen(
        state, state in wanted, state in {"TERMINATED", "TERMINATING"}, agreement, process.get("errorDetail", "")
    )
