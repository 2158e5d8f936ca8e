"""A crawler over a database of its own, and peers to crawl: in memory, or real servers that behave as told.

peer = PagedPeer("did:web:a.example", {"d1": 1})
local = Local(database, clock, [peer])
local.crawl()
assert local.shown(peer.did) == {"d1": 1}
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import httpx

from connector.catalogue.question import Wanted
from connector.crawler import search_store, store
from connector.crawler.asking import Asker
from connector.crawler.crawler import Changes, Crawler
from connector.crawler.states import Peer
from connector.protocol.messages import CONTEXT, REVISION
from connector.protocol.peers import Peers
from hexi.canonical import Json, digest, encode, instant, parse
from hexi.database import Database
from registry.errors import ParticipantRevoked, ParticipantUnknown
from registry.participants import Participant, ParticipantStatus
from tests.builders import SettableClock

EVERY = 600.0
# Longer than a lease, and than the longest wait after a failure.
A_WHILE = timedelta(hours=7)


def dataset(identifier: str, version: int = 1, **more: Any) -> dict[str, Any]:
    return {"@id": identifier, "@type": "Dataset", "http://purl.org/dc/terms/title": f"{identifier} v{version}", **more}


def catalogue(did: str, datasets: Iterable[Json], **more: Any) -> dict[str, Any]:
    return {"@context": [CONTEXT], "@type": "Catalog", "participantId": did, "dataset": list(datasets), **more}


@dataclass
class PagedPeer:
    """A peer in memory. `revision`: the ETag of its first page speaks of the whole catalogue, as ours; without, of the
    page. `link_method`: what it takes for a further page."""

    did: str
    datasets: dict[str, int] = field(default_factory=dict)
    page: int = 2
    revision: bool = True
    link_method: str = "GET"
    takes_filter: bool = True
    # What the next answers are instead, in turn: a status, or "lost" or "garbage".
    faults: list[int | str] = field(default_factory=list)
    left: bool = False
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.did.removeprefix("did:web:")

    @property
    def address(self) -> str:
        return f"https://{self.host}/dsp/2025-1"

    @property
    def tag(self) -> str:
        return f'"{digest(self.datasets)}"'

    def answer(self, request: httpx.Request) -> httpx.Response:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "lost":
            raise httpx.ReadTimeout("lost", request=request)
        answer = (
            httpx.Response(200, stream=httpx.ByteStream(b"{")) if fault == "garbage" else self._page(request, fault)
        )
        self.asked.append((request.method, request.url.query.decode(), answer.status_code))
        return answer

    def _page(self, request: httpx.Request, fault: int | str | None) -> httpx.Response:
        if isinstance(fault, int):
            return httpx.Response(fault, headers={"Retry-After": "3600"} if fault == 429 else {})
        asked = {name: value for name, (value,) in parse_qs(request.url.query.decode()).items()}
        after, opens = asked.get("after", ""), "after" not in asked
        if request.method == "GET" and not asked:
            return httpx.Response(405)
        if request.method != self.link_method and not opens:
            return httpx.Response(405)
        if request.method == "POST" and not self.takes_filter and "filter" in parse(request.read()):
            return httpx.Response(400)
        following = [name for name in sorted(self.datasets) if name > after]
        shown = [dataset(name, self.datasets[name]) for name in following[: self.page]]
        speaks_of_all = self.revision and opens
        tag = self.tag if speaks_of_all else f'"{digest(shown)}"'
        if request.headers.get("If-None-Match") == tag:
            return httpx.Response(304, headers={"ETag": tag})
        links = [f'<{self.address}/catalog/request?first=1>; rel="{REVISION}"'] if speaks_of_all else []
        if len(following) > self.page:
            links.append(f'<?after={following[self.page - 1]}>; rel="next"')
        content = httpx.ByteStream(encode(catalogue(self.did, shown)))
        return httpx.Response(200, headers={"ETag": tag, "Link": ", ".join(links)}, stream=content)


class Hosts(httpx.BaseTransport):
    """The peers as a network."""

    def __init__(self, peers: Iterable[PagedPeer]) -> None:
        self.peers = {peer.host: peer for peer in peers}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.peers[request.url.host].answer(request)


@dataclass
class Known:
    """A `Trust`: whom it has heard of, and at which address."""

    addresses: dict[str, str] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    operator: str = "did:web:space.example"

    def participant(self, did: str) -> Participant:
        if did in self.revoked:
            raise ParticipantRevoked(f"{did} was revoked")
        if did not in self.addresses:
            raise ParticipantUnknown(f"{did} is not a participant")
        active = ParticipantStatus.ACTIVE
        return Participant(did, did, did, "", "", frozenset(), active, {}, self.addresses[did], "6210")

    def resolve(self, kid: str) -> Any:
        raise NotImplementedError


class Local:
    """A crawler, stepped by hand. `transport`: None for the real network."""

    def __init__(
        self,
        database: Database,
        clock: SettableClock,
        peers: Iterable[PagedPeer] = (),
        *,
        seconds: float = 30.0,
        authorise: Callable[[str], str] = "Bearer for {}".format,
        unsafe_allow_loopback: bool = True,
    ) -> None:
        self.database, self.clock, peers = database, clock, list(peers)
        self.known = Known({peer.did: peer.address for peer in peers})
        self.told: list[tuple[str, Changes]] = []
        self.calls: list[str] = []
        self._header = authorise
        self.crawler = Crawler(
            database,
            Peers(self.known, SimpleNamespace(), self._authorise),  # type: ignore[arg-type]
            Asker(
                self._authorise,
                unsafe_allow_loopback=unsafe_allow_loopback,
                transport=Hosts(peers) if peers else None,
                seconds=seconds,
            ),
            clock,
            every=EVERY,
            chance=lambda: 0.5,
            tell=lambda _session, did, _generation, changes: self.told.append((did, changes)),
            unsafe_allow_loopback=unsafe_allow_loopback,
        )
        for peer in peers:
            self.add(peer.did, peer.address)

    def _authorise(self, did: str) -> str:
        self.calls.append(did)
        return self._header(did)

    def add(self, did: str, address: str) -> None:
        self.known.addresses[did] = address
        now = instant(self.clock())
        with self.database.transaction() as session:
            if did not in {peer.did for peer in store.peers(session)}:
                store.put(session, Peer(did, now, member=True, due=now))

    def peer(self, did: str) -> Peer:
        with self.database.reading() as session:
            return store.peer(session, did)

    def ask(self, did: str) -> Peer:
        """One attempt at one peer, now."""
        with self.database.transaction() as session:
            store.hasten(session, did, "")
        assert self.crawler.step()
        return self.peer(did)

    def crawl(self, did: str | None = None, most: int = 1_000) -> int:
        """Step until nobody is due; returns how many steps that took."""
        if did is not None:
            with self.database.transaction() as session:
                store.hasten(session, did, instant(self.clock()))
        for step in range(most):
            if not self.crawler.step():
                return step
        raise AssertionError("it does not end")

    def shown(self, did: str) -> dict[str, int]:
        """The identifiers and versions of the datasets found at a peer."""
        with self.database.reading() as session:
            rows = search_store.page(session, Wanted(limit=100_000))
        found = (row for _, row in rows if row["provider"] == did)
        return {row["id"]: int(row["title"].rpartition("v")[2]) for row in found}


Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextmanager
def serving(respond: Respond) -> Iterator[str]:
    """A real HTTP server on loopback that answers every request as `respond` does; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            try:
                respond(self, body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the crawler has hung up, as it should

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dsp/2025-1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes | Json, status: int = 200, **headers: str) -> None:
    """An answer with a body; underscores in the names of headers are hyphens."""
    content = body if isinstance(body, bytes) else encode(body)
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(content))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)
