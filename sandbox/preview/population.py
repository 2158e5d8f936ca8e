"""People drawn from a published cube: from its noisy numbers, and from nothing else.

Attributes are drawn along a tree: each after the one that says most about it in the tables of two that the cube
releases (Chow and Liu 1968). Measures and sensitive columns are drawn by the attribute that says most about them. What
depends on three things at once is lost; a twin is for trying, and the cube itself answers better.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from privacy.lattice import statistics
from privacy.lattice.answers import Question, Sensitive, answer, nearest_released
from privacy.lattice.blocks import Floats
from privacy.lattice.policy import Attribute, LatticePolicy, Measure, square_of
from privacy.lattice.publication import Cube

Places = NDArray[np.int64]
Values = list[str | int | float | bool | None]

# A mean is kept this far from the ends of its range, as a share of it, and its spread above this: a beta distribution
# has no other shape to give.
EDGE, LEAST_VARIANCE = 0.005, 1e-4
# How widely a measure is spread whose square is not published, as a share of the widest there could be.
SPREAD = 0.25


class _Table(NamedTuple):
    """A released table of people: the attributes and how deep each is cut, and how many people are in each cell."""

    depths: Mapping[str, int]
    people: Floats


def draw(cube: Cube, datatypes: Mapping[str, str], rows: int, drawn: Generator) -> dict[str, Values]:
    """So many people: the columns that the cube's policy names, and no others."""
    people = _attributes(cube, rows, drawn)
    policy = cube.plan.policy
    found: dict[str, Values] = {
        (attribute.column or attribute.name): [attribute.domain[place] for place in people[attribute.name].tolist()]
        for attribute in reversed(policy.attributes)  # of two that cut one column, the first counts
    }
    for measure in policy.measures:
        name = measure.column or measure.name
        if measure.labels:
            found.setdefault(name, _labels(cube, measure, people, rows, drawn))
        else:
            found.setdefault(name, _numbers(cube, measure, datatypes.get(name, ""), people, rows, drawn))
    return {name: values for name, values in found.items() if name in datatypes}


# Attributes


def _attributes(cube: Cube, rows: int, drawn: Generator) -> dict[str, Places]:
    """For every attribute, the place in its domain of each person."""
    policy = cube.plan.policy
    singles = {attribute.name: _single(cube, attribute) for attribute in policy.attributes}
    if not singles:
        return {}
    first, *rest = singles
    people = {first: drawn.choice(len(singles[first]), rows, p=singles[first])}
    near = {name: _told(cube, first, name) for name in rest}
    while near:
        name = max(near, key=lambda one: near[one][0])
        _, parent, table = near.pop(name)
        people[name] = _child(policy, name, singles[name], parent, table, people[parent], drawn)
        near = {other: max(told, _told(cube, name, other), key=lambda one: one[0]) for other, told in near.items()}
    return people


def _single(cube: Cube, attribute: Attribute) -> Floats:
    """How likely each value of an attribute's domain is; what is released together is shared evenly."""
    depths, people = _released(cube, (attribute.name,))
    if not depths:
        return np.full(len(attribute.domain), 1 / len(attribute.domain))
    of = np.array(attribute.levels[depths[attribute.name] - 1].of)
    weights = people[of] / np.bincount(of)[of]
    return np.asarray(weights / weights.sum())


def _told(cube: Cube, parent: str, child: str) -> tuple[float, str, _Table]:
    """How much `parent` says about `child` (mutual information), and the table that says it."""
    table = _released(cube, (parent, child))
    if len(table.depths) < len((parent, child)):
        return 0.0, parent, table
    joint = table.people / table.people.sum()
    apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    certain = joint > 0
    return float((joint[certain] * np.log(joint[certain] / apart[certain])).sum()), parent, table


def _child(
    policy: LatticePolicy, name: str, single: Floats, parent: str, table: _Table, parents: Places, drawn: Generator
) -> Places:
    """The values of an attribute for people whose value of `parent` is known."""
    if len(table.depths) < len((parent, name)):
        return drawn.choice(len(single), len(parents), p=single)
    of = np.array(policy.attribute(name).levels[table.depths[name] - 1].of)
    inside = single / np.bincount(of, single)[of].clip(min=np.finfo(float).tiny)  # within its label, by itself
    labels = np.array(policy.attribute(parent).levels[table.depths[parent] - 1].of)[parents]
    found = np.zeros(len(parents), dtype=np.int64)
    for label in np.unique(labels):
        row = table.people[label]
        weights = (row / row.sum() if row.sum() > 0 else np.full(len(row), 1 / len(row)))[of] * inside
        here = np.flatnonzero(labels == label)
        found[here] = drawn.choice(len(single), len(here), p=weights / weights.sum() if weights.sum() > 0 else single)
    return found


