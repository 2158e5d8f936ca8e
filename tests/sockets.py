"""Peers on real sockets: one that says whatever a test wants, and a way from the simulator to a served application."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import uvicorn
from fastapi import FastAPI

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
# How long a peer speaks to somebody who does not hang up, in seconds: then the test fails instead of lasting for ever.
PATIENCE_SECONDS = 20.0


class Peer:
    """A server for one request. `hung_up`: whether whoever asked has gone before the peer ran out of patience."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = b""
        self.hung_up = False


@contextmanager
def peer(*first: bytes, on: bytes = b"", every: float = 0.0) -> Iterator[Peer]:
    """Says `first`, and then `on` again and again, `every` so many seconds; without `on` nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        made = Peer(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(PATIENCE_SECONDS)
                made.asked = connection.recv(65_536)
                try:
                    _speak(connection, first, on, every)
                except TimeoutError:
                    return
                except OSError:
                    made.hung_up = True

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield made
        finally:
            thread.join(2 * PATIENCE_SECONDS)


def _speak(connection: socket.socket, first: tuple[bytes, ...], on: bytes, every: float) -> None:
    for said in first:
        connection.sendall(said)
    until = time.monotonic() + PATIENCE_SECONDS
    while on and time.monotonic() < until:
        connection.sendall(on)
        if every:
            time.sleep(every)
    if not on and connection.recv(1) == b"":
        raise ConnectionResetError


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of `app` on a real socket. Its lifespan is not run."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Way(httpx.BaseTransport):
    """Requests for another host, sent to a served application."""

    def __init__(self, url: str) -> None:
        self._to, self._http = httpx.URL(url), httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self._to.host, port=self._to.port)
        return self._http.handle_request(request)

    def close(self) -> None:
        with suppress(OSError):
            self._http.close()
