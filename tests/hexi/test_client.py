"""The client shell: what is asked again, what never is, and how long a peer may speak."""

import httpx
import pytest

from hexi import client
from hexi.client import ServiceClient, Unreachable
from tests.sockets import STREAM, peer


class Closing(httpx.BaseTransport):
    """A server that closes the first connections without an answer."""

    def __init__(self, times: int) -> None:
        self.left, self.asked = times, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        return httpx.Response(200, json={"ok": True})


def test_a_question_is_asked_again_when_the_connection_was_closed() -> None:
    server = Closing(1)
    assert ServiceClient("http://x.test", "x", transport=server).get("/") == {"ok": True}
    assert server.asked == 2


def test_but_only_once() -> None:
    server = Closing(2)
    with pytest.raises(Unreachable):
        ServiceClient("http://x.test", "x", transport=server).get("/")
    assert server.asked == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_may_have_been_done_is_never_sent_again(method: str) -> None:
    server = Closing(1)
    with pytest.raises(Unreachable):
        ServiceClient("http://x.test", "x", transport=server).call(method, "/", body={})
    assert server.asked == 1


def read(url: str) -> list[str]:
    service = ServiceClient(url, "the peer")
    try:
        with service.lines("/events", {}) as lines:
            return list(lines)
    finally:
        service.close()


def test_lines_come_whole_however_they_are_cut() -> None:
    with peer(STREAM, b"id: 1\nda", b"ta: x\r\n", b"\nre", b"st", on=b"") as speaking:
        service = ServiceClient(speaking.url, "the peer")
        with service.lines("/events", {}) as lines:
            assert [next(lines) for _ in range(3)] == ["id: 1", "data: x", ""]
        service.close()
    assert speaking.hung_up
    assert b"\r\naccept-encoding: identity\r\n" in speaking.asked.lower()


@pytest.mark.parametrize(
    ("first", "on", "every"),
    [
        pytest.param((STREAM,), b"x" * 4096, 0.0, id="a line without an end"),
        pytest.param((STREAM,), b"data: 1\n\n" * 500, 0.0, id="lines without an end"),
        pytest.param((STREAM,), b"x", 0.02, id="a byte now and then"),
        pytest.param((STREAM,), b"", 0.0, id="nothing at all"),
        pytest.param((b"HTTP/1.1 500 Oops\r\n\r\n",), b"x" * 4096, 0.0, id="a problem without an end"),
    ],
)
def test_a_peer_holds_nobody_with_its_lines(
    monkeypatch: pytest.MonkeyPatch, first: tuple[bytes, ...], on: bytes, every: float
) -> None:
    monkeypatch.setattr(client, "MAX_STREAM_BYTES", 200_000)
    monkeypatch.setattr(client, "LINE_SECONDS", 0.3)
    with peer(*first, on=on, every=every) as speaking, pytest.raises(Unreachable):
        read(speaking.url)
    assert speaking.hung_up
