"""Calls to a provider's algorithm repository: for authors, who are members, and for reviewers."""

from collections.abc import Callable
from urllib.parse import quote

import httpx

from hexi.client import ServiceClient
from sandbox.algorithms.algorithm import Algorithm
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary


class AlgorithmClient:
    """An author's and a consumer's calls. `authorise` gives a member's ``Authorization``."""

    def __init__(
        self, base_url: str, authorise: Callable[[], str], transport: httpx.BaseTransport | None = None
    ) -> None:
        self._service = ServiceClient(base_url, "the algorithm repository", authorise=authorise, transport=transport)

    def submit(self, algorithm: Algorithm) -> AlgorithmBody:
        """Submit an algorithm of ours; the same again is the same."""
        return self._service.read(AlgorithmBody, self._service.post("/sandbox/algorithms", algorithm.document()))

    def algorithms(self) -> list[AlgorithmSummary]:
        """What is accepted, and ours."""
        return [self._service.read(AlgorithmSummary, one) for one in self._service.get("/sandbox/algorithms")]

    def show(self, digest: str) -> AlgorithmBody:
        """One with its whole story."""
        return self._service.read(AlgorithmBody, self._service.get(_at("algorithms", digest)))

    def withdraw(self, digest: str) -> AlgorithmBody:
        """Have ours run no more."""
        return self._service.read(AlgorithmBody, self._service.post(_at("algorithms", digest, "/withdrawal")))


class JudgeClient:
    """A reviewer's calls. `token` is the reviewer's own, told when the provider added them."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._service = ServiceClient(
            base_url, "the algorithm repository", authorise=lambda: f"Bearer {token}", transport=transport
        )

    def algorithms(self) -> list[AlgorithmSummary]:
        """The algorithms for this reviewer, in every state."""
        return [self._service.read(AlgorithmSummary, one) for one in self._service.get("/sandbox/judging")]

    def show(self, digest: str) -> AlgorithmBody:
        """One with its whole story."""
        return self._service.read(AlgorithmBody, self._service.get(_at("judging", digest)))

    def try_out(self, digest: str, product: str, version: int, parameters: dict[str, str | int]) -> AlgorithmBody:
        """Try it on a twin of one of its products."""
        body = {"product": product, "version": version, "parameters": parameters}
        return self._service.read(AlgorithmBody, self._service.post(_at("judging", digest, "/trials"), body))

    def judge(self, digest: str, reason: str, *, agrees: bool) -> AlgorithmBody:
        """Agree or not, with a reason."""
        body = {"agrees": agrees, "reason": reason}
        return self._service.read(AlgorithmBody, self._service.post(_at("judging", digest, "/judgements"), body))


def _at(collection: str, digest: str, action: str = "") -> str:
    return f"/sandbox/{collection}/{quote(digest, safe='')}{action}"
