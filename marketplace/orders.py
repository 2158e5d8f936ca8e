"""Orders: their states, and the one question of whether an order may be taken. Pure.

An order is `PLACED` with its confirmation; `ACTIVE` once a permit under its agreement, or a run, is on the log; and
ends as `USED_UP`, `CANCELLED` or `EXPIRED`. It can be cancelled only while nobody has begun to serve it, and a run made
in spite of that revives it: a provider who trusted the confirmation must be paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from hexi.canonical import Json
from ledger.entries import Entry
from marketplace import listings, pricing
from marketplace.errors import (
    AgreementOfAnother,
    AgreementUnknown,
    ListingNotOnSale,
    PriceChanged,
    StepImpossible,
)
from marketplace.listings import Listing

# The type of the JWS by which the operator confirms an order; providers' connectors ask for it.
CONFIRMATION = "hexi-order+jws"
# How long the runs of an order may be used, in days. Long enough for a study, short enough that claims end.
ORDER_DAYS = 90


class State(StrEnum):
    PLACED = "placed"
    ACTIVE = "active"
    USED_UP = "used-up"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Step(StrEnum):
    BEGIN = "begin"
    EXHAUST = "exhaust"
    CANCEL = "cancel"
    EXPIRE = "expire"


TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.PLACED, Step.BEGIN): State.ACTIVE,
    (State.PLACED, Step.EXHAUST): State.USED_UP,
    (State.PLACED, Step.CANCEL): State.CANCELLED,
    (State.PLACED, Step.EXPIRE): State.EXPIRED,
    (State.ACTIVE, Step.BEGIN): State.ACTIVE,
    (State.ACTIVE, Step.EXHAUST): State.USED_UP,
    (State.ACTIVE, Step.EXPIRE): State.EXPIRED,
    # A run made in time may reach the log late; it is charged, and may then be the last one.
    (State.EXPIRED, Step.BEGIN): State.EXPIRED,
    (State.EXPIRED, Step.EXHAUST): State.USED_UP,
    # A refused run costs nothing and is metered even when no other is left.
    (State.USED_UP, Step.EXHAUST): State.USED_UP,
    # A confirmation cannot be called back. Whoever shows it after cancelling has not cancelled: the provider, which
    # cannot know, is paid for the runs.
    (State.CANCELLED, Step.BEGIN): State.ACTIVE,
    (State.CANCELLED, Step.EXHAUST): State.USED_UP,
}


def next_state(state: State, step: Step) -> State:
    """Where `step` leads. Raises `StepImpossible`."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise StepImpossible(
            f"an order that is {state} cannot {step}"
            + (
                "; once a permit was issued for it, its runs may be used but not given back" if step == "cancel" else ""
            ),
            state=str(state),
            step=str(step),
        ) from None


@dataclass(frozen=True)
class Order:
    """What was bought. Everything but `state` and `used` is fixed for ever."""

    id: str
    listing: str
    product: str
    agreement: str
    consumer: str
    provider: str
    unit_price_fen: int
    runs: int
    placed_at: str
    expires: str
    confirmation: str
    state: State
    used: int


@dataclass(frozen=True)
class Agreement:
    """What the log says about an agreement."""

    id: str
    product: str
    provider: str
    consumer: str


@dataclass(frozen=True)
class Wish:
    """What a consumer asks for, and the price it has seen."""

    consumer: str
    agreement: str
    runs: int
    unit_price_fen: int


def agreement_of(entry: Entry) -> Agreement:
    """The agreement in a log entry. Who issued the entry is its provider: nobody may speak for another."""
    return Agreement(
        id=entry.subject,
        # Entries may name the product with its version; an order is for the product.
        product=str(entry.facts.get("product", "")).split("#v", 1)[0],
        provider=entry.issuer,
        consumer=str(entry.facts.get("consumer", "")),
    )


def check_may_order(wish: Wish, listing: Listing, agreement: Agreement | None) -> None:
    """Raise unless `wish` can be granted.

    (1) The listing is on sale: `ListingNotOnSale`. (2) The log knows the agreement, by this provider:
    `AgreementUnknown`. (3) It is about this product, with this consumer: `AgreementOfAnother`. (4) The number of runs
    is one: `PriceInvalid`. (5) The price is the one the consumer expects: `PriceChanged`, with the present one.
    """
    if listing.state is not listings.State.LISTED:  # (1)
        raise ListingNotOnSale(f"the listing is {listing.state}; ask its provider, or search for another")
    if agreement is None or agreement.provider != listing.provider:  # (2)
        raise AgreementUnknown(
            "the log has no such agreement by this provider; negotiate one first, and wait for its receipt"
        )
    if agreement.product != listing.product:  # (3)
        raise AgreementOfAnother("this agreement is about another product than the listing")
    if agreement.consumer != wish.consumer:
        raise AgreementOfAnother("this agreement was concluded with another consumer")
    pricing.runs(wish.runs)  # (4)
    if wish.unit_price_fen != listing.unit_price_fen:  # (5)
        raise PriceChanged(
            f"a run costs {pricing.yuan(listing.unit_price_fen)} yuan now, not {pricing.yuan(wish.unit_price_fen)};"
            " order again if you accept that",
            unitPriceFen=listing.unit_price_fen,
        )


def as_of(order: Order, at: str) -> Order:
    """`order` as it is at the instant `at`: what is past its end and not finished has expired."""
    if at > order.expires and (order.state, Step.EXPIRE) in TRANSITIONS:
        return replace(order, state=next_state(order.state, Step.EXPIRE))
    return order


def same_wish(order: Order, wish: Wish, listing: str) -> bool:
    """Whether `order` is the answer already given to this very wish."""
    return (order.listing, order.consumer, order.agreement, order.runs, order.unit_price_fen) == (
        listing,
        wish.consumer,
        wish.agreement,
        wish.runs,
        wish.unit_price_fen,
    )


def confirmation(order: Order) -> Json:
    """The payload the operator signs. It carries the price, which therefore never changes."""
    return {
        "type": "order",
        "id": order.id,
        "listing": order.listing,
        "product": order.product,
        "agreement": order.agreement,
        "consumer": order.consumer,
        "provider": order.provider,
        "unitPriceFen": order.unit_price_fen,
        "runs": order.runs,
        "placedAt": order.placed_at,
        "expires": order.expires,
    }
