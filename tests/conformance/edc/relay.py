"""A relay before somebody's protocol address: it passes messages on, and can do to them what networks do.

    with Relay("http://127.0.0.1:8081") as relay:
        ...                                    # every message once
        relay.way = twice                      # every message twice at once
        relay.way = answer_lost                # the first answer to each message never comes back: it is sent again
        relay.way = held("termination")        # nothing with that in its path gets through for now

What it passed on is in `passed`. A message that is sent again by its sender is a real repetition: the same @id.
"""

import http.client
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.conformance.edc.web import read_body

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Sent:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The protocol's message in it; none in a question, nor in the data that are pushed by the same way."""
        kinds = [value for name, value in self.headers.items() if name.lower() == "content-type"]
        return dict(json.loads(self.body)) if self.body and "json" in "".join(kinds) else {}

    @property
    def type(self) -> str:
        """Its kind."""
        return str(self.message.get("@type", ""))


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: bytes = b""


UNAVAILABLE = Answered(503, b"{}")
# What a way does with a request: it may pass it on, as often as it likes, and says what the sender hears.
Way = Callable[["Relay", Sent], Answered]


class Relay:
    """Listens on loopback and passes on to `target`, the base address of whoever stands behind it."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self.way: Way = once
        self.passed: list[tuple[Sent, Answered]] = []
        self.lost: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its own base address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pass_on(self, sent: Sent) -> Answered:
        """Pass a request on, as it came, and give back the answer."""
        connection = http.client.HTTPConnection(str(self._target.hostname), self._target.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(sent.method, sent.path, sent.body or None, sent.headers)
            answer = connection.getresponse()
            answered = Answered(answer.status, answer.read())
        except OSError:
            answered = UNAVAILABLE
        finally:
            connection.close()
        with self._lock:
            self.passed.append((sent, answered))
        return answered

    def is_first(self, mark: str) -> bool:
        """Whether `mark` was not asked about before."""
        with self._lock:
            first = mark not in self.lost
            self.lost.add(mark)
            return first


def once(relay: Relay, sent: Sent) -> Answered:
    """As it should be."""
    return relay.pass_on(sent)


def twice(relay: Relay, sent: Sent) -> Answered:
    """Two at the same time; the sender hears the answer to one of them."""
    if not sent.message:
        return relay.pass_on(sent)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(relay.pass_on, (sent, sent)))
    return min(answers, key=lambda answer: answer.status)


def answer_lost(relay: Relay, sent: Sent) -> Answered:
    """The message arrives, and its first answer does not."""
    answered = relay.pass_on(sent)
    identifier = sent.message.get("@id")
    return UNAVAILABLE if identifier and relay.is_first(f"{sent.path} {identifier}") else answered


def held(what: str) -> Way:
    """Nothing whose path has `what` in it gets through; the sender is told to come back."""

    def way(relay: Relay, sent: Sent) -> Answered:
        return UNAVAILABLE if what in sent.path else relay.pass_on(sent)

    return way


def _handler(relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                body = read_body(self)
            except OSError:
                self.close_connection = True
                return
            wanted = {name: value for name, value in self.headers.items() if name.lower() in _HEADERS}
            answered = relay.way(relay, Sent(self.command, self.path, wanted, body))
            self.send_response(answered.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answered.body)))
            self.end_headers()
            self.wfile.write(answered.body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


_HEADERS = {"authorization", "content-type", "accept"}
