"""Linear regression of a measure on levels, from published tables: counts by two levels, sums by one. Costs no privacy.

Every label of a level but its first is a term of its own: how much more the measure is there, all else equal. Least
squares need nothing but how many people have two labels at once and the measure's sum over everybody with a label. The
errors are exact for small noise: a coefficient moves with every published number by what the normal equations say, and
all of them together by the noise of the components they are made of, each counted once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privacy.lattice.answers import Question, answer, check_released, combined_variance
from privacy.lattice.blocks import Floats
from privacy.lattice.plan import Plan
from privacy.lattice.policy import COUNT, Measure
from privacy.lattice.publication import Cube

# A regression whose equations are worse conditioned than this has no solution that the noise leaves anything of.
MOST_CONDITION = 1e8

# A level: its attribute, and how deep it lies.
Cut = tuple[str, int]


class Coefficient(NamedTuple):
    """A term, None for the intercept, as a level's place among those asked for and the label; value and deviation."""

    term: tuple[int, str] | None
    value: float
    sd: float


@dataclass(frozen=True)
class _Term:
    """A level's labels, which of them have a term, and where those stand among the unknowns."""

    cut: Cut
    labels: tuple[str, ...]
    own: NDArray[np.intp]
    places: slice

    def spread(self, values: Floats) -> Floats:
        """Values of the terms as weights of all labels: those without a term count for nothing by themselves."""
        found = np.zeros(len(self.labels))
        found[self.own] = values
        return found


def check_regression(plan: Plan, cuts: Sequence[Cut], where: Mapping[str, frozenset[int]], measure: Measure) -> None:
    """Raise `NotReleased` unless every table that the regression is made of is released."""
    for cut in cuts:
        check_released(plan, Question((cut,), where), (measure.name,))
    for pair in combinations(cuts, 2):
        check_released(plan, Question(pair, where), ())


def regress(
    cube: Cube, cuts: Sequence[Cut], where: Mapping[str, frozenset[int]], measure: Measure
) -> list[Coefficient]:
    """The coefficients of `measure` on the levels `cuts`, of those whom `where` allows; nan where the levels say too
    much of each other. Raises `NotReleased`.

    The first label of a level, and those that too few people have by published counts, have no term: they are what
    the others are compared with.
    """
    check_regression(cube.plan, cuts, where, measure)
    terms, start = [], 1
    for cut in cuts:
        cells = answer(cube, Question((cut,), where), ())
        own = np.flatnonzero(cells.shown)
        own = own[own > 0]
        terms.append(_Term(cut, tuple(label for (label,) in cells.labels), own, slice(start, start + len(own))))
        start += len(own)
    gram, right = _equations(cube, terms, where, measure, start)
    names: list[tuple[int, str] | None] = [None]
    names += [(place, label) for place, term in enumerate(terms) for label in np.array(term.labels)[term.own].tolist()]
    if not np.linalg.cond(gram) < MOST_CONDITION:
        return [Coefficient(name, np.nan, np.nan) for name in names]
    inverse: Floats = np.linalg.inv(gram).astype(np.float64)
    solved: Floats = inverse @ right
    deviations = [_deviation(cube.plan, terms, where, measure, row, solved) for row in inverse]
    width = measure.high - measure.low
    return [
        Coefficient(name, width * value + (measure.low if name is None else 0.0), width * sd)
        for name, value, sd in zip(names, solved.tolist(), deviations, strict=True)
    ]


def _equations(
    cube: Cube, terms: Sequence[_Term], where: Mapping[str, frozenset[int]], measure: Measure, size: int
) -> tuple[Floats, Floats]:
    """How many people two unknowns both count for, and the measure's sum over everybody an unknown counts for."""
    gram, right = np.zeros((size, size)), np.zeros(size)
    whole = answer(cube, Question((), where), (measure.name,))
    gram[0, 0], right[0] = whole.people.value.item(), whole.sums[measure.name].value.item()
    for term in terms:
        cells = answer(cube, Question((term.cut,), where), (measure.name,))
        people = cells.people.value[term.own]
        gram[0, term.places] = gram[term.places, 0] = people
        gram[term.places, term.places] = np.diag(people)
        right[term.places] = cells.sums[measure.name].value[term.own]
    for one, other in combinations(terms, 2):
        cells = answer(cube, Question((one.cut, other.cut), where), ())
        both = cells.people.value.reshape(len(one.labels), len(other.labels))[np.ix_(one.own, other.own)]
        gram[one.places, other.places], gram[other.places, one.places] = both, both.T
    return gram, right


def _deviation(
    plan: Plan,
    terms: Sequence[_Term],
    where: Mapping[str, frozenset[int]],
    measure: Measure,
    row: Floats,
    solved: Floats,
) -> float:
    """The deviation of one coefficient: `row` is its row of the inverse, by which it moves with the right sides; with
    the counts it moves by that times the solution."""
    questions = [Question((), where), *(Question((term.cut,), where) for term in terms)]
    sums = [row[0], *(term.spread(row[term.places]) for term in terms)]
    counts = [-row[0] * solved[0]]
    for term in terms:
        mine, theirs = row[term.places], solved[term.places]
        counts.append(term.spread(-(row[0] * theirs + mine * solved[0] + mine * theirs)))
    pairs = list(combinations(terms, 2))
    for one, other in pairs:
        moved = np.outer(row[one.places], solved[other.places]) + np.outer(solved[one.places], row[other.places])
        weights = np.zeros((len(one.labels), len(other.labels)))
        weights[np.ix_(one.own, other.own)] = -moved
        counts.append(weights)
    crossed = [Question((one.cut, other.cut), where) for one, other in pairs]
    whole = combined_variance(plan, measure.name, list(zip(questions, map(np.asarray, sums), strict=True)))
    whole += combined_variance(plan, COUNT, list(zip([*questions, *crossed], map(np.asarray, counts), strict=True)))
    return float(np.sqrt(whole))
