"""The exchange: listings and orders."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlmodel import Session

from hexi.canonical import Clock, digest, instant
from ledger.entries import Kind
from marketplace import certificates, listings, orders, pricing, store
from marketplace.errors import (
    CertificateMissing,
    ListingExists,
    NotConcerned,
    NotTheProvider,
    OrderConflict,
    ProductWithdrawn,
    RightMissing,
)
from marketplace.listings import Event, Listing, Step, Title
from marketplace.notary import Notary, Products
from marketplace.orders import Agreement, Order, Wish
from registry.presentation import Caller


@dataclass(frozen=True)
class Exchange:
    """Puts products on sale and takes orders for them."""

    notary: Notary
    products: Products
    # Whether the space's catalogue has this product, which then stays there until the transaction ends.
    is_offered: Callable[[Session, str], bool]
    clock: Clock
    order_days: int = orders.ORDER_DAYS

    def draft(self, session: Session, caller: Caller, product: str, unit_price_fen: int, terms: Title) -> Listing:
        """A listing of the newest version of `product`, not on sale yet.

        Raises `NotTheProvider`, `ProductWithdrawn`, `ListingExists`.
        """
        document = self.products(session, product, None).document
        if document["provider"] != caller.did:
            raise NotTheProvider("only its provider may put a product on sale")
        self._check_offered(session, product)
        if found := store.living_listing(session, product):
            raise ListingExists("the product has a listing; change its price, or withdraw it first", listing=found.id)
        listing = Listing(
            id=_fresh(),
            product=product,
            version=document["version"],
            provider=caller.did,
            certificate="",
            title=Title(document["title"]["zh"], document["title"]["en"]),
            terms=terms,
            unit_price_fen=pricing.unit_price(unit_price_fen),
            state=listings.State.DRAFT,
            created=self.notary.now,
        )
        store.add_listing(session, listing)
        return listing

    def put_on_sale(self, session: Session, caller: Caller, listing_id: str) -> Listing:
        """The listing, on sale.

        Raises `ProductWithdrawn`, `CertificateMissing`, `RightMissing`, `NotTheProvider`, `StepImpossible`.
        """
        # The product is locked before its listing, as when it is withdrawn.
        self._check_offered(session, store.listing(session, listing_id).product)
        listing = self._own(session, caller, listing_id)
        held = store.certificate_in_force(session, listing.product, listing.version, self.notary.now)
        if held is None:
            raise CertificateMissing("certify this version of the product first (hexi market certify)")
        if certificates.SELLING not in held.signed.document["rights"]:
            raise RightMissing("the certificate names no right to operate the product; claim it, and certify again")
        return self._step(session, caller, replace(listing, certificate=held.number), Step.LIST)

    def reprice(self, session: Session, caller: Caller, listing_id: str, unit_price_fen: int) -> Listing:
        """The listing with another price. Orders taken keep theirs. Raises as `put_on_sale`, and `PriceInvalid`."""
        listing = self._own(session, caller, listing_id)
        price = pricing.unit_price(unit_price_fen)
        if price == listing.unit_price_fen:
            return listing
        return self._step(session, caller, replace(listing, unit_price_fen=price), Step.REPRICE)

    def step(self, session: Session, caller: Caller, listing_id: str, step: Step) -> Listing:
        """Suspend, resume or withdraw a listing; the operator may too. Raises `NotTheProvider`, `StepImpossible`."""
        return self._step(session, caller, self._own(session, caller, listing_id, operator=True), step)

    def order(self, session: Session, caller: Caller, order_id: str | None, listing_id: str, wish: Wish) -> Order:
        """The order for `wish`. The same id with the same wish is answered with the same order.

        Raises `OrderConflict` for the same id with another wish, and what `orders.check_may_order` raises.
        """
        listing = store.listing(session, listing_id, lock=True)  # the price stands still until we commit
        if order_id and (found := store.find_order(session, order_id)):
            if not orders.same_wish(found, wish, listing_id):
                raise OrderConflict("this order id stands for another order; take a fresh one")
            return orders.as_of(found, self.notary.now)
        agreement = self._agreement(session, listing, wish.agreement)
        orders.check_may_order(wish, listing, agreement)
        order = self._confirmed(order_id or _fresh(), listing, wish)
        store.add_order(session, order)
        return order

    def cancel(self, session: Session, caller: Caller, order_id: str) -> Order:
        """The order, cancelled; cancelling it again changes nothing. Raises `NotConcerned`, `StepImpossible`.

        Call `Clearing.meter` before, so that what is on the log by now counts.
        """
        order = orders.as_of(store.order(session, order_id, lock=True), self.notary.now)
        if order.consumer != caller.did:
            raise NotConcerned("only the consumer may cancel its order")
        if order.state is orders.State.CANCELLED:
            return order
        order = replace(order, state=orders.next_state(order.state, orders.Step.CANCEL))
        store.set_order(session, order)
        return order

    def read_order(self, session: Session, caller: Caller, order_id: str) -> Order:
        """The order, for its two sides and the operator. Raises `NotConcerned`, `OrderUnknown`."""
        order = store.order(session, order_id)
        if caller.did not in {order.consumer, order.provider} and not caller.is_operator:
            raise NotConcerned("an order is shown to its consumer, its provider and the operator")
        return orders.as_of(order, self.notary.now)

    def orders_of(self, session: Session, caller: Caller, *, after: str, limit: int) -> list[Order]:
        """The orders the caller placed or serves, by id."""
        found = store.orders_of(session, caller.did, after=after, limit=limit)
        return [orders.as_of(order, self.notary.now) for order in found]

    def _check_offered(self, session: Session, product: str) -> None:
        if not self.is_offered(session, product):
            raise ProductWithdrawn("the product is withdrawn; publish its next version, and certify and list that")

    def _own(self, session: Session, caller: Caller, listing_id: str, *, operator: bool = False) -> Listing:
        listing = store.listing(session, listing_id, lock=True)
        if caller.did != listing.provider and not (operator and caller.is_operator):
            raise NotTheProvider("this listing is another provider's")
        return listing

    def _step(self, session: Session, caller: Caller, listing: Listing, step: Step) -> Listing:
        listing = replace(listing, state=listings.next_state(listing.state, step))
        store.set_listing(session, listing)
        event = store.add_event(session, listing, step, caller.did, self.notary.now)
        if step in {Step.LIST, Step.REPRICE, Step.RESUME}:
            self._record(session, listing, event)
        return listing

    def _record(self, session: Session, listing: Listing, event: Event) -> None:
        # An entry is unique by its subject: the first is the listing, later prices are numbered by their event.
        subject = listing.id if event.step is Step.LIST else f"{listing.id}#{event.number}"
        facts: dict[str, str | int] = {"product": listing.product, "price_fen": listing.unit_price_fen}
        said = facts | {"listing": listing.id, "number": event.number, "step": str(event.step), "at": event.at}
        self.notary.record(session, Kind.PRODUCT_LISTED, subject, digest(said), facts)

    def _agreement(self, session: Session, listing: Listing, agreement: str) -> Agreement | None:
        logged = self.notary.logged(session, Kind.AGREEMENT_CONCLUDED, agreement, listing.provider)
        return None if logged is None else orders.agreement_of(logged.entry)

    def _confirmed(self, order_id: str, listing: Listing, wish: Wish) -> Order:
        now = self.clock()
        order = Order(
            id=order_id,
            listing=listing.id,
            product=listing.product,
            agreement=wish.agreement,
            consumer=wish.consumer,
            provider=listing.provider,
            unit_price_fen=listing.unit_price_fen,
            runs=wish.runs,
            placed_at=instant(now),
            expires=instant(now + timedelta(days=self.order_days)),
            confirmation="",
            state=orders.State.PLACED,
            used=0,
        )
        identity = self.notary.identity
        payload = orders.confirmation(order)
        return replace(order, confirmation=identity.key.sign(payload, typ=orders.CONFIRMATION, kid=identity.kid))


def _fresh() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
