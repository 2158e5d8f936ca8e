"""The strongest linear decoders of what a lattice published, without ever writing their matrices down.

A residual table is the projected marginal of everybody's secrets plus noise. So the matrix of all residual tables over
people is applied by looking every person's cell up, its transpose by adding people up by cell, and the best linear
estimate comes from conjugate gradients: seconds where the matrix would have a billion entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.people import People
from privacy.lattice.blocks import Floats
from privacy.lattice.plan import GRID, Component
from privacy.lattice.publication import Cube, shape

# The residual of the system that is solved, relative to its right side, and the steps that it never takes.
PRECISION, MAX_STEPS = 1e-6, 400
# Sets overlap in every way, which makes their system slow to solve; a guess needs no more than this.
PRECISION_OF_SETS = 1e-3

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """A residual table over people: which cell everybody is in, and what of a marginal the table says."""

    component: Component
    cells: tuple[int, ...]
    places: NDArray[np.intp]
    projections: tuple[Floats, ...]
    variance: float

    def of(self, weights: Floats) -> Floats:
        """The table of people who weigh so much: their marginal, projected."""
        found = np.bincount(self.places, weights=weights, minlength=int(np.prod(self.cells))).reshape(self.cells)
        for axis, projection in enumerate(self.projections):
            found = np.moveaxis(np.tensordot(projection, found, axes=([1], [axis])), 0, axis)
        return np.asarray(found.reshape(-1), dtype=np.float64)

    @cached_property
    def own(self) -> Floats:
        """For each cell, how much of one person in it the table shows: the square of the person's projection."""
        found = np.ones(())
        for projection in self.projections:
            found = np.multiply.outer(found, np.diag(projection))
        return found.reshape(-1)


def tables(who: People, cube: Cube, measure: str) -> list[Table]:
    """Every residual table of a measure."""
    return [_table(who, component, variance / GRID**2) for component, variance in cube.plan.variances[measure].items()]


def published(cube: Cube, measure: str, component: Component) -> Floats:
    """The residual table as it was published, in units of the clip range."""
    scale: Floats = np.ones(())
    for name, depth in component:
        scale = np.multiply.outer(scale, cube.plan.blocks[name][depth - 1].norm.astype(np.float64))
    return np.asarray(cube.residuals[measure][component] / scale / GRID).reshape(-1)


def closure(who: People, cube: Cube, measure: str = "secret", known: Bits | None = None) -> Floats:
    """The estimate of everybody's secret from everything published, everybody's chances and the `known` secrets."""
    known = np.zeros(who.size, dtype=bool) if known is None else known
    mean = np.where(known, who.secret, who.chance)
    spread = np.where(known, 0.0, who.chance * (1 - who.chance))
    every = tables(who, cube, measure)
    left = np.concatenate([published(cube, measure, one.component) - one.of(mean) for one in every])
    sizes = [len(one.own) for one in every]
    noise = np.repeat([one.variance for one in every], sizes)

    def back(solved: Floats) -> Floats:
        """What the tables say of everybody: the sum over tables of their cell."""
        found, start = np.zeros(who.size), 0
        for table, many in zip(every, sizes, strict=True):
            found += solved[start : start + many][table.places]
            start += many
        return spread * found

    def apply(solved: Floats) -> Floats:
        weights = back(solved)
        return np.asarray(noise * solved + np.concatenate([one.of(weights) for one in every]))

    # Tables say nearly nothing of each other, so the diagonal is nearly everything and few steps are enough.
    scale = noise + float(spread.sum()) / np.repeat(sizes, sizes)
    return np.asarray(mean + back(conjugate(apply, left, scale, PRECISION)))


def evidence(who: People, cube: Cube, measure: str, truth: NDArray[np.int64]) -> Floats:
    """For each person the log-likelihood ratio of the true bit over the other one, all others known."""
    statistic, information = np.zeros(who.size), np.zeros(who.size)
    exact = who.values(measure) / GRID
    for one in tables(who, cube, measure):
        noise = published(cube, measure, one.component) - one.of(exact)
        statistic += noise[one.places] / one.variance
        information += one.own[one.places] / one.variance
    return np.where(truth > 0, 1.0, -1.0) * statistic + information / 2


