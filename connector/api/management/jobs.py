"""Runs that wait at a provider: sent, looked at, followed, ended."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from connector.api.management.access import PREFIX, Owner
from connector.contracts.errors import (
    AnswerInvalid,
    NotADataAddress,
    RequestIdTaken,
    RunUnknown,
    TransferNotStarted,
)
from connector.management.answers import Job, Jobs
from connector.management.desk import Desk
from connector.management.following import Followed
from connector.management.messages import AskRun, CancelJob
from connector.planes import sse
from connector.planes.under_way import UnderWay
from connector.protocol.errors import ProcessUnknown
from hexi.client import Unreachable
from hexi.errors import DataspaceError
from hexi.web import problems
from sandbox.errors import JobEnded, JobUnknown, QueueFull, TooManyReaders
from sandbox.jobs.api import read_number

# Jobs that are followed at once, of one transfer and in all: each holds a connection to a provider (who gives us eight)
# and waits in a thread. The threads are their own, so that no provider's silence keeps a request waiting.
MAX_AT_ONCE, MAX_FOLLOWED = 8, 16
# How the events look, for the description of the interface.
EVENTS: dict[str, Any] = {
    "description": "Server-sent events, numbered from 1; the stream ends with the job, or where its provider's breaks.",
    "content": {
        sse.MEDIA_TYPE: {
            "schema": {
                "type": "string",
                "examples": [
                    'id: 2\nevent: running\ndata: {"at":"2026-11-26T08:00:00.000Z","attempt":1,"number":2,'
                    '"reason":null,"state":"running"}\n\n'
                ],
            }
        }
    },
}


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["computations"])
    asking = (ProcessUnknown, TransferNotStarted, NotADataAddress, AnswerInvalid, Unreachable)
    looking = (*asking, RunUnknown, JobUnknown)
    places = UnderWay("jobs followed", of_transfer=MAX_AT_ONCE, in_all=MAX_FOLLOWED, refusal=TooManyReaders)
    threads = CapacityLimiter(MAX_FOLLOWED)

    @router.post("/jobs", status_code=202, responses=problems(*asking, RequestIdTaken, QueueFull))
    def submit_job(_: Owner, body: AskRun) -> Job:
        """Let a query or program wait at the provider. The same `run` id again is the same job. 提交计算任务。"""
        return Job.model_validate(desk.computations.submit(body.transfer, body.query, body.purpose, body.run))

    @router.get("/jobs", responses=problems(*asking))
    def list_jobs(_: Owner, transfer: str) -> Jobs:
        """Our newest jobs at the provider of a transfer. 任务列表。"""
        return Jobs.model_validate({"items": desk.computations.jobs(transfer)})

    @router.get("/jobs/{run}", responses=problems(*looking))
    def read_job(_: Owner, run: str, transfer: str) -> Job:
        """A job as it stands, with its answer once there is one. 查看任务。"""
        return Job.model_validate(desk.computations.job(transfer, run))

    @router.get(
        "/jobs/{run}/events", response_class=Response, responses={200: EVENTS, **problems(*looking, TooManyReaders)}
    )
    async def follow_job(
        _: Owner, run: str, transfer: str, last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        """What happens to a job, as its provider tells it, until it ends: server-sent events. 跟踪任务。"""
        after = read_number(last_event_id)
        with ExitStack() as held:
            held.enter_context(places.place(transfer))
            told = await run_sync(desk.computations.follow, transfer, run, after, limiter=threads)
            held.enter_context(closing(told))
            await run_sync(next, told, None, limiter=threads)  # so that a refusal is one, and not a stream that breaks
            return _Events(_relayed(told, threads), held.pop_all())

    @router.post("/jobs/{run}/cancellation", responses=problems(*looking, JobEnded))
    def cancel_job(_: Owner, run: str, body: CancelJob) -> Job:
        """End a job: one that waits costs nothing, one under way counts. 取消任务。"""
        return Job.model_validate(desk.computations.cancel(body.transfer, run))

    return router


class _Events(StreamingResponse):
    """A stream that lets go of what it `held` however it ends."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, events: AsyncIterator[bytes], held: ExitStack) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def _relayed(told: Followed, threads: CapacityLimiter) -> AsyncIterator[bytes]:
    """The provider's events in our own words: what it sends is read, never passed on as it came."""
    yield sse.RETRY
    following = partial(next, told, ())
    try:
        while (event := await run_sync(following, limiter=threads)) != ():
            yield sse.HEARTBEAT if event is None else event.written()
    except DataspaceError:
        return  # broken off: whoever connects again is told why, or goes on behind the last event
