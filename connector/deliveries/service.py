"""Deliveries, put together: what leaves by push, what comes by pull or push, and the threads for both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from connector.deliveries import store
from connector.deliveries.clearing import Clearing
from connector.deliveries.downloads import Downloads
from connector.deliveries.ended import OnEnded
from connector.deliveries.pushes import CONNECT_SECONDS, STALL_SECONDS, Pushes
from connector.deliveries.receiving import Receiving
from connector.deliveries.tokens import Tokens, authorization
from connector.deliveries.uploads import Uploads
from connector.deliveries.worker import DeliveryWorker
from connector.formats import COMPUTED
from connector.planes.handovers import Handovers
from connector.planes.http_pull import FORMAT as PULL
from connector.planes.http_push import FORMAT as PUSH
from connector.planes.s3_push import FORMAT as S3
from connector.protocol.callbacks import peer_transport
from connector.protocol.deadlines import Deadline
from connector.protocol.engine import Engine
from connector.protocol.transfer import State
from connector.settings import ConnectorSettings
from connector.sources.descriptions import Sources
from hexi.canonical import Clock, Json, instant
from hexi.errors import Conflict
from sandbox import owners


class NotFetched(Conflict):
    """A transfer that is not ours to fetch now: as provider, by its format, or in its state."""

    code = "connector.not-fetched"


@dataclass(frozen=True)
class Deliveries:
    """Everything about deliveries that the management API reaches, and what the worker does."""

    engine: Engine
    receiving: Receiving
    pushes: Pushes
    downloads: Downloads
    clearing: Clearing
    tokens: Tokens
    clients: tuple[httpx.Client, ...]
    clock: Clock

    def worker(self) -> DeliveryWorker:
        """The threads, not yet started."""
        return DeliveryWorker([self.pushes.step, self._fetch_or_clear])

    def _fetch_or_clear(self) -> bool:
        return self.downloads.step() or self.clearing.step()

    def recover(self) -> None:
        """Take up at once what processes that are gone had under way."""
        with self.engine.database.transaction() as session:
            store.release(session, instant(self.clock()), owners.is_alive)

    def fetch(self, pid: str, target: Path | None) -> dict[str, Json]:
        """Fetch the data of a transfer in the background. The same again changes nothing, unless it had failed.

        Raises `ProcessUnknown`, `NotFetched`, `PlaceTaken`.
        """
        with self.engine.database.transaction() as session:
            process = self.engine.transfer(session, pid)
            if process.role != "consumer" or process.format not in {PULL, PUSH}:
                raise NotFetched(f"as {process.role} nothing is fetched under a transfer of format {process.format}")
            if process.format == PULL:
                self.receiving.expect(session, pid, store.Way.PULL, target)
        return self.view(pid)

    def access(self, pid: str, refused: str | None) -> dict[str, Json]:
        """Where our own programs fetch the data of a transfer, and what they show there; newer than `refused`.

        Raises `ProcessUnknown`, `NotFetched`, `DownloadRefused`, `DownloadInterrupted`.
        """
        with self.engine.database.reading() as session:
            process = self.engine.transfer(session, pid)
        fetched = process.role == "consumer" and process.format is not None and process.format not in {PUSH, S3}
        if not fetched or process.format in COMPUTED:
            raise NotFetched(f"as {process.role} nothing is fetched under a transfer of format {process.format}")
        if process.state != State.STARTED:
            why = "; ".join((f"the transfer is {process.state}", *map(str, process.reason)))
            raise NotFetched(f"{why}; data are fetched while it is STARTED")
        address = self.tokens.current(pid) if refused is None else self.tokens.renewed(pid, refused=refused)
        return {
            "transfer": pid,
            "providerTransfer": process.peer_pid,
            "format": process.format,
            "endpoint": address.get("endpoint", ""),
            "endpointType": address.get("endpointType"),
            "authorization": authorization(address),
        }

    def view(self, pid: str) -> dict[str, Json]:
        """Where a delivery stands. Raises `DeliveryUnknown`, `ProcessUnknown`."""
        return self.receiving.view(pid) | {"bytesPerSecond": self.downloads.rate(pid)}

    def close(self) -> None:
        """Close the connections."""
        for client in self.clients:
            client.close()


def deliveries(
    settings: ConnectorSettings,
    engine: Engine,
    sources: Sources,
    handovers: Handovers,
    authorise: Callable[[str], str],
    clock: Clock,
    transport: httpx.BaseTransport | None,
    on_ended: OnEnded,
) -> Deliveries:
    """The deliveries of one connector. `transport` replaces the network; `on_ended` is told of each that has ended."""
    loopback, deadline = settings.allows_loopback, Deadline()
    sending = _client(transport or peer_transport(unsafe_allow_loopback=loopback))
    fetching = _client(transport or peer_transport(unsafe_allow_loopback=loopback, through=deadline.over))
    receiving = Receiving(engine, settings.home, settings.url, clock, on_ended)
    tokens = Tokens(engine, fetching, deadline, authorise, clock, loopback)
    return Deliveries(
        engine,
        receiving,
        Pushes(engine, sources, handovers, sending, Uploads(engine.database, loopback), clock, loopback, on_ended),
        Downloads(engine, receiving, tokens, fetching, deadline, clock),
        Clearing(engine.database, receiving, clock),
        tokens,
        (sending, fetching),
        clock,
    )


def _client(transport: httpx.BaseTransport) -> httpx.Client:
    """No proxies or credentials from the environment, and no redirects: a checked address, or none."""
    timeout = httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS)
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)
