"""Jobs that run and are ended, by being told to stop or by the clock: on return no process of theirs is left."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import getpid
from pathlib import Path

import pytest

from sandbox.isolation.children import descendants
from sandbox.isolation.processes import Job, JobTimedOut, Limits, Packages, run_isolated, run_program
from sandbox.isolation.stopping import Stop, Stopped
from tests.sandbox.isolation.test_isolation import ENDLESS
from tests.sandbox.machine import skip_where_it_cannot

pytestmark = pytest.mark.isolation

# bubblewrap, its process 1, and the worker.
PROCESSES = 3

LATER = Limits(cpu_seconds=600, wall_seconds=600)
SOON = Limits(cpu_seconds=600, wall_seconds=2)

# Threads are the most that seccomp allows; a process is tried from each.
CROWD = """
import os, threading, time
def spin():
    while True:
        try:
            os.fork()
        except OSError:
            pass
for _ in range(6):
    threading.Thread(target=spin).start()
time.sleep(600)
"""

Start = Callable[[Limits, Stop], object]


@pytest.fixture(autouse=True)
def needs_isolation(request: pytest.FixtureRequest) -> None:
    skip_where_it_cannot(request)


def program(source: str) -> Start:
    return lambda limits, stop: run_program(source, minimum_level=2, limits=limits, stop=stop)


def query(limits: Limits, stop: Stop) -> object:
    return run_isolated(Job({}, ENDLESS, limits), minimum_level=2, stop=stop)


def crowd(limits: Limits, stop: Stop, folder: Path = Path(__file__).parent) -> object:
    packages = Packages(folder, schema={})
    return run_program(CROWD, minimum_level=2, limits=limits, stop=stop, packages=packages)


JOBS: dict[str, Start] = {
    "spins": program("while True: pass"),
    "sleeps": program("import time; time.sleep(600)"),
    "hangs up and sleeps": program("import os, time; os.close(1); time.sleep(600)"),
    "a query": query,
    "threads that try to fork": crowd,
}


@pytest.mark.parametrize("start", JOBS.values(), ids=JOBS.keys())
@pytest.mark.parametrize("how", ["stop", "wall"])
def test_a_running_job_that_is_ended_leaves_no_process(how: str, start: Start) -> None:
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        before = set(descendants(getpid()))
        running = pool.submit(start, LATER if how == "stop" else SOON, stop)
        job = begun(before)
        threads = 6 if start is crowd else 0
        until(lambda: len(list(Path(f"/proc/{job[-1]}/task").iterdir())) > threads)
        if how == "stop":
            stop.tell()
        with pytest.raises(Stopped if how == "stop" else JobTimedOut):
            running.result()
    # At once, not after a while: whoever is told that a job has ended may rely on it.
    assert [pid for pid in job if lives(pid)] == []
    stop.close()


def begun(before: set[int]) -> list[int]:
    """The processes of the one job, nearest first, once its worker has been told what to do (it closes its input)."""
    found: list[int] = []

    def is_working() -> bool:
        found[:] = [pid for pid in descendants(getpid()) if pid not in before]
        return len(found) == PROCESSES and not Path(f"/proc/{found[-1]}/fd/0").is_symlink()

    until(is_working)
    return found


def lives(pid: int) -> bool:
    """Whether it still runs. One that has ended and that nobody has asked about yet holds nothing any more."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
