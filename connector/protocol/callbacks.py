"""Where we send to: the guard on addresses that other participants tell us.

A callback address makes our connector call a place of somebody else's choosing (server-side request forgery), so
public addresses over https are the rule. The name is resolved and its addresses are checked at the moment of
connecting, and the connection goes to the very address that was checked: a name that changes its answer in between
(DNS rebinding) gains nothing. Redirects are never followed, for the same reason.
"""

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpcore
import httpx

from connector.protocol.errors import CallbackRefused
from hexi.client import Network, tls_context
from registry.resolution import is_public

# Longer addresses are refused: honest ones are a host and a short path.
MAX_ADDRESS_CHARACTERS = 2_048
# What a URL is written in (RFC 3986, section 2). Anything else two readers might read in two ways.
_WRITTEN = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
# Connections kept open for the next message to the same peers.
POOL = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0)


def check_callback(address: str, *, unsafe_allow_loopback: bool) -> str:
    """`address` without trailing slashes, if it may be called at all. Raises `CallbackRefused`.

    It looks at the text only; what its name resolves to is checked on connecting. `unsafe_allow_loopback` admits http,
    and loopback and private addresses: for a space on one machine, and for tests.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise CallbackRefused("the callback address cannot be read as a URL") from error
    if len(address) > MAX_ADDRESS_CHARACTERS or not parts.hostname or port == 0:
        raise CallbackRefused("a callback address is a URL with a host, and not a very long one")
    if not _WRITTEN.fullmatch(address) or not _is_resolvable(parts.hostname):
        raise CallbackRefused("a callback address has a host that has a name, and no characters that a URL must encode")
    if parts.scheme != "https" and not (parts.scheme == "http" and unsafe_allow_loopback):
        raise CallbackRefused("a callback address starts with https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise CallbackRefused("a callback address has no user, query or fragment")
    if not unsafe_allow_loopback and _is_literal(parts.hostname):
        check_address(parts.hostname)
    return address.rstrip("/")


def check_address(address: str) -> None:
    """Raise `CallbackRefused` unless the IP address is public: reachable by everybody, so nothing of ours alone."""
    if not is_public(address):
        raise CallbackRefused("loopback, private and reserved addresses are not called from here")


def peer_transport(
    *,
    unsafe_allow_loopback: bool,
    through: Callable[[httpcore.NetworkBackend], httpcore.NetworkBackend] | None = None,
) -> httpx.BaseTransport:
    """The network, as far as peers may lead us into it. `through` may put something between it and us."""
    if through is None:
        return Network(POOL) if unsafe_allow_loopback else _PooledTransport(_GuardedNetwork(httpcore.SyncBackend()))
    network = through(httpcore.SyncBackend())
    return _PooledTransport(network if unsafe_allow_loopback else _GuardedNetwork(network))


def _is_resolvable(host: str) -> bool:
    """Whether a name server can be asked for `host` at all: its labels are not empty and not too long."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.split("%", 1)[0])
    except ValueError:
        return False
    return True


class _GuardedNetwork(httpcore.NetworkBackend):
    """Resolves, checks every address the name has, and connects to one of those."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the host has no address") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            check_address(address)
        for address in addresses[:-1]:
            try:
                return self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class _PooledTransport(httpx.BaseTransport):
    """httpx over a connection pool with a network of ours; httpx itself offers no way to choose one."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network

    @cached_property
    def _pool(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=tls_context(),
            max_connections=POOL.max_connections,
            max_keepalive_connections=POOL.max_keepalive_connections,
            keepalive_expiry=POOL.keepalive_expiry,
            network_backend=self._network,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        try:
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,  # a push may be larger than the memory
                    extensions=request.extensions,
                )
            )
        except _NETWORK_FAILURES as error:
            raise httpx.TransportError(f"{type(error).__name__}: {error}", request=request) from error
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer), extensions=answer.extensions
        )

    def close(self) -> None:
        if "_pool" in vars(self):
            self._pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_stream()
        except _NETWORK_FAILURES as error:
            raise httpx.TransportError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._answer.close()


_NETWORK_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
