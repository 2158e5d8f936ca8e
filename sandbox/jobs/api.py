"""The queue's routes: send a job, look at it, end it, follow what happens to it.

Events come as text/event-stream, numbered from 1: whoever reconnects with ``Last-Event-ID`` goes on where it was. The
stream ends with the job. Who would rather poll asks for the job itself. Source: WHATWG HTML, section 9.2.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hexi.errors import Malformed
from hexi.web import SessionRoute, problems
from registry.access import Member
from sandbox.errors import (
    CountExhausted,
    DataChanged,
    JobEnded,
    JobUnknown,
    PermitExpired,
    PermitInvalid,
    PermitRevoked,
    QueryOutsidePermit,
    QueueFull,
    RequestInvalid,
    RunConflict,
    TooManyReaders,
)
from sandbox.jobs.consumers import Jobs
from sandbox.jobs.queue import Event, Job
from sandbox.jobs.states import ENDED
from sandbox.messages import JobAnswer, JobEvent, JobList, ReasonBody, RunBody
from sandbox.reasons import Reason

MEDIA_TYPE = "text/event-stream"
# How often a stream looks for something new, in seconds, and how often a silent one says that it is still there.
LOOK_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
# Streams of one consumer, and of this process: each holds a connection, and looks at the database four times a second.
MAX_STREAMS_EACH, MAX_STREAMS = 8, 200
# How long a reader waits before it connects again, in milliseconds; and a comment, which is no event.
RETRY, HEARTBEAT = b"retry: 2000\n\n", b": \n\n"
# What may be said of a job before it is taken on.
REFUSED_WHEN_SENT = (
    PermitInvalid,
    PermitExpired,
    PermitRevoked,
    RequestInvalid,
    QueryOutsidePermit,
    CountExhausted,
    RunConflict,
    DataChanged,
    QueueFull,
)
# More digits are no event's number.
MAX_DIGITS = 9


class Readers:
    """Who reads a stream of this process: so many of one consumer, and of all. For one event loop: there is no lock."""

    def __init__(self) -> None:
        self._reading: Counter[str] = Counter()

    @contextmanager
    def place(self, consumer: str) -> Iterator[None]:
        """A place, while the block lasts. Raises `TooManyReaders`."""
        if self._reading[consumer] >= MAX_STREAMS_EACH or self._reading.total() >= MAX_STREAMS:
            raise TooManyReaders(
                f"at most {MAX_STREAMS_EACH} streams are read by one consumer at once, and {MAX_STREAMS} by all; "
                "ask for the job itself, or later"
            )
        self._reading[consumer] += 1
        try:
            yield
        finally:
            self._reading[consumer] -= 1
            if not self._reading[consumer]:
                del self._reading[consumer]


class _Events(StreamingResponse):
    """A stream that is counted from before its first byte until it ends, however it ends.

    Taken here and not in the endpoint, for between that and this an answer may be given up; and not in the generator,
    which begins after others were let in, and whose end waits for the garbage collector where its reader has gone.
    """

    media_type = MEDIA_TYPE

    def __init__(self, readers: Readers, consumer: str, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._readers, self._consumer, self._events = readers, consumer, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._readers.place(self._consumer):
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)


def create_router(jobs: Jobs) -> APIRouter:
    """Routes under /sandbox/jobs."""
    router = APIRouter(route_class=SessionRoute, prefix="/sandbox/jobs", tags=["sandbox"])
    readers = Readers()

    @router.post("", status_code=202, responses=problems(*REFUSED_WHEN_SENT))
    def submit(body: RunBody) -> JobAnswer:
        """Whoever shows a permit of this provider and a request signed by its holder. The same again: the same job."""
        return as_answer(jobs.submit(body.permit, body.request, body.context))

    @router.get("")
    def list_jobs(caller: Member) -> JobList:
        """The caller's newest jobs."""
        return JobList(jobs=tuple(as_answer(job) for job in jobs.jobs(caller.did)))

    @router.get("/{run}", responses=problems(JobUnknown))
    def show(run: str, caller: Member) -> JobAnswer:
        """A job of the caller's."""
        return as_answer(jobs.job(run, caller.did))

    @router.post("/{run}/cancel", responses=problems(JobUnknown, JobEnded))
    def cancel(run: str, caller: Member) -> JobAnswer:
        """End a job of the caller's."""
        return as_answer(jobs.cancel(run, caller.did))

    @router.get("/{run}/events", response_class=Response, responses=problems(JobUnknown, TooManyReaders))
    async def events(run: str, caller: Member, last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """What happens to a job of the caller's, until it ends."""
        after = read_number(last_event_id)
        await run_in_threadpool(jobs.job, run, caller.did)
        return _Events(readers, caller.did, _events(jobs, run, caller.did, after))

    return router


def read_number(last_event_id: str | None) -> int:
    """The number in a Last-Event-ID header, 0 if there is none. Raises `Malformed`."""
    if not last_event_id:
        return 0
    if len(last_event_id) > MAX_DIGITS or not (last_event_id.isascii() and last_event_id.isdigit()):
        raise Malformed("Last-Event-ID is the id of an event of this job, a whole number")
    return int(last_event_id)


def as_answer(job: Job) -> JobAnswer:
    """A job as it travels."""
    return JobAnswer(
        run=job.run,
        product=job.product,
        state=job.state.value,
        attempts=job.attempts,
        submitted=job.submitted,
        finished=job.finished,
        reason=_reason(job.reason),
        events=job.events,
    )


def as_event(event: Event) -> JobEvent:
    """An event as it travels."""
    return JobEvent(
        number=event.number,
        state=event.state.value,
        attempt=event.attempt,
        at=event.at,
        reason=_reason(event.reason),
    )


async def _events(jobs: Jobs, run: str, consumer: str, after: int) -> AsyncGenerator[bytes]:
    yield RETRY
    silent = 0.0
    while True:
        job = await run_in_threadpool(jobs.job, run, consumer)
        if job.events > after:
            for event in await run_in_threadpool(jobs.events, run, consumer, after):
                yield as_event(event).written()
                after, silent = event.number, 0.0
        if job.state in ENDED:
            return
        await asyncio.sleep(LOOK_SECONDS)
        if (silent := silent + LOOK_SECONDS) >= HEARTBEAT_SECONDS:
            yield HEARTBEAT
            silent = 0.0


def _reason(reason: Reason | None) -> ReasonBody | None:
    return None if reason is None else ReasonBody(code=reason.code, message=reason.message)
