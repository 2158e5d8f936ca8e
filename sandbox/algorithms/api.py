"""The repository's routes, under /sandbox/algorithms."""

from fastapi import APIRouter

from hexi.web import SessionRoute, problems
from registry.access import Member
from sandbox.airlock.access import Reviewing
from sandbox.algorithms.algorithm import Algorithm
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary, JudgementBody, TrialBody
from sandbox.algorithms.repository import Algorithms
from sandbox.errors import (
    AlgorithmConflict,
    AlgorithmInvalid,
    AlgorithmUnknown,
    EnvironmentUnavailable,
    IsolationUnavailable,
    ReviewerExcluded,
    VotedAlready,
)


def create_router(algorithms: Algorithms) -> APIRouter:
    """Authors are members; reviewers show the token they were told."""
    router = APIRouter(route_class=SessionRoute, prefix="/sandbox", tags=["algorithms"])

    @router.post("/algorithms", status_code=201, responses=problems(AlgorithmConflict, AlgorithmInvalid))
    def submit(body: Algorithm, caller: Member) -> AlgorithmBody:
        """A member, as the algorithm's author; the same again is the same."""
        return algorithms.submit(body, caller.did)

    @router.get("/algorithms")
    def list_algorithms(caller: Member) -> list[AlgorithmSummary]:
        """A member: what is accepted, and one's own; the provider itself: all."""
        return algorithms.listing(caller.did)

    @router.get("/algorithms/{digest}", responses=problems(AlgorithmUnknown))
    def show(digest: str, caller: Member) -> AlgorithmBody:
        """A member: an accepted algorithm or one's own, with trials and judgements."""
        return algorithms.show(digest, caller.did)

    @router.post("/algorithms/{digest}/withdrawal", responses=problems(AlgorithmUnknown, AlgorithmConflict))
    def withdraw(digest: str, caller: Member) -> AlgorithmBody:
        """The author, or the provider: it is run no more."""
        return algorithms.withdraw(digest, caller.did)

    _add_judging(router, algorithms)
    return router


def _add_judging(router: APIRouter, algorithms: Algorithms) -> None:
    trying = (AlgorithmUnknown, AlgorithmInvalid, EnvironmentUnavailable, IsolationUnavailable)
    judging = (AlgorithmUnknown, AlgorithmConflict, ReviewerExcluded, VotedAlready)

    @router.get("/judging")
    def list_for_reviewers(caller: Reviewing) -> list[AlgorithmSummary]:
        """A reviewer: the algorithms for this reviewer, in every state."""
        return algorithms.pending(caller)

    @router.get("/judging/{digest}", responses=problems(AlgorithmUnknown))
    def show_for_reviewers(caller: Reviewing, digest: str) -> AlgorithmBody:
        """A reviewer: one of them with trials and judgements."""
        return algorithms.examine(caller, digest)

    @router.post("/judging/{digest}/trials", responses=problems(*trying))
    def try_out(caller: Reviewing, digest: str, body: TrialBody) -> AlgorithmBody:
        """A reviewer: try it on a twin of one of its products. No row of the product is read."""
        return algorithms.try_out(caller, digest, body)

    @router.post("/judging/{digest}/judgements", responses=problems(*judging))
    def judge(caller: Reviewing, digest: str, body: JudgementBody) -> AlgorithmBody:
        """A reviewer: agree or not, with a reason. Two people of two organisations accept it; one rejects it."""
        return algorithms.judge(caller, digest, body)
