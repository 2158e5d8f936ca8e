"""DID documents are fetched from public hosts, as checked, and in small doses."""

from collections.abc import Iterator

import httpx
import pytest
from structlog.testing import capture_logs

from hexi.errors import DataspaceError
from registry.errors import DidDocumentInvalid, DidHostForbidden, DidUnreachable
from registry.resolution import MAX_DOCUMENT_BYTES, check_public, document_fetcher, look_up

URL = "https://data.example/.well-known/did.json"
PUBLIC = "93.184.215.14"


class Network(httpx.BaseTransport):
    """Answers everything with one answer, and keeps the requests."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        ([PUBLIC], True),
        (["2606:2800:220:1:248:1893:25c8:1946"], True),
        ([PUBLIC, "10.0.0.1"], False),
        (["127.0.0.1"], False),
        (["10.1.2.3"], False),
        (["172.16.0.1"], False),
        (["192.168.1.1"], False),
        (["169.254.169.254"], False),
        (["100.64.0.1"], False),
        (["0.0.0.0"], False),
        (["224.0.0.1"], False),
        (["::1"], False),
        (["fe80::1%eth0"], False),
        (["fc00::1"], False),
        (["::ffff:127.0.0.1"], False),
        (["::127.0.0.1"], False),
        (["2002:7f00:1::"], False),
        (["64:ff9b::10.0.0.1"], False),
        (["64:ff9b::8.8.8.8"], True),
        (["64:ff9b:1::1"], False),
        (["fec0::1"], False),
        (["::ffff:10.0.0.1"], False),
        ([], False),
    ],
)
def test_only_public_addresses_are_called(addresses: list[str], allowed: bool) -> None:
    if allowed:
        assert check_public(addresses, "data.example") == addresses[0]
    else:
        with pytest.raises(DidHostForbidden):
            check_public(addresses, "data.example")


def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    network = Network(httpx.Response(200, json={"id": "did:web:data.example"}))
    fetch = document_fetcher(transport=network, look_up=lambda host, port: [PUBLIC])
    assert fetch(URL) == {"id": "did:web:data.example"}
    [request] = network.requests
    assert request.url.host == PUBLIC
    assert request.headers["host"] == "data.example"
    assert request.extensions["sni_hostname"] == "data.example"


@pytest.mark.parametrize("url", ["http://data.example/.well-known/did.json", "https://10.0.0.1/.well-known/did.json"])
def test_private_hosts_and_http_are_refused_unless_insecurity_is_asked_for(url: str) -> None:
    network = Network(httpx.Response(200, json={}))
    with pytest.raises(DidHostForbidden):
        document_fetcher(transport=network, look_up=lambda host, port: ["10.0.0.1"])(url)
    assert network.requests == []
    assert document_fetcher(transport=network, insecure_http_did_web=True)(url) == {}


def test_inside_one_network_private_hosts_may_be_asked_but_over_https() -> None:
    network = Network(httpx.Response(200, json={}))
    fetch = document_fetcher(transport=network, unsafe_allow_private_hosts=True)
    assert fetch("https://10.0.0.1/.well-known/did.json") == {}
    with pytest.raises(DidHostForbidden):
        fetch("http://10.0.0.1/.well-known/did.json")
    assert len(network.requests) == 1


def test_insecurity_is_announced() -> None:
    with capture_logs() as logs:
        document_fetcher()
        assert logs == []
        document_fetcher(insecure_http_did_web=True)
        document_fetcher(unsafe_allow_private_hosts=True)
    assert [(entry["log_level"], entry["event"].rpartition(": ")[2]) for entry in logs] == [
        ("warning", "insecure_http_did_web is on"),
        ("warning", "unsafe_allow_private_did_hosts is on"),
    ]


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 1024


ANSWERS: dict[str, tuple[httpx.Response | Exception, type[DataspaceError]]] = {
    "redirect": (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), DidUnreachable),
    "not_found": (httpx.Response(404), DidUnreachable),
    "silence": (httpx.ReadTimeout("slow"), DidUnreachable),
    "nobody": (httpx.ConnectError("refused"), DidUnreachable),
    "too_large": (httpx.Response(200, content=b" " * (MAX_DOCUMENT_BYTES + 1)), DidDocumentInvalid),
    "endless": (httpx.Response(200, content=endless()), DidDocumentInvalid),
    "packed": (httpx.Response(200, headers={"content-encoding": "gzip"}, content=endless()), DidDocumentInvalid),
    "not_json": (httpx.Response(200, content=b"<html>"), DidDocumentInvalid),
    "key_twice": (httpx.Response(200, content=b'{"id":1,"id":2}'), DidDocumentInvalid),
    "not_an_object": (httpx.Response(200, json=[]), DidDocumentInvalid),
}


@pytest.mark.parametrize(("answer", "error"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_with_a_defect_is_refused(answer: httpx.Response | Exception, error: type[DataspaceError]) -> None:
    fetch = document_fetcher(transport=Network(answer), look_up=lambda host, port: [PUBLIC])
    with pytest.raises(error):
        fetch(URL)


def test_an_unknown_host_is_unreachable() -> None:
    with pytest.raises(DidUnreachable):
        look_up("no-such-host.invalid", 443)
