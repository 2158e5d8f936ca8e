"""Workers that wait: taken once, for equal surroundings only, never when dead; and none is left behind."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.isolation.processes import IsolationSettings, Job, run_isolated
from sandbox.isolation.spares import MOST, Spares

ALONE = IsolationSettings(bwrap=None)


@pytest.fixture
def spares() -> Iterator[Spares]:
    spares = Spares()
    yield spares
    spares.close()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text("x\n1\n2\n")
    return tmp_path / "t.csv"


def ask(spares: Spares, table: Path, sql: str = "SELECT sum(x) FROM t") -> object:
    result = run_isolated(Job({"t": table}, sql), minimum_level=1, settings=ALONE, spares=spares)
    return result.rows[0][0]


def waiting(spares: Spares) -> list[int]:
    return [one.worker[0]._process.pid for one in spares._pool.ready.values()]


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_a_worker_that_waits_does_one_job_and_is_replaced(spares: Spares, table: Path) -> None:
    assert ask(spares, table) == 3
    until(lambda: len(waiting(spares)) == 1)
    (first,) = waiting(spares)
    assert ask(spares, table, "SELECT max(x) FROM t") == 2
    assert not is_there(first)
    until(lambda: len(waiting(spares)) == 1)
    assert waiting(spares) != [first]


def test_a_file_that_was_replaced_is_not_read_by_an_old_worker(spares: Spares, table: Path) -> None:
    assert ask(spares, table) == 3
    until(lambda: len(waiting(spares)) == 1)
    new = table.with_name("new.csv")
    new.write_text("x\n40\n2\n")
    new.replace(table)
    assert ask(spares, table) == 42


def test_a_dead_worker_is_no_loss(spares: Spares, table: Path) -> None:
    assert ask(spares, table) == 3
    until(lambda: len(waiting(spares)) == 1)
    (process,) = waiting(spares)
    os.kill(process, 9)
    until(lambda: not spares._pool.ready or not next(iter(spares._pool.ready.values())).worker[0].waits)
    assert ask(spares, table) == 3


def test_few_wait_and_none_is_left(spares: Spares, tmp_path: Path) -> None:
    tables = []
    for number in range(MOST + 1):
        tables.append(tmp_path / f"{number}.csv")
        tables[-1].write_text(f"x\n{number}\n")
        assert ask(spares, tables[-1]) == number
    until(lambda: len(waiting(spares)) == MOST and spares._pool.wanted.empty())
    left = waiting(spares)
    spares.close()
    assert not [process for process in left if is_there(process)]
    assert ask(spares, tables[0]) == 0
    assert waiting(spares) == []
