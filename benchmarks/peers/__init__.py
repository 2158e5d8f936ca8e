"""The pairs of connectors a benchmark compares: a consumer and a provider of one make, up and ready to deal.

Both makes are measured by the same load, from the same client process, on the same machine.
"""

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# How long one answer of a management API may take, in seconds.
ANSWER_SECONDS = 60.0
# A connection that was idle for longer than this, in seconds, is not used again; uvicorn closes them after five.
IDLE_SECONDS = 2.0
# How long a fresh end is left alone before its memory is read, in seconds.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Seen:
    """A negotiation or transfer as the consumer's management API shows it.

    `done`: it got where it should (a negotiation is concluded, a transfer is started). `failed`: it never will.
    """

    state: str
    done: bool
    failed: bool
    agreement: str | None = None
    why: str = ""


class Client(Protocol):
    """What one load thread does to the consumer, over a connection of its own."""

    def negotiate(self) -> str:
        """Start a negotiation over the pair's offer; returns its id."""

    def negotiation(self, process: str) -> Seen:
        """How it stands."""

    def transfer(self, agreement: str) -> str:
        """Ask for a transfer under a concluded agreement; returns its id."""

    def transfer_status(self, process: str) -> Seen:
        """How it stands."""


class Pair(Protocol):
    """Two connectors of one make that are up."""

    @property
    def name(self) -> str:
        """The make and how it is set up, for the table."""

    @property
    def ends(self) -> Mapping[str, int]:
        """The processes of both ends: name -> pid. CPU and memory are counted for each with all its children."""

    @property
    def others(self) -> Mapping[str, int]:
        """What both ends need besides: a database server, a space."""

    @property
    def start_seconds(self) -> Sequence[float]:
        """How long each end took from its start to its first answer."""

    @property
    def idle_megabytes(self) -> Sequence[float]:
        """What each end held a second after that, before anybody asked it for anything."""

    def client(self) -> Client:
        """A client for one thread."""


class Refused(Exception):
    """A management API answered with an error."""


class Connection:
    """JSON over one kept connection: as little client as there can be, so that it is not what is measured."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        self._http = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        self._headers = {"Content-Type": "application/json", **headers}
        self._used = time.monotonic()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer. Raises `Refused`, `OSError`."""
        content = None if body is None else json.dumps(body).encode()
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._http.close()  # the other end may have closed it just now; the call opens a fresh one
        try:
            self._http.request(method, path, content, self._headers)
            answer = self._http.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()  # the next call opens a fresh one
            raise
        self._used = time.monotonic()
        if answer.status >= 300:
            raise Refused(f"{method} {path}: {answer.status} {said[:300].decode(errors='replace')}")
        return json.loads(said) if said else None
