"""Planning: which parts of the cube there are, and how much noise each gets. Reads no data.

Every admissible table is a sum of components, one per choice of a block for some of its attributes. What one person
pays for a component is known beforehand and the same for everybody, so the noise can be shared out to make the honest
tables as sharp as the budget allows: sigma_A^2 = sqrt(c_A / V_A) * sum_B sqrt(c_B V_B) / mu^2, where c is the cost of a
component at noise 1 and V how much of its noise the tables see (ResidualPlanner, section 4).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations, product
from math import ceil, prod

import numpy as np

from hexi.canonical import Json, digest
from privacy.errors import PolicyUnusable
from privacy.lattice.blocks import Block, blocks
from privacy.lattice.policy import COUNT, LatticePolicy

# Which block (a level's depth) of which attribute, in the policy's order of attributes; () is the total.
Component = tuple[tuple[str, int], ...]

# Data and noise are whole multiples of one in this: fine enough that noise on the grid is, to 1 in e^(10^6), the
# continuous noise of the theorem, and coarse enough for exact 64-bit sums over millions of people.
GRID = 1 << 10
# Sums are kept clear of 64 bits by this: room for noise, and for a size declared too small.
HEADROOM, LEAST_PEOPLE = 16, 1_000
# Components of one plan: 30 attributes, three at a time, with three levels each.
MAX_COMPONENTS = 200_000


@dataclass(frozen=True)
class Plan:
    """For every measure, the variance of the noise of every component, in squares of 1/`GRID`."""

    policy: LatticePolicy
    variances: Mapping[str, Mapping[Component, int]]

    @cached_property
    def digest(self) -> str:
        """Of the policy and every variance: what a charge on the ledger is for."""
        return digest({"policy": self.policy.digest, "variances": self._document()})

    @cached_property
    def blocks(self) -> dict[str, tuple[Block, ...]]:
        """The blocks of each attribute."""
        return {attribute.name: blocks(attribute) for attribute in self.policy.attributes}

    def spent(self, measure: str) -> Fraction:
        """The mu squared that publishing `measure` costs every person, from the noise really planned."""
        cost = {c: Fraction(_cost(self.blocks, c)).limit_denominator(10**9) for c in self.variances[measure]}
        whole = sum((cost[c] * GRID**2 / v for c, v in self.variances[measure].items()), Fraction())
        return whole * self.policy.measure(measure).sensitivity

    def _document(self) -> dict[str, Json]:
        return {
            measure: [
                [*(f"{name}:{depth}" for name, depth in component), str(variance)] for component, variance in of.items()
            ]
            for measure, of in self.variances.items()
        }


def plan(policy: LatticePolicy) -> Plan:
    """The plan for `policy`: a function of the policy alone. Raises `PolicyUnusable` where it grows too large."""
    of = {attribute.name: blocks(attribute) for attribute in policy.attributes}
    shared: dict[int, dict[Component, tuple[float, float]]] = {}
    variances = {}
    for measure in policy.all_measures():
        least = policy.least() if measure.name == COUNT else policy.least(measure.name)
        if least not in shared:
            shared[least] = _components(policy, of, least)
            _check_exact(of, shared[least], policy.declared_size)
        variances[measure.name] = _variances(shared[least], policy.mu(measure.name) / measure.sensitivity**0.5)
    return Plan(policy, variances)


def tables(policy: LatticePolicy, least: int) -> Iterator[dict[str, int]]:
    """Every table with on average `least` entities to a cell: attribute -> depth of its level."""
    for many in range(policy.together + 1):
        for chosen in combinations(policy.attributes, many):
            for depths in product(*(range(1, len(attribute.levels) + 1) for attribute in chosen)):
                table = {attribute.name: depth for attribute, depth in zip(chosen, depths, strict=True)}
                if policy.is_admissible(table, least):
                    yield table


def _components(
    policy: LatticePolicy, of: Mapping[str, tuple[Block, ...]], least: int
) -> dict[Component, tuple[float, float]]:
    """Every component that an admissible table has: its cost, and how much of its noise all tables together see."""
    seen = {name: _seen(of[name]) for name in of}
    found: dict[Component, float] = {}
    for table in tables(policy, least):
        parts = [
            [(name, block, seen[name][depth, block]) for block in range(depth + 1)] for name, depth in table.items()
        ]
        for choice in product(*parts):
            weight = prod(share for _, _, share in choice)
            if weight > 0:
                component = tuple((name, block) for name, block, _ in choice if block)
                found[component] = found.get(component, 0.0) + weight
        if len(found) > MAX_COMPONENTS:
            raise PolicyUnusable(
                f"the policy releases more than {MAX_COMPONENTS} parts; raise mincell or lower together"
            )
    return {component: (_cost(of, component), weight) for component, weight in found.items()}


def _check_exact(of: Mapping[str, tuple[Block, ...]], components: Iterable[Component], size: int) -> None:
    """Raise `PolicyUnusable` unless every sum fits into 64 bits, noise included."""
    for component in components:
        grown = prod(2 * int(of[name][depth - 1].norm.max()) for name, depth in component)
        if grown * max(size, LEAST_PEOPLE) * GRID * HEADROOM >= 2**63:
            named = " and ".join(name for name, _ in component)
            raise PolicyUnusable(f"the levels of {named} are too uneven to be summed exactly; even them out")


def _seen(of: tuple[Block, ...]) -> dict[tuple[int, int], float]:
    """For a level's depth and a block: the sum over the level's cells of the squared part of the cell in that block."""
    domain = len(of[-1].size)
    shares = {}
    for level in of:
        cells = np.zeros((level.cells, domain))
        cells[level.of, np.arange(domain)] = 1.0
        shares[level.depth, 0] = float(np.sum((level.size / domain) ** 2))
        for block in of[: level.depth]:
            shares[level.depth, block.depth] = float(np.sum(block.parts(cells) ** 2)) if block.dimension else 0.0
    return shares


def _cost(of: Mapping[str, tuple[Block, ...]], component: Component) -> float:
    return prod(of[name][depth - 1].cost for name, depth in component)


def _variances(components: Mapping[Component, tuple[float, float]], mu: float) -> dict[Component, int]:
    total = sum((cost * seen) ** 0.5 for cost, seen in components.values())
    return {
        component: ceil((cost / seen) ** 0.5 * total / mu**2 * GRID**2)
        for component, (cost, seen) in sorted(components.items())
    }
