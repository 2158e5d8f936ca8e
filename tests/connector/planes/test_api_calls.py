"""API products over real sockets: what passes, what is counted, and what an attacker gets."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest

from connector.api.calls import MAX_AT_ONCE
from connector.planes import call_store
from tests.connector.planes.serving import Delivery, served
from tests.simulator import Dataspace

LIMIT = {"leftOperand": "count", "operator": "lteq", "rightOperand": "2"}


class Lab(BaseHTTPRequestHandler):
    """The provider's own API. It keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, Any]]] = []
    going_on: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.asked.append(
            {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body}
        )
        getattr(self, f"answer_{self.path.split('/')[2].split('?')[0]}", self.answer_patients)()

    do_POST = do_HEAD = do_GET  # noqa: N815 - as the standard library calls them

    def answer_patients(self, status: int = 200, body: bytes = b'{"patient":7}') -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "inside=1")
        self.send_header("Server", "inner/1.0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_missing(self) -> None:
        self.answer_patients(404, b'{"error":"no such patient"}')

    def answer_moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://10.0.0.5/inside")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_large(self) -> None:
        self.answer_patients(200, b"x" * 3_000_000)

    def answer_slow(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(200):
            self.wfile.write(b"3\r\n%03d\r\n" % number)
            self.wfile.flush()
            if number == 0:
                self.going_on.wait(10)
            time.sleep(0.05)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def lab() -> Iterator[str]:
    Lab.asked, Lab.going_on = [], threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lab)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    Lab.going_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def source(url: str) -> dict[str, Any]:
    return {
        "type": "api",
        "url": url,
        "secret": "lab-key",
        "operations": [
            {"methods": ["GET"], "path": "/patients/{id}"},
            {"methods": ["POST"], "path": "/search"},
            *({"methods": ["GET", "HEAD"], "path": f"/{name}"} for name in ("missing", "moved", "large", "slow")),
        ],
        "maximumAnswerBytes": 4_000_000,
    }


@pytest.fixture
def calling(dataspace: Dataspace, lab: str) -> Iterator[Delivery]:
    yield from delivering(dataspace, lab)


@pytest.fixture
def calling_twice(dataspace: Dataspace, lab: str) -> Iterator[Delivery]:
    yield from delivering(dataspace, lab, {"permission": [{"action": "use", "constraint": [LIMIT]}]})


def delivering(dataspace: Dataspace, lab: str, *policy: Any) -> Iterator[Delivery]:
    secrets = dataspace.home / "hospital" / "secrets"
    secrets.mkdir()
    (secrets / "lab-key").write_text("Authorization: Bearer the provider's own\n", encoding="ascii")
    with served(dataspace.provider.app) as url:
        delivery = Delivery(dataspace, url, source(lab), "api", "HttpApi-PULL", *policy)
        with delivery.http:
            yield delivery


def call(delivery: Delivery, path: str, method: str = "GET", token: str | None = None, **sent: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or delivery.token}", **sent.pop("headers", {})}
    return delivery.http.request(method, delivery.endpoint + path, headers=headers, **sent)


def logged(delivery: Delivery) -> list[tuple[str, int | None, int]]:
    assert not delivery.grant().under_way
    with delivery.space.provider.app.state.engine.database.reading() as session:
        calls = call_store.calls(session, delivery.pid())
    return [(c.operation, c.status, c.answer_bytes) for c in calls]


def test_a_call_reaches_the_api_with_the_provider_s_key_and_is_counted(calling: Delivery) -> None:
    answer = call(calling, "/patients/7?full=1", headers={"Cookie": "mine=1", "X-Forwarded-For": "10.0.0.1"})
    assert (answer.status_code, answer.json()) == (200, {"patient": 7})
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("server") != "inner/1.0"
    (asked,) = Lab.asked
    assert (asked["method"], asked["path"]) == ("GET", "/v1/patients/7?full=1")
    assert asked["headers"]["authorization"] == "Bearer the provider's own"
    assert not {"cookie", "x-forwarded-for"} & {name.lower() for name in asked["headers"]}
    assert call(calling, "/search", "POST", json={"name": "肃"}).status_code == 200
    assert Lab.asked[1]["body"] == '{"name":"肃"}'.encode()
    grant = calling.grant()
    assert (grant.count, grant.volume, grant.under_way) == (2, 26, 0)
    assert sorted(logged(calling)) == [("GET /patients/{id}", 200, 13), ("POST /search", 200, 13)]


def test_a_status_of_the_api_passes_and_its_inner_address_does_not(calling: Delivery) -> None:
    missing = call(calling, "/missing")
    assert (missing.status_code, missing.json()) == (404, {"error": "no such patient"})
    moved = call(calling, "/moved")
    assert (moved.status_code, "location" in moved.headers) == (302, False)
    head = call(calling, "/large", "HEAD")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "3000000", b"")


