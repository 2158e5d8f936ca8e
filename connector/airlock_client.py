"""Calls about held outputs: over the management API, for the owner (reviewers have `sandbox.client.ReviewClient`)."""

from collections.abc import Sequence
from urllib.parse import quote

from hexi.client import ServiceClient
from sandbox.airlock.messages import ReviewerBody, ReviewSummary


class AirlockClient:
    """Who may decide, and what waits. Take it from `connector.client.ConnectorClient.airlock`."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def add_reviewer(self, name: str, organisation: str | None = None, products: Sequence[str] = ()) -> ReviewerBody:
        """Let a person decide over held outputs, one of another organisation over those of `products`; the answer tells
        their token, once."""
        body = {"name": name, "organisation": organisation, "products": list(products)}
        return self._service.read(ReviewerBody, self._service.post("/reviewers", body))

    def reviewers(self) -> list[ReviewerBody]:
        """All reviewers by name, removed ones too."""
        return [self._service.read(ReviewerBody, found) for found in self._service.get("/reviewers")]

    def remove_reviewer(self, name: str) -> ReviewerBody:
        """Take a reviewer's voice away; votes that were cast stay."""
        path = f"/reviewers/{quote(name, safe='')}"
        return self._service.read(ReviewerBody, self._service.call("DELETE", path))

    def reviews(self, *, every: bool = False) -> list[ReviewSummary]:
        """What waits for reviewers, oldest first; with `every` the newest of every state."""
        found = self._service.get("/reviews", {"every": every})
        return [self._service.read(ReviewSummary, one) for one in found]
