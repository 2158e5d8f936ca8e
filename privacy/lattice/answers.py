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
from privacy.lattice.policy import COUNT, LatticePolicy, Measure
from privacy.lattice.publication import Cube, shape
from privacy.lattice.smoothing import Tables

Flags = NDArray[np.bool_]

# Two-sided 95 % of a normal distribution, in standard deviations.
INTERVAL = 1.96
# A cell is shown when its published count reaches this, and `CERTAIN` of its own standard deviations.
MINIMUM_COUNT, CERTAIN = 10.0, 3.0
_ONE: Floats = np.ones(1)
# A part of a question is nought when it is smaller than this: true ones are fractions over a domain of some thousands.
NOUGHT = 1e-9


@dataclass(frozen=True)
class Sensitive:
    """The part of a question that is about a sensitive column: which labels count, and where among the groups the
    column is divided by; None where it only restricts."""

    measure: str
    labels: tuple[int, ...]
    place: int | None = None


@dataclass(frozen=True)
class Question:
    """Cells by levels, of those whose attributes are among the values allowed.

    `groups` names level depths to divide by, in order; `where` gives the indexes of an attribute's domain that count.
    With `sensitive` the cells are divided, or restricted, by a sensitive column as well; then people are all they tell.
    """

    groups: tuple[tuple[str, int], ...] = ()
    where: Mapping[str, frozenset[int]] = field(default_factory=dict)
    sensitive: Sensitive | None = None


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
    return _answer(cube.plan, cube.tables, question, measures)


def _answer(plan: Plan, tables: Tables, question: Question, measures: Sequence[str]) -> Cells:
    check_released(plan, question, measures)
    axes = _axes(plan, question)
    labels = [axis.labels for axis in axes if axis.labels is not None]
    if question.sensitive is None:
        people = _cells(plan, tables, axes, COUNT)
    else:
        people = _labelled(plan, tables, axes, question.sensitive)
        if (place := question.sensitive.place) is not None:
            names = plan.policy.measure(question.sensitive.measure).labels
            labels.insert(place, tuple(names[label] for label in question.sensitive.labels))
    moments = {name: _cells(plan, tables, axes, name) for name in measures}
    flat = {name: Estimate(one.value.reshape(-1), one.sd.reshape(-1)) for name, one in moments.items()}
    return Cells(list(product(*labels)), Estimate(people.value.reshape(-1), people.sd.reshape(-1)), flat)


def expected_sd(plan: Plan, question: Question, measure: str) -> Floats:
    """The standard deviation of every cell's sum, in units of the clip range: from the plan alone."""
    return _sds(plan, _axes(plan, question), measure)


def expected(plan: Plan, question: Question, measures: Sequence[str]) -> Cells:
    """What an answer would look like if the declared size were spread evenly over the domain and every measure over its
    range: the errors are those of the answer, the values are not. From the plan alone. Raises `NotReleased`.
    """
    even = {measure.name: _Even(plan, measure) for measure in plan.policy.all_measures()}
    return _answer(plan, even, question, measures)


class _Even(dict[Component, Floats]):
    """The residual tables of a measure that says the same everywhere: only the total is not nought."""

    def __init__(self, plan: Plan, measure: Measure) -> None:
        super().__init__()
        self._plan, self._measure = plan, measure

    def __missing__(self, component: Component) -> Floats:
        share = _even_share(self._measure) if component == () else 0.0
        return np.full(shape(self._plan, component, self._measure.name), self._plan.policy.declared_size * share)


def _even_share(measure: Measure) -> float:
    """What a person has of a measure on average, in units of the clip range, if it is spread evenly over that."""
    if measure.name == COUNT:
        return 1.0
    if measure.labels:
        return 1 / len(measure.labels)
    if measure.factors is not None:
        return 1 / 3 if measure.factors[0] == measure.factors[1] else 1 / 4
    return 1 / 2


def combined_variance(plan: Plan, measure: str, terms: Sequence[tuple[Question, Floats]]) -> float:
    """The variance of a sum of cells, each times a weight, over several questions, in squares of the clip range.

    Cells share the noise of the components they are made of, so what they make of each component is added up first.
    A question's weights are an array with one axis for each of its groups.
    """
    made: dict[Component, Floats] = {}
    for question, weights in terms:
        axes = _axes(plan, question)
        shaped = weights.reshape([len(axis.means) for axis in axes])
        for chosen in _choices(axes):
            part: Floats = shaped
            for axis, of_axis in _pairs(axes, chosen):  # contracts the first axis, and puts the component's cells last
                part = np.tensordot(part, axis.means if of_axis is None else of_axis, axes=([0], [0]))
            component = _component(plan.policy, chosen)
            order = list(chosen)
            part = part.transpose([order.index(name) for name, _ in component])
            made[component] = made[component] + part if component in made else part
    whole = sum(plan.variances[measure][component] * float(np.sum(part**2)) for component, part in made.items())
    return whole * plan.policy.editions / GRID**2


