"""The client shell: what is asked again, and what never is."""

import httpx
import pytest

from hexi.client import ServiceClient, Unreachable


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
