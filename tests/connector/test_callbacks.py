"""The guard on addresses that others tell us."""

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from connector.protocol.callbacks import check_address, check_callback, peer_transport
from connector.protocol.errors import CallbackRefused


@pytest.mark.parametrize("address", ["https://p.example/dsp", "https://p.example:8443", "https://93.184.216.34/dsp//"])
def test_public_https_is_called(address: str) -> None:
    assert check_callback(address, unsafe_allow_loopback=False) == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "http://p.example/dsp",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://user@p.example/",
        "https://p.example/?x=1",
        "https://p.example/#x",
        "https://p.example:99999/",
        "https:///path",
        "file:///etc/passwd",
        "https://p.example/" + "x" * 3000,
        "https://p.example/\r\nX: y",
        "https://p.example/\x00",
        "https://p.example/a b",
        "https://p.example\\@10.1.2.3/",
        "https://pä.example/",
        "https://a..b/",
        "https://" + "x" * 64 + ".example/",
    ],
)
def test_anything_else_is_not(address: str) -> None:
    with pytest.raises(CallbackRefused):
        check_callback(address, unsafe_allow_loopback=False)


def test_the_unsafe_setting_admits_loopback_but_no_other_scheme() -> None:
    assert check_callback("http://127.0.0.1:8081/dsp/", unsafe_allow_loopback=True) == "http://127.0.0.1:8081/dsp"
    with pytest.raises(CallbackRefused):
        check_callback("ftp://127.0.0.1/", unsafe_allow_loopback=True)


@pytest.mark.parametrize(
    "address",
    [
        "224.0.0.1",
        "0.0.0.0",
        "100.64.0.1",
        "fe80::1%eth0",
        "fd00::1",
        "192.168.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(CallbackRefused):
        check_address(address)


@pytest.fixture
def redirecting_server() -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_name_that_resolves_to_loopback_is_not_connected_to(redirecting_server: str) -> None:
    with httpx.Client(transport=peer_transport(unsafe_allow_loopback=False)) as client, pytest.raises(CallbackRefused):
        client.post(redirecting_server, content=b"{}")
    with httpx.Client(transport=peer_transport(unsafe_allow_loopback=True)) as client:
        assert client.post(redirecting_server, content=b"{}").status_code == 302


def test_the_address_connected_to_is_the_one_that_was_checked(
    redirecting_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DNS rebinding: the name answers with a harmless address when it is checked, and would answer otherwise later.
    port = int(redirecting_server.rsplit(":", 1)[1].strip("/"))
    resolve = socket.getaddrinfo
    asked: list[str] = []

    def rebinding(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        return resolve("127.0.0.1" if asked.count(host) == 1 else "127.0.0.2", *args, **kwargs)

    checked: list[str] = []
    monkeypatch.setattr("connector.protocol.callbacks.check_address", checked.append)
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with httpx.Client(transport=peer_transport(unsafe_allow_loopback=False)) as client:
        assert client.post(f"http://rebinding.test:{port}/", content=b"{}").status_code == 302
    assert checked == ["127.0.0.1"]
    assert asked.count("rebinding.test") == 1
