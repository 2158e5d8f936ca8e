"""Calls about algorithms in providers' repositories, over the management API."""

from urllib.parse import quote

from hexi.canonical import Json
from hexi.client import ServiceClient
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary


class ManagedAlgorithms:
    """Our algorithms elsewhere. Take it from `connector.client.ConnectorClient.algorithms`."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def submit(self, provider: str, algorithm: Json) -> AlgorithmBody:
        """Send an algorithm of ours to a provider's repository."""
        body = {"provider": provider, "algorithm": algorithm}
        return self._service.read(AlgorithmBody, self._service.post("/algorithms", body))

    def listing(self, provider: str) -> list[AlgorithmSummary]:
        """What a provider accepted, and ours there in every state."""
        found = self._service.get("/algorithms", {"provider": provider})
        return [self._service.read(AlgorithmSummary, one) for one in found]

    def show(self, digest: str, provider: str) -> AlgorithmBody:
        """One with its trials and what was said of it."""
        found = self._service.get(f"/algorithms/{quote(digest, safe='')}", {"provider": provider})
        return self._service.read(AlgorithmBody, found)