def _released(cube: Cube, names: Sequence[str]) -> _Table:
    """The finest released table of people by these attributes, or by fewer; noise that makes fewer than none is cut."""
    policy = cube.plan.policy
    wanted = {name: len(policy.attribute(name).levels) for name in names}
    depths = nearest_released(policy, wanted, policy.least())
    cells = answer(cube, Question(tuple(depths.items())), ())
    shape = [len(policy.attribute(name).levels[depth - 1].labels) for name, depth in depths.items()]
    people = np.maximum(cells.people.value, 0.0).reshape(shape)
    return _Table(depths, people if people.sum() > 0 else np.ones(shape))


# Measures and sensitive columns


def _numbers(
    cube: Cube, measure: Measure, datatype: str, people: Mapping[str, Places], rows: int, drawn: Generator
) -> Values:
    moments = (measure.name, square_of(measure).name) if measure.square else (measure.name,)
    labels, question = _best(cube, measure, people)
    cells = answer(cube, question, moments)
    width = measure.high - measure.low
    seen = np.maximum(cells.people.value, 1.0)
    mean = np.clip(cells.sums[measure.name].value / seen, EDGE, 1 - EDGE)
    widest = mean * (1 - mean)
    variance = statistics.variance(cells, measure).value / width**2 if measure.square else SPREAD * widest
    variance = np.clip(np.nan_to_num(variance, nan=0.0), LEAST_VARIANCE, 0.99 * widest)
    strength = widest / np.minimum(variance, 0.99 * widest) - 1
    place = labels if labels is not None else np.zeros(rows, dtype=np.int64)
    shares = drawn.beta((mean * strength)[place], ((1 - mean) * strength)[place])
    numbers = measure.low + width * shares
    if datatype == "integer":
        # A coin for what lies between two whole numbers keeps the mean.
        whole = np.floor(numbers + drawn.random(len(numbers)))
        return [int(number) for number in whole.tolist()]
    return [round(number, 2) for number in numbers.tolist()]


def _labels(cube: Cube, measure: Measure, people: Mapping[str, Places], rows: int, drawn: Generator) -> Values:
    labels, question = _best(cube, measure, people)
    chosen = Sensitive(measure.name, tuple(range(len(measure.labels))), place=len(question.groups))
    cells = answer(cube, Question(question.groups, sensitive=chosen), ())
    table = np.maximum(cells.people.value, 0.0).reshape(-1, len(measure.labels))
    cell = labels if labels is not None else np.zeros(rows, dtype=np.int64)
    found = np.zeros(rows, dtype=np.int64)
    for row in np.unique(cell):
        weights = table[row] if table[row].sum() > 0 else np.ones(len(measure.labels))
        here = np.flatnonzero(cell == row)
        found[here] = drawn.choice(len(weights), len(here), p=weights / weights.sum())
    if measure.edges:
        return [_in_band(measure.edges, place) for place in found.tolist()]
    return [measure.labels[place] for place in found.tolist()]


def _in_band(edges: Sequence[float], band: int) -> float:
    """A number in a band; the outer ones are open, and have none but their edge."""
    if band == 0:
        return edges[0] - 1
    return edges[-1] if band == len(edges) else (edges[band - 1] + edges[band]) / 2


def _best(cube: Cube, measure: Measure, people: Mapping[str, Places]) -> tuple[Places | None, Question]:
    """The attribute by which a measure differs most, as each person's label of it, and the question that tells."""
    policy = cube.plan.policy
    best: tuple[float, Places | None, Question] = (0.0, None, Question())
    for name in people:
        depths = nearest_released(policy, {name: len(policy.attribute(name).levels)}, policy.least(measure.name))
        if not depths:
            continue
        question = Question(tuple(depths.items()))
        differs = _differs(cube, measure, question)
        if differs > best[0]:
            level = policy.attribute(name).levels[depths[name] - 1]
            best = (differs, np.array(level.of)[people[name]], question)
    return best[1], best[2]


def _differs(cube: Cube, measure: Measure, question: Question) -> float:
    """How far the cells' shares lie apart, weighted by people."""
    if measure.labels:
        every = tuple(range(len(measure.labels)))
        asked = Question(question.groups, sensitive=Sensitive(measure.name, every, place=len(question.groups)))
        table = np.maximum(answer(cube, asked, ()).people.value, 0.0).reshape(-1, len(every))
    else:
        cells = answer(cube, question, (measure.name,))
        part = np.clip(cells.sums[measure.name].value, 0.0, np.maximum(cells.people.value, 0.0))
        table = np.stack([part, np.maximum(cells.people.value, 0.0) - part], axis=1)
    many = table.sum(axis=1)
    if many.sum() <= 0:
        return 0.0
    shares = table / np.maximum(many, 1.0).reshape(-1, 1)
    whole = table.sum(axis=0) / many.sum()
    return float((many.reshape(-1, 1) * (shares - whole) ** 2).sum() / many.sum())
