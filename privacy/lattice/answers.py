"""Answers: cells read off the cube, each with its error. Never touches a table of people, so it may be asked for ever.

Whether a question is answered depends on the question and the policy; whether a cell is shown depends on published
numbers. Neither is news about anybody.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privacy.errors import NotReleased
from privacy.lattice.blocks import Floats
from privacy.lattice.plan import GRID, Component, Plan
from privacy.lattice.policy import COUNT, LatticePolicy, Measure, square_of
from privacy.lattice.publication import Cube

Flags = NDArray[np.bool_]

# Two-sided 95 % of a normal distribution, in standard deviations.
INTERVAL = 1.96
# A cell is shown when its published count reaches this, and `CERTAIN` of its own standard deviations.
MINIMUM_COUNT, CERTAIN = 10.0, 3.0
_ONE: Floats = np.ones(1)
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
    """Numbers, one a cell, and their standard deviations: both from published numbers only."""

    value: Floats
    sd: Floats

    @property
    def interval(self) -> tuple[Floats, Floats]:
        """Where the true numbers lie with 95 % certainty."""
        return self.value - INTERVAL * self.sd, self.value + INTERVAL * self.sd


@dataclass(frozen=True)
class Cells:
    """The cells of an answer: their labels in the order of the groups, and the moments every statistic is made of.

    Statistics are of cells that are `shown`: what others hold may be nought people or less."""

    labels: Sequence[tuple[str, ...]]
    people: Estimate
    sums: Mapping[str, Estimate]

    @property
    def shown(self) -> Flags:
        """Which cells are large enough to say anything about."""
        return np.asarray(self.people.value >= np.maximum(MINIMUM_COUNT, CERTAIN * self.people.sd))

    def take(self, places: Sequence[int]) -> "Cells":
        """The cells at these places, in this order."""
        chosen = np.array(places, dtype=np.intp)
        return Cells(
            [self.labels[place] for place in places],
            _take(self.people, chosen),
            {name: _take(estimate, chosen) for name, estimate in self.sums.items()},
        )


def answer(cube: Cube, question: Question, measures: Sequence[str]) -> Cells:
    """Every cell of the question with the count and the moments of `measures`. Raises `NotReleased`."""
    check_released(cube.plan, question, counts_only=not measures)
    axes = _axes(cube.plan, question)
    moments = {name: _cells(cube, axes, name) for name in (COUNT, *measures)}
    labels = list(product(*(axis.labels for axis in axes if axis.labels is not None)))
    return Cells(labels, moments[COUNT], {name: moments[name] for name in measures})


def total(cells: Cells, measure: Measure) -> Estimate:
    """The sum of `measure` over each cell, in its own unit."""
    part, width = cells.sums[measure.name], measure.high - measure.low
    value = part.value * width + measure.low * cells.people.value
    return Estimate(value, np.sqrt((part.sd * width) ** 2 + (measure.low * cells.people.sd) ** 2))


def mean(cells: Cells, measure: Measure) -> Estimate:
    """The average of `measure`, kept inside its range; the error follows from sum and count (delta method)."""
    part, many, width = cells.sums[measure.name], cells.people, measure.high - measure.low
    share = np.clip(part.value / many.value, 0.0, 1.0)
    sd = np.sqrt(part.sd**2 + (share * many.sd) ** 2) / many.value
    return Estimate(measure.low + width * share, width * sd)


def variance(cells: Cells, measure: Measure) -> Estimate:
    """The variance of `measure`; it needs the square to be published."""
    many, width = cells.people.value, measure.high - measure.low
    part, square = cells.sums[measure.name], cells.sums[square_of(measure).name]
    share, second = part.value / many, square.value / many
    sd = np.sqrt(square.sd**2 + (2 * share * part.sd) ** 2 + ((second - 2 * share**2) * cells.people.sd) ** 2) / many
    return Estimate(np.maximum(0.0, second - share**2) * width**2, sd * width**2)


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
    attribute, blocks = plan.policy.attribute(name), plan.blocks[name]
    allowed = np.ones(len(attribute.domain))
    if (chosen := question.where.get(name)) is not None:
        allowed[:] = 0.0
        allowed[list(chosen)] = 1.0
    rows, labels = allowed.reshape(1, -1), None
    if (depth := dict(question.groups).get(name)) is not None:
        of = blocks[depth - 1].of
        kept = np.flatnonzero(np.bincount(of, allowed))
        labels = tuple(attribute.levels[depth - 1].labels[i] for i in kept)
        rows = allowed * (of == kept.reshape(-1, 1))
    parts = {block.depth: block.parts(rows) for block in blocks if block.dimension}
    parts = {depth: part for depth, part in parts.items() if np.abs(part).max(initial=0.0) > NOUGHT}
    return _Axis(name, max(parts, default=0), labels, rows.mean(axis=1), parts)


def _cells(cube: Cube, axes: Sequence[_Axis], measure: str) -> Estimate:
    """The sum of `measure` in every cell and its standard deviation, in units of the clip range."""
    plan, tables = cube.plan, cube.tables[measure]
    values = np.zeros(tuple(len(axis.means) for axis in axes))
    for chosen in _choices(axes):
        component = _component(plan.policy, chosen)
        order = [name for name, _ in component]
        table = tables[component].transpose([order.index(name) for name in chosen])
        for _, part in _pairs(axes, chosen):
            if part is not None:  # contracts the first axis, and puts the question's rows last
                table = table.transpose(*range(1, table.ndim), 0) @ part.T
        spread = [axis.means if part is None else _ONE for axis, part in _pairs(axes, chosen)]
        values += table.reshape([1 if part is None else len(part) for _, part in _pairs(axes, chosen)]) * _outer(spread)
    return Estimate(values.reshape(-1), _sds(plan, axes, measure).reshape(-1))


def _sds(plan: Plan, axes: Sequence[_Axis], measure: str) -> Floats:
    whole = np.zeros(tuple(len(axis.means) for axis in axes))
    for chosen in _choices(axes):
        spread = [
            axis.means**2 if part is None else np.einsum("ij,ij->i", part, part) for axis, part in _pairs(axes, chosen)
        ]
        whole += plan.variances[measure][_component(plan.policy, chosen)] * _outer(spread)
    return np.sqrt(whole) / GRID


def _take(estimate: Estimate, places: NDArray[np.intp]) -> Estimate:
    return Estimate(estimate.value[places], estimate.sd[places])


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
