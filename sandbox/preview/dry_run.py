"""Dry runs: the very review that a run would get, and what the published description says of its answer. Reads no data.

The verdict comes from the lane itself (`sandbox.lane.Lane.review`), so a dry run cannot promise what a run refuses for
its text. For a product with a lattice the errors follow from the plan (`privacy.lattice.answers.expected`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hexi.canonical import Json
from privacy.lattice.answers import INTERVAL, expected
from registry.catalogue import Disclosure, HumanReview, Product
from registry.lanes import LaneName, NoLane, lane_of
from sandbox.cubes.queries import CubeQuery, Statistic
from sandbox.datasets import Dataset
from sandbox.errors import QueryOutsidePermit
from sandbox.lanes.chosen import Lanes, is_named
from sandbox.messages import ReasonBody
from sandbox.preview import DryRun, ExpectedCell, ExpectedError, Rule
from sandbox.reasons import NOT_NAMED, Reason, Refusal
from sandbox.requests import RunRequest

if TYPE_CHECKING:
    from privacy.lattice.plan import Plan

ADMISSIBLE, REFUSED = "admissible", "refused"
# Cells that are listed one by one; of more, the errors say the range.
MAX_LISTED = 200
# Figures of a number shown; more would say nothing of an expectation.
FIGURES = 3
# How long a run takes by the number of rows declared: generous, on one core in isolation. Rows, and words.
_TIMES: Sequence[tuple[int, str]] = ((100_000, "under 1 s"), (3_000_000, "under 10 s"))
_LONGEST = "up to the provider's limit, 30 s unless it set another"
_FROM_CUBE = "under 1 s; whoever asks first waits until the cube is published"
_EVENLY = "as if the declared size were spread evenly over the domain, and the measure over its range"


def dry_run(lanes: Lanes, dataset: Dataset, query: str, mode: str, asker: str | None = None) -> DryRun:
    """What would come of `query`. Raises `ProductUnusable` where the description cannot be used.

    An `asker` whom the product does not answer reads that first, and then what would keep a named one from it.
    """
    product = dataset.product
    told: dict[str, Any] = {
        "product": product.identifier,
        "version": product.version,
        "lane": _lane(product, mode),
        "rules": tuple(_rules(product, mode)),
        "run_time": _time(product),
    }
    if (modes := getattr(product, "modes", (mode,))) and mode not in modes:
        said = f"this product is not asked in the mode {mode!r:.80}, but in {', '.join(modes)}"
        return DryRun(verdict=REFUSED, reasons=(ReasonBody(code=QueryOutsidePermit.code, message=said),), **told)
    # Nobody's, and not signed: review looks at what is asked, and in which mode.
    request = RunRequest.model_construct(run="", permit="", mode=mode, query=query, purpose=None, at="")
    question = lanes.of(dataset, request).review(dataset, request)
    reasons: tuple[Reason, ...] = () if asker is None or is_named(product, asker) else (NOT_NAMED,)
    if isinstance(question, Refusal):
        reasons += question.reasons
    if isinstance(question, Refusal) or reasons:
        return DryRun(verdict=REFUSED, reasons=tuple(map(_reason, reasons)), **told)
    if isinstance(question, CubeQuery):
        told |= _errors(lanes.cubes.plan(dataset), question)
    # A program is what it is: it has no other spelling.
    return DryRun(verdict=ADMISSIBLE, query=getattr(question, "canonical_sql", None), **told)


def _errors(plan: "Plan", query: CubeQuery) -> dict[str, Json]:
    """How far off every number will be."""
    cells = expected(plan, query.question, query.moments)
    columns = [(column.name, column.item) for column in query.columns if isinstance(column.item, Statistic)]
    deviations = [(name, item, item.of(cells).sd) for name, item in columns]
    errors = tuple(
        ExpectedError(
            column=name,
            smallest=_figures(np.fmin.reduce(sd)),
            largest=_figures(np.fmax.reduce(sd)),
            half_width=_figures(INTERVAL * np.fmax.reduce(sd)),
            assumes="" if item.function in {"count", "sum"} else _EVENLY,
        )
        for name, item, sd in deviations
    )
    told: dict[str, Json] = {"cells": len(cells.labels), "errors": errors}
    if len(cells.labels) <= MAX_LISTED:
        shown = cells.shown.tolist()
        told["expected"] = tuple(
            ExpectedCell(
                labels=labels,
                half_widths=tuple(_figures(INTERVAL * sd[place]) for _, _, sd in deviations),
                shown=shown[place],
            )
            for place, labels in enumerate(cells.labels)
        )
    return told


def _lane(product: Product, mode: str) -> str:
    lane = lane_of(product, mode)
    return "none" if isinstance(lane, NoLane) else str(lane)


def _rules(product: Product, mode: str) -> list[Rule]:
    """What a run will be held to, in the order in which it meets it."""
    disclosure = product.disclosure
    lane = lane_of(product, mode)
    if isinstance(lane, NoLane):
        return []
    if lane is LaneName.LATTICE:
        return [
            _rule("published-cube", "the product's published cube answers, never the table; asking costs no privacy"),
            _rule("intervals", "every number carries noise, and comes with its 95 % interval"),
            _rule("small-cells", "a cell is shown if its published count is 10 or more, and three of its deviations"),
        ]
    if lane is LaneName.PROGRAMS:
        return [
            *_named(product),
            _rule("isolation", "run in isolation of level 2 or better, with nothing but the tables and the libraries"),
            _rule("declared-outputs", "only declared statistics are looked at; what they stand on is counted"),
            _airlock(product, "outputs"),
        ]
    rules = [_rule("isolation", f"computed in isolation of level {disclosure.minimum_isolation} or better")]
    if product.controlled is None or product.has_personal_information:
        rules += _thresholds(disclosure)
    if product.controlled is not None:
        rules += _of_controlled(product)
    if lane is LaneName.SUMS:
        rules.append(_rule("encrypted", "the number leaves encrypted, for the space's aggregation point alone"))
    return rules


def _thresholds(disclosure: Disclosure) -> list[Rule]:
    least = disclosure.minimum_entities
    rules = [
        _rule("minimum-entities", f"a group of fewer than {least} entities is left out"),
        _rule("rounding", f"counts and sums are rounded to {disclosure.rounding}"),
        _rule("maximum-rows", f"at most {disclosure.maximum_rows} rows"),
        _rule("differencing", f"refused where it differs from an earlier release by 1 to {least - 1} entities"),
    ]
    if disclosure.dominance:
        rules.append(_rule("dominance", "sums that one or two entities dominate are left out"))
    return rules


def _of_controlled(product: Product) -> list[Rule]:
    policy = product.controlled
    assert policy is not None  # noqa: S101 - asked only where it is there
    rules = _named(product)
    if policy.query_sets is not None:
        rules.append(_rule("query-sets", f"a group of analysts may ask for {policy.query_sets} cells in all"))
    if policy.airlock:
        rules.append(_airlock(product, "the answer"))
    return rules


def _named(product: Product) -> list[Rule]:
    named = product.controlled is not None and product.controlled.analysts
    return [_rule("named-analysts", "only analysts whom the provider named may ask")] if named else []


def _airlock(product: Product, what: str) -> Rule:
    days = (product.disclosure.review or HumanReview()).days
    return _rule("airlock", f"people of the provider look at {what} first, within {days} days")


def _time(product: Product) -> str:
    if product.lattice is not None:
        return _FROM_CUBE
    rows = getattr(product, "rows", 0)
    if not rows:
        return f"not known: the description declares no rows; {_LONGEST}"
    return next((said for most, said in _TIMES if rows <= most), _LONGEST)


def _figures(number: float) -> float | None:
    return float(f"{number:.{FIGURES}g}") if np.isfinite(number) else None


def _rule(rule: str, says: str) -> Rule:
    return Rule(rule=rule, says=says)


def _reason(reason: Reason) -> ReasonBody:
    return ReasonBody(code=reason.code, message=reason.message)
