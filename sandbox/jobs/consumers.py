"""What a consumer does with its jobs: send one, look at it, end it."""

from collections.abc import Callable

from sqlmodel import Session

from hexi.canonical import Clock, digest, instant
from hexi.database import Database, after_commit
from hexi.keys import read_unverified
from sandbox import store
from sandbox.errors import JobEnded, RunConflict, RunInProgress
from sandbox.jobs.queue import Event, Job, Queue
from sandbox.jobs.states import JobState
from sandbox.messages import RunAnswer
from sandbox.permits import Permit
from sandbox.reasons import Reason
from sandbox.requests import RunRequest, read_request
from sandbox.runs import Sandbox

CANCELLED = Reason("sandbox.cancelled", "whoever asked for this run ended it before there was an answer")


def hold(session: Session, run: str) -> None:
    """Lock a run and its permit. Every transaction takes them before a turn and a job, so none waits for another."""
    if (row := store.run(session, run)) is not None:
        store.permit(session, row.permit)


class Jobs:
    """The queue as consumers see it. `wake` is called when there is something to do, for a worker in this process."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        sandbox: Sandbox,
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._queue = queue
        self._sandbox = sandbox
        self._clock = clock
        self._wake = wake

    def submit(self, permit_jws: str, request_jws: str, context: str | None = None) -> Job:
        """Take on a run and let it wait for a worker; the same again is the same job.

        The permit is used now, and a query that may not be asked is refused now. Raises `QueueFull`, and as
        `Sandbox.run` does for everything that is known before data are touched.
        """
        try:
            self._sandbox.accept(permit_jws, request_jws, context, self._enlist)
        except RunInProgress:
            return self._known(request_jws)
        return self._known(request_jws)

    def job(self, run: str, consumer: str) -> Job:
        """The job. Raises `JobUnknown`, also for somebody else's."""
        return self._queue.job(run, consumer)

    def jobs(self, consumer: str) -> list[Job]:
        """The consumer's newest jobs."""
        return self._queue.jobs(consumer)

    def events(self, run: str, consumer: str, after: int = 0) -> list[Event]:
        """What happened to the job after event number `after`. Raises `JobUnknown`."""
        self._queue.job(run, consumer)
        return self._queue.events(run, after)

    def cancel(self, run: str, consumer: str) -> Job:
        """End the job. One that waited costs nothing; one under way is stopped, and counts, and its receipt says so.

        Cancelled again, it is as it was. Raises `JobUnknown`, and `JobEnded` where there is an answer, or where an
        encrypted number may have been sent.
        """
        job = self._queue.job(run, consumer)
        if job.state is JobState.CANCELLED:
            return job
        try:
            with self._database.transaction() as session:
                hold(session, run)
                before = self._queue.cancel(session, run, CANCELLED)
                if before.state is JobState.QUEUED and before.attempts == 0:
                    self._sandbox.give_back(session, run)
                else:
                    self._sandbox.end_refused(session, run, CANCELLED)
        except RunConflict as error:
            raise JobEnded(error.detail) from error
        return self._queue.job(run, consumer)

    def _enlist(self, session: Session, permit: Permit, request: RunRequest, answer: RunAnswer | None) -> None:
        if self._queue.is_known(session, request.run):
            raise RunInProgress("this run is a job already")  # which undoes whatever else this transaction did
        job = Job(
            run=request.run,
            consumer=permit.holder,
            product=permit.product,
            request_digest=request.digest,
            state=JobState.QUEUED if answer is None else JobState.DONE,
            attempts=0,
            submitted=instant(self._clock()),
            events=0,
        )
        self._queue.enlist(session, job)
        after_commit(session, self._wake)

    def _known(self, request_jws: str) -> Job:
        """The job of a request that was verified."""
        request = read_request(request_jws)
        found = self._queue.find(request.run)
        if found is None:
            raise RunInProgress("the run is being executed, but not as a job; ask again for its answer in a moment")
        if found.request_digest != digest(read_unverified(request_jws)):
            raise RunConflict("this run id was used for another request; take a fresh one")
        return found
