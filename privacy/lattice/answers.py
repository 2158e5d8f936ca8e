"""Answers: cells read off the cube, each with its error. Never touches a table of people, so it may be asked for ever.

Whether a question is answered depends on the question and the policy; whether a cell is shown depends on published
numbers. Neither is news about anybody.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from math import sqrt
from typing import NamedTuple

import numpy as np

from privacy.errors import NotReleased
from privacy.lattice.blocks import Floats
from privacy.lattice.plan import GRID, Component, Plan
from privacy.lattice.policy import COUNT, LatticePolicy, Measure, square_of
from privacy.lattice.publication import Cube

# Two-sided 95 % of a normal distribution, in standard deviations.
INTERVAL = 1.96
# A cell is shown when its published count reaches this, and `CERTAIN` of its own standard deviations.
MINIMUM_COUNT, CERTAIN = 10.0, 3.0
# A part of a question is nought when it is smaller than this: true ones are fractions over a domain of some thousands.
NOUGHT = 1e-9


@dataclass(frozen=True)
class Question:
    """Cells by levels, of those whose attributes are among the values allowed.

    `groups` names level depths to divide by, in order; `where` gives the indexes of an attribute's domain that count.
    """

    groups: tuple[tuple[str, int], ...] = ()
    where: Mapping[str, frozenset[int]] = field(default_factory=dict)


class Estimate(NamedTuple):
    """A number and its standard deviation, both from published numbers only."""

    value: float
    sd: float

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true number lies with 95 % certainty."""
        return self.value - INTERVAL * self.sd, self.value + INTERVAL * self.sd


class Row(NamedTuple):
    """One cell: its labels in the order of the groups, and the moments that every statistic is made of."""

    labels: tuple[str, ...]
    people: Estimate
    sums: Mapping[str, Estimate]

    @property
    def is_shown(self) -> bool:
        """Whether the cell is large enough to say anything about it."""
        return self.people.value >= max(MINIMUM_COUNT, CERTAIN * self.people.sd)


def answer(cube: Cube, question: Question, measures: Sequence[str]) -> list[Row]:
    """Every cell of the question with the count and the moments of `measures`. Raises `NotReleased`."""
    check_released(cube.plan, question, counts_only=not measures)
    axes = _axes(cube.plan, question)
    moments = {name: _cells(cube, axes, name) for name in (COUNT, *measures)}
    labels = list(product(*(axis.labels for axis in axes if axis.labels is not None)))
    estimates = {
        name: list(map(Estimate, values.reshape(-1).tolist(), sds.reshape(-1).tolist()))
        for name, (values, sds) in moments.items()
    }
    return [
        Row(cell, estimates[COUNT][index], {name: estimates[name][index] for name in measures})
        for index, cell in enumerate(labels)
    ]


def total(row: Row, measure: Measure) -> Estimate:
    """The sum of `measure` over the cell, in its own unit."""
    part, width = row.sums[measure.name], measure.high - measure.low
    value = part.value * width + measure.low * row.people.value
    return Estimate(value, sqrt((part.sd * width) ** 2 + (measure.low * row.people.sd) ** 2))


def mean(row: Row, measure: Measure) -> Estimate:
    """The average of `measure`, kept inside its range; the error follows from sum and count (delta method)."""
    part, many, width = row.sums[measure.name], row.people, measure.high - measure.low
    share = min(1.0, max(0.0, part.value / many.value))
    sd = sqrt(part.sd**2 + (share * many.sd) ** 2) / many.value
    return Estimate(measure.low + width * share, width * sd)


def variance(row: Row, measure: Measure) -> Estimate:
    """The variance of `measure`; it needs the square to be published."""
    many, width = row.people.value, measure.high - measure.low
    part, square = row.sums[measure.name], row.sums[square_of(measure).name]
    share, second = part.value / many, square.value / many
    sd = sqrt(square.sd**2 + (2 * share * part.sd) ** 2 + ((second - 2 * share**2) * row.people.sd) ** 2) / many
    return Estimate(max(0.0, second - share**2) * width**2, sd * width**2)


def expected_sd(plan: Plan, question: Question, measure: str) -> Floats:
    """The standard deviation of every cell's sum, in units of the clip range: from the plan alone."""
    return _sds(plan, _axes(plan, question), measure)


def check_released(plan: Plan, question: Question, *, counts_only: bool) -> None:
    """Raise `NotReleased` unless tables this fine are released; the message names the nearest that are."""
    policy = plan.policy
    wanted = {axis.name: axis.depth for axis in _axes(plan, question) if axis.depth}
    if policy.is_admissible(wanted, counts_only=counts_only):
        return
    nearest = nearest_released(policy, wanted, counts_only=counts_only)
    way = (
        ", ".join(policy.attribute(name).levels[depth - 1].name for name, depth in nearest.items()) or "the total only"
    )
    asked = ", ".join(policy.attribute(name).levels[depth - 1].name for name, depth in wanted.items())
    raise NotReleased(f"a table by {asked} is finer than this product releases; the nearest is by {way}")


