"""The sandbox's, its reviewers' and the aggregation point's routes."""

from typing import Any

from fastapi import APIRouter

from hexi.web import Read, SessionRoute, Write, problems
from registry.access import Member
from sandbox.aggregation import Aggregation, AggregationPoint
from sandbox.airlock.access import Reviewing
from sandbox.airlock.decisions import Decision
from sandbox.airlock.messages import ReviewBody, ReviewSummary, VoteBody
from sandbox.errors import (
    ReviewEnded,
    ReviewerExcluded,
    ReviewerUnknown,
    ReviewUnknown,
    ReviewVoteInvalid,
    RunUnknown,
    VotedAlready,
)
from sandbox.messages import (
    AggregationAnswer,
    AggregationBody,
    ContributionAnswer,
    ContributionBody,
    RunAnswer,
    RunBody,
    from_base64,
    to_base64,
)
from sandbox.runs import Sandbox


def create_router(sandbox: Sandbox) -> APIRouter:
    """Routes under /sandbox. A run takes transactions of its own: it may last longer than a request's should."""
    router = APIRouter(route_class=SessionRoute, prefix="/sandbox", tags=["sandbox"])

    @router.post("/runs")
    def run(body: RunBody) -> RunAnswer:
        """Whoever shows a permit of this provider and a request signed by its holder."""
        return sandbox.run(body.permit, body.request, body.context)

    @router.get("/runs/{run}")
    def answer(run: str, caller: Member) -> RunAnswer:
        """The answer to a run of the caller's, as far as it is there: it may be held for review."""
        return sandbox.answer(run, caller.did)

    @router.post("/runs/{run}/withdrawal", responses=problems(RunUnknown, ReviewEnded))
    def withdraw(run: str, caller: Member) -> RunAnswer:
        """Give up a run of the caller's that is held for review; again is once."""
        sandbox.airlock.withdraw(run, caller.did)
        return sandbox.answer(run, caller.did)

    _add_reviews(router, sandbox)
    return router


def _add_reviews(router: APIRouter, sandbox: Sandbox) -> None:
    @router.get("/reviews", responses=problems(ReviewerUnknown))
    def list_reviews(caller: Reviewing, all: bool = False) -> list[ReviewSummary]:  # noqa: A002 - the parameter's name
        """The outputs that wait for this reviewer, oldest first; with `all` the newest of every state."""
        return sandbox.airlock.reviews(caller, only_open=not all)

    @router.get("/reviews/{run}", responses=problems(ReviewerUnknown, ReviewUnknown, ReviewerExcluded))
    def read_review(caller: Reviewing, run: str) -> ReviewBody:
        """A held output with lineage, rule report and earlier releases. That it was looked at is on the audit.

        Not for a reviewer who speaks for the consumer.
        """
        return sandbox.airlock.look(caller, run)

    deciding = (ReviewerUnknown, ReviewUnknown, ReviewerExcluded, VotedAlready, ReviewEnded, ReviewVoteInvalid)

    @router.post("/reviews/{run}/votes", responses=problems(*deciding))
    def vote(caller: Reviewing, run: str, body: VoteBody) -> ReviewSummary:
        """Approve or reject, with a reason. The same vote again changes nothing."""
        return sandbox.airlock.vote(caller, run, Decision(body.decision), body.reason)


def create_aggregation_router(point: AggregationPoint) -> APIRouter:
    """Routes under /aggregations, for the process that runs the point."""
    router = APIRouter(route_class=SessionRoute, prefix="/aggregations", tags=["aggregations"])

    @router.post("", status_code=201)
    def open_job(body: AggregationBody, caller: Member, session: Write) -> AggregationAnswer:
        """Any member; the caller becomes the planner, who may read the total."""
        context = from_base64(body.context)
        return _answer(point.open(session, caller.did, body.job, body.contributors, context))

    @router.post("/{job}/contributions", status_code=201)
    def contribute(job: str, body: ContributionBody, caller: Member, session: Write) -> ContributionAnswer:
        """A contributor of the job, once. The answer has nothing of the others' contributions."""
        view = point.contribute(session, caller.did, job, from_base64(body.ciphertext), body.run, body.terms)
        missing = len(view.contributors) - len(view.digests)
        return ContributionAnswer(job=job, state=view.state, digest=view.digests[caller.did], missing=missing)

    @router.get("/{job}")
    def view(job: str, caller: Member, session: Read) -> AggregationAnswer:
        """The planner: who has contributed, and in the end the encrypted total."""
        return _answer(point.view(session, caller.did, job))

    return router


def _answer(view: Aggregation) -> AggregationAnswer:
    receipt: dict[str, Any] | None = view.receipt
    return AggregationAnswer(
        job=view.job,
        state=view.state,
        contributors=view.contributors,
        contributed=tuple(name for name in view.contributors if name in view.digests),
        total=to_base64(view.total) if view.total else None,
        receipt=receipt,
    )