def check_released(plan: Plan, question: Question, measures: Sequence[str]) -> None:
    """Raise `NotReleased` unless tables this fine are released; the message names the nearest that are."""
    policy = plan.policy
    wanted = {axis.name: axis.depth for axis in _axes(plan, question) if axis.depth}
    least = policy.least(*measures, *([question.sensitive.measure] if question.sensitive else []))
    if policy.is_admissible(wanted, least):
        return
    nearest = nearest_released(policy, wanted, least)
    way = (
        ", ".join(policy.attribute(name).levels[depth - 1].name for name, depth in nearest.items()) or "the total only"
    )
    asked = ", ".join(policy.attribute(name).levels[depth - 1].name for name, depth in wanted.items()) or "nothing"
    if question.sensitive:
        asked, way = f"{asked} of {question.sensitive.measure}", f"{way} of it"
    raise NotReleased(f"a table by {asked} is finer than this product releases; the nearest is by {way}")


def nearest_released(policy: LatticePolicy, wanted: Mapping[str, int], least: int) -> dict[str, int]:
    """The finest admissible table that is coarser than `wanted`: the fewest steps up, the later attributes first."""
    frontier = [dict(wanted)]
    while True:
        # The total is the end of every way; where even that is too fine, nothing of this is released.
        if released := [one for one in frontier if not one or policy.is_admissible(one, least)]:
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


def _labelled(plan: Plan, tables: Tables, axes: Sequence[_Axis], asked: Sensitive) -> Estimate:
    """How many people have the labels asked for in every cell: an axis of its own, where the column is divided by."""
    found, labels = _cells(plan, tables, axes, asked.measure), list(asked.labels)
    deviations = np.broadcast_to(found.sd, found.value.shape)
    if len(found.value) == 1:  # two labels: the number published is of the second, the first is the rest
        people = _cells(plan, tables, axes, COUNT)
        found = Estimate(
            np.concatenate([people.value - found.value, found.value]),
            np.concatenate([np.sqrt(people.sd**2 + deviations**2), deviations]),
        )
    else:
        found = Estimate(found.value, deviations)
    chosen = Estimate(found.value[labels], found.sd[labels])
    if asked.place is None:
        return Estimate(chosen.value.sum(axis=0), np.sqrt((chosen.sd**2).sum(axis=0)))
    return Estimate(*(np.moveaxis(one, 0, asked.place) for one in chosen))


def _cells(plan: Plan, tables: Tables, axes: Sequence[_Axis], measure: str) -> Estimate:
    """The sum of `measure` in every cell and its standard deviation, in units of the clip range; a sensitive column's
    labels are the first axis."""
    first = plan.policy.measure(measure).axis
    values = np.zeros((*first, *(len(axis.means) for axis in axes)))
    for chosen in _choices(axes):
        component = _component(plan.policy, chosen)
        order = [name for name, _ in component]
        places = [order.index(name) for name in chosen]
        table = tables[measure][component].transpose(places + [len(order)] * len(first))
        for _, part in _pairs(axes, chosen):
            if part is not None:  # contracts the first axis, and puts the question's rows last
                table = table.transpose(*range(1, table.ndim), 0) @ part.T
        spread = [axis.means if part is None else _ONE for axis, part in _pairs(axes, chosen)]
        shaped = table.reshape([*first, *(1 if part is None else len(part) for _, part in _pairs(axes, chosen))])
        values += shaped * _outer(spread)
    return Estimate(values, _sds(plan, axes, measure))


def _sds(plan: Plan, axes: Sequence[_Axis], measure: str) -> Floats:
    whole = np.zeros(tuple(len(axis.means) for axis in axes))
    for chosen in _choices(axes):
        spread = [
            axis.means**2 if part is None else np.einsum("ij,ij->i", part, part) for axis, part in _pairs(axes, chosen)
        ]
        whole += plan.variances[measure][_component(plan.policy, chosen)] * _outer(spread)
    return np.sqrt(whole * plan.policy.editions) / GRID


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
