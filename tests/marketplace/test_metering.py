"""What a logged run costs: charged, metered at nothing, or an anomaly."""

from dataclasses import replace

import pytest

from marketplace.metering import Anomaly, Charge, Run, judge, read_run
from marketplace.orders import Order, State
from tests.marketplace.test_orders import ORDER

RUN = Run("run", 7, "provider", "2026-12-01T00:00:00.000Z", "order", "agreement", "product", "sha256:", "released", 1)
REFUSED = replace(RUN, outcome="refused", units=0)


@pytest.mark.parametrize(
    ("run", "order", "units", "fen", "state"),
    [
        (RUN, ORDER, 1, 1250, State.ACTIVE),
        (RUN, replace(ORDER, used=9), 1, 1250, State.USED_UP),
        (RUN, replace(ORDER, runs=1), 1, 1250, State.USED_UP),
        (RUN, replace(ORDER, unit_price_fen=0), 1, 0, State.ACTIVE),
        (RUN, replace(ORDER, state=State.EXPIRED), 1, 1250, State.EXPIRED),
        (RUN, replace(ORDER, state=State.CANCELLED), 1, 1250, State.ACTIVE),
        (RUN, replace(ORDER, state=State.CANCELLED, runs=1), 1, 1250, State.USED_UP),
        (REFUSED, ORDER, 0, 0, State.ACTIVE),
        (REFUSED, replace(ORDER, used=10, state=State.USED_UP), 0, 0, State.USED_UP),
    ],
    ids=[
        "first",
        "last",
        "only",
        "free",
        "logged-late",
        "cancelled",
        "cancelled-and-only",
        "refused",
        "refused-after-the-last",
    ],
)
def test_a_run_of_an_order_is_metered(run: Run, order: Order, units: int, fen: int, state: State) -> None:
    judged = judge(run, order, metered_before=False)
    assert judged == Charge(replace(order, used=order.used + units, state=state), units, fen)


@pytest.mark.parametrize(
    ("run", "order", "before", "reason"),
    [
        (RUN, None, False, "order-unknown"),
        (replace(RUN, issuer="consumer"), ORDER, False, "issuer-not-provider"),
        (replace(RUN, agreement="another"), ORDER, False, "agreement-mismatch"),
        (replace(RUN, product="another"), ORDER, False, "product-mismatch"),
        (RUN, ORDER, True, "run-already-metered"),
        (replace(RUN, units=2), ORDER, False, "units-contradict-outcome"),
        (replace(RUN, units=-1), ORDER, False, "units-contradict-outcome"),
        (replace(RUN, outcome="refused"), ORDER, False, "units-contradict-outcome"),
        (replace(REFUSED, outcome="released"), ORDER, False, "units-contradict-outcome"),
        (replace(RUN, at="2027-03-01T00:00:00.000Z"), ORDER, False, "order-expired"),
        (RUN, replace(ORDER, used=10, state=State.USED_UP), False, "count-exhausted"),
    ],
)
def test_a_run_that_does_not_fit_is_an_anomaly(run: Run, order: Order | None, before: bool, reason: str) -> None:
    judged = judge(run, order, metered_before=before)
    assert isinstance(judged, Anomaly)
    assert judged.reason == reason


def test_a_log_entry_is_read_as_a_run() -> None:
    facts: dict[str, str | int] = {
        "order": "order", "agreement": "agreement", "product": "product#v3", "request": "sha256:",
        "outcome": "released", "units": 1, "permit": "p",
    }  # fmt: skip
    assert read_run("run", 7, "provider", RUN.at, facts) == RUN


@pytest.mark.parametrize("facts", [{}, {"units": "1"}, {"units": 1, "order": 5}], ids=["empty", "text-units", "number"])
def test_facts_of_no_run_are_an_anomaly(facts: dict[str, str | int]) -> None:
    assert isinstance(read_run("run", 7, "provider", RUN.at, facts), Anomaly)
