"""Calls to a connector's management API about the federated catalogue.

for found in connector.federated.search({"text": "visits"}):
    connector.negotiate_offer(found.provider, found.offers[0])
"""

from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from connector.crawler.answers import CrawledPeer, FoundDataset, FoundDatasets
from hexi.canonical import Json
from hexi.client import ServiceClient

M = TypeVar("M", bound=BaseModel)


class FederatedCatalogueClient:
    """The part of `connector.client.ConnectorClient` about what other participants offer."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def search(self, filter_: Json = None) -> Iterator[FoundDataset]:
        """Every dataset that matches, in the order of discovery, a page at a time, fetched when it is needed."""
        found = self.page(filter_)
        yield from found.items
        while found.next is not None:
            found = self.page(cursor=found.next)
            yield from found.items

    def page(
        self, filter_: Json = None, *, limit: int | None = None, cursor: str | None = None, facets: bool = False
    ) -> FoundDatasets:
        """One page, with counts by provider, theme and keyword if `facets`. A `cursor` holds its question."""
        asked: dict[str, Json] = {"filter": filter_, "cursor": cursor, "facets": facets}
        return self._post(FoundDatasets, "/federated/datasets", asked if limit is None else asked | {"limit": limit})

    def peers(self) -> list[CrawledPeer]:
        """Whose catalogues are crawled, and how that stands."""
        return [self._service.read(CrawledPeer, found) for found in self._service.get("/federated/peers")]

    def peer(self, participant: str) -> CrawledPeer:
        """One of them."""
        return self._service.read(CrawledPeer, self._service.get(_at(participant)))

    def add(self, participant: str, address: str | None = None) -> CrawledPeer:
        """Crawl a participant's catalogue, at `address` or the registry's."""
        return self._post(CrawledPeer, "/federated/peers", {"participant": participant, "address": address})

    def remove(self, participant: str) -> CrawledPeer:
        """Take that back."""
        return self._service.read(CrawledPeer, self._service.call("DELETE", _at(participant)))

    def crawl(self, participant: str | None = None) -> list[CrawledPeer]:
        """Ask one peer, or all, at once."""
        asked = self._service.post("/federated/crawl", {"participant": participant})
        return [self._service.read(CrawledPeer, found) for found in asked]

    def _post(self, answer: type[M], path: str, body: Json) -> M:
        return self._service.read(answer, self._service.post(path, body))


def _at(participant: str) -> str:
    return f"/federated/peers/{quote(participant, safe='')}"
