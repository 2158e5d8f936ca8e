"""Deadlines, against a network in memory whose every read takes as long as it is told."""

from typing import Any

import httpcore
import pytest

from connector.protocol.deadlines import Deadline


class Slow(httpcore.NetworkBackend, httpcore.NetworkStream):
    """A network, and its only connection: each read brings `size` bytes and takes `seconds`."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size, self.seconds, self.now = size, seconds, 0.0

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        assert timeout is not None
        self.now += min(self.seconds, timeout)
        if self.seconds > timeout:
            raise httpcore.ReadTimeout
        return b"x" * self.size


def came(size: int, seconds: float, least: int | None, reads: int) -> int:
    """How many of so many reads are done before a deadline of 60 s ends them."""
    slow = Slow(size, seconds)
    deadline = Deadline(lambda: slow.now)
    deadline.begin(60.0, least=least)
    stream = deadline.over(slow).connect_tcp("peer.example", 443)
    for done in range(reads):
        try:
            stream.read(65_536, timeout=60.0)
        except httpcore.ReadTimeout:
            return done
    return reads


@pytest.mark.parametrize(
    ("size", "seconds", "least", "done"),
    [
        (1, 59.0, None, 1),  # a byte now and then keeps every timeout of the network, and ends nevertheless
        (1, 59.0, 100, 1),
        (1, 1.0, 100, 60),  # so does a steady trickle below the least rate
        (65_536, 1.0, None, 60),  # a whole exchange is not made longer by what comes
        (100, 59.0, 100, 1000),  # at the least rate a download may take for ever
        (50, 29.0, 100, 1000),
        (99, 59.0, 100, 1),
    ],
)
def test_only_what_comes_fast_enough_moves_a_deadline(size: int, seconds: float, least: int | None, done: int) -> None:
    assert came(size, seconds, least, 1000) == done


def test_a_thread_that_did_not_begin_has_no_time() -> None:
    stream = Deadline().over(Slow(1, 1.0))
    with pytest.raises(httpcore.ReadTimeout):
        stream.connect_tcp("peer.example", 443)
