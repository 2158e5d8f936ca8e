"""Two real worker processes over one PostgreSQL, one of them killed with SIGKILL: no job lost, none done twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hexi.database import Database
from sandbox import store
from sandbox.jobs.scheduling import Limits
from tests.databases import fresh_postgresql
from tests.sandbox.jobs.builders import Queued

JOBS = 40
# A worker as any host would run one: its own process, which knows of the queue what stands in the database.
PROGRAM = """
import sys
from pathlib import Path
from hexi.database import Database
from sandbox.jobs.scheduling import Limits
from tests.sandbox.jobs.builders import Queued

queued = Queued(Database(sys.argv[1]), Path(sys.argv[2]), Limits(under_way=1_000))
queued.clock.advance(seconds=60)  # so that leases of the dead have run out
queued.clinic.evidence = lambda session, kind, subject, *_: session.execute(
    __import__("sqlalchemy").text("INSERT INTO receipts VALUES (:run)"), {"run": subject})
queued.worker(jobs=2).serve()
"""


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[str]:
    with fresh_postgresql(postgresql_url) as url:
        yield url


def started(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(folder)], stderr=subprocess.DEVNULL)


@pytest.mark.process
def test_a_killed_worker_loses_no_job_and_doubles_none(postgresql: str, tmp_path: Path) -> None:
    database = Database(postgresql)
    queued = Queued(database, tmp_path, Limits(under_way=1_000))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE receipts (run text)")
    runs = {queued.submit(f"SELECT count(*) FROM visits WHERE bmi < {number}") for number in range(100, 100 + JOBS)}
    workers = [started(postgresql, tmp_path) for _ in range(2)]
    try:
        wait_for(lambda: receipts(database).total() >= 5)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        assert receipts(database).total() < JOBS
        wait_for(lambda: all(queued.state(run) == "done" for run in runs))
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
            worker.wait(30)
    assert receipts(database) == Counter(runs)
    assert queued.used() == JOBS
    with database.reading() as session:
        answers = [store.run(session, run) for run in runs]
    assert all(row is not None and row.state == "released" for row in answers)
    assert workers[1].returncode == 0
    database.dispose()


def receipts(database: Database) -> Counter[str]:
    with database.engine.connect() as connection:
        return Counter(run for (run,) in connection.exec_driver_sql("SELECT run FROM receipts"))


def wait_for(condition: object, seconds: float = 120.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, os.getloadavg()
        time.sleep(0.1)
