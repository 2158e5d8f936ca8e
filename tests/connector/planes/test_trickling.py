"""Providers that send a byte now and then: every timeout of the network is kept, and nobody is held by it."""

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from connector.deliveries import store
from connector.deliveries.downloads import MAX_ATTEMPTS
from connector.deliveries.tokens import DownloadInterrupted, authorization
from connector.protocol.callbacks import peer_transport
from tests.connector.crawler.peers import serving
from tests.connector.planes.delivery import CONTENT, Offered
from tests.simulator import Dataspace

PULL = "HttpData-PULL"


@pytest.fixture
def offered(dataspace: Dataspace, tmp_path: Path) -> Offered:
    path = tmp_path / "visits.csv"
    path.write_bytes(CONTENT)
    return Offered(dataspace, path)


class Rerouted(httpx.BaseTransport):
    """The real network, where everything of the provider is at the address `instead`."""

    def __init__(self, deliveries: Any, instead: str) -> None:
        self._network = peer_transport(unsafe_allow_loopback=True, through=deliveries.downloads.deadline.over)
        self._instead = urlsplit(instead)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self._instead.hostname, port=self._instead.port)
        return self._network.handle_request(request)

    def close(self) -> None:
        self._network.close()


@pytest.fixture
def led(offered: Offered) -> Iterator[Callable[[str], Any]]:
    """Leads what the consumer fetches to an address, within limits that a test can wait for; gives its deliveries."""
    deliveries = offered.space.consumer.app.state.deliveries
    clients: list[httpx.Client] = []

    def lead(address: str) -> Any:
        clients.append(httpx.Client(transport=Rerouted(deliveries, address)))
        for one, limits in (
            (deliveries.downloads, {"window_seconds": 0.2, "least_window_bytes": 1_000}),
            (deliveries.tokens, {"seconds": 0.2}),
        ):
            for name, value in {"client": clients[-1], **limits}.items():
                object.__setattr__(one, name, value)
        return deliveries

    yield lead
    for client in clients:
        client.close()


def trickling(head: bytes) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    """`head`, and then a byte now and then, ten seconds long."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(head)
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    return respond


HEADS = {
    "status line": b"",
    "headers": b"HTTP/1.1 200 OK\r\nX-Padding: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
}


@pytest.mark.parametrize("place", HEADS)
def test_a_download_that_trickles_is_interrupted_and_given_up(
    offered: Offered, tmp_path: Path, led: Callable[[str], Any], place: str
) -> None:
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    with serving(trickling(HEADS[place])) as address:
        deliveries = led(address)
        assert deliveries.downloads.step()
        seen = offered.space.consumer.client.delivery(transfer)
        assert (seen.state, seen.error) == (
            "WAITING",
            "the provider's data plane sent less than 1000 bytes in 0.2 s",
        )
        assert bool(seen.bytes) == (place == "body"), "what came is kept"
        with offered.space.consumer.app.state.database.transaction() as session:
            arrival = store.arrival(session, transfer)
            assert arrival is not None
            assert arrival.attempts == 1, "a few bytes are no progress"
            object.__setattr__(arrival, "attempts", MAX_ATTEMPTS - 1)
            store.save_arrival(session, arrival)
        offered.space.clock.advance(minutes=1)
        assert deliveries.downloads.step()
    assert offered.space.consumer.client.delivery(transfer).state == "FAILED"


def test_a_download_that_keeps_to_the_least_rate_may_take_longer_than_a_window(
    offered: Offered, tmp_path: Path, led: Callable[[str], Any]
) -> None:
    def steadily(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n")
        for _ in range(16):
            handler.wfile.write(b"y" * 1_000)
            time.sleep(0.15)

    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    with serving(steadily) as address:
        deliveries = led(address)
        object.__setattr__(deliveries.downloads, "window_seconds", 2.0)
        assert deliveries.downloads.step()
    assert offered.space.consumer.client.delivery(transfer).state == "DONE"
    assert (tmp_path / "arrived").read_bytes() == b"y" * 16_000


@pytest.mark.parametrize("place", HEADS)
def test_a_renewal_that_trickles_is_given_up_and_left_to_the_next(
    offered: Offered, led: Callable[[str], Any], place: str
) -> None:
    transfer = offered.ask(PULL)
    with serving(trickling(HEADS[place])) as address:
        tokens = led(address).tokens
        with pytest.raises(DownloadInterrupted):
            tokens.renewed(transfer, refused=authorization(tokens.current(transfer)))
    with offered.space.consumer.app.state.database.reading() as session:
        access = store.access(session, transfer)
    assert access is not None
    assert access.renewing is None
