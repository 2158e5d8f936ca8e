"""Peers that mean harm: each a real HTTP server on loopback, asked by the real client with its real network."""

import gzip
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from random import Random  # noqa: TID251 - a seeded one
from typing import Any

import pytest

from connector.catalogue.question import Wanted
from connector.crawler import datasets, pages, search_store, steps, store
from connector.crawler.states import Peer, PeerState
from hexi.canonical import pretty
from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.crawler.peers import A_WHILE, Local, Respond, catalogue, dataset, send, serving

DID = "did:web:mallory.example"
HONEST = [dataset("d0"), dataset("d1")]


@contextmanager
def knowing(database: Database, clock: SettableClock, respond: Respond, **how: Any) -> Iterator[Local]:
    """A crawler that knows a peer which responds so."""
    with serving(respond) as address:
        local = Local(database, clock, **how)
        local.add(DID, address)
        with closing(local.crawler):
            yield local


def attempt(database: Database, clock: SettableClock, respond: Respond, **how: Any) -> tuple[Local, Peer]:
    """One attempt at it."""
    with knowing(database, clock, respond, **how) as local:
        return local, local.ask(DID)


def always(body: Any, status: int = 200, **headers: str) -> Respond:
    return lambda handler, _: send(handler, body, status, **headers)


def why(peer: Peer) -> str:
    assert peer.state is PeerState.BACKING_OFF
    assert peer.reason is not None
    return peer.reason.message


