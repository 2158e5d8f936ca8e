"""Fetching DID documents: the one place where the registry calls an address that a stranger names.

Anybody may apply, so anybody may make us call some host. We therefore call public addresses only, exactly the one we
looked at (a second look-up could answer otherwise: DNS rebinding), over https, without redirects or proxies, for a few
seconds and a few kilobytes.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx
import structlog

from hexi.canonical import Json, parse
from hexi.client import Network
from hexi.errors import Malformed
from registry.errors import DidDocumentInvalid, DidHostForbidden, DidUnreachable

log = structlog.get_logger("registry.resolution")

# RFC 6052: the last four bytes are an IPv4 address. RFC 4291: the part of IPv6 that is in public use.
_NAT64, _GLOBAL_UNICAST = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2000::/3")

Fetch = Callable[[str], dict[str, Json]]
LookUp = Callable[[str, int], Sequence[str]]

# A DID document with a handful of keys and services has two kilobytes; this many bytes is plenty.
MAX_DOCUMENT_BYTES = 65_536
# How long fetching may take: one silence, and altogether (a host may drip), in seconds.
SILENCE_SECONDS = 3.0
TOTAL_SECONDS = 8.0


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of `host`. Raises `DidUnreachable`."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise DidUnreachable(f"the host {host} of the DID is not known") from error


def document_fetcher(
    *,
    insecure_http_did_web: bool = False,
    unsafe_allow_private_hosts: bool = False,
    transport: httpx.BaseTransport | None = None,
    look_up: LookUp = look_up,
) -> Fetch:
    """A function that fetches the DID document at a URL.

    It raises `DidHostForbidden`, `DidUnreachable`, `DidDocumentInvalid`. With `unsafe_allow_private_hosts` private
    addresses are allowed, for a space inside one network; with `insecure_http_did_web` http as well, for a space on one
    machine. Never switch either on where strangers can apply. `transport` lets tests put applications in memory in
    place of the network.
    """
    if insecure_http_did_web:
        log.warning("DID documents are fetched over http and from private addresses: insecure_http_did_web is on")
    elif unsafe_allow_private_hosts:
        log.warning("DID documents are fetched from private addresses: unsafe_allow_private_did_hosts is on")
    client = httpx.Client(
        transport=transport or Network(),
        timeout=SILENCE_SECONDS,
        follow_redirects=False,
        trust_env=False,
    )

    def fetch(url: str) -> dict[str, Json]:
        request = client.build_request(
            "GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}
        )
        if not insecure_http_did_web:
            _check_encrypted(url)
            if not unsafe_allow_private_hosts:
                _pin(request, look_up)
        document = _read(client, request, url)
        if not isinstance(document, dict):
            raise DidDocumentInvalid(f"{url} does not serve a JSON object")
        return document

    return fetch


def check_public(addresses: Sequence[str], host: str) -> str:
    """The address to call, if every one of `addresses` is public. Raises `DidHostForbidden`; no address means no."""
    if not addresses or not all(is_public(address) for address in addresses):
        raise DidHostForbidden(
            f"the host {host} of the DID is not on the public internet; "
            "for a space inside one network the operator can set unsafe_allow_private_did_hosts, "
            "for one on a single machine insecure_http_did_web"
        )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether the IP address is reachable by everybody, so that calling it reaches nothing that is only ours."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # What carries an IPv4 address leads there: mapped, 6to4, NAT64.
        inner = (
            ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        )
        if inner is None and ip not in _GLOBAL_UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def _check_encrypted(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise DidHostForbidden("DID documents are fetched over https")


def _pin(request: httpx.Request, look_up: LookUp) -> None:
    """Send `request` to the very address that was checked, still by the host's name for TLS and ``Host``."""
    parts = urlsplit(str(request.url))
    host = parts.hostname or ""
    address = check_public(look_up(host, parts.port or 443), host)
    request.url = request.url.copy_with(host=address)
    request.extensions = {**request.extensions, "sni_hostname": host}


def _read(client: httpx.Client, request: httpx.Request, url: str) -> Json:
    deadline = time.monotonic() + TOTAL_SECONDS
    body = bytearray()
    try:
        answer = client.send(request, stream=True)
        try:
            if answer.status_code != httpx.codes.OK:
                raise DidUnreachable(f"{url} answers {answer.status_code}; the DID document should be there")
            if answer.headers.get("content-encoding", "identity") != "identity":
                # A few kilobytes can unpack to gigabytes.
                raise DidDocumentInvalid(f"{url} serves a packed document, though asked not to")
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES or time.monotonic() > deadline:
                    raise DidDocumentInvalid(f"the DID document at {url} is too large or too slow")
        finally:
            answer.close()
        return parse(bytes(body))
    except httpx.HTTPError as error:
        raise DidUnreachable(f"{url} does not answer ({type(error).__name__})") from error
    except Malformed as error:
        raise DidDocumentInvalid(f"{url} does not serve strict JSON") from error
