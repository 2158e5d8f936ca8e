"""Routes under ``/market``. Who may call an endpoint stands in its signature: `Member`, `Operator`, or nobody named."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, status

from hexi.canonical import instant, parse_instant
from hexi.web import Read, SessionRoute, Write
from marketplace import books_store, store
from marketplace.clearing import Clearing
from marketplace.exchange import Exchange
from marketplace.listings import Step
from marketplace.messages import (
    AccountsAnswer,
    AnomaliesAnswer,
    CertificateAnswer,
    CertificateRequest,
    ListingAnswer,
    ListingRequest,
    ListingsAnswer,
    OrderAnswer,
    OrderRequest,
    OrdersAnswer,
    PriceRequest,
    SettlementRequest,
    StatementRequest,
)
from marketplace.orders import Wish
from marketplace.registrar import Registrar
from marketplace.store import Certificate
from registry.access import Member, Operator

Limit = Annotated[int, Query(ge=1, le=store.PAGE)]


@dataclass(frozen=True)
class Market:
    """The three desks."""

    registrar: Registrar
    exchange: Exchange
    clearing: Clearing
    # Whether the chain was told of the registration at this place in the log.
    on_chain: Callable[[int], bool]


def create_router(market: Market) -> APIRouter:
    """The marketplace's routes."""
    router = APIRouter(route_class=SessionRoute, prefix="/market", tags=["market"])
    _certificates(router, market.registrar, market.on_chain)
    _listings(router, market.exchange)
    _orders(router, market.exchange, market.clearing)
    _books(router, market.clearing)
    return router


def _certificates(router: APIRouter, registrar: Registrar, on_chain: Callable[[int], bool]) -> None:
    def answer(found: Certificate) -> CertificateAnswer:
        return CertificateAnswer.of(found, on_chain=on_chain(found.log_index))

    @router.post("/certificates", status_code=status.HTTP_201_CREATED)
    def certify(body: CertificateRequest, caller: Member, session: Write) -> CertificateAnswer:
        """Members: the product's provider. The certificate in force, or a new one if the compliance gate opens."""
        return answer(registrar.certify(session, caller, body.product, body.declarations.declared()))

    @router.post("/assessments")
    def assess(body: CertificateRequest, caller: Member, session: Read) -> dict[str, Any]:
        """Members: the product's provider. The compliance report a certificate would be decided by; changes nothing."""
        report: dict[str, Any] = registrar.assess(session, caller, body.product, body.declarations.declared())
        return report

    @router.get("/certificates/{number}")
    def certificate(number: str, session: Read) -> CertificateAnswer:
        """Public. A certificate by its number."""
        return answer(store.certificate(session, number))


def _listings(router: APIRouter, exchange: Exchange) -> None:
    @router.post("/listings", status_code=status.HTTP_201_CREATED)
    def create(body: ListingRequest, caller: Member, session: Write) -> ListingAnswer:
        """Members: the product's provider. On sale at once, unless it is to be a draft."""
        listing = exchange.draft(session, caller, body.product, body.unit_price_fen, body.title())
        if not body.draft:
            listing = exchange.put_on_sale(session, caller, listing.id)
        return ListingAnswer.of(listing)

    @router.get("/listings")
    def find(
        session: Read, product: str | None = None, q: str | None = None, after: str = "", limit: Limit = store.PAGE
    ) -> ListingsAnswer:
        """Public. Listings on sale."""
        found = store.find_listings(session, product=product, words=q, after=after, limit=limit)
        return ListingsAnswer(items=[ListingAnswer.of(listing) for listing in found])

    @router.get("/listings/{listing_id}")
    def read(listing_id: str, session: Read) -> ListingAnswer:
        """Public. A listing with its history of states and prices."""
        return ListingAnswer.of(store.listing(session, listing_id), store.history(session, listing_id))

    @router.post("/listings/{listing_id}/sale")
    def put_on_sale(listing_id: str, caller: Member, session: Write) -> ListingAnswer:
        """Members: its provider. From draft to sale."""
        return ListingAnswer.of(exchange.put_on_sale(session, caller, listing_id))

    @router.post("/listings/{listing_id}/price")
    def reprice(listing_id: str, body: PriceRequest, caller: Member, session: Write) -> ListingAnswer:
        """Members: its provider. Orders taken before keep their price."""
        return ListingAnswer.of(exchange.reprice(session, caller, listing_id, body.unit_price_fen))

    for path, step in (("suspension", Step.SUSPEND), ("resumption", Step.RESUME), ("withdrawal", Step.WITHDRAW)):
        _listing_step(router, exchange, path, step)


