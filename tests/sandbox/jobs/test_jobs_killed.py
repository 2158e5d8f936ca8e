"""Two real worker processes over one PostgreSQL, one of them killed with SIGKILL: no job lost, none done twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hexi.database import Database
from sandbox import store
from tests.databases import fresh_postgresql
from tests.sandbox.jobs.builders import WORKER, Kept, Queued

JOBS = 40


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[str]:
    with fresh_postgresql(postgresql_url) as url:
        yield url


def started(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, url, str(folder), "2"], stderr=subprocess.DEVNULL)


@pytest.mark.process
def test_a_killed_worker_loses_no_job_and_doubles_none(postgresql: str, tmp_path: Path) -> None:
    database = Database(postgresql)
    queued, kept = Queued(database, tmp_path), Kept(database)
    runs = {queued.submit(f"SELECT count(*) FROM visits WHERE bmi < {number}") for number in range(100, 100 + JOBS)}
    workers = [started(postgresql, tmp_path) for _ in range(2)]
    try:
        wait_for(lambda: kept.counted().total() >= 5)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        assert kept.counted().total() < JOBS
        wait_for(lambda: all(queued.state(run) == "done" for run in runs))
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
            worker.wait(30)
    assert kept.counted() == Counter(runs)
    assert queued.used() == JOBS
    with database.reading() as session:
        answers = [store.run(session, run) for run in runs]
    assert all(row is not None and row.state == "released" for row in answers)
    assert workers[1].returncode == 0
    database.dispose()


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, os.getloadavg()
        time.sleep(0.1)
