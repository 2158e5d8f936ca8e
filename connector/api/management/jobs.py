"""Runs that wait at a provider: sent, looked at, ended."""

from fastapi import APIRouter

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
from connector.management.messages import AskRun, CancelJob
from connector.protocol.errors import ProcessUnknown
from hexi.client import Unreachable
from hexi.web import problems
from sandbox.errors import JobEnded, JobUnknown, QueueFull


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["computations"])
    asking = (ProcessUnknown, TransferNotStarted, NotADataAddress, AnswerInvalid, Unreachable)
    looking = (*asking, RunUnknown, JobUnknown)

    @router.post("/jobs", status_code=202, responses=problems(*asking, RequestIdTaken, QueueFull))
    def submit_job(_: Owner, body: AskRun) -> Job:
        """Let a query wait at the provider's sandbox. The same `run` id again is the same job. 提交计算任务。"""
        return Job.model_validate(desk.computations.submit(body.transfer, body.query, body.purpose, body.run))

    @router.get("/jobs", responses=problems(*asking))
    def list_jobs(_: Owner, transfer: str) -> Jobs:
        """Our newest jobs at the provider of a transfer. 任务列表。"""
        return Jobs.model_validate({"items": desk.computations.jobs(transfer)})

    @router.get("/jobs/{run}", responses=problems(*looking))
    def read_job(_: Owner, run: str, transfer: str) -> Job:
        """A job as it stands, with its answer once there is one. 查看任务。"""
        return Job.model_validate(desk.computations.job(transfer, run))

    @router.post("/jobs/{run}/cancellation", responses=problems(*looking, JobEnded))
    def cancel_job(_: Owner, run: str, body: CancelJob) -> Job:
        """End a job: one that waits costs nothing, one under way counts. 取消任务。"""
        return Job.model_validate(desk.computations.cancel(body.transfer, run))

    return router
