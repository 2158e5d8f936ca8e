"""The client shell every ``client.py`` calls through.

It turns problem+json back into `RemoteProblem` and a dead peer into `Unreachable`. It stands apart from `hexi.web` so
that a command that only calls a service need not wait for what serves one.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from hexi.canonical import Json, parse
from hexi.errors import Malformed, RemoteProblem, Unavailable

# How long a call to another service may take, in seconds: connecting, and each read. A sandboxed run is the slowest.
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
# How long an idle connection is kept, in seconds: less than any server keeps it (uvicorn five), or a call may be sent
# into a connection that is just being closed.
KEEP_SECONDS = 3.0
LIMITS = httpx.Limits(keepalive_expiry=KEEP_SECONDS)
# What is read of a stream, in bytes: the longest line, and all of it. Ours have some hundred bytes a line.
MAX_LINE_BYTES, MAX_STREAM_BYTES = 64 * 1024, 4 * 1024 * 1024
# How long a stream may take for its next line, in seconds, however its bytes come in: ours say every 15 that they live.
LINE_SECONDS = 60.0

_Message = TypeVar("_Message", bound=BaseModel)


class Unreachable(Unavailable):
    """Another service did not answer at all."""

    code = "hexi.unreachable"
    title = "A service does not answer"


class ServiceClient:
    """Calls to one service. `transport` lets tests put an application in memory in place of the network.

    `authorise` is asked for a fresh ``Authorization`` value before each call; None sends none.
    """

    def __init__(
        self,
        base_url: str,
        service: str,
        *,
        authorise: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: float = READ_SECONDS,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._service = service
        self._authorise = authorise
        self._transport = transport
        self._timeout = httpx.Timeout(timeout, connect=CONNECT_SECONDS)

    @cached_property
    def _http(self) -> httpx.Client:
        verify: ssl.SSLContext | bool = tls_context() if self._transport is None else True
        return httpx.Client(
            transport=self._transport, verify=verify, timeout=self._timeout, limits=LIMITS, follow_redirects=False
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, public: bool = False) -> Json:
        """GET and return the JSON answer. `public`: without saying who asks, which costs a signature.

        Raises `RemoteProblem`, `Unreachable`.
        """
        return self.call("GET", path, params=params, public=public)

    def post(self, path: str, body: Json = None) -> Json:
        """POST JSON and return the JSON answer. Raises `RemoteProblem`, `Unreachable`."""
        return self.call("POST", path, body=body)

    def put(self, path: str, body: Json = None) -> Json:
        """PUT JSON and return the JSON answer. Raises `RemoteProblem`, `Unreachable`."""
        return self.call("PUT", path, body=body)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Json = None,
        public: bool = False,
    ) -> Json:
        """Any call; an empty answer is None. Raises `RemoteProblem`, `Unreachable`."""
        answer = self.raw(method, path, params=params, body=body, public=public)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Unreachable(f"{self._service} at {self.base_url} answered something that is not JSON") from error

    def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Json = None,
        public: bool = False,
    ) -> httpx.Response:
        """The answer as it came, if it is a success. Raises `RemoteProblem`, `Unreachable`."""
        headers = {"Authorization": self._authorise()} if self._authorise and not public else {}
        try:
            answer = self._asked(method, self.base_url + path, params=params, json=body, headers=headers)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Unreachable(f"{self.base_url!r} is no address such as http://127.0.0.1:8080") from error
        except httpx.HTTPError as error:
            kind = type(error).__name__
            raise Unreachable(f"{self._service} at {self.base_url} does not answer ({kind}); is it running?") from error
        if answer.is_success:
            return answer
        raise RemoteProblem(answer.status_code, _problem_of(answer), self._service)

    def _asked(self, method: str, url: str, **rest: Any) -> httpx.Response:
        """One call; a GET again if the connection was closed without an answer, for asking twice asks for nothing."""
        try:
            return self._http.request(method, url, **rest)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            if method != "GET":
                raise
            return self._http.request(method, url, **rest)

    @contextmanager
    def lines(
        self, path: str, headers: Mapping[str, str], params: Mapping[str, Any] | None = None
    ) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come, while the block lasts. Raises `RemoteProblem`, `Unreachable`.

        The peer holds nobody: a longer line, a longer answer, or a line that is not there in time ends it (see
        `MAX_LINE_BYTES`, `LINE_SECONDS`). Nothing is unpacked on the way: few bytes could become many.
        """
        shown = {"Authorization": self._authorise()} if self._authorise else {}
        headers = {"Accept-Encoding": "identity", **headers, **shown}
        timeout = httpx.Timeout(LINE_SECONDS, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(
                "GET", self.base_url + path, params=params, headers=headers, timeout=timeout
            ) as answer:
                lines = self._lines(answer)
                if not answer.is_success:
                    raise RemoteProblem(answer.status_code, _object_in("".join(lines)), self._service)
                yield lines
        except httpx.HTTPError as error:
            kind = type(error).__name__
            raise Unreachable(f"{self._service} at {self.base_url} does not answer ({kind}); is it running?") from error

    def _lines(self, answer: httpx.Response) -> Iterator[str]:
        held, told, until = bytearray(), 0, time.monotonic() + LINE_SECONDS
        for chunk in answer.iter_raw():
            held += chunk
            lines = []
            if b"\n" in chunk:
                *lines, held = held.split(b"\n")
            told += len(chunk)
            late = not lines and time.monotonic() > until
            if late or told > MAX_STREAM_BYTES or max(map(len, (held, *lines))) > MAX_LINE_BYTES:
                raise Unreachable(f"{self._service} at {self.base_url} sends lines that do not end, or too many")
            for line in lines:
                yield _text(line)
            if lines:  # how long whoever reads took for them is not the peer's doing
                until = time.monotonic() + LINE_SECONDS
        if held:
            yield _text(held)

    def read(self, message: type[_Message], answer: Json) -> _Message:
        """`answer` as the `message` it should be. Raises `Unreachable`: what speaks otherwise is not this service."""
        try:
            return message.model_validate(answer)
        except ValidationError as error:
            raise Unreachable(
                f"{self._service} at {self.base_url} answered something else than its interface says"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        if "_http" in vars(self):
            self._http.close()


@cache
def tls_context() -> ssl.SSLContext:
    """How this process trusts servers: by the certificates httpx brings, or those that ``SSL_CERT_FILE`` names.

    One for all clients (they may share it between threads), made for the first call: reading the certificates takes
    16 ms and 0.8 MB each time.
    """
    return httpx.create_ssl_context()


def trusted_certificates() -> bytes:
    """What `tls_context` trusts, as PEM: for a library that brings a TLS of its own."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, tls_context().get_ca_certs(binary_form=True))).encode()


class Network(httpx.BaseTransport):
    """The network as httpx knows it, opened with the first request."""

    def __init__(self, limits: httpx.Limits = LIMITS) -> None:
        self._limits = limits

    @cached_property
    def _opened(self) -> httpx.HTTPTransport:
        return httpx.HTTPTransport(verify=tls_context(), limits=self._limits)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        return self._opened.handle_request(request)

    def close(self) -> None:
        """Close what was opened."""
        if "_opened" in vars(self):
            self._opened.close()


def _text(line: bytearray) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")


def _object_in(text: str) -> Mapping[str, Any]:
    try:
        body = parse(text)
    except Malformed:
        body = None
    return body if isinstance(body, dict) else {}


def _problem_of(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}
