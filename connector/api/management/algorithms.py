"""Algorithms of ours in providers' repositories, and those in our own."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management.access import PREFIX, Owner
from connector.management.algorithms import Repositories
from connector.management.messages import SubmitAlgorithm
from hexi.client import Unreachable
from hexi.web import problems
from registry.errors import ParticipantUnknown
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary
from sandbox.errors import AlgorithmConflict, AlgorithmInvalid, AlgorithmUnknown

Provider = Annotated[
    str | None, Query(description="The DID of the provider; left out: what was sent to us. 提供方。", max_length=500)
]


def create_router(repositories: Repositories) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["algorithms"])
    asking = (ParticipantUnknown, Unreachable)

    @router.post("/algorithms", responses=problems(*asking, AlgorithmInvalid, AlgorithmConflict))
    def submit_algorithm(_: Owner, body: SubmitAlgorithm) -> AlgorithmBody:
        """Send an algorithm of ours to a provider's repository; the same again is the same. 提交算法。"""
        return repositories.of(body.provider).submit(body.algorithm)

    @router.get("/algorithms", responses=problems(*asking))
    def list_algorithms(_: Owner, provider: Provider = None) -> list[AlgorithmSummary]:
        """What a provider accepted, and ours there in every state; without one all that was sent to us. 算法列表。"""
        return repositories.of(provider).algorithms()

    @router.get("/algorithms/{digest}", responses=problems(*asking, AlgorithmUnknown))
    def read_algorithm(_: Owner, digest: str, provider: Provider = None) -> AlgorithmBody:
        """One of them, with its trials and what was said of it. 查看算法。"""
        return repositories.of(provider).show(digest)

    @router.post("/algorithms/{digest}/withdrawal", responses=problems(*asking, AlgorithmUnknown, AlgorithmConflict))
    def withdraw_algorithm(_: Owner, digest: str, provider: Provider = None) -> AlgorithmBody:
        """Have an algorithm run no more: ours at a provider, or any in our own repository; twice is once. 撤回算法。"""
        return repositories.of(provider).withdraw(digest)

    return router
