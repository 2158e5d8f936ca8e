"""Asking a peer for a page: one request, to the peer and nowhere else, that ends in time and in memory."""

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from connector.crawler.errors import CatalogueUnusable
from connector.crawler.pages import MAX_PAGE_BYTES, Answer
from connector.crawler.steps import Question
from connector.protocol.callbacks import peer_transport
from hexi.canonical import encode
from hexi.client import Unreachable

# How long a peer may take to connect, to send the next bytes, and for a page from beginning to end, in seconds. Large
# catalogues of other makes take half a second for a page of ours.
CONNECT_SECONDS, READ_SECONDS, PAGE_SECONDS = 5.0, 15.0, 30.0

_SECONDS = re.compile(r"\d{1,6}")


class Asker:
    """Asks. `authorise` gives an ``Authorization`` value for a call to the participant with that DID; `transport`
    replaces the network; a page takes `seconds` at most."""

    def __init__(
        self,
        authorise: Callable[[str], str],
        *,
        unsafe_allow_loopback: bool,
        transport: httpx.BaseTransport | None = None,
        seconds: float = PAGE_SECONDS,
    ) -> None:
        self._authorise = authorise
        self._seconds = seconds
        self._until = _Deadline()
        guarded = peer_transport(unsafe_allow_loopback=unsafe_allow_loopback, through=self._until.over)
        # No proxies or credentials from the environment, and no redirects: the peer, or nobody.
        self._http = httpx.Client(
            transport=transport or guarded,
            timeout=httpx.Timeout(min(READ_SECONDS, seconds), connect=min(CONNECT_SECONDS, seconds)),
            trust_env=False,
            follow_redirects=False,
        )

    def authorisation(self, did: str) -> str:
        """What shows `did` who asks. Raises what the membership raises while we have none."""
        return self._authorise(did)

    def ask(self, asked: Question, authorisation: str) -> Answer:
        """The answer, whatever its status. Raises `CallbackRefused`, `Unreachable`, `CatalogueUnusable`.

        A compressed answer is refused, for it could be any length: we said that we take none.
        """
        headers = {"Authorization": authorisation, "Accept": "application/json", "Accept-Encoding": "identity"}
        if asked.tag:
            headers["If-None-Match"] = asked.tag
        content = None
        if asked.posted:
            headers["Content-Type"] = "application/json"
            content = encode(asked.body)
        self._until.begin(self._seconds)
        try:
            method = "POST" if asked.posted else "GET"
            with self._http.stream(method, asked.url, content=content, headers=headers) as answer:
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise CatalogueUnusable("the answer is compressed, which was not asked for")
                wait = answer.headers.get("Retry-After", "")
                return Answer(
                    answer.status_code,
                    self._read(answer) if answer.status_code == 200 else b"",
                    answer.headers.get("Link", ""),
                    answer.headers.get("ETag", ""),
                    float(wait) if _SECONDS.fullmatch(wait) else 0.0,
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"nobody answered in time ({type(error).__name__})") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _read(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        for chunk in answer.iter_raw():
            content += chunk
            if len(content) > MAX_PAGE_BYTES:
                raise CatalogueUnusable(f"the page is longer than {MAX_PAGE_BYTES} bytes")
            self._until.check()
        return bytes(content)


class _Until(threading.local):
    """Each thread's own moment."""

    moment = 0.0


class _Deadline:
    """Ends what a thread reads once its time is up: a byte now and then would hold the thread for ever."""

    def __init__(self) -> None:
        self._of_thread = _Until()

    def begin(self, seconds: float) -> None:
        self._of_thread.moment = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """The seconds left, or `timeout` if that is less. Raises `httpcore.ReadTimeout` if there are none."""
        left = self._of_thread.moment - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer does not end")
        return left if timeout is None else min(left, timeout)

    def check(self) -> None:
        """Raise `httpx.ReadTimeout` if there is no time left."""
        if time.monotonic() > self._of_thread.moment:
            raise httpx.ReadTimeout("the answer does not end")

    def over(self, network: httpcore.NetworkBackend) -> httpcore.NetworkBackend:
        """`network`, of whose connections every read keeps to the deadline."""
        return _TimedNetwork(network, self)


class _TimedNetwork(httpcore.NetworkBackend):
    def __init__(self, network: httpcore.NetworkBackend, until: _Deadline) -> None:
        self._network = network
        self._until = until

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._until.left(timeout)
        return _TimedStream(self._network.connect_tcp(host, port, left, local_address, socket_options), self._until)


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, until: _Deadline) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._until.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._until.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._until.left(timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