@pytest.mark.parametrize(
    ("respond", "says"),
    [
        (always(b"<html>"), "not strict JSON"),
        (always(b'{"@type": "Catalog", "@type": "Catalog"}'), "appears twice"),
        (always(b"[" * 100_000 + b"]" * 100_000), "strict JSON"),
        (always(b'{"@type":"Catalog","dataset":' + b"[" * 80 + b"]" * 80 + b"}"), "nested more than"),
        (always(["Catalog"]), "no catalogue"),
        (always({"@type": "CatalogError"}), "no catalogue"),
        (always(catalogue("did:web:victim.example", HONEST)), "victim.example"),
        (
            always(catalogue(DID, HONEST), Link="<http://127.0.0.1:1/dsp/2025-1/catalog/request>; rel=next"),
            "leads away",
        ),
        (always(catalogue(DID, HONEST), Link='</management/status>; rel="next"'), "leads away"),
        (always(catalogue(DID, HONEST), Link='</dsp/2025-1/%2e%2e/admin>; rel="next"'), "leads away"),
        (always(catalogue(DID, HONEST), Link=f'<?t={"x" * 9_000}>; rel="next"'), "leads away"),
        (always(catalogue(DID, HONEST), Link='<http://[::1>; rel="next"'), "leads away"),
        (always(catalogue(DID, HONEST), Link='<file:///etc/passwd>; rel="next"'), "leads away"),
        (always(b"", 302, Location="http://127.0.0.1:1/"), "redirects are not followed"),
        (always(b"", 304), "answered 304"),
        (always(gzip.compress(b"0" * 10_000_000), Content_Encoding="gzip"), "compressed"),
        (always(b"0" * (pages.MAX_PAGE_BYTES + 1)), "longer than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_catalogue_of_this_peer_is_refused_with_the_reason(
    sqlite_connectors: Database, clock: SettableClock, respond: Respond, says: str
) -> None:
    local, peer = attempt(sqlite_connectors, clock, respond)
    assert says in why(peer)
    assert (local.shown(DID), peer.completed, peer.progress) == ({}, None, None)


def test_an_answer_is_cut_off_at_the_limit_however_long_it_says_it_is(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        while True:
            sent += handler.wfile.write(b" " * 65_536)

    _, peer = attempt(sqlite_connectors, clock, endless)
    assert "longer than" in why(peer)
    assert sent < 4 * pages.MAX_PAGE_BYTES


@pytest.mark.parametrize("place", ["status line", "headers", "body"])
def test_a_byte_now_and_then_holds_nobody(sqlite_connectors: Database, clock: SettableClock, place: str) -> None:
    def trickle(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        if place != "status line":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if place == "body":
            handler.wfile.write(b"Content-Length: 1000\r\n\r\n")
        for byte in b"X-Padding: " + b"x" * 200:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)

    begun = time.monotonic()
    _, peer = attempt(sqlite_connectors, clock, trickle, seconds=0.4)
    assert "in time" in why(peer)
    assert time.monotonic() - begun < 5  # the trickle alone takes ten


def test_a_link_to_the_page_itself_and_a_circle_of_links_are_noticed(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    asked = []

    def circle(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        page = int(handler.path.rpartition("p=")[2]) if "p=" in handler.path else 0
        send(handler, catalogue(DID, HONEST), Link=f'<?p={page % 7 + 1}>; rel="next"')

    with knowing(sqlite_connectors, clock, circle) as local:
        assert local.crawl(most=40) < 40
        assert "circle" in why(local.peer(DID))
    clock.now += A_WHILE
    with knowing(sqlite_connectors, clock, always(catalogue(DID, []), Link='<request?p=1>; rel="next"')) as local:
        assert local.ask(DID).state is PeerState.CRAWLING
        assert "circle" in why(local.ask(DID))


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("MAX_PAGES", 5, "more than 5 pages"),
        ("MAX_DATASETS", 9, "more than 9 datasets"),
        ("MAX_CRAWL_HOURS", 0.5, "end"),
    ],
)
def test_links_that_never_end_do(
    sqlite_connectors: Database,
    clock: SettableClock,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: float,
    says: str,
) -> None:
    monkeypatch.setattr(steps, limit, value)
    count = 0

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal count
        count += 1
        clock.advance(minutes=1)
        named = [dataset(f"d{count}"), dataset(f"e{count}")] if limit == "MAX_DATASETS" else []
        send(handler, catalogue(DID, named), Link=f'<?p={count}>; rel="next"')

    with knowing(sqlite_connectors, clock, endless) as local:
        assert local.crawl(most=50) < 50
    assert says in why(local.peer(DID))


NESTED: Any = 1
for _ in range(datasets.MAX_DATASET_DEPTH):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (dataset("big", blob="x" * datasets.MAX_DATASET_BYTES), "longer than"),
        (dataset("deep", blob=NESTED), "deep"),
        ({"@type": "Dataset"}, "@id"),
        (dataset("x" * (datasets.MAX_ID_CHARACTERS + 1)), "@id"),
        (dataset("nul\0"), "@id"),
        (dataset("right\u202eleft"), "@id"),
        (dataset("huge", number=10**40), "canonical"),
    ],
    ids=["big", "deep", "nameless", "long", "nul", "turned", "number"],
)
def test_a_dataset_that_cannot_be_taken_is_left_out_and_the_others_are_not(
    connectors: Database, clock: SettableClock, bad: Any, says: str
) -> None:
    # Written as a peer might: our own canonical form would refuse the number.
    body = pretty(catalogue(DID, [HONEST[0], bad, HONEST[1]])).encode()
    local, peer = attempt(connectors, clock, always(body))
    assert (peer.state, peer.left_out, local.shown(DID)) == (PeerState.IDLE, 1, {"d0": 1, "d1": 1})
    assert says in peer.left_out_why


def test_text_of_others_is_shown_on_one_line_without_what_is_not_printed(
    connectors: Database, clock: SettableClock
) -> None:
    title = "\x1b[31mred\x07\u202e\u200bA \n\tB" + "c" * 1_000
    named = {"@id": "d0", "title": [{"@value": title}, {"@value": "<b>d0</b>\0"}]}
    _, peer = attempt(connectors, clock, always(catalogue(DID, [named])))
    assert peer.state is PeerState.IDLE
    with connectors.reading() as session:
        ((_, found),) = search_store.page(session, Wanted())
    assert found["title"].startswith("[31mredA Bccc")
    assert found["title"].endswith(" / <b>d0</b>")
    assert found["title"].isprintable()
    assert len(found["title"]) < 2 * datasets.MAX_TITLE_CHARACTERS
    assert found["dataset"] == named


def test_the_longest_names_of_the_widest_characters_fit_the_indexes(connectors: Database, clock: SettableClock) -> None:
    dice = Random(1)  # so that no index can make them shorter

    def wide(characters: int) -> str:
        return "".join(chr(dice.randrange(0x20000, 0x2A6D0)) for _ in range(characters))

    longest = datasets.MAX_KEYWORD_CHARACTERS
    named = dataset("d0", keyword=[wide(longest)], theme=wide(longest), title=wide(datasets.MAX_TITLE_CHARACTERS))
    found = [named | {"@id": wide(datasets.MAX_ID_CHARACTERS)}]
    _, peer = attempt(connectors, clock, always(catalogue(DID, found)))
    assert (peer.state, peer.reason, peer.left_out) == (PeerState.IDLE, None, 0)


def test_what_the_database_will_not_take_makes_the_peer_wait_and_not_the_crawler_spin(
    sqlite_connectors: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: Any) -> None:
        raise RuntimeError("of no kind that anybody thought of")

    monkeypatch.setattr(store, "take", refusing)
    _, peer = attempt(sqlite_connectors, clock, always(catalogue(DID, HONEST)))
    assert "RuntimeError" in why(peer)


def test_private_addresses_are_not_called_for_a_peer_on_the_internet(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    asked = []

    def noting(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        send(handler, catalogue(DID, HONEST))

    with knowing(sqlite_connectors, clock, noting, unsafe_allow_loopback=False) as local:
        address = local.known.addresses[DID]
        port = address.split(":")[2].partition("/")[0]
        for place in (address, f"https://127.0.0.1:{port}", f"https://localhost:{port}"):
            local.known.addresses[DID] = place
            assert why(local.ask(DID))
            reason = local.peer(DID).reason
            assert reason is not None
            assert reason.code == "connector.callback-refused"
    assert asked == []


def test_a_presentation_is_made_for_the_peer_that_is_asked_and_anew_for_each_question(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    shown = []

    def noting(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        shown.append(handler.headers["Authorization"])
        send(handler, b"", 400) if len(shown) == 1 else send(handler, catalogue(DID, HONEST))

    local, peer = attempt(sqlite_connectors, clock, noting)
    assert (shown, local.calls) == ([f"Bearer for {DID}"] * 2, [DID] * 2)
    assert peer.state is PeerState.IDLE
