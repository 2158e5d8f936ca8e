"""Listings and orders, with their entries in the log."""

import threading
import uuid
from dataclasses import replace

import pytest

from hexi.errors import DataspaceError
from hexi.keys import verify
from ledger.entries import Kind
from marketplace import listings, store
from marketplace.errors import (
    AgreementOfAnother,
    AgreementUnknown,
    CertificateMissing,
    ListingExists,
    ListingNotOnSale,
    ListingUnknown,
    NotConcerned,
    NotTheProvider,
    OrderConflict,
    OrderUnknown,
    PriceChanged,
    PriceInvalid,
    RightMissing,
    StepImpossible,
)
from marketplace.listings import Step
from marketplace.orders import CONFIRMATION, State, Wish
from tests.marketplace.builders import (
    DECLARED,
    HOSPITAL_CALLS,
    OPERATOR,
    OPERATOR_CALLS,
    PLANNER,
    PLANNER_CALLS,
    PRODUCT,
    STRANGER,
    STRANGER_CALLS,
    TERMS,
    Market,
    product,
)


def test_a_listing_keeps_its_history_and_tells_the_log_its_prices(market: Market) -> None:
    listing = market.on_sale(price=1000)
    with market.database.transaction() as session:
        market.exchange.reprice(session, HOSPITAL_CALLS, listing.id, 1200)
        market.exchange.reprice(session, HOSPITAL_CALLS, listing.id, 1200)  # the same price is no step
        market.exchange.step(session, OPERATOR_CALLS, listing.id, Step.SUSPEND)
        market.exchange.step(session, HOSPITAL_CALLS, listing.id, Step.RESUME)
    with market.database.reading() as session:
        history = store.history(session, listing.id)
        logged = market.log.entries(session, kind=Kind.PRODUCT_LISTED)
    assert [(e.number, e.step, e.unit_price_fen) for e in history] == [
        (1, Step.LIST, 1000),
        (2, Step.REPRICE, 1200),
        (3, Step.SUSPEND, 1200),
        (4, Step.RESUME, 1200),
    ]
    assert [(e.entry.subject, e.entry.facts["price_fen"]) for e in logged] == [
        (listing.id, 1000),
        (f"{listing.id}#2", 1200),
        (f"{listing.id}#4", 1200),
    ]


def test_only_what_is_certified_may_be_sold(market: Market) -> None:
    with market.database.transaction() as session:
        draft = market.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, 1000, TERMS)
    with pytest.raises(CertificateMissing), market.database.transaction() as session:
        market.exchange.put_on_sale(session, HOSPITAL_CALLS, draft.id)
    with market.database.transaction() as session:
        market.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED)
        assert market.exchange.put_on_sale(session, HOSPITAL_CALLS, draft.id).state is listings.State.LISTED


def test_without_the_right_to_operate_it_a_product_is_not_sold(shop: Market) -> None:
    shop.products[PRODUCT] = product(rights=["holding", "processing-use"])
    with shop.database.transaction() as session:
        shop.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED)
        draft = shop.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, 1000, TERMS)
    with pytest.raises(RightMissing), shop.database.transaction() as session:
        shop.exchange.put_on_sale(session, HOSPITAL_CALLS, draft.id)


def test_a_product_has_one_living_listing(market: Market) -> None:
    first = market.on_sale()
    with pytest.raises(ListingExists) as refused, market.database.transaction() as session:
        market.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, 1000, TERMS)
    assert refused.value.context == {"listing": first.id}
    with market.database.transaction() as session:
        market.exchange.step(session, HOSPITAL_CALLS, first.id, Step.WITHDRAW)
    with market.database.transaction() as session:
        assert market.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, 1000, TERMS).id != first.id


