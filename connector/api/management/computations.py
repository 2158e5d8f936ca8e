"""Runs in a provider's sandbox, and sums over several providers."""

from fastapi import APIRouter

from connector.api.management.access import PREFIX, Owner
from connector.contracts.errors import (
    AggregationIncomplete,
    AnswerInvalid,
    JobLost,
    NotADataAddress,
    RequestIdTaken,
    RunUnknown,
    TransferNotStarted,
)
from connector.management.answers import EncryptedSum, Run
from connector.management.desk import Desk
from connector.management.messages import AskEncryptedSum, AskRun, WithdrawRun
from connector.protocol.errors import ProcessUnknown
from hexi.client import Unreachable
from hexi.web import problems
from sandbox.errors import ReviewEnded
from sandbox.messages import RunAnswer


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["computations"])
    asking = (ProcessUnknown, TransferNotStarted, NotADataAddress, RequestIdTaken, AnswerInvalid, Unreachable)

    @router.post("/runs", responses=problems(*asking))
    def run_query(_: Owner, body: AskRun) -> RunAnswer:
        """Ask a query of the provider's sandbox, or run a program. The same `run` id is the same run. 沙箱计算。"""
        return RunAnswer.model_validate(desk.computations.run(body.transfer, body.query, body.purpose, body.run))

    @router.get("/runs/{run}", responses=problems(RunUnknown))
    def read_run(_: Owner, run: str) -> Run:
        """The stored answer of a run; null while there is none. 查看计算结果。"""
        return Run(run=run, answer=desk.computations.answer(run))

    @router.post("/runs/{run}/withdrawal", responses=problems(*asking, RunUnknown, ReviewEnded))
    def withdraw_run(_: Owner, run: str, body: WithdrawRun) -> RunAnswer:
        """Give up a run that its provider holds for review; twice is once. 撤回待审核的计算。"""
        return RunAnswer.model_validate(desk.computations.withdraw(body.transfer, run))

    @router.post("/encrypted-sums", responses=problems(*asking, AggregationIncomplete, JobLost))
    def sum_encrypted(_: Owner, body: AskEncryptedSum) -> EncryptedSum:
        """Ask the same query of several providers and get the rounded sum, never a single number. 密文求和。"""
        return EncryptedSum.model_validate(desk.computations.encrypted_sum(body.transfers, body.query, body.job))

    return router
