"""The queue: every change of a job's state, each in a transaction with its event and its consumer's turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from hexi.canonical import Clock, encode, instant, parse
from hexi.database import Database
from sandbox.errors import JobEnded, JobUnknown
from sandbox.jobs import store
from sandbox.jobs.scheduling import Limits, Turn, check_room, in_order, may_lease
from sandbox.jobs.states import ENDED, JobState, next_state
from sandbox.jobs.tables import JobEventRow, JobRow, TurnRow
from sandbox.owners import is_alive
from sandbox.reasons import Reason

# Of a consumer's jobs, how many a list shows.
MAX_LISTED = 200


@dataclass(frozen=True)
class Job:
    """A job as it stands. `reason` is there where it failed, was cancelled, or has to be tried again."""

    run: str
    consumer: str
    product: str
    request_digest: str
    state: JobState
    attempts: int
    submitted: str
    events: int
    finished: str | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job. Times are whole seconds: how long computing took may depend on data."""

    number: int
    state: JobState
    attempt: int
    at: str
    reason: Reason | None = None


@dataclass(frozen=True)
class Lease:
    """The right to execute a job's run, for one attempt. `holder` names worker and attempt."""

    run: str
    holder: str
    attempt: int


class Queue:
    """Jobs in a database. The methods that take a session are parts of their caller's transaction."""

    def __init__(self, database: Database, clock: Clock, limits: Limits = Limits()) -> None:
        self._database = database
        self._clock = clock
        self.limits = limits

    # What consumers do

    def enlist(self, session: Session, job: Job) -> None:
        """Take on a new job, in the state it says. Raises `QueueFull`."""
        turn, now = self._turn(session, job.consumer), self._now()
        if job.state is JobState.QUEUED:
            check_room(store.as_turn(turn), store.waiting_of_all(session), self.limits)
            turn.waiting += 1
            store.save(session, turn)
        row = JobRow(
            run=job.run,
            consumer=job.consumer,
            product=job.product,
            request_digest=job.request_digest,
            state=job.state,
            due=now,
            submitted=job.submitted,
            finished=_coarse(self._clock()) if job.state in ENDED else None,
        )
        store.add(session, row)
        self._tell(session, row)

    def cancel(self, session: Session, run: str, reason: Reason) -> Job:
        """End a job for its consumer, and say how it was. Its worker finds out and stops. Raises `JobEnded`."""
        turn, row = self._locked(session, run)
        before = _job(row)
        self._go(session, turn, row, JobState.CANCELLED, reason)
        return before

    def find(self, run: str) -> Job | None:
        """The job, whoever's it is."""
        with self._database.reading() as session:
            row = store.job(session, run)
        return None if row is None else _job(row)

    def is_known(self, session: Session, run: str) -> bool:
        """Whether there is a job of this run."""
        return store.job(session, run) is not None

    def job(self, run: str, consumer: str) -> Job:
        """A job of this consumer's. Raises `JobUnknown`, also for somebody else's."""
        found = self.find(run)
        if found is None or found.consumer != consumer:
            raise JobUnknown("there is no such job of yours")
        return found

    def jobs(self, consumer: str) -> list[Job]:
        """The consumer's newest jobs."""
        with self._database.reading() as session:
            return [_job(row) for row in store.jobs_of(session, consumer, MAX_LISTED)]

    def events(self, run: str, after: int = 0) -> list[Event]:
        """What happened to a job after event number `after`."""
        with self._database.reading() as session:
            return [_event(row) for row in store.events(session, run, after)]

    # What workers do

    def lease(self, worker: str) -> Lease | None:
        """The job whose turn it is, for `worker` alone until the lease runs out; None if there is none to be had.

        Consumers whom another worker serves this very moment are passed by; only if nobody else is left they are
        waited for.
        """
        with self._database.reading() as session:
            wanted = in_order(store.turns(session), self.limits)
        if not wanted:
            return None
        for patiently in (False, True):
            for turn in wanted:
                # One turn a transaction: whoever held one and waited for another would wait for ever.
                with self._database.transaction() as session:
                    if found := self._leased(session, turn, worker, patiently=patiently):
                        return found
        return None

    def renew(self, leases: Sequence[Lease]) -> frozenset[str]:
        """Say that these are still being executed. The runs of those that are still held."""
        if not leases:
            return frozenset()
        with self._database.transaction() as session:
            return store.renew(session, [(lease.run, lease.holder) for lease in leases], self._until())

    def end(self, session: Session, lease: Lease, state: JobState, reason: Reason | None = None) -> None:
        """Leave a leased job as done, or failed. Raises `JobEnded` if the lease is not held any more."""
        turn, row = self._held(session, lease)
        self._go(session, turn, row, state, reason)

    def put_back(
        self, session: Session, lease: Lease, reason: Reason, rest: timedelta, *, touched: bool = True
    ) -> None:
        """Let a leased job wait again, at least for `rest`; `touched` says whether this attempt may have read data.

        Raises `JobEnded` if the lease is not held any more.
        """
        turn, row = self._held(session, lease)
        row.touched = row.touched or touched
        row.due = instant(self._clock() + rest)
        self._go(session, turn, row, JobState.QUEUED, reason)

    def is_touched(self, session: Session, run: str) -> bool:
        """Whether an attempt that was put back may have read data."""
        row = store.job(session, run)
        return row is None or row.touched

    def lost(self) -> list[Lease]:
        """Leases that ran out, or whose process is gone from this host."""
        now = self._now()
        with self._database.reading() as session:
            leased = store.under_way(session)
        return [
            Lease(run, holder, _attempt(holder))
            for run, due, holder in leased
            if due <= now or not is_alive(_process(holder))
        ]

    def is_lost(self, session: Session, lease: Lease) -> bool:
        """Whether the lease is held, and nobody renewed it since it was found lost; the job is locked from here on."""
        locked = store.lock_job(session, lease.run)
        if locked is None or locked[1].holder != lease.holder or locked[1].state != JobState.RUNNING:
            return False
        return locked[1].due <= self._now() or not is_alive(_process(lease.holder))

    # How

    def _leased(self, session: Session, turn: Turn, worker: str, *, patiently: bool) -> Lease | None:
        row = store.lock_turn(session, turn.consumer, patiently=patiently)
        # Since it was looked at, another worker may have taken the last one it may have.
        if row is None or not may_lease(store.as_turn(row), self.limits):
            return None
        job = store.next_due(session, turn.consumer, self._now())
        if job is None:
            return None
        job.attempts += 1
        job.holder, job.due = f"{worker}#{job.attempts}", self._until()
        row.last = store.newest_lease(session) + 1
        self._go(session, row, job, JobState.RUNNING, None)
        return Lease(job.run, job.holder, job.attempts)

    def _go(self, session: Session, turn: TurnRow, row: JobRow, wanted: JobState, reason: Reason | None) -> None:
        before, after = JobState(row.state), next_state(JobState(row.state), wanted)
        turn.waiting += (after is JobState.QUEUED) - (before is JobState.QUEUED)
        turn.under_way += (after is JobState.RUNNING) - (before is JobState.RUNNING)
        row.state, row.reason = after, None if reason is None else encode(reason.to_json()).decode()
        if after is not JobState.RUNNING:
            row.holder = None
        if after in ENDED:
            row.finished = _coarse(self._clock())
        self._tell(session, row)
        store.save(session, turn, row)

    def _tell(self, session: Session, row: JobRow) -> None:
        row.events += 1
        event = JobEventRow(
            run=row.run,
            number=row.events,
            state=row.state,
            attempt=row.attempts,
            reason=row.reason,
            at=_coarse(self._clock()),
        )
        store.add(session, event)

    def _turn(self, session: Session, consumer: str) -> TurnRow:
        row = store.lock_turn(session, consumer)
        if row is None:
            raise JobUnknown("this consumer has no place in the queue")
        return row

    def _locked(self, session: Session, run: str) -> tuple[TurnRow, JobRow]:
        found = store.lock_job(session, run)
        if found is None:
            raise JobUnknown("there is no such job of yours")
        return found

    def _held(self, session: Session, lease: Lease) -> tuple[TurnRow, JobRow]:
        turn, row = self._locked(session, lease.run)
        if row.state != JobState.RUNNING or row.holder != lease.holder:
            raise JobEnded("the lease of this job was lost, or the job was cancelled")
        return turn, row

    def _now(self) -> str:
        return instant(self._clock())

    def _until(self) -> str:
        return instant(self._clock() + timedelta(seconds=self.limits.lease_seconds))


def _coarse(at: datetime) -> str:
    return instant(at.replace(microsecond=0))


def _process(holder: str) -> str:
    return holder.rpartition("#")[0]


def _attempt(holder: str) -> int:
    return int(holder.rpartition("#")[2] or 0)


def _reason(text: str | None) -> Reason | None:
    return None if text is None else Reason(**parse(text))


def _job(row: JobRow) -> Job:
    return Job(
        run=row.run,
        consumer=row.consumer,
        product=row.product,
        request_digest=row.request_digest,
        state=JobState(row.state),
        attempts=row.attempts,
        submitted=row.submitted,
        events=row.events,
        finished=row.finished,
        reason=_reason(row.reason),
    )


def _event(row: JobEventRow) -> Event:
    return Event(row.number, JobState(row.state), row.attempt, row.at, _reason(row.reason))