def conjugate(apply: Callable[[Floats], Floats], right: Floats, scale: Floats, precision: float) -> Floats:
    """x of apply(x) = right, by conjugate gradients; `scale` is about the diagonal of what is applied."""
    x, rest = np.zeros_like(right), right
    step = ahead = rest / scale
    size = float(rest @ ahead)
    for _ in range(MAX_STEPS):
        if float(rest @ rest) <= precision**2 * float(right @ right):
            return x
        applied = apply(step)
        along = size / float(step @ applied)
        x, rest = x + along * step, rest - along * applied
        ahead = rest / scale
        size, before = float(rest @ ahead), size
        step = ahead + size / before * step
    raise ArithmeticError(f"no solution within {MAX_STEPS} steps")


def _table(who: People, component: Component, variance: float) -> Table:
    cells = shape(who.plan, component)
    places = np.zeros(who.size, dtype=np.intp)
    for many, where in zip(cells, who.places(component), strict=True):
        places = places * many + where
    projections = []
    for name, depth in component:
        block = who.plan.blocks[name][depth - 1]
        projections.append(block.project(np.eye(block.cells, dtype=np.int64), 0) / block.norm[:, None])
    return Table(component, cells, places, tuple(projections), variance)


# A set of people as a query chooses it: for each attribute it restricts, the places in its domain that are in.
Chosen = tuple[tuple[str, frozenset[int]], ...]


class Sets:
    """Sets that queries asked about, as a matrix of sets over people. Sets that restrict the same attributes are done
    together, on the marginal over those attributes."""

    def __init__(self, who: People, chosen: list[Chosen]) -> None:
        self._who, self._many = who, len(chosen)
        self._groups: dict[tuple[str, ...], tuple[list[int], list[Floats], NDArray[np.intp]]] = {}
        by_names: dict[tuple[str, ...], list[int]] = {}
        for number, one in enumerate(chosen):
            by_names.setdefault(tuple(name for name, _ in one), []).append(number)
        for names, numbers in by_names.items():
            vectors, places = [], np.zeros(who.size, dtype=np.intp)
            for axis, name in enumerate(names):
                domain = len(who.plan.policy.attribute(name).domain)
                places = places * domain + who.codes[name]
                rows = np.zeros((len(numbers), domain))
                for row, number in enumerate(numbers):
                    rows[row, sorted(chosen[number][axis][1])] = 1.0
                vectors.append(rows)
            self._groups[names] = (numbers, vectors, places)

    def of(self, weights: Floats) -> Floats:
        """For each set the sum of the people in it."""
        found = np.zeros(self._many)
        for numbers, vectors, places in self._groups.values():
            cells = int(np.prod([rows.shape[1] for rows in vectors], dtype=int))
            left = np.broadcast_to(np.bincount(places, weights, cells), (len(numbers), cells))
            for axis, rows in enumerate(vectors):
                by_axis = left.reshape(len(numbers), rows.shape[1], -1)
                left = rows @ by_axis[0] if axis == 0 else np.einsum("sd,sdr->sr", rows, by_axis)
            found[numbers] = left.reshape(len(numbers))
        return found

    def back(self, values: Floats) -> Floats:
        """For each person the sum of the sets they are in."""
        found = np.zeros(self._who.size)
        for numbers, vectors, places in self._groups.values():
            left = values[numbers][:, None]
            for axis in range(len(vectors) - 1, -1, -1):
                rows = vectors[axis]
                left = rows.T @ left if axis == 0 else (rows[:, :, None] * left[:, None, :]).reshape(len(numbers), -1)
            found += left.reshape(-1)[places] if vectors else left.sum()
        return found


def from_answers(who: People, chosen: list[Chosen], told: Floats, deviation: Floats, shared: float) -> Floats:
    """The estimate of everybody's secret from sums over sets. `shared` is how much less evidence an answer is taken
    for than its deviation says, because answers share their noise."""
    sets, variance = Sets(who, chosen), deviation**2 / shared
    spread = who.chance * (1 - who.chance)
    solved = conjugate(
        lambda x: variance * x + sets.of(spread * sets.back(x)),
        told - sets.of(who.chance),
        variance + sets.of(spread),
        PRECISION_OF_SETS,
    )
    return np.asarray(who.chance + spread * sets.back(solved))
