"""Deadlines: how long a call may take from beginning to end, whatever comes in meanwhile.

A timeout of the network begins anew with every byte, so who sends one now and then would hold a thread for ever. A
deadline does not.

    deadline = Deadline()
    transport = peer_transport(unsafe_allow_loopback=False, through=deadline.over)
    deadline.begin(15.0)  # of this thread; every read and write through the transport keeps to it
"""

import threading
import time
from collections.abc import Iterable
from ssl import SSLContext
from typing import Any

import httpcore
import httpx


class _Moment(threading.local):
    """Each thread's own."""

    at = 0.0


class Deadline:
    """The moment until which each thread may wait for what it does on the network; a thread has to `begin` first."""

    def __init__(self) -> None:
        self._until = _Moment()

    def begin(self, seconds: float) -> None:
        """From now on this thread has so many seconds."""
        self._until.at = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """The seconds left, or `timeout` if that is less. Raises `httpcore.ReadTimeout` if there are none."""
        left = self._until.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer does not end")
        return left if timeout is None else min(left, timeout)

    def check(self) -> None:
        """Raise `httpx.ReadTimeout` if there is no time left."""
        if time.monotonic() > self._until.at:
            raise httpx.ReadTimeout("the answer does not end")

    def over(self, network: httpcore.NetworkBackend) -> httpcore.NetworkBackend:
        """`network`, of whose connections every read and write keeps to the deadline."""
        return _TimedNetwork(network, self)


class _TimedNetwork(httpcore.NetworkBackend):
    def __init__(self, network: httpcore.NetworkBackend, deadline: Deadline) -> None:
        self._network = network
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _TimedStream(self._network.connect_tcp(host, port, left, local_address, socket_options), self._deadline)


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