def test_two_who_list_at_once_make_one_listing(market: Market) -> None:
    done: list[str] = []

    def draft() -> None:
        try:
            with market.database.transaction() as session:
                done.append(market.exchange.draft(session, HOSPITAL_CALLS, PRODUCT, 1000, TERMS).id)
        except ListingExists:
            done.append("exists")

    threads = [threading.Thread(target=draft) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.count("exists") == 3


def test_who_may_do_what_with_a_listing(shop: Market) -> None:
    listing = shop.on_sale()
    refused = (
        lambda s: shop.exchange.draft(s, STRANGER_CALLS, PRODUCT, 1, TERMS),
        lambda s: shop.exchange.put_on_sale(s, OPERATOR_CALLS, listing.id),
        lambda s: shop.exchange.reprice(s, OPERATOR_CALLS, listing.id, 1),
        lambda s: shop.exchange.step(s, STRANGER_CALLS, listing.id, Step.SUSPEND),
        lambda s: shop.exchange.step(s, PLANNER_CALLS, listing.id, Step.WITHDRAW),
    )
    for attempt in refused:
        with pytest.raises(NotTheProvider), shop.database.transaction() as session:
            attempt(session)
    with pytest.raises(ListingUnknown), shop.database.transaction() as session:
        shop.exchange.step(session, HOSPITAL_CALLS, "none", Step.SUSPEND)
    with pytest.raises(PriceInvalid), shop.database.transaction() as session:
        shop.exchange.reprice(session, HOSPITAL_CALLS, listing.id, -1)


def test_listings_are_found_by_words_in_either_language(market: Market) -> None:
    listing = market.on_sale()
    with market.database.reading() as session:
        for words in ("门诊", "outpatient", "VISITS 庆阳", "charged", None):
            found = store.find_listings(session, product=None, words=words, after="")
            assert [item.id for item in found] == [listing.id], words
        for words in ("%", "inpatient"):
            assert store.find_listings(session, product=None, words=words, after="") == []
        assert store.find_listings(session, product="other", words=None, after="") == []
        assert store.find_listings(session, product=PRODUCT, words=None, after=listing.id) == []


def test_an_order_is_confirmed_by_the_operator(market: Market) -> None:
    listing = market.on_sale()
    order = market.order(listing, market.agreement(), runs=10)
    payload = verify(order.confirmation, typ=CONFIRMATION, resolve=lambda _kid: market.keys[OPERATOR].public)
    assert (payload["id"], payload["consumer"], payload["unitPriceFen"], payload["runs"]) == (
        order.id, PLANNER, 1250, 10,
    )  # fmt: skip
    assert order.state is State.PLACED


def test_the_price_of_an_order_never_changes(market: Market) -> None:
    listing = market.on_sale()
    agreement = market.agreement()
    order = market.order(listing, agreement)
    with market.database.transaction() as session:
        market.exchange.reprice(session, HOSPITAL_CALLS, listing.id, 9999)
    with pytest.raises(PriceChanged) as refused:
        market.order(listing, agreement)
    assert refused.value.context == {"unitPriceFen": 9999}
    market.ran(order)
    assert market.metered(order).unit_price_fen == 1250
    with market.database.transaction() as session:
        stated = market.clearing.state(session, PLANNER_CALLS, statement_id=None, consumer=None, until=None)
    assert stated.document["totalFen"] == 1250


def test_orders_need_an_agreement_of_their_own(market: Market) -> None:
    listing = market.on_sale()
    with pytest.raises(AgreementUnknown):
        market.order(listing, f"urn:uuid:{uuid.uuid4()}")
    with pytest.raises(AgreementUnknown):
        market.order(listing, market.agreement(issuer=STRANGER))
    with pytest.raises(AgreementOfAnother):
        market.order(listing, market.agreement(consumer=STRANGER))
    with pytest.raises(AgreementOfAnother):
        market.order(listing, market.agreement(about="another product"))


def test_somebody_elses_entry_does_not_hide_the_agreement(shop: Market) -> None:
    listing = shop.on_sale()
    agreement = f"urn:uuid:{uuid.uuid4()}"
    for issuer in (STRANGER, listing.provider):
        facts = {"product": PRODUCT, "provider": issuer, "consumer": PLANNER}
        shop.say(issuer, Kind.AGREEMENT_CONCLUDED, agreement, **facts)
    assert shop.order(listing, agreement).agreement == agreement


@pytest.mark.parametrize("step", [Step.SUSPEND, Step.WITHDRAW])
def test_what_is_not_on_sale_takes_no_orders(shop: Market, step: Step) -> None:
    listing = shop.on_sale()
    agreement = shop.agreement()
    with shop.database.transaction() as session:
        shop.exchange.step(session, HOSPITAL_CALLS, listing.id, step)
    with pytest.raises(ListingNotOnSale):
        shop.order(listing, agreement)


def test_the_same_id_orders_once(market: Market) -> None:
    listing, agreement, order_id = market.on_sale(), market.agreement(), f"urn:uuid:{uuid.uuid4()}"
    wish = Wish(PLANNER, agreement, 3, 1250)
    answers: list[str] = []

    def order() -> None:
        try:
            with market.database.transaction() as session:
                answers.append(market.exchange.order(session, PLANNER_CALLS, order_id, listing.id, wish).confirmation)
        except DataspaceError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1
    for other in (replace(wish, runs=4), replace(wish, unit_price_fen=1), replace(wish, consumer=STRANGER)):
        with pytest.raises(OrderConflict), market.database.transaction() as session:
            market.exchange.order(session, PLANNER_CALLS, order_id, listing.id, other)


def test_the_same_id_is_answered_even_after_the_price_changed(shop: Market) -> None:
    listing, order_id = shop.on_sale(), f"urn:uuid:{uuid.uuid4()}"
    wish = Wish(PLANNER, shop.agreement(), 3, 1250)
    with shop.database.transaction() as session:
        first = shop.exchange.order(session, PLANNER_CALLS, order_id, listing.id, wish)
        shop.exchange.reprice(session, HOSPITAL_CALLS, listing.id, 1)
        assert shop.exchange.order(session, PLANNER_CALLS, order_id, listing.id, wish) == first


def test_an_order_nobody_serves_can_be_cancelled_once_and_for_all(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement())
    with pytest.raises(NotConcerned), market.database.transaction() as session:
        market.exchange.cancel(session, STRANGER_CALLS, order.id)
    for _ in range(2):
        with market.database.transaction() as session:
            assert market.exchange.cancel(session, PLANNER_CALLS, order.id).state is State.CANCELLED


def test_an_order_that_is_served_cannot_be_cancelled(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement())
    market.say(order.provider, Kind.PERMIT_ISSUED, "urn:uuid:permit", agreement=order.agreement, product=order.product)
    assert market.metered(order).state is State.ACTIVE
    with pytest.raises(StepImpossible), market.database.transaction() as session:
        market.exchange.cancel(session, PLANNER_CALLS, order.id)


def test_a_permit_by_somebody_else_does_not_bind_the_consumer(shop: Market) -> None:
    order = shop.order(shop.on_sale(), shop.agreement())
    shop.say(STRANGER, Kind.PERMIT_ISSUED, "urn:uuid:permit", agreement=order.agreement, product=order.product)
    assert shop.metered(order).state is State.PLACED


def test_an_expired_order_says_so(shop: Market) -> None:
    order = shop.order(shop.on_sale(), shop.agreement())
    shop.clock.advance(days=91)
    assert shop.metered(order).state is State.EXPIRED
    with pytest.raises(StepImpossible), shop.database.transaction() as session:
        shop.exchange.cancel(session, PLANNER_CALLS, order.id)


def test_who_sees_an_order(shop: Market) -> None:
    order = shop.order(shop.on_sale(), shop.agreement())
    with shop.database.reading() as session:
        for who in (PLANNER_CALLS, HOSPITAL_CALLS, OPERATOR_CALLS):
            assert shop.exchange.read_order(session, who, order.id) == order
        with pytest.raises(NotConcerned):
            shop.exchange.read_order(session, STRANGER_CALLS, order.id)
        with pytest.raises(OrderUnknown):
            shop.exchange.read_order(session, PLANNER_CALLS, "none")
        assert [o.id for o in shop.exchange.orders_of(session, HOSPITAL_CALLS, after="", limit=10)] == [order.id]
        assert shop.exchange.orders_of(session, STRANGER_CALLS, after="", limit=10) == []
