"""Publication: exact integer marginals become noisy residual tables. The only step that is given numbers about people.

A residual table is the marginal plus noise, with everything taken out that a coarser table says already; as integers,
so that publishing again under the same key gives the same bytes. Whoever calls this has charged the ledger before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hexi.canonical import encode
from privacy.lattice.blocks import Integers
from privacy.lattice.noise import Stream, discrete_gaussian
from privacy.lattice.plan import Component, Plan
from privacy.lattice.policy import COUNT
from privacy.lattice.smoothing import Tables, plain, smoothed

# The exact sums of a measure, in units of 1/`plan.GRID`, over the cells of a component's levels: one axis a level, and
# a last one for the labels of a sensitive column.
Marginal = Callable[[Component], Integers]


@dataclass(frozen=True)
class Cube:
    """Everything that was ever published of one product version: for each measure its residual tables, those of all
    cohorts added up.

    `is_smoothed` says whether answers use what the tables say together, or each as it was published.
    """

    plan: Plan
    residuals: Mapping[str, Mapping[Component, Integers]]
    is_smoothed: bool = True

    @cached_property
    def as_published(self) -> "Cube":
        """The same with each table as it was published: what intervals stand about."""
        return replace(self, is_smoothed=False) if self.is_smoothed else self

    @cached_property
    def tables(self) -> Tables:
        """The residual tables that answers are read off, in units of the clip range."""
        published = plain(self.plan, self.residuals)
        return smoothed(self.plan, published) if self.is_smoothed else published


def residuals(plan: Plan, measure: str, marginal: Marginal, *, key: bytes, label: str) -> dict[Component, Integers]:
    """The residual tables of `measure`. `key` is secret and the version's own; `label` names dataset and version."""
    return {
        component: residual(plan, component, marginal(component) + _noise(plan, measure, component, key, label))
        for component in plan.variances[measure]
    }


def residual(plan: Plan, component: Component, table: Integers) -> Integers:
    """`table` with what coarser tables say taken out along every axis; `scale` gives what it is to be divided by."""
    for axis, (name, depth) in enumerate(component):
        table = plan.blocks[name][depth - 1].project(table, axis)
    return table


def shape(plan: Plan, component: Component, measure: str = COUNT) -> tuple[int, ...]:
    """How many cells the component has along each axis, and numbers a cell where a measure has several."""
    cells = tuple(plan.blocks[name][depth - 1].cells for name, depth in component)
    return (*cells, *plan.policy.measure(measure).axis)


def to_bytes(table: Integers) -> bytes:
    """The cells as big-endian 64-bit integers, in row order; `from_bytes` reads them back."""
    return np.ascontiguousarray(table, dtype=">i8").tobytes()


def from_bytes(plan: Plan, measure: str, component: Component, data: bytes) -> Integers:
    """The table in `data`."""
    return np.frombuffer(data, dtype=">i8").astype(np.int64).reshape(shape(plan, component, measure))


def _noise(plan: Plan, measure: str, component: Component, key: bytes, label: str) -> Integers:
    named = [label, plan.digest, measure, [f"{name}:{depth}" for name, depth in component]]
    stream = Stream(key, encode(named))
    variance = plan.variances[measure][component]
    cells = shape(plan, component, measure)
    drawn = [discrete_gaussian(stream, variance) for _ in range(int(np.prod(cells, dtype=np.int64)))]
    return np.array(drawn, dtype=np.int64).reshape(cells)
