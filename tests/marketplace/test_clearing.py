"""Metering, statements and settlements: each exactly once, to the fen."""

import threading
from dataclasses import replace

import pytest

from ledger.documents import verify_document
from ledger.entries import Kind
from marketplace import books_store, store
from marketplace.errors import NotConcerned, NothingToState, StatementConflict, StatementUnknown
from marketplace.orders import State
from tests.marketplace.builders import (
    HOSPITAL,
    HOSPITAL_CALLS,
    OPERATOR,
    OPERATOR_CALLS,
    PLANNER,
    PLANNER_CALLS,
    STRANGER,
    STRANGER_CALLS,
    Market,
)

STATEMENT = "urn:uuid:00000000-0000-4000-8000-000000000001"


def state(market: Market, statement_id: str | None = None):  # type: ignore[no-untyped-def]
    with market.database.transaction() as session:
        return market.clearing.state(session, PLANNER_CALLS, statement_id=statement_id, consumer=None, until=None)


def settle(market: Market, statement: str):  # type: ignore[no-untyped-def]
    with market.database.transaction() as session:
        return market.clearing.settle(session, statement)


def test_the_whole_road_from_runs_to_money(market: Market) -> None:
    order = market.order(market.on_sale(price=101), market.agreement(), runs=3, price=101)
    runs = [market.ran(order) for _ in range(3)]
    refused = market.ran(order, outcome="refused", units=0)
    assert (market.metered(order).used, market.metered(order).state) == (3, State.USED_UP)

    stated = state(market)
    document = verify_document(stated, lambda _kid: market.keys[OPERATOR].public, of_type="statement")
    line = document["lines"][0]
    assert (line["runs"], line["refusedRuns"], line["amountFen"], document["totalFen"]) == (3, 1, 303, 303)
    assert {receipt["run"] for receipt in line["receipts"]} == set(runs)
    assert [receipt["run"] for receipt in line["refused"]] == [refused]

    settled = settle(market, document["id"])
    assert verify_document(settled, lambda _kid: market.keys[OPERATOR].public, of_type="settlement")
    with market.database.reading() as session:
        balances = books_store.balances(session)
        kinds = [logged.entry.kind for logged in market.log.entries(session)][-2:]
    assert balances == {
        "bank": 303,
        "undivided": 0,
        f"receivable:{PLANNER}": 0,
        f"payable:{HOSPITAL}": -258,
        "payable:platform": -30,
        "payable:fund": -15,
    }
    assert sum(balances.values()) == 0
    assert kinds == [Kind.STATEMENT_ISSUED, Kind.SETTLEMENT_MADE]


def test_a_statement_is_settled_once(market: Market) -> None:
    market.ran(market.order(market.on_sale(), market.agreement()))
    statement = state(market).document["id"]
    answers: list[str] = []

    def pay() -> None:
        answers.append(settle(market, statement).digest)

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1
    with market.database.reading() as session:
        assert books_store.balances(session)["bank"] == 1250
        assert len(books_store.settlements(session)) == 1


