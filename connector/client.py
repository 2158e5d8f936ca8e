"""Calls to a connector's management API, for the command line, programs and tests.

connector = ConnectorClient("http://127.0.0.1:8081", token)
negotiation = connector.negotiate(product)
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from hexi.canonical import Json
from hexi.client import ServiceClient

# An encrypted sum waits for every provider's sandbox, in seconds.
RUN_SECONDS = 300.0

# What the management API answers: the JSON objects described in docs/reference/connector.md.
Answer = dict[str, Any]


class ConnectorClient:
    """One participant's own connector. Every method raises `RemoteProblem` or `Unreachable`."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._service = ServiceClient(
            f"{base_url.rstrip('/')}/management",
            "the connector",
            authorise=lambda: f"Bearer {token}",
            transport=transport,
            timeout=RUN_SECONDS,
        )

    def apply(self, about: Mapping[str, Json]) -> Answer:
        """Apply for membership: name, nameZh, ownerCode, region, roles, contact."""
        return self._answer("POST", "/application", dict(about))

    def status(self) -> Answer:
        """Who this connector is and where it stands."""
        return self._answer("GET", "/status")

    def evidence(self) -> list[Answer]:
        """Every entry sealed here, with its receipt or None."""
        return self._list("/evidence")

    def add_resource(
        self, name: str, tables: Mapping[str, str] | None = None, *, source: Mapping[str, Json] | None = None
    ) -> Answer:
        """Name tables on the connector's machine by their absolute paths, a source to deliver from, or both."""
        members: dict[str, Json] = {"name": name, "tables": dict(tables or {})}
        return self._answer("POST", "/resources", members if source is None else members | {"source": dict(source)})

    def resources(self) -> list[Answer]:
        """All resources."""
        return self._list("/resources")

    def publish(self, resource: str, description: Mapping[str, Json]) -> Answer:
        """Publish a product over a resource: identifier, version, offer, digest, receipt."""
        return self._answer("POST", "/products", {**description, "resource": resource})

    def products(self) -> list[Answer]:
        """The newest version of every product published from here."""
        return self._list("/products")

    def catalogue(self, q: str = "", *, offset: int = 0, limit: int = 20) -> Answer:
        """Search the space's catalogue: total, items, facets."""
        found = self._service.get("/catalogue", {"q": q, "offset": offset, "limit": limit})
        return dict(found)

    def negotiate(
        self,
        product: str,
        *,
        provider: str | None = None,
        purpose: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Start a negotiation with who publishes `product`; with a `request_id`, asking again starts nothing."""
        return self._answer(
            "POST", "/negotiations", _given(provider=provider, product=product, purpose=purpose, id=request_id)
        )

    def negotiations(self) -> list[Answer]:
        """The newest negotiations."""
        return self._list("/negotiations")

    def negotiation(self, pid: str) -> Answer:
        """One negotiation: its state, its agreement, and why it ended if it did."""
        return self._answer("GET", f"/negotiations/{quote(pid)}")

    def end_negotiation(self, pid: str, reason: str) -> Answer:
        """Give up a negotiation."""
        return self._answer("POST", f"/negotiations/{quote(pid)}/termination", {"reason": reason})

    def agreements(self) -> list[Answer]:
        """The newest agreements."""
        return self._list("/agreements")

    def agreement(self, agreement: str) -> Answer:
        """One agreement, signed, with the ledger's receipt or None."""
        return self._answer("GET", f"/agreements/{quote(agreement)}")

    def transfer(
        self, agreement: str, format_: str, *, order: str | None = None, request_id: str | None = None
    ) -> Answer:
        """Ask for a transfer under an agreement, showing the order confirmation where use is paid for."""
        return self._answer(
            "POST", "/transfers", _given(agreement=agreement, format=format_, order=order, id=request_id)
        )

    def transfers(self) -> list[Answer]:
        """The newest transfers."""
        return self._list("/transfers")

    def transfer_status(self, pid: str) -> Answer:
        """One transfer: its state, and the provider's reasons where it refused."""
        return self._answer("GET", f"/transfers/{quote(pid)}")

    def end_transfer(self, pid: str, reason: str) -> Answer:
        """End a transfer; its permit counts no longer."""
        return self._answer("POST", f"/transfers/{quote(pid)}/termination", {"reason": reason})

    def peer_catalogue(self, counterparty: str, *, address: str | None = None, filter_: Json = None) -> Answer:
        """A peer's own catalogue: participant, address, datasets with their formats and offers."""
        asked = _given(counterparty=counterparty, address=address, filter=filter_)
        return self._answer("POST", "/peers/catalogue", asked)

    def negotiate_offer(
        self,
        counterparty: str,
        offer: Mapping[str, Json],
        *,
        address: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Start a negotiation over an offer of a peer's catalogue, as it stands there."""
        asked = _given(counterparty=counterparty, address=address, offer=dict(offer), id=request_id)
        return self._answer("POST", "/peers/negotiations", asked)

    def run(self, transfer: str, query: str, *, purpose: str | None = None, run: str | None = None) -> Answer:
        """Ask a query: verdict, columns, rows or reasons, and the provider's signed receipt."""
        return self._answer("POST", "/runs", _given(transfer=transfer, query=query, purpose=purpose, run=run))

    def answer(self, run: str) -> Answer:
        """The stored answer of a run; its `answer` is None while there is none."""
        return self._answer("GET", f"/runs/{quote(run)}")

    def encrypted_sum(self, transfers: Sequence[str], query: str, *, job: str | None = None) -> Answer:
        """The rounded sum of several providers' numbers."""
        return self._answer("POST", "/encrypted-sums", _given(transfers=list(transfers), query=query, job=job))

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _answer(self, method: str, path: str, body: Json = None) -> Answer:
        return dict(self._service.call(method, path, body=body))

    def _list(self, path: str) -> list[Answer]:
        return list(self._service.get(path))


def _given(**members: Json) -> dict[str, Json]:
    return {name: value for name, value in members.items() if value is not None}
