"""Who decides over outputs that the sandbox holds. Deciding itself is the reviewers' own (``/sandbox/reviews``)."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management.access import PREFIX, Owner
from hexi.web import Read, SessionRoute, Write, problems
from sandbox.airlock.airlock import Airlock
from sandbox.airlock.messages import NewReviewer, ReviewerBody, ReviewSummary
from sandbox.errors import ReviewerTaken, ReviewUnknown


def create_router(airlock: Airlock) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["reviews"])

    @router.post("/reviewers", responses=problems(ReviewerTaken))
    def add_reviewer(_: Owner, body: NewReviewer, session: Write) -> ReviewerBody:
        """Let a person decide over held outputs; the answer tells their token, once. 添加审核人。

        One of another organisation sees the outputs of the products named, and the algorithms that are for them alone.
        The same again tells a fresh token, and the old one counts no more.
        """
        return airlock.add_reviewer(session, body.name, body.organisation, body.products)

    @router.get("/reviewers")
    def list_reviewers(_: Owner, session: Read) -> list[ReviewerBody]:
        """All reviewers by name, removed ones too. 审核人列表。"""
        return airlock.reviewers(session)

    @router.delete("/reviewers/{name}", responses=problems(ReviewUnknown))
    def remove_reviewer(_: Owner, name: str, session: Write) -> ReviewerBody:
        """Take a reviewer's voice away; votes that were cast stay. 移除审核人。"""
        return airlock.remove_reviewer(session, name)

    @router.get("/reviews")
    def list_reviews(
        _: Owner, every: Annotated[bool, Query(description="Also those that have ended. 含已结束。")] = False
    ) -> list[ReviewSummary]:
        """The outputs that wait for reviewers, oldest first; what they hold is for reviewers only. 待审核结果列表。"""
        return airlock.reviews(only_open=not every)

    return router
