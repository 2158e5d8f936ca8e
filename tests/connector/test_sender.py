"""The sender: entries in batches, and answers that mean to hold it up."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from connector.protocol import outbox, sender, store
from connector.protocol.outbox import Answer
from connector.protocol.outbox_items import OutboxItem, OutboxState
from connector.protocol.sender import Sender
from hexi.canonical import Json, parse
from tests.connector.pair import Pair
from tests.connector.test_dispatch import item


class Ledger(httpx.BaseTransport):
    """Takes entries one by one and in batches, except `bad` ones; knows batches unless `plain`."""

    def __init__(self, *, plain: bool = False, batch_status: int = 200) -> None:
        self.plain, self.batch_status = plain, batch_status
        self.requests: list[tuple[str, Json]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = parse(request.read())
        self.requests.append((request.url.path, body))
        if not request.url.path.endswith("/batch"):
            said = outcome(body["entry"])
            return httpx.Response(200 if "receipt" in said else 409, json=said.get("receipt", said.get("problem")))
        if self.plain or self.batch_status != 200:
            return httpx.Response(404 if self.plain else self.batch_status)
        return httpx.Response(200, json={"outcomes": [outcome(entry) for entry in body["entries"]]})


def outcome(entry: str) -> dict[str, Json]:
    if entry == "bad":
        return {"problem": {"status": 409, "code": "ledger.entry-conflict", "detail": "another digest"}}
    return {"receipt": {"of": entry}}


def queue(pair: Pair, *entries: str) -> None:
    with pair.provider.database.transaction() as session:
        for entry in entries:
            url = "http://space.test/ledger/entries"
            outbox.enqueue(session, "ledger", None, f"urn:{entry}", url, {"entry": entry}, reference=f"run {entry}")


def counted(pair: Pair) -> dict[str, int]:
    with pair.provider.database.reading() as session:
        return {state.value: store.count_items(session, "ledger", state) for state in OutboxState}


def given(ledger: Ledger, pair: Pair) -> Ledger:
    pair.network.hosts["space.test"] = ledger  # type: ignore[assignment]
    return ledger


def test_entries_go_together_and_each_has_its_own_outcome(pair_on_both: Pair) -> None:
    ledger = given(Ledger(), pair_on_both)
    queue(pair_on_both, "a", "bad", "c")
    assert pair_on_both.provider.engine.dispatcher.deliver_entries() == 3
    assert ledger.requests == [("/ledger/entries/batch", {"entries": ["a", "bad", "c"]})]
    assert pair_on_both.provider.receipts == [("run a", {"of": "a"}), ("run c", {"of": "c"})]
    assert counted(pair_on_both) | {"cancelled": 0} == {"pending": 0, "delivered": 2, "failed": 1, "cancelled": 0}


def test_a_ledger_that_knows_no_batches_gets_them_one_by_one(pair: Pair) -> None:
    ledger = given(Ledger(plain=True), pair)
    queue(pair, "a", "bad", "c")
    pair.provider.engine.dispatcher.deliver_entries()
    assert [path for path, _ in ledger.requests] == ["/ledger/entries/batch", *["/ledger/entries"] * 3]
    assert counted(pair)["delivered"] == 2


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_ledger_that_cannot_now_is_asked_again_later(pair: Pair, status: int) -> None:
    ledger = given(Ledger(batch_status=status), pair)
    queue(pair, "a", "b")
    pair.provider.engine.dispatcher.deliver_entries()
    assert len(ledger.requests) == 1
    assert counted(pair)["pending"] == 2
    ledger.batch_status = 200
    pair.clock.advance(seconds=60)
    pair.provider.engine.dispatcher.deliver_entries()
    assert counted(pair)["delivered"] == 2


@pytest.mark.parametrize("answer", [{}, [], {"outcomes": [{}]}, {"outcomes": 3}, {"outcomes": [{"receipt": 1}, None]}])
def test_an_answer_that_cannot_be_read_ends_nothing(pair: Pair, answer: Json) -> None:
    class Strange(Ledger):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=answer)

    given(Strange(), pair)
    queue(pair, "a", "b")
    pair.provider.engine.dispatcher.deliver_entries()
    assert counted(pair)["pending"] == 2


def test_a_batch_is_no_longer_than_the_ledger_takes(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(sender, "MAX_BATCH_BYTES", 40)
    ledger = given(Ledger(), pair)
    queue(pair, "a" * 10, "b" * 10, "c" * 10)
    pair.provider.engine.dispatcher.deliver_entries()
    assert [len(body.get("entries", [0])) for _, body in ledger.requests] == [1, 1, 1]
    assert counted(pair)["delivered"] == 3


class Dripping(httpx.BaseTransport):
    """Answers at once, and never ends: a byte, and another."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=_Endless())


class _Endless(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return itertools.repeat(b" ", 10_000)


def attempt(transport: httpx.BaseTransport) -> Answer:
    sent: OutboxItem = item()
    return Sender(lambda audience: "x", unsafe_allow_loopback_callbacks=True, transport=transport).attempt(sent)


@pytest.mark.parametrize("place", ["status line", "headers", "body"])
def test_a_byte_now_and_then_holds_no_sender(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(sender, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(sender, "ANSWER_SECONDS", 0.2)
    stopping = threading.Event()

    class Trickling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            begun = {"status line": b"", "headers": b"HTTP/1.1 200 OK\r\n"}
            self.wfile.write(begun.get(place, b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"))
            with suppress(OSError):
                for byte in itertools.repeat(b"H"):
                    self.wfile.write(byte)
                    if stopping.wait(0.05):
                        return

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Trickling)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    sending = Sender(lambda audience: "x", unsafe_allow_loopback_callbacks=True)
    begun = time.monotonic()
    try:
        sent = replace(item(), url=f"http://127.0.0.1:{server.server_port}/")
        assert sending.attempt(sent).status is None
    finally:
        took = time.monotonic() - begun
        stopping.set()
        sending.close()
        thread.join()
        server.server_close()
    assert took < 5  # it would have gone on for ever


def test_an_answer_that_does_not_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "ANSWER_SECONDS", 0.0)
    assert attempt(Dripping()) == Answer(error="nobody answered (ReadTimeout)")