def nearest_released(policy: LatticePolicy, wanted: Mapping[str, int], *, counts_only: bool) -> dict[str, int]:
    """The finest admissible table that is coarser than `wanted`: the fewest steps up, the later attributes first."""
    frontier = [dict(wanted)]
    while True:
        if released := [one for one in frontier if policy.is_admissible(one, counts_only=counts_only)]:
            return released[0]
        coarser = [
            {n: d - (n == name) for n, d in one.items() if d - (n == name) > 0}
            for one in frontier
            for name in reversed(one)
        ]
        frontier = list({tuple(sorted(one.items())): one for one in coarser}.values())


@dataclass(frozen=True)
class _Axis:
    """One attribute of a question: its rows over the domain, as their mean and their part in each block."""

    name: str
    depth: int
    labels: tuple[str, ...] | None
    means: Floats
    parts: Mapping[int, Floats]


def _axes(plan: Plan, question: Question) -> list[_Axis]:
    grouped = [name for name, _ in question.groups]
    return [
        _axis(plan, question, name) for name in (*grouped, *(n for n in sorted(question.where) if n not in grouped))
    ]


def _axis(plan: Plan, question: Question, name: str) -> _Axis:
    attribute = plan.policy.attribute(name)
    allowed = question.where.get(name, frozenset(range(len(attribute.domain))))
    rows = np.zeros((1, len(attribute.domain)))
    rows[0, sorted(allowed)] = 1.0
    labels: tuple[str, ...] | None = None
    if (depth := dict(question.groups).get(name)) is not None:
        level = attribute.levels[depth - 1]
        kept = sorted({level.of[i] for i in allowed})
        labels = tuple(level.labels[i] for i in kept)
        rows = rows * (np.array(level.of) == np.array(kept).reshape(-1, 1))
    parts = {block.depth: block.parts(rows) for block in plan.blocks[name] if block.dimension}
    parts = {depth: part for depth, part in parts.items() if np.any(np.abs(part) > NOUGHT)}
    return _Axis(name, max(parts, default=0), labels, rows.mean(axis=1), parts)


def _cells(cube: Cube, axes: Sequence[_Axis], measure: str) -> tuple[Floats, Floats]:
    """The sum of `measure` in every cell and its standard deviation, in units of the clip range."""
    plan = cube.plan
    values = np.zeros(tuple(len(axis.means) for axis in axes))
    for chosen in _choices(axes):
        component = _component(plan.policy, chosen)
        table = cube.tables[measure][component]
        order = [name for name, _ in component]
        table = np.transpose(table, [order.index(name) for name in chosen])
        for _, part in _pairs(axes, chosen):
            if part is not None:
                table = np.tensordot(table, part, axes=([0], [1]))
        spread = [axis.means if part is None else np.ones(1) for axis, part in _pairs(axes, chosen)]
        shaped = table.reshape([1 if part is None else len(part) for _, part in _pairs(axes, chosen)])
        values += shaped * _outer(spread)
    return values, _sds(plan, axes, measure)


def _sds(plan: Plan, axes: Sequence[_Axis], measure: str) -> Floats:
    whole = np.zeros(tuple(len(axis.means) for axis in axes))
    for chosen in _choices(axes):
        spread = [axis.means**2 if part is None else np.sum(part**2, axis=1) for axis, part in _pairs(axes, chosen)]
        whole += plan.variances[measure][_component(plan.policy, chosen)] * _outer(spread)
    return np.sqrt(whole) / GRID


def _choices(axes: Sequence[_Axis]) -> Iterator[dict[str, int]]:
    """Every component the question has a part in: attribute -> depth, in the order of the axes."""
    for depths in product(*((0, *axis.parts) for axis in axes)):
        yield {axis.name: depth for axis, depth in zip(axes, depths, strict=True) if depth}


def _pairs(axes: Sequence[_Axis], chosen: Mapping[str, int]) -> list[tuple[_Axis, Floats | None]]:
    """Each axis with its part in the component, None where the component leaves it out."""
    return [(axis, axis.parts[chosen[axis.name]] if axis.name in chosen else None) for axis in axes]


def _component(policy: LatticePolicy, chosen: Mapping[str, int]) -> Component:
    return tuple(
        (attribute.name, chosen[attribute.name]) for attribute in policy.attributes if attribute.name in chosen
    )


def _outer(factors: Sequence[Floats]) -> Floats:
    return reduce(np.multiply.outer, factors, np.ones(()))
