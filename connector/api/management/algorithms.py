"""Algorithms of ours in providers' repositories."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management.access import PREFIX, Owner
from connector.management.algorithms import PeerAlgorithms
from connector.management.messages import SubmitAlgorithm
from hexi.client import Unreachable
from hexi.web import problems
from registry.errors import ParticipantUnknown
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary
from sandbox.errors import AlgorithmConflict, AlgorithmInvalid, AlgorithmUnknown

Provider = Annotated[str, Query(description="The DID of the provider. 提供方。", max_length=500)]


def create_router(algorithms: PeerAlgorithms) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["algorithms"])
    asking = (ParticipantUnknown, Unreachable)

    @router.post("/algorithms", responses=problems(*asking, AlgorithmInvalid, AlgorithmConflict))
    def submit_algorithm(_: Owner, body: SubmitAlgorithm) -> AlgorithmBody:
        """Send an algorithm of ours to a provider's repository; the same again is the same. 提交算法。"""
        return algorithms.submit(body.provider, body.algorithm)

    @router.get("/algorithms", responses=problems(*asking))
    def list_algorithms(_: Owner, provider: Provider) -> list[AlgorithmSummary]:
        """The algorithms that a provider accepted, and ours there in every state. 算法列表。"""
        return algorithms.algorithms(provider)

    @router.get("/algorithms/{digest}", responses=problems(*asking, AlgorithmUnknown))
    def read_algorithm(_: Owner, digest: str, provider: Provider) -> AlgorithmBody:
        """One of them, with its trials and what was said of it. 查看算法。"""
        return algorithms.algorithm(provider, digest)

    return router
