"""A worker: threads that lease jobs and execute their runs, and one that says which of them still live.

    worker = Worker(database, queue, sandbox, jobs=2)
    worker.start()

A worker that dies, or that cannot say that it lives, loses its leases: its jobs wait again, and another takes them. One
that comes back too late finds its lease gone, and nothing of what it computed is kept: a run ends once.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial

import structlog
from sqlmodel import Session

from hexi.database import Database
from hexi.errors import DataspaceError, Unavailable
from sandbox import store
from sandbox.errors import DataChanged, JobEnded, RunConflict, RunUnknown
from sandbox.isolation.stopping import Stop, Stopped
from sandbox.jobs.consumers import hold
from sandbox.jobs.queue import Lease, Queue
from sandbox.jobs.scheduling import rest_before_again
from sandbox.jobs.states import JobState
from sandbox.owners import this_process
from sandbox.reasons import Reason
from sandbox.runs import Sandbox

log = structlog.get_logger("sandbox.jobs")

# How often an idle worker looks for a job, in seconds, its threads in turn: what a job waits for, by and large, that
# another process took on. A look is one read of a small table; jobs taken on in this process wake the worker at once.
LOOK_SECONDS = 0.1
# How often leases are renewed and lost ones looked for, in seconds: a cancelled job is killed after that much at most.
BEAT_SECONDS = 1.0
# How long stopping waits for threads to notice, in seconds.
STOP_SECONDS = 10.0

LEASE_LOST = Reason("sandbox.lease-lost", "the worker that executed this run is gone; it is tried again")
GIVEN_UP = Reason(
    "sandbox.given-up",
    "every worker that executed this run was lost before it ended; ask for less at a time, or give the provider the "
    "run id",
)
UNEXPECTED = Reason("hexi.internal", "something went wrong on the provider's side; give the provider the run id")


class Worker:
    """Executes up to `jobs` runs at a time. Any number of workers may share a queue."""

    def __init__(self, database: Database, queue: Queue, sandbox: Sandbox, *, jobs: int) -> None:
        self._database = database
        self._queue = queue
        self._sandbox = sandbox
        self._jobs = jobs
        self._under_way: dict[Lease, Stop] = {}
        self._lock = threading.Lock()
        self._renewed = time.monotonic()
        self._stopping = threading.Event()
        self._work = threading.Condition()
        self._threads = [
            threading.Thread(target=self._execute_until_stopped, name=f"sandbox-job-{number}", daemon=True)
            for number in range(jobs)
        ]
        if jobs:
            self._threads.append(threading.Thread(target=self._watch_until_stopped, name="sandbox-jobs", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def serve(self) -> None:
        """Work until told to stop (SIGINT, SIGTERM). In a process of its own, from its main thread."""
        told = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: told.set())
        self.start()
        log.info("working", worker=this_process())
        told.wait()
        self.stop()

    def wake(self) -> None:
        """There is something to do."""
        with self._work:
            self._work.notify()

    def stop(self) -> None:
        """End. What is under way is stopped, and waits for another worker."""
        self._stopping.set()
        with self._work:
            self._work.notify_all()
        self._stop_all()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def step(self) -> bool:
        """Execute the next job, if there is one. Whether there was."""
        lease = self._queue.lease(this_process())
        if lease is None:
            return False
        stop = Stop()
        with self._lock:
            self._under_way[lease] = stop
        try:
            self._execute(lease, stop)
        finally:
            with self._lock:  # nobody tells `stop` any more once it is out of here
                del self._under_way[lease]
                stop.close()
        return True

    def beat(self) -> None:
        """Say that the jobs under way live, and stop those whose lease is gone: cancelled, or taken for lost."""
        with self._lock:
            leases = list(self._under_way)
        if time.monotonic() - self._renewed > self._queue.limits.lease_seconds:
            self._stop_all()  # the last beats failed, so others have taken them over by now
        held = self._queue.renew(leases)
        self._renewed = time.monotonic()
        with self._lock:
            for lease in leases:
                if lease.run not in held and lease in self._under_way:
                    self._under_way[lease].tell()

    def reclaim(self) -> int:
        """Let the jobs of lost workers wait again, or give them up. How many there were."""
        return sum(self._reclaim(lease) for lease in self._queue.lost())

    # How

    def _execute(self, lease: Lease, stop: Stop) -> None:
        ended = partial(self._queue.end, lease=lease, state=JobState.DONE)
        try:
            self._sandbox.execute(lease.run, ended, stop)
        except (Stopped, JobEnded, RunConflict, RunUnknown):
            self._leave(lease)
        except Unavailable as error:
            self._again_or_over(lease, Reason(error.code, error.detail), untouched=True)
        except DataspaceError as error:
            # What says that data changed was computed from them.
            untouched = not isinstance(error, DataChanged)
            with self._holding(lease) as session:
                self._over(session, lease, Reason(error.code, error.detail), untouched=untouched)
        except Exception as error:
            log.error("a job failed unexpectedly", run=lease.run, exc_info=error)
            self._again_or_over(lease, UNEXPECTED, untouched=False)

    def _leave(self, lease: Lease) -> None:
        """Somebody else has ended the job or taken it over; or this worker ends, and another one shall take it."""
        if self._stopping.is_set():
            with self._holding(lease) as session:
                self._queue.put_back(session, lease, LEASE_LOST, timedelta())

    def _again_or_over(self, lease: Lease, reason: Reason, *, untouched: bool) -> None:
        with self._holding(lease) as session:
            rest = rest_before_again(lease.attempt, self._queue.limits)
            if rest is None:
                self._over(session, lease, reason, untouched=untouched)
            else:
                self._queue.put_back(session, lease, reason, rest, touched=not untouched)

    def _over(self, session: Session, lease: Lease, reason: Reason, *, untouched: bool) -> None:
        """There is no further attempt. A run no attempt at which touched data is undone, another ends refused, with its
        receipt: `untouched` says it of this attempt. A number that may have been sent has to arrive, unless its permit
        was taken back."""
        row = store.run(session, lease.run)
        kept = row is not None and row.ciphertext is not None
        if row is not None and kept and not store.is_revoked(session, row.permit):
            self._queue.put_back(session, lease, reason, timedelta(seconds=self._queue.limits.lease_seconds))
            return
        if kept:
            self._sandbox.end_revoked(session, lease.run)
        elif untouched and not self._queue.is_touched(session, lease.run):
            self._sandbox.give_back(session, lease.run)
        else:
            self._sandbox.end_refused(session, lease.run, reason)
        self._queue.end(session, lease, JobState.FAILED, reason)

    def _reclaim(self, lease: Lease) -> bool:
        was_lost = False
        with self._holding(lease) as session:
            if was_lost := self._queue.is_lost(session, lease):
                if rest_before_again(lease.attempt, self._queue.limits) is None:
                    self._over(session, lease, GIVEN_UP, untouched=False)
                else:
                    self._queue.put_back(session, lease, LEASE_LOST, timedelta())
        if was_lost:
            log.warning("a lease was lost", run=lease.run, attempt=lease.attempt)
            self.wake()
        return was_lost

    @contextmanager
    def _holding(self, lease: Lease) -> Iterator[Session]:
        """A transaction that changes the run and the job; nothing at all if the lease is not held any more."""
        with suppress(JobEnded, RunConflict), self._database.transaction() as session:
            hold(session, lease.run)
            yield session

    def _stop_all(self) -> None:
        with self._lock:
            for stop in self._under_way.values():
                stop.tell()

    def _execute_until_stopped(self) -> None:
        while not self._stopping.is_set():
            if not _survived(self.step):
                with self._work:
                    self._work.wait(LOOK_SECONDS * self._jobs)

    def _watch_until_stopped(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            _survived(self.beat)
            _survived(self.reclaim)


def _survived(step: Callable[[], object]) -> object:
    """What `step` says; None if it failed, which the log has. A database that is away comes back."""
    try:
        return step()
    except Exception as error:
        log.error("a worker's step failed unexpectedly", exc_info=error)
        return None
