"""A query to a cube as the sandbox understands it: the cells to look up, and what to show of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from privacy.lattice import statistics
from privacy.lattice.answers import Cells, Estimate, Flags, Question
from privacy.lattice.policy import LatticePolicy, Measure, square_of
from privacy.lattice.regression import Cut

OF_ONE: Mapping[str, Callable[[Cells, Measure], Estimate]] = {
    "sum": statistics.total,
    "avg": statistics.mean,
    "var_pop": statistics.variance,
    "stddev_pop": statistics.deviation,
}
OF_TWO: Mapping[str, Callable[[Cells, LatticePolicy, Measure, Measure], Estimate]] = {
    "corr": statistics.correlation,
    "covar_pop": statistics.covariance,
    "regr_slope": statistics.slope,
    "regr_intercept": statistics.intercept,
    "regr_r2": statistics.determination,
}
# Functions of one measure that need its square.
SQUARES = frozenset({"var_pop", "stddev_pop"})


@dataclass(frozen=True)
class Statistic:
    """An aggregate of one cell: ``count``, or a function of one measure or of two."""

    function: str
    policy: LatticePolicy = field(repr=False, compare=False)
    measures: tuple[Measure, ...] = ()

    @property
    def name(self) -> str:
        """What a column without an AS is called."""
        return "_".join([self.function, *(measure.name for measure in self.measures)])

    def of(self, cells: Cells) -> Estimate:
        """Its value in every cell; nan where noise leaves it open."""
        match self.measures:
            case (measure,):
                return OF_ONE[self.function](cells, measure)
            case (first, second):
                return OF_TWO[self.function](cells, self.policy, first, second)
        return cells.people

    @property
    def moments(self) -> tuple[str, ...]:
        """The measures whose sums it is made of."""
        names = [measure.name for measure in self.measures]
        if self.function in SQUARES or self.function in OF_TWO:
            names += [square_of(measure).name for measure in self.measures]
        if self.function in OF_TWO and (product := self.policy.product(names[0], names[1])):
            names.append(product.name)
        return tuple(names)


@dataclass(frozen=True)
class Column:
    """A column of the answer: a level (its place among the groups) or a statistic."""

    name: str
    item: int | Statistic


@dataclass(frozen=True)
class CubeQuery:
    """A question to the cube, and what to do with the cells that come back."""

    question: Question
    columns: tuple[Column, ...]
    having: Callable[[Cells], Flags] = field(repr=False)
    order: tuple[tuple[int | Statistic, bool], ...] = ()
    limit: int | None = None
    canonical_sql: str = ""
    # Every measure whose sums the answer needs, HAVING and ORDER BY included.
    moments: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegressionQuery:
    """``linear_regression(measure, level, ...)``: the coefficients of a measure on levels, one row a term."""

    measure: Measure
    cuts: tuple[Cut, ...]
    # What the levels are called.
    names: tuple[str, ...]
    where: Mapping[str, frozenset[int]]
    canonical_sql: str


CubeQuestion = CubeQuery | RegressionQuery
