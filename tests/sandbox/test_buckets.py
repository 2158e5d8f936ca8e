"""When an answer comes says little of how long it took."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexi.database import Database
from hexi.errors import DataspaceError
from sandbox import buckets
from sandbox.buckets import in_bucket, rest_of
from sandbox.isolation.stopping import Stop, Stopped
from sandbox.lanes import tables
from tests.sandbox.builders import Clinic


def work(stop: Stop | None = None, *, personal: bool | None = None) -> Any:
    product = SimpleNamespace() if personal is None else SimpleNamespace(has_personal_information=personal)
    return SimpleNamespace(dataset=SimpleNamespace(product=product), stop=stop, began=100.0)


@given(st.floats(0, 100), st.floats(0.001, 10))
def test_the_rest_ends_at_a_boundary(passed: float, width: float) -> None:
    rest = rest_of(passed, width)
    assert 0 < rest <= width
    assert abs((passed + rest) / width - round((passed + rest) / width)) < 1e-6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only the block and the waiting move; the last item is now."""
    now = [100.0]
    monkeypatch.setattr(buckets, "monotonic", lambda: now[-1])

    def waiting(readable: list[Stop], _w: Any, _x: Any, seconds: float) -> tuple[list[Stop], list[Any], list[Any]]:
        now.append(now[-1] + seconds)
        return [], [], []

    monkeypatch.setattr(buckets, "select", waiting)
    return now


@pytest.mark.parametrize("takes", [0.001, 0.04, 0.0999])
def test_quick_and_slow_answers_leave_together(clock: list[float], takes: float) -> None:
    with in_bucket(0.1, work()):
        clock.append(clock[-1] + takes)
    assert clock[-1] == pytest.approx(100.1)


def test_what_failed_leaves_with_what_succeeded(clock: list[float]) -> None:
    def failing() -> None:
        with in_bucket(0.1, work()):
            clock.append(clock[-1] + 0.12)
            raise DataspaceError("no")

    with pytest.raises(DataspaceError):
        failing()
    assert clock[-1] == pytest.approx(100.2)


@pytest.mark.parametrize(("width", "personal"), [(0.0, True), (0.1, False)])
def test_without_persons_or_buckets_nobody_waits(clock: list[float], width: float, personal: bool) -> None:
    with in_bucket(width, work(personal=personal)):
        pass
    assert clock[-1] == 100.0


def test_of_several_blocks_the_last_one_waits(clock: list[float]) -> None:
    asked = work()
    with in_bucket(0.1, asked, last=False):
        clock.append(clock[-1] + 0.03)
    assert clock[-1] == pytest.approx(100.03)
    with in_bucket(0.1, asked):
        clock.append(clock[-1] + 0.05)
    assert clock[-1] == pytest.approx(100.1)


def test_whoever_is_stopped_does_not_wait() -> None:
    stop = Stop()
    stop.tell()
    began = time.monotonic()
    with pytest.raises(Stopped), in_bucket(60, work(stop)):
        pass
    assert time.monotonic() - began < 30
    stop.close()


def test_comparing_with_earlier_releases_is_in_the_bucket(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many earlier cells a new one is compared with hangs on its size, to the person."""
    sqlite.migrate("sandbox")
    order: list[str] = []
    compare, wait = tables.is_too_close, buckets._wait
    monkeypatch.setattr(tables, "is_too_close", lambda *given: order.append("compared") or compare(*given))
    monkeypatch.setattr(buckets, "_wait", lambda *given: order.append("waited") or wait(*given))
    assert Clinic(sqlite, tmp_path).ask("SELECT count(*) FROM visits").verdict == "released"
    assert order == ["compared", "waited"]
