"""Synthetic people for the benchmarks of the lattice: seven attributes, a secret bit, a cost. Drawn by a seed.

`flat`: the secret has nothing to do with the attributes. Otherwise a logistic model of age, plan, status, sex and
region predicts it to about 59 % at even odds. Costs are lognormal, clipped to 0..4000, a fifth higher with the secret.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privacy.lattice.gate import Profile
from privacy.lattice.plan import GRID, Component, Plan, plan
from privacy.lattice.policy import Attribute, Family, LatticePolicy, Level, Measure
from privacy.lattice.publication import Cube, residuals, shape

SIZES = {"age": (7,), "sex": (2,), "region": (4, 16, 64), "plan": (4,), "status": (3,), "job": (8,), "month": (4, 12)}
HIGH = 4000.0


def attribute(name: str, sizes: tuple[int, ...]) -> Attribute:
    """A balanced tree whose levels have so many labels."""
    finest = sizes[-1]
    levels = tuple(
        Level(
            name if size == finest else f"{name}_{size}",
            tuple(f"{label}" for label in range(size)),
            tuple(value * size // finest for value in range(finest)),
        )
        for size in sizes
    )
    return Attribute(f"{name}_tree", levels, column=name)


def policy(size: int, profile: Profile, measures: tuple[Measure, ...] = ()) -> LatticePolicy:
    """The policy of the study, under a profile."""
    secret = Measure("secret", "secret", 0, 1)
    cost = Measure("cost", "money", 0, HIGH)
    given = LatticePolicy(
        "person",
        tuple(attribute(name, sizes) for name, sizes in SIZES.items()),
        measures or (secret, cost),
        # An amount is told apart only where it differs by half its range: twice the mu (the study, section 3.3).
        (Family("secret", profile.mu), Family("money", 2 * profile.mu)),
        size,
    )
    return replace(given, mincell=profile.mincell(given.declared_size))


@dataclass(frozen=True)
class People:
    """`size` people under `plan`, drawn by `seed`."""

    plan: Plan
    size: int
    seed: int
    flat: bool
    prevalence: float = 0.5

    @cached_property
    def codes(self) -> dict[str, NDArray[np.int64]]:
        """Everybody's place in every domain."""
        rng = np.random.default_rng(self.seed)
        return {f"{name}_tree": rng.integers(0, sizes[-1], self.size) for name, sizes in SIZES.items()}

    @cached_property
    def chance(self) -> NDArray[np.float64]:
        """The true probability of everybody's secret, given the attributes: what the strongest honest guess knows."""
        if self.flat:
            return np.full(self.size, self.prevalence)
        c = self.codes
        score = 0.22 * (c["age_tree"] - 3) + 0.35 * (c["plan_tree"] - 1.5) * 0.5 + 0.3 * (c["status_tree"] - 1)
        score = score * 0.55 + 0.2 * (c["sex_tree"] - 0.5) + 0.1 * (c["region_tree"] // 16 - 1.5)
        return 1 / (1 + np.exp(-score))

    @cached_property
    def secret(self) -> NDArray[np.int64]:
        """Everybody's secret bit."""
        return (np.random.default_rng(self.seed + 1).random(self.size) < self.chance).astype(np.int64)

    @cached_property
    def cost(self) -> NDArray[np.float64]:
        """Everybody's cost, clipped."""
        drawn = np.random.default_rng(self.seed + 2).lognormal(6, 0.9, self.size) * (1 + 0.2 * self.secret)
        return np.clip(drawn, 0, HIGH)

    def values(self, measure: str) -> NDArray[np.int64]:
        """Everybody's whole number of grid steps."""
        if measure == "count":
            return np.full(self.size, GRID, dtype=np.int64)
        if measure == "cost":
            return np.rint(self.cost / HIGH * GRID).astype(np.int64)
        return self.secret * GRID  # the secret, and columns that repeat it

    def places(self, component: Component) -> tuple[NDArray[np.int64], ...]:
        """Everybody's cell along each axis of a component."""
        levels = (self.plan.policy.attribute(name).levels[depth - 1].of for name, depth in component)
        return tuple(np.array(of)[self.codes[name]] for of, (name, _) in zip(levels, component, strict=True))

    def cube(self, key: bytes, measures: tuple[str, ...] = ()) -> Cube:
        """Everything published of these people."""

        def exact(measure: str) -> Any:
            values = self.values(measure)

            def marginal(component: Component) -> NDArray[np.int64]:
                cells = np.zeros(shape(self.plan, component), dtype=np.int64)
                where = self.places(component)
                np.add.at(cells, where or (...,), values if where else values.sum())
                return cells

            return marginal

        wanted = measures or tuple(self.plan.variances)
        return Cube(self.plan, {m: residuals(self.plan, m, exact(m), key=key, label=f"{self.seed}") for m in wanted})


def people(size: int, profile: Profile, *, seed: int = 1, flat: bool = True, **changes: Any) -> People:
    """People of the study under a profile."""
    return People(plan(policy(size, profile, **changes)), size, seed, flat)
