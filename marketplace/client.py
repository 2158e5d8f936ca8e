"""A typed client of the marketplace.

>>> market = MarketplaceClient("http://127.0.0.1:8080", authorise=...)  # doctest: +SKIP
>>> order = market.order(listing, agreement, runs=10, unit_price_fen=1250)  # doctest: +SKIP
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote

import httpx

from hexi.canonical import Json
from hexi.client import ServiceClient
from ledger.documents import SignedDocument
from marketplace.messages import CertificateAnswer, ListingAnswer, ListingsAnswer, OrderAnswer, OrdersAnswer


class MarketplaceClient:
    """Calls to ``/market``. `authorise` gives a fresh presentation for each call; see `registry.presentation`.

    Every call raises `hexi.errors.RemoteProblem` (with the marketplace's code) and `hexi.web.Unreachable`.
    """

    def __init__(
        self,
        base_url: str,
        authorise: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = ServiceClient(base_url, "the marketplace", authorise=authorise, transport=transport)

    def certify(self, product: str, declarations: Mapping[str, str] | None = None) -> CertificateAnswer:
        """Have the newest version of `product` assessed and certified."""
        body = {"product": product, "declarations": dict(declarations or {})}
        return self._service.read(CertificateAnswer, self._service.post("/market/certificates", body))

    def assess(self, product: str, declarations: Mapping[str, str] | None = None) -> Json:
        """The compliance report `certify` would be decided by."""
        body = {"product": product, "declarations": dict(declarations or {})}
        return self._service.post("/market/assessments", body)

    def certificate(self, number: str) -> CertificateAnswer:
        """A certificate by its number. Public."""
        return self._service.read(CertificateAnswer, self._service.get(f"/market/certificates/{_path(number)}"))

    def list_product(
        self, product: str, unit_price_fen: int, terms: Mapping[str, str] | None = None, *, draft: bool = False
    ) -> ListingAnswer:
        """Put `product` on sale; `terms` are ``{"zh": ..., "en": ...}``."""
        body = {"product": product, "unitPriceFen": unit_price_fen, "draft": draft}
        body |= {"terms": dict(terms)} if terms else {}
        return self._service.read(ListingAnswer, self._service.post("/market/listings", body))

    def listings(self, *, product: str | None = None, q: str | None = None, after: str = "") -> list[ListingAnswer]:
        """Listings on sale. Public."""
        params = {name: value for name, value in {"product": product, "q": q, "after": after}.items() if value}
        return self._service.read(ListingsAnswer, self._service.get("/market/listings", params)).items

    def listing(self, listing_id: str) -> ListingAnswer:
        """A listing with its history. Public."""
        return self._service.read(ListingAnswer, self._service.get(f"/market/listings/{_path(listing_id)}"))

    def put_on_sale(self, listing: str) -> ListingAnswer:
        """A draft goes on sale."""
        return self._listing_step(listing, "sale")

    def reprice(self, listing: str, unit_price_fen: int) -> ListingAnswer:
        """Another price for what is ordered from now on."""
        body = {"unitPriceFen": unit_price_fen}
        return self._service.read(ListingAnswer, self._service.post(f"/market/listings/{_path(listing)}/price", body))

    def suspend(self, listing: str) -> ListingAnswer:
        """No orders for a while."""
        return self._listing_step(listing, "suspension")

    def resume(self, listing: str) -> ListingAnswer:
        """Orders again."""
        return self._listing_step(listing, "resumption")

    def withdraw(self, listing: str) -> ListingAnswer:
        """No orders any more."""
        return self._listing_step(listing, "withdrawal")

    def order(
        self, listing: str, agreement: str, *, runs: int, unit_price_fen: int, order_id: str | None = None
    ) -> OrderAnswer:
        """Order `runs` at the price seen. Repeating it with the same `order_id` orders once."""
        body = {"listing": listing, "agreement": agreement, "runs": runs, "unitPriceFen": unit_price_fen}
        body |= {"id": order_id} if order_id else {}
        return self._service.read(OrderAnswer, self._service.post("/market/orders", body))

    def orders(self, *, after: str = "") -> list[OrderAnswer]:
        """The caller's orders, as consumer or provider."""
        answer = self._service.get("/market/orders", {"after": after} if after else None)
        return self._service.read(OrdersAnswer, answer).items

    def read_order(self, order_id: str) -> OrderAnswer:
        """An order and how far it is used."""
        return self._service.read(OrderAnswer, self._service.get(f"/market/orders/{_path(order_id)}"))

    def cancel(self, order: str) -> OrderAnswer:
        """Cancel an order nobody began to serve."""
        return self._service.read(OrderAnswer, self._service.post(f"/market/orders/{_path(order)}/cancellation"))

    def state(
        self, consumer: str | None = None, until: str | None = None, *, statement_id: str | None = None
    ) -> SignedDocument:
        """The statement of what `consumer` (the caller) used and was not stated yet."""
        wanted = {"consumer": consumer, "until": until, "id": statement_id}
        body = {name: value for name, value in wanted.items() if value}
        return SignedDocument.from_json(self._service.post("/market/statements", body))

    def statement(self, statement_id: str) -> SignedDocument:
        """A statement."""
        return SignedDocument.from_json(self._service.get(f"/market/statements/{_path(statement_id)}"))

    def settle(self, statement: str) -> SignedDocument:
        """The operator: the payment of `statement` has arrived."""
        return SignedDocument.from_json(self._service.post("/market/settlements", {"statement": statement}))

    def accounts(self) -> dict[str, int]:
        """The operator: every balance, in fen."""
        return _accounts(self._service.get("/market/accounts"))

    def own_accounts(self) -> dict[str, int]:
        """What the caller owes (positive) and is owed (negative), in fen."""
        return _accounts(self._service.get("/market/accounts/mine"))

    def anomalies(self, after: int = -1) -> list[Json]:
        """The operator: logged runs that were not charged."""
        items: list[Json] = self._service.get("/market/anomalies", {"after": after})["items"]
        return items

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _listing_step(self, listing: str, step: str) -> ListingAnswer:
        return self._service.read(ListingAnswer, self._service.post(f"/market/listings/{_path(listing)}/{step}"))


def _accounts(answer: Json) -> dict[str, int]:
    return {str(name): int(fen) for name, fen in answer["accounts"].items()}


def _path(name: str) -> str:
    return quote(name, safe="")
