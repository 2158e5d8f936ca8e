"""Metering: what a run on the log costs, judged from its log entry and the order it names. Pure.

The provider's connector logs every run; nothing else is charged. A run that fits no order is an anomaly, kept for
people to look at and never charged: between charging somebody wrongly and charging nobody, the second does no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from marketplace import pricing
from marketplace.orders import Order, Step, next_state

RELEASED, REFUSED = "released", "refused"


@dataclass(frozen=True)
class Run:
    """A run as its log entry tells it."""

    id: str
    index: int
    issuer: str
    at: str
    order: str
    agreement: str
    product: str
    request: str
    outcome: str
    units: int


@dataclass(frozen=True)
class Charge:
    """The run is metered: `units` is 0 for a refused run. `order` is the order after it."""

    order: Order
    units: int
    amount_fen: int


@dataclass(frozen=True)
class Anomaly:
    """The run is not charged, and why."""

    reason: str
    detail: str


def read_run(subject: str, index: int, issuer: str, at: str, facts: Mapping[str, str | int]) -> Run | Anomaly:
    """The run in a run-completed entry, or why it cannot be read as one."""
    texts = {name: facts.get(name, "") for name in ("order", "agreement", "product", "request", "outcome")}
    units = facts.get("units")
    if isinstance(units, bool) or not isinstance(units, int) or not all(isinstance(t, str) for t in texts.values()):
        return Anomaly("unreadable", "the entry's facts are not those of a run")
    texts = {name: str(text) for name, text in texts.items()}
    # Entries may name the product with its version; an order is for the product.
    texts["product"] = str(texts["product"]).split("#v", 1)[0]
    return Run(id=subject, index=index, issuer=issuer, at=at, units=units, **texts)  # type: ignore[arg-type]


def judge(run: Run, order: Order | None, *, metered_before: bool) -> Charge | Anomaly:
    """What `run` costs under `order`.

    (1) There is such an order. (2) Its provider logged the run. (3) Agreement and product are the order's. (4) No
    other entry was metered under this run id and order. (5) Units and outcome agree: a released run is one unit, a
    refused one none. (6) The run was made before the order expired; that it was cancelled does not matter, for its
    confirmation was used. (7) A run is left in it; a refused run needs none.
    """
    if order is None:  # (1)
        return Anomaly("order-unknown", "the run names no order of this marketplace")
    if (mismatch := _mismatch(run, order)) is not None:  # (2) (3)
        return mismatch
    if metered_before:  # (4)
        return Anomaly("run-already-metered", "another entry with this run id and order was metered before")
    if (run.outcome, run.units) not in {(RELEASED, 1), (REFUSED, 0)}:  # (5)
        return Anomaly("units-contradict-outcome", f"{run.outcome} with {run.units} units")
    if run.at > order.expires:  # (6)
        return Anomaly("order-expired", f"the run was made at {run.at}, the order ended at {order.expires}")
    if order.used + run.units > order.runs:  # (7)
        return Anomaly("count-exhausted", f"all {order.runs} runs of the order were used before")
    return _charge(run, order)


def _charge(run: Run, order: Order) -> Charge:
    used = order.used + run.units
    state = next_state(order.state, Step.EXHAUST if used == order.runs else Step.BEGIN)
    cost = pricing.amount(unit_price_fen=order.unit_price_fen, units=run.units)
    return Charge(replace(order, state=state, used=used), run.units, cost)


def _mismatch(run: Run, order: Order) -> Anomaly | None:
    if run.issuer != order.provider:
        return Anomaly("issuer-not-provider", "the run was logged by somebody else than the order's provider")
    if run.agreement != order.agreement:
        return Anomaly("agreement-mismatch", "the run was made under another agreement")
    if run.product != order.product:
        return Anomaly("product-mismatch", "the run was on another product")
    return None
