"""Does the queue lose a job, or do one twice, when a worker is killed? And what does it cost?

    uv run python -m benchmarks.jobs [--quick]

1,000 jobs of four consumers wait in a real PostgreSQL; two worker processes of two jobs each execute them, every one in
isolation over a table, and one worker is killed with SIGKILL in the middle; it is replaced, as whoever runs it would.
Counted afterwards, in the database: answers, receipts, runs charged. Beside it the same queries, one after another,
without a queue; and how long a job waits that comes to idle workers.
"""

import argparse
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hexi.database import Database
from hexi.web import configure_logging
from tests.databases import fresh_postgresql, postgresql_server
from tests.sandbox.jobs.builders import WORKER, Kept, Queued

JOBS, CONSUMERS, WORKERS, EACH = 1_000, ("a", "b", "c", "d"), 2, 2
DIRECTLY, IDLE = 50, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 jobs")
    jobs = 100 if parser.parse_args().quick else JOBS
    configure_logging("ERROR")
    with postgresql_server() as server, fresh_postgresql(server) as url, TemporaryDirectory() as folder:
        database = Database(url)
        queued, kept = Queued(database, Path(folder)), Kept(database)
        queued.clinic.evidence = kept
        directly(queued)
        killed(queued, kept, url, Path(folder), jobs)
        idle(queued, url, Path(folder))
        database.dispose()


def query(number: int) -> str:
    """No two are the same question, and all are about the same people, so none is refused."""
    return f"SELECT county, count(*) FROM visits WHERE bmi < {100 + number} GROUP BY county"


def directly(queued: Queued) -> None:
    """The same kind of run without a queue."""
    sandbox, times = queued.clinic.again(), []
    for number in range(DIRECTLY):
        _, permit, request = queued.documents(query(10_000 + number), "direct")
        started = time.perf_counter()
        assert sandbox.run(permit, request).verdict == "released"
        times.append(time.perf_counter() - started)
    print(f"without a queue, one after another: p50 {1000 * statistics.median(times):.0f} ms a run")


def killed(queued: Queued, kept: Kept, url: str, folder: Path, jobs: int) -> None:
    """Kill a worker in the middle, and count."""
    before = kept.counted().total()
    started = time.perf_counter()
    runs = {queued.submit(query(number), CONSUMERS[number % len(CONSUMERS)]): number for number in range(jobs)}
    print(f"{jobs} jobs sent and durable: {jobs / (time.perf_counter() - started):.0f}/s")
    with workers(url, folder) as processes:
        started = time.perf_counter()
        while kept.counted().total() - before < jobs // 2:
            time.sleep(0.05)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        at = kept.counted().total() - before
        processes.append(worker(url, folder))
        while kept.counted().total() - before < jobs or any(state != "done" for state in states(queued)):
            time.sleep(0.2)
        took = time.perf_counter() - started
    receipts = Counter({run: number for run, number in kept.counted().items() if run in runs})
    lost = [run for run in runs if not receipts[run]]
    twice = [run for run, number in receipts.items() if number > 1]
    charged = sum(queued.used(consumer) for consumer in CONSUMERS)
    again = sum(attempts > 1 for attempts in Attempts(queued).of(runs))
    print(
        f"{jobs} jobs over {WORKERS} workers, one killed after {at} receipts: {took:.0f} s, {jobs / took:.1f} jobs/s; "
        f"{again} executed again"
    )
    print(f"receipts {receipts.total()}, runs charged {charged}, lost {len(lost)}, done twice {len(twice)} (goal 0, 0)")
    assert (receipts.total(), charged, lost, twice) == (jobs, jobs, [], [])


def idle(queued: Queued, url: str, folder: Path) -> None:
    """From sending a job to its being leased by another process that has nothing to do."""
    waits = []
    with workers(url, folder):
        time.sleep(3)
        for number in range(IDLE):
            started = time.perf_counter()
            run = queued.submit(query(20_000 + number), "idle")
            sent = time.perf_counter()
            while queued.state(run, "idle") == "queued":
                time.sleep(0.001)
            waits.append((sent - started, time.perf_counter() - sent))
            while queued.state(run, "idle") != "done":
                time.sleep(0.01)
    sending, waiting = zip(*waits, strict=True)
    print(
        f"idle workers elsewhere: sending p50 {1000 * statistics.median(sending):.0f} ms, then waiting p50 "
        f"{1000 * statistics.median(waiting):.0f} ms, most {1000 * max(waiting):.0f} ms (they look every 100 ms)"
    )


class Attempts:
    """How often jobs were tried."""

    def __init__(self, queued: Queued) -> None:
        self._queue = queued.queue

    def of(self, runs: dict[str, int]) -> Iterator[int]:
        """Attempts, job by job."""
        for run in runs:
            job = self._queue.find(run)
            yield job.attempts if job else 0


def states(queued: Queued) -> Iterator[str]:
    """The states of the consumers' newest jobs."""
    return (str(job.state) for consumer in CONSUMERS for job in queued.jobs.jobs(queued.did(consumer)))


def worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """One worker process."""
    command = [sys.executable, "-c", WORKER, url, str(folder), str(EACH)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def workers(url: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes, ended with the block."""
    processes = [worker(url, folder) for _ in range(WORKERS)]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


if __name__ == "__main__":
    main()
