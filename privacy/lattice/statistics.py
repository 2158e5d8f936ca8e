"""Statistics of cells, made of published moments: sums, averages, variances, covariances, correlations, straight lines.

Every error is the delta method's: how much the statistic moves when a moment does, times that moment's deviation. It is
the error against the numbers in the table; what a table says about others than its people is not in it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from privacy.lattice.answers import CERTAIN, Cells, Estimate, Flags
from privacy.lattice.blocks import Floats
from privacy.lattice.policy import LatticePolicy, Measure, square_of

# A step so small that nothing of it is left beside 1: a derivative by complex numbers takes no difference of likes.
_STEP = 1e-30


def total(cells: Cells, measure: Measure) -> Estimate:
    """The sum of `measure` over each cell, in its own unit."""
    part, width = cells.sums[measure.name], measure.high - measure.low
    value = part.value * width + measure.low * cells.people.value
    return Estimate(value, np.sqrt((part.sd * width) ** 2 + (measure.low * cells.people.sd) ** 2))


def mean(cells: Cells, measure: Measure) -> Estimate:
    """The average of `measure`, kept inside its range."""
    part, many, width = cells.sums[measure.name], cells.people, measure.high - measure.low
    share = np.clip(part.value / many.value, 0.0, 1.0)
    sd = np.sqrt(part.sd**2 + (share * many.sd) ** 2) / many.value
    return Estimate(measure.low + width * share, width * sd)


def variance(cells: Cells, measure: Measure) -> Estimate:
    """The variance of `measure`; it needs the square to be published."""
    width = measure.high - measure.low
    told = _delta(_variance, cells.people, cells.sums[measure.name], cells.sums[square_of(measure).name])
    return Estimate(np.maximum(0.0, told.value) * width**2, told.sd * width**2)


def deviation(cells: Cells, measure: Measure) -> Estimate:
    """The standard deviation of `measure`."""
    squared = variance(cells, measure)
    root = np.sqrt(squared.value)
    return Estimate(root, np.where(root > 0, squared.sd / (2 * np.where(root > 0, root, 1.0)), np.sqrt(squared.sd)))


def covariance(cells: Cells, policy: LatticePolicy, first: Measure, second: Measure) -> Estimate:
    """The covariance of two measures whose product is published."""
    people, sums = cells.people, cells.sums
    told = _delta(_covariance, people, sums[first.name], sums[second.name], sums[_product(policy, first, second)])
    width = (first.high - first.low) * (second.high - second.low)
    return Estimate(told.value * width, told.sd * width)


def correlation(cells: Cells, policy: LatticePolicy, first: Measure, second: Measure) -> Estimate:
    """Pearson's correlation; nan where noise leaves open whether a measure varies at all."""

    def formula(n: Any, a: Any, b: Any, aa: Any, bb: Any, ab: Any) -> Any:
        return _covariance(n, a, b, ab) / np.sqrt(_variance(n, a, aa) * _variance(n, b, bb))

    told = _where_certain(formula, cells, policy, first, second, varying=(first, second))
    return Estimate(np.clip(told.value, -1.0, 1.0), told.sd)


def determination(cells: Cells, policy: LatticePolicy, outcome: Measure, cause: Measure) -> Estimate:
    """The share of the outcome's variance that a straight line explains: the square of the correlation."""

    def formula(n: Any, a: Any, b: Any, aa: Any, bb: Any, ab: Any) -> Any:
        return _covariance(n, a, b, ab) ** 2 / (_variance(n, a, aa) * _variance(n, b, bb))

    told = _where_certain(formula, cells, policy, outcome, cause, varying=(outcome, cause))
    return Estimate(np.clip(told.value, 0.0, 1.0), told.sd)


def slope(cells: Cells, policy: LatticePolicy, outcome: Measure, cause: Measure) -> Estimate:
    """By how much the outcome rises with the cause, by least squares; nan where the cause may not vary."""
    unit = (outcome.high - outcome.low) / (cause.high - cause.low)

    def formula(n: Any, a: Any, b: Any, _: Any, bb: Any, ab: Any) -> Any:
        return unit * _covariance(n, a, b, ab) / _variance(n, b, bb)

    return _where_certain(formula, cells, policy, outcome, cause, varying=(cause,))


def intercept(cells: Cells, policy: LatticePolicy, outcome: Measure, cause: Measure) -> Estimate:
    """Where the line meets a cause of nought; nan where the cause may not vary."""
    high, wide = outcome.high - outcome.low, cause.high - cause.low

    def formula(n: Any, a: Any, b: Any, _: Any, bb: Any, ab: Any) -> Any:
        rise = high / wide * _covariance(n, a, b, ab) / _variance(n, b, bb)
        return outcome.low + high * a / n - rise * (cause.low + wide * b / n)

    return _where_certain(formula, cells, policy, outcome, cause, varying=(cause,))


def _variance(n: Any, a: Any, aa: Any) -> Any:
    return aa / n - (a / n) ** 2


def _covariance(n: Any, a: Any, b: Any, ab: Any) -> Any:
    return ab / n - a * b / n**2


def _delta(formula: Callable[..., Any], *moments: Estimate) -> Estimate:
    """The formula of the moments, and its deviation: theirs times the formula's derivatives."""
    values = [moment.value for moment in moments]
    spread: Floats = np.zeros_like(values[0])
    for place, moment in enumerate(moments):
        moved = [value + 1j * _STEP if place == other else value for other, value in enumerate(values)]
        spread = spread + (np.imag(formula(*moved)) / _STEP * moment.sd) ** 2
    return Estimate(np.asarray(formula(*values)), np.sqrt(spread))


def _where_certain(
    formula: Callable[..., Any],
    cells: Cells,
    policy: LatticePolicy,
    first: Measure,
    second: Measure,
    varying: tuple[Measure, ...],
) -> Estimate:
    """`formula` of the six moments of two measures, in the cells where the `varying` ones are known to vary."""
    certain: Flags = np.ones(len(cells.labels), dtype=bool)
    for measure in varying:
        told = variance(cells, measure)
        certain &= told.value > CERTAIN * told.sd
    some = cells.take(np.flatnonzero(certain).tolist())
    names = (first.name, second.name, square_of(first).name, square_of(second).name, _product(policy, first, second))
    told = _delta(formula, some.people, *(some.sums[name] for name in names))
    found = Estimate(np.full(len(certain), np.nan), np.full(len(certain), np.nan))
    found.value[certain], found.sd[certain] = told
    return found


def _product(policy: LatticePolicy, first: Measure, second: Measure) -> str:
    product = policy.product(first.name, second.name)
    if product is None:
        raise KeyError(f"{first.name} and {second.name} have no published product")
    return product.name
