"""Whether a wish becomes an order, rule by rule, the permission next to the refusals."""

from dataclasses import replace

import pytest

from hexi.errors import DataspaceError
from marketplace import listings, orders
from marketplace.errors import AgreementOfAnother, AgreementUnknown, ListingNotOnSale, PriceChanged, PriceInvalid
from marketplace.listings import Listing, Title
from marketplace.orders import Agreement, Order, State, Wish, check_may_order

LISTING = Listing(
    "listing", "product", 1, "provider", "SJ", Title("", ""), Title("", ""), 1250, listings.State.LISTED, "2026"
)
AGREEMENT = Agreement("agreement", "product", "provider", "consumer")
WISH = Wish("consumer", "agreement", 10, 1250)
ORDER = Order(
    "order", "listing", "product", "agreement", "consumer", "provider", 1250, 10,
    "2026-11-23T08:00:00.000Z", "2027-02-21T08:00:00.000Z", "", State.PLACED, 0,
)  # fmt: skip


def test_a_wish_that_fits_is_granted() -> None:
    check_may_order(WISH, LISTING, AGREEMENT)


@pytest.mark.parametrize(
    ("wish", "listing", "agreement", "error"),
    [
        (WISH, replace(LISTING, state=listings.State.DRAFT), AGREEMENT, ListingNotOnSale),
        (WISH, replace(LISTING, state=listings.State.SUSPENDED), AGREEMENT, ListingNotOnSale),
        (WISH, replace(LISTING, state=listings.State.WITHDRAWN), AGREEMENT, ListingNotOnSale),
        (WISH, LISTING, None, AgreementUnknown),
        (WISH, LISTING, replace(AGREEMENT, provider="another"), AgreementUnknown),
        (WISH, LISTING, replace(AGREEMENT, product="another"), AgreementOfAnother),
        (WISH, LISTING, replace(AGREEMENT, consumer="another"), AgreementOfAnother),
        (replace(WISH, runs=0), LISTING, AGREEMENT, PriceInvalid),
        (replace(WISH, runs=-1), LISTING, AGREEMENT, PriceInvalid),
        (WISH, replace(LISTING, unit_price_fen=1300), AGREEMENT, PriceChanged),
        (WISH, replace(LISTING, unit_price_fen=1200), AGREEMENT, PriceChanged),
    ],
    ids=[
        "draft", "suspended", "withdrawn", "agreement-unknown", "agreement-by-another-provider",
        "agreement-on-another-product", "agreement-with-another-consumer", "no-runs", "negative-runs",
        "dearer", "cheaper",
    ],
)  # fmt: skip
def test_a_wish_that_does_not_fit_is_refused(
    wish: Wish, listing: Listing, agreement: Agreement | None, error: type[DataspaceError]
) -> None:
    with pytest.raises(error):
        check_may_order(wish, listing, agreement)


def test_a_changed_price_is_told() -> None:
    with pytest.raises(PriceChanged) as refused:
        check_may_order(WISH, replace(LISTING, unit_price_fen=1300), AGREEMENT)
    assert refused.value.context == {"unitPriceFen": 1300}


@pytest.mark.parametrize(
    ("state", "at", "wanted"),
    [
        (State.PLACED, ORDER.expires, State.PLACED),
        (State.PLACED, "2027-02-21T08:00:00.001Z", State.EXPIRED),
        (State.ACTIVE, "2027-03-01T00:00:00.000Z", State.EXPIRED),
        (State.USED_UP, "2027-03-01T00:00:00.000Z", State.USED_UP),
        (State.CANCELLED, "2027-03-01T00:00:00.000Z", State.CANCELLED),
    ],
)
def test_an_order_expires_by_the_clock(state: State, at: str, wanted: State) -> None:
    assert orders.as_of(replace(ORDER, state=state), at).state is wanted


def test_the_confirmation_carries_what_was_bought() -> None:
    assert orders.confirmation(ORDER) == {
        "type": "order", "id": "order", "listing": "listing", "product": "product", "agreement": "agreement",
        "consumer": "consumer", "provider": "provider", "unitPriceFen": 1250, "runs": 10,
        "placedAt": ORDER.placed_at, "expires": ORDER.expires,
    }  # fmt: skip