def test_a_large_answer_passes_whole_and_is_counted_exactly(calling: Delivery) -> None:
    assert call(calling, "/large").content == b"x" * 3_000_000
    assert calling.grant().volume == 3_000_000


def test_a_transfer_has_so_many_calls_at_once_and_no_more(calling: Delivery) -> None:
    everybody = threading.Barrier(MAX_AT_ONCE + 8)

    def slowly(_: int) -> int:
        headers = {"Authorization": f"Bearer {calling.token}"}
        with calling.http.stream("GET", f"{calling.endpoint}/slow", headers=headers) as answer:
            everybody.wait(30)  # nobody goes before all are answered
            return answer.status_code

    with ThreadPoolExecutor(everybody.parties) as callers:
        answers = Counter(callers.map(slowly, range(everybody.parties)))
    assert answers == {200: MAX_AT_ONCE, 429: 8}
    assert (len(Lab.asked), calling.grant().count) == (MAX_AT_ONCE, MAX_AT_ONCE)


@pytest.mark.parametrize(
    ("path", "method"), [("/patients/7", "DELETE"), ("/admin", "GET"), ("/patients/%2e%2e%2fadmin", "GET"), ("", "GET")]
)
def test_what_the_product_does_not_offer_reaches_nobody(calling: Delivery, path: str, method: str) -> None:
    refused = call(calling, path, method)
    assert (refused.status_code, refused.json()["code"]) == (403, "connector.call-refused")
    assert Lab.asked == []
    assert calling.grant().count == 0


def test_only_the_token_of_this_transfer_opens_and_only_while_it_lasts(calling: Delivery) -> None:
    old = calling.token
    assert call(calling, "/patients/7", token="x.y.z").status_code == 401
    assert calling.http.get(calling.endpoint + "/patients/7").status_code == 401
    calling.transfer = calling.start()
    other = call(calling, "/patients/7", token=old)
    assert (other.status_code, other.json()["code"]) == (401, "connector.data-token-invalid")
    file = calling.http.get(calling.endpoint.removesuffix("/api"), headers={"Authorization": calling.token})
    assert (file.status_code, file.json()["code"]) == (401, "connector.data-token-invalid")
    calling.space.clock.advance(minutes=11)
    assert "expired" in call(calling, "/patients/7").json()["detail"]
    assert Lab.asked == []


def test_the_terms_hold_for_every_call_and_say_so(calling_twice: Delivery) -> None:
    assert [call(calling_twice, "/patients/7").status_code for _ in range(2)] == [200, 200]
    refused = call(calling_twice, "/patients/7")
    assert (refused.status_code, refused.json()["code"]) == (403, "connector.handover-refused")
    assert refused.json()["reasons"][0]["code"] == "policy.count"
    assert len(Lab.asked) == 2


def test_a_stop_ends_calls_to_come_and_an_answer_under_way(calling: Delivery) -> None:
    headers = {"Authorization": calling.token}
    with calling.http.stream("GET", calling.endpoint + "/slow", headers=headers) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"000"
        calling.end()
        Lab.going_on.set()
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
    refused = call(calling, "/patients/7")
    assert (refused.status_code, refused.json()["code"]) == (403, "connector.handover-refused")


def test_an_api_that_is_away_is_said_to_be(calling: Delivery, dataspace: Dataspace) -> None:
    engine = dataspace.provider.app.state.engine
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        with engine.database.transaction() as session:
            from connector.contracts.tables import ResourceRow

            row = session.get(ResourceRow, "delivered")
            row.source = row.source.replace(source_url(row.source), away)
        answer = call(calling, "/patients/7")
    assert (answer.status_code, answer.json()["code"]) == (502, "connector.api-unavailable")
    assert away not in answer.text
    assert logged(calling) == [("GET /patients/{id}", 502, 0)]


def source_url(text: str) -> str:
    from hexi.canonical import parse

    return str(parse(text)["url"])


def test_two_lengths_do_not_smuggle_a_second_call(calling: Delivery) -> None:
    path = calling.endpoint.removeprefix(calling.url)
    host, _, port = calling.url.removeprefix("http://").partition(":")
    hidden = b"GET /v1/admin HTTP/1.1\r\nHost: x\r\n\r\n"
    head = (
        f"POST {path}/search HTTP/1.1\r\nHost: {host}\r\nAuthorization: {calling.token}\r\n"
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(hidden) + 5}\r\nConnection: close\r\n\r\n0\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(head + hidden)
        while raw.recv(65_536):
            pass
    assert [asked["path"] for asked in Lab.asked if "admin" in asked["path"]] == []
    assert all(hidden not in asked["body"] for asked in Lab.asked)