def _listing_step(router: APIRouter, exchange: Exchange, path: str, step: Step) -> None:
    def take(listing_id: str, caller: Member, session: Write) -> ListingAnswer:
        return ListingAnswer.of(exchange.step(session, caller, listing_id, step))

    take.__doc__ = f"Members: its provider; the operator. To {step} a listing."
    router.post(f"/listings/{{listing_id}}/{path}", name=path)(take)


def _orders(router: APIRouter, exchange: Exchange, clearing: Clearing) -> None:
    @router.post("/orders", status_code=status.HTTP_201_CREATED)
    def order(body: OrderRequest, caller: Member, session: Write) -> OrderAnswer:
        """Members: the consumer. An order at the expected price, with its signed confirmation."""
        wish = Wish(caller.did, body.agreement, body.runs, body.unit_price_fen)
        return OrderAnswer.of(exchange.order(session, caller, body.id, body.listing, wish))

    @router.get("/orders")
    def orders(caller: Member, session: Read, after: str = "", limit: Limit = store.PAGE) -> OrdersAnswer:
        """Members. The orders the caller placed or serves, as last metered."""
        found = exchange.orders_of(session, caller, after=after, limit=limit)
        return OrdersAnswer(items=[OrderAnswer.of(order) for order in found])

    @router.get("/orders/{order_id}")
    def read(order_id: str, caller: Member, session: Write) -> OrderAnswer:
        """Members: its consumer, its provider; the operator. Meters first, so that what is on the log counts."""
        clearing.meter(session)
        return OrderAnswer.of(exchange.read_order(session, caller, order_id))

    @router.post("/orders/{order_id}/cancellation")
    def cancel(order_id: str, caller: Member, session: Write) -> OrderAnswer:
        """Members: its consumer. Only while no permit was issued and no run made under it."""
        clearing.meter(session)
        return OrderAnswer.of(exchange.cancel(session, caller, order_id))


def _books(router: APIRouter, clearing: Clearing) -> None:
    @router.post("/statements", status_code=status.HTTP_201_CREATED)
    def state(body: StatementRequest, caller: Member, session: Write) -> dict[str, Any]:
        """Members: the consumer concerned; the operator. The signed statement of what was not stated yet."""
        until = instant(parse_instant(body.until)) if body.until else None
        return clearing.state(session, caller, statement_id=body.id, consumer=body.consumer, until=until).to_json()

    @router.get("/statements/{statement_id}")
    def statement(statement_id: str, caller: Member, session: Read) -> dict[str, Any]:
        """Members: its consumer; the operator. The signed statement."""
        return clearing.read_statement(session, caller, statement_id).to_json()

    @router.post("/settlements", status_code=status.HTTP_201_CREATED)
    def settle(body: SettlementRequest, _caller: Operator, session: Write) -> dict[str, Any]:
        """The operator. Books the payment of a statement; again, and the first settlement is the answer."""
        return clearing.settle(session, body.statement).to_json()

    @router.get("/accounts")
    def accounts(_caller: Operator, session: Read) -> AccountsAnswer:
        """The operator. Every balance."""
        return AccountsAnswer(accounts=books_store.balances(session))

    @router.get("/accounts/mine")
    def mine(caller: Member, session: Read) -> AccountsAnswer:
        """Members. What the caller owes (positive) and is owed (negative)."""
        return AccountsAnswer(accounts=clearing.balances_of(session, caller.did))

    @router.get("/anomalies")
    def anomalies(_caller: Operator, session: Write, after: int = -1) -> AnomaliesAnswer:
        """The operator. Logged runs that were not charged, and why."""
        clearing.meter(session)
        return AnomaliesAnswer(items=books_store.anomalies(session, after=after))
