"""Answers leave at fixed times, so that when one comes says little of how long the data took.

How long a query takes over a table may hang on who is in it, and so may how long it takes to compare its cells with
those released before. So computing, controlling and comparing end at a whole multiple of a bucket's width after they
began, whatever came of them. One person moves a query over an allowed grammar by
microseconds; of buckets of 50 ms that shows in one query of some ten thousand, and under the noise of the machine. What
remains is a number of buckets, which grows with the table as everybody knows it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from time import monotonic
from typing import Any

from hexi.errors import DataspaceError
from sandbox.isolation.stopping import Stop, Stopped
from sandbox.lane import Work


@contextmanager
def in_bucket(seconds: float, work: Work[Any], *, last: bool = True) -> Iterator[None]:
    """End the block at a whole multiple of `seconds` after the work began, errors of ours included; 0 does not wait.

    With `last` false another block follows, and only an error waits. A product that says it is without personal data
    does not wait either. Raises `Stopped` once the work is stopped.
    """
    personal = getattr(work.dataset.product, "has_personal_information", True)
    width = seconds if personal else 0.0
    try:
        yield
    except DataspaceError:
        _wait(work.began, width, work.stop)
        raise
    if last:
        _wait(work.began, width, work.stop)


def rest_of(passed: float, width: float) -> float:
    """How long it is to the next multiple of `width`; none if there are no buckets.

    >>> rest_of(1.5, 1.0), rest_of(0.0, 0.05), rest_of(3.0, 0.0)
    (0.5, 0.05, 0.0)
    """
    return width - passed % width if width else 0.0


def _wait(began: float, width: float, stop: Stop | None) -> None:
    rest = rest_of(monotonic() - began, width)
    if select([stop] if stop else [], [], [], rest)[0]:
        raise Stopped
