"""Deadlines: how long a call may take from beginning to end, whatever comes in meanwhile.

A timeout of the network begins anew with every byte, so who sends one now and then would hold a thread for ever. A
deadline does not. What may take long because it is large has one that moves, but only with what really comes.

    deadline = Deadline()
    transport = peer_transport(unsafe_allow_loopback=False, through=deadline.over)
    deadline.begin(15.0)  # of this thread; every read and write through the transport keeps to it
    deadline.begin(60.0, least=61_440)  # or: 60 s more whenever 61,440 bytes have come
"""

import threading
import time
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any

import httpcore
import httpx


class _Moment(threading.local):
    """Each thread's own: until when, and what moves it on."""

    at = 0.0
    seconds = 0.0
    least: int | None = None
    came = 0


class Deadline:
    """The moment until which each thread may wait for what it does on the network; a thread has to `begin` first.

    `now` counts seconds, and is never set back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = _Moment()

    def begin(self, seconds: float, *, least: int | None = None) -> None:
        """From now on this thread has so many seconds; with `least`, again so many whenever so many bytes have come."""
        self._until.at = self._now() + seconds
        self._until.seconds, self._until.least, self._until.came = seconds, least, 0

    def left(self, timeout: float | None) -> float:
        """The seconds left, or `timeout` if that is less. Raises `httpcore.ReadTimeout` if there are none."""
        left = self._until.at - self._now()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer does not end")
        return left if timeout is None else min(left, timeout)

    def moved_by(self, size: int) -> None:
        """`size` bytes have come: enough of them move the deadline of this thread, if it is one that moves."""
        if self._until.least is not None:
            self._until.came += size
            if self._until.came >= self._until.least:
                self.begin(self._until.seconds, least=self._until.least)

    @property
    def is_over(self) -> bool:
        """Whether this thread has no time left."""
        return self._now() > self._until.at

    def check(self) -> None:
        """Raise `httpx.ReadTimeout` if there is no time left."""
        if self.is_over:
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
        came = self._stream.read(max_bytes, self._deadline.left(timeout))
        self._deadline.moved_by(len(came))
        return came

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