def test_each_run_is_metered_once_however_many_look(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement(), runs=50)
    for _ in range(10):
        market.ran(order)
    counted: list[int] = []

    def meter() -> None:
        with market.database.transaction() as session:
            counted.append(market.clearing.meter(session))

    threads = [threading.Thread(target=meter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == [0, 0, 0, 10]
    assert market.metered(order).used == 10


def test_a_metering_that_fails_half_way_is_done_again(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement())
    market.ran(order)

    def fail_half_way() -> None:
        with market.database.transaction() as session:
            market.clearing.meter(session)
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert market.metered(order).used == 1


def test_what_fits_no_order_is_kept_and_never_charged(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement(), runs=1)
    run = market.ran(order)
    market.ran(order, issuer=STRANGER)
    market.ran(order, order="urn:uuid:none")
    market.ran(order, agreement="urn:uuid:none")
    market.ran(order)
    # Another provider tries the run id of the first.
    market.ran(order, run=run, issuer=STRANGER)
    assert market.metered(order).used == 1
    with market.database.reading() as session:
        reasons = [item["reason"] for item in books_store.anomalies(session)]
    assert reasons == [
        "issuer-not-provider",
        "order-unknown",
        "agreement-mismatch",
        "count-exhausted",
        "issuer-not-provider",
    ]
    assert state(market).document["totalFen"] == 1250


def test_an_order_used_after_it_was_cancelled_is_charged(shop: Market) -> None:
    order = shop.order(shop.on_sale(), shop.agreement())
    with shop.database.transaction() as session:
        shop.exchange.cancel(session, PLANNER_CALLS, order.id)
    with pytest.raises(NothingToState):
        state(shop)
    # The confirmation still holds: who shows it to the provider afterwards gets runs for it.
    shop.ran(order)
    assert (shop.metered(order).used, shop.metered(order).state) == (1, State.ACTIVE)
    assert state(shop).document["totalFen"] == 1250


def test_a_run_stands_on_one_statement(market: Market) -> None:
    order = market.order(market.on_sale(), market.agreement(), runs=9)
    first = market.ran(order)
    one = state(market)
    with pytest.raises(NothingToState):
        state(market)
    second = market.ran(order)
    two = state(market)
    seen = [receipt["run"] for s in (one, two) for line in s.document["lines"] for receipt in line["receipts"]]
    assert seen == [first, second]


def test_until_cuts_a_statement(shop: Market) -> None:
    order = shop.order(shop.on_sale(), shop.agreement(), runs=9)
    early = shop.ran(order)
    cut = shop.clearing.notary.now
    shop.clock.advance(days=1)
    shop.ran(order)
    with shop.database.transaction() as session:
        stated = shop.clearing.state(session, OPERATOR_CALLS, statement_id=None, consumer=PLANNER, until=cut)
    assert [receipt["run"] for receipt in stated.document["lines"][0]["receipts"]] == [early]
    assert state(shop).document["totalFen"] == 1250


def test_the_same_id_states_once(market: Market) -> None:
    market.ran(market.order(market.on_sale(), market.agreement()))
    assert state(market, STATEMENT).digest == state(market, STATEMENT).digest
    with pytest.raises(StatementConflict), market.database.transaction() as session:
        market.clearing.state(session, OPERATOR_CALLS, statement_id=STATEMENT, consumer=STRANGER, until=None)


def test_who_may_state_and_see(shop: Market) -> None:
    shop.ran(shop.order(shop.on_sale(), shop.agreement()))
    with pytest.raises(NotConcerned), shop.database.transaction() as session:
        shop.clearing.state(session, STRANGER_CALLS, statement_id=None, consumer=PLANNER, until=None)
    statement = state(shop).document["id"]
    with shop.database.reading() as session:
        for who in (PLANNER_CALLS, OPERATOR_CALLS):
            assert shop.clearing.read_statement(session, who, statement).document["id"] == statement
        for who in (HOSPITAL_CALLS, STRANGER_CALLS):
            with pytest.raises(NotConcerned):
                shop.clearing.read_statement(session, who, statement)
        with pytest.raises(StatementUnknown):
            shop.clearing.read_statement(session, PLANNER_CALLS, "none")
        assert shop.clearing.balances_of(session, PLANNER) == {f"receivable:{PLANNER}": 1250}
        assert shop.clearing.balances_of(session, STRANGER) == {}


def test_a_free_run_is_stated_and_settled_at_nothing(shop: Market) -> None:
    shop.ran(shop.order(shop.on_sale(price=0), shop.agreement(), price=0))
    assert settle(shop, state(shop).document["id"]).document["totalFen"] == 0


def test_a_run_id_used_at_two_providers_is_charged_at_both(market: Market) -> None:
    first = market.order(market.on_sale(), market.agreement())
    other = replace(first, id="urn:uuid:other", provider=STRANGER, agreement="urn:uuid:theirs", confirmation="")
    with market.database.transaction() as session:
        store.add_order(session, other)
    run = market.ran(first)
    market.ran(other, run=run, issuer=STRANGER)
    assert (market.metered(first).used, market.metered(other).used) == (1, 1)
    with market.database.reading() as session:
        assert books_store.anomalies(session) == []
    assert state(market).document["totalFen"] == 2500
