"""A query to a cube as the sandbox understands it: the cells to look up, and what to show of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from privacy.lattice import answers
from privacy.lattice.answers import Cells, Estimate, Flags, Question
from privacy.lattice.policy import Measure, square_of


@dataclass(frozen=True)
class Statistic:
    """An aggregate of one cell: ``count`` or a function of a measure."""

    function: str
    measure: Measure | None = None

    def of(self, cells: Cells) -> Estimate:
        """Its value in every cell."""
        if self.measure is None:
            return cells.people
        match self.function:
            case "sum":
                return answers.total(cells, self.measure)
            case "avg":
                return answers.mean(cells, self.measure)
        squared = answers.variance(cells, self.measure)
        if self.function == "var_pop":
            return squared
        root = np.sqrt(squared.value)
        return Estimate(root, np.where(root > 0, squared.sd / (2 * np.where(root > 0, root, 1.0)), squared.sd**0.5))

    @property
    def moments(self) -> tuple[str, ...]:
        """The measures whose sums it is made of."""
        if self.measure is None:
            return ()
        name = self.measure.name
        return (name, square_of(self.measure).name) if self.function in {"var_pop", "stddev_pop"} else (name,)


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
