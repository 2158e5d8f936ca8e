"""A made-up population, and its exact marginals: what a lattice publishes before noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privacy.lattice.blocks import Integers
from privacy.lattice.plan import GRID, Component, Plan, plan
from privacy.lattice.policy import Attribute, Family, LatticePolicy, Level, Measure
from privacy.lattice.publication import Cube, residuals, shape

KEY = b"only for tests"


def tree(name: str, *sizes: int) -> Attribute:
    """An attribute whose levels have so many labels; the last is its domain, and is called like it."""
    finest = sizes[-1]
    levels = [
        Level(
            name if size == finest else f"{name}_{size}",
            tuple(f"{name}-{size}-{label}" for label in range(size)),
            tuple(value * size // finest for value in range(finest)),
        )
        for size in sizes
    ]
    return Attribute(f"{name}_tree", tuple(levels), column=name)


# Trees that do not divide evenly are the interesting ones: 3 does not go into 8, nor 2 into 5.
UNEVEN = Attribute(
    "stage_tree",
    (
        Level("stage_group", ("early", "late"), (0, 0, 0, 1, 1)),
        Level("stage", ("0", "1", "2", "3", "4"), (0, 1, 2, 3, 4)),
    ),
    column="stage",
)


# Sensitive columns with labels, and a pair of measures whose product is published.
ILLNESS = Measure("illness", "secret", 0, 1, labels=("none", "mild", "severe"))
SMOKER = Measure("smoker", "secret", 0, 1, labels=("no", "yes"))
COST, VISITS = Measure("cost", "money", 0, 4000, square=True), Measure("visits", "money", 2, 12, square=True)
SENSITIVE: dict[str, object] = {
    "measures": (ILLNESS, SMOKER, COST, VISITS),
    "correlations": (("cost", "visits"),),
}


def policy(size: int = 20_000, mincell: int = 100, mu: float = 0.35, **changes: object) -> LatticePolicy:
    """Five attributes, a secret and a cost."""
    given: dict[str, object] = {
        "entity": "person",
        "attributes": (tree("age", 7), tree("sex", 2), tree("region", 4, 16), tree("job", 3, 8), UNEVEN),
        "measures": (Measure("secret", "secret", 0, 1), Measure("cost", "money", 0, 4000, square=True)),
        "families": (Family("secret", mu), Family("money", 2 * mu)),
        "size": size,
        "mincell": mincell,
    }
    return LatticePolicy(**{**given, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Population:
    """People with a place in every domain, a secret and a cost, drawn by a seed."""

    plan: Plan
    people: int
    seed: int = 1

    @cached_property
    def codes(self) -> dict[str, Integers]:
        """For each attribute, everybody's place in its domain."""
        rng = np.random.default_rng(self.seed)
        return {a.name: rng.integers(0, len(a.domain), self.people) for a in self.plan.policy.attributes}

    @cached_property
    def values(self) -> dict[str, Integers]:
        """For each measure, everybody's whole number of grid steps."""
        rng = np.random.default_rng(self.seed + 1)
        cost = np.clip(rng.lognormal(6, 1, self.people), 0, 4000) / 4000
        cost_steps, smoker = np.rint(cost * GRID).astype(np.int64), rng.random(self.people) < 0.3
        illness = rng.choice(3, self.people, p=[0.6, 0.3, 0.1])
        visits = np.rint(np.clip(0.7 * cost + 0.2 * rng.random(self.people), 0, 1) * GRID).astype(np.int64)
        return {
            "illness": (illness[:, None] == np.arange(3)) * np.int64(GRID),
            "smoker": smoker[:, None] * np.int64(GRID),
            "visits": visits,
            "visits_squared": (2 * visits * visits + GRID) // (2 * GRID),
            "cost_times_visits": (2 * cost_steps * visits + GRID) // (2 * GRID),
            "count": np.full(self.people, GRID),
            "secret": (rng.random(self.people) < 0.5) * GRID,
            "cost": cost_steps,
            "cost_squared": np.rint(cost**2 * GRID).astype(np.int64),
        }

    def marginal(self, measure: str, component: Component) -> Integers:
        """The exact sums over a component's cells."""
        cells = np.zeros(shape(self.plan, component, measure), dtype=np.int64)
        places = [
            np.array(self.plan.policy.attribute(name).levels[depth - 1].of)[self.codes[name]]
            for name, depth in component
        ]
        values = self.values[measure]
        np.add.at(cells, tuple(places) if places else (...,), values if places else values.sum(axis=0))
        return cells

    def cube(self, measures: Sequence[str] = (), key: bytes = KEY, *, is_smoothed: bool = False) -> Cube:
        """Everything published under `key`."""
        wanted = measures or list(self.plan.variances)
        tables = {
            m: residuals(self.plan, m, lambda component, m=m: self.marginal(m, component), key=key, label="test 1")  # type: ignore[misc]
            for m in wanted
        }
        return Cube(self.plan, tables, is_smoothed)


def population(size: int = 20_000, **changes: object) -> Population:
    """A population of the declared size."""
    return Population(plan(policy(size=size, **changes)), size)  # type: ignore[arg-type]
