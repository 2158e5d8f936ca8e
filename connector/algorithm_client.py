"""Calls about algorithms in providers' repositories and our own, over the management API."""

from urllib.parse import quote

from hexi.canonical import Json
from hexi.client import ServiceClient
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary


class ManagedAlgorithms:
    """Our algorithms at a `provider`, and without one those that were sent to us.

    Take it from `connector.client.ConnectorClient.algorithms`.
    """

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def submit(self, provider: str, algorithm: Json) -> AlgorithmBody:
        """Send an algorithm of ours to a provider's repository."""
        body = {"provider": provider, "algorithm": algorithm}
        return self._service.read(AlgorithmBody, self._service.post("/algorithms", body))

    def listing(self, provider: str | None = None) -> list[AlgorithmSummary]:
        """What a provider accepted, and ours there in every state."""
        found = self._service.get("/algorithms", _at(provider))
        return [self._service.read(AlgorithmSummary, one) for one in found]

    def show(self, digest: str, provider: str | None = None) -> AlgorithmBody:
        """One with its trials and what was said of it."""
        found = self._service.get(f"/algorithms/{quote(digest, safe='')}", _at(provider))
        return self._service.read(AlgorithmBody, found)

    def withdraw(self, digest: str, provider: str | None = None) -> AlgorithmBody:
        """Have it run no more."""
        path = f"/algorithms/{quote(digest, safe='')}/withdrawal"
        return self._service.read(AlgorithmBody, self._service.call("POST", path, params=_at(provider)))


def _at(provider: str | None) -> dict[str, str] | None:
    return None if provider is None else {"provider": provider}
