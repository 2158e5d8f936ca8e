"""States are data: every pair of state and step either stands in the table or is refused."""

import itertools

import pytest

from marketplace import listings, orders
from marketplace.errors import StepImpossible


@pytest.mark.parametrize(("state", "step"), list(itertools.product(listings.State, listings.Step)))
def test_listing_steps(state: listings.State, step: listings.Step) -> None:
    if (state, step) in listings.TRANSITIONS:
        assert listings.next_state(state, step) in listings.State
    else:
        with pytest.raises(StepImpossible):
            listings.next_state(state, step)


@pytest.mark.parametrize(("state", "step"), list(itertools.product(orders.State, orders.Step)))
def test_order_steps(state: orders.State, step: orders.Step) -> None:
    if (state, step) in orders.TRANSITIONS:
        assert orders.next_state(state, step) in orders.State
    else:
        with pytest.raises(StepImpossible):
            orders.next_state(state, step)


def test_nothing_leads_out_of_a_withdrawn_listing_and_only_runs_out_of_a_cancelled_order() -> None:
    assert not any(state is listings.State.WITHDRAWN for state, _ in listings.TRANSITIONS)
    out = {step for state, step in orders.TRANSITIONS if state is orders.State.CANCELLED}
    assert out == {orders.Step.BEGIN, orders.Step.EXHAUST}


def test_an_order_is_cancelled_only_before_it_is_served() -> None:
    assert [state for state, step in orders.TRANSITIONS if step is orders.Step.CANCEL] == [orders.State.PLACED]
