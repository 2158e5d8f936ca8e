"""Planning: which parts of the cube there are, and how much noise each gets. Reads no data.

Every admissible table is a sum of components, one per choice of a block for some of its attributes. What one person
pays for a component is known beforehand and the same for everybody, so the noise can be shared out to make the honest
tables as sharp as the budget allows: sigma_A^2 = sqrt(c_A / V_A) * sum_B sqrt(c_B V_B) / mu^2, where c is the cost of a
component at noise 1 and V how much of its noise the tables see (ResidualPlanner, section 4).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from math import ceil, prod, sqrt
from operator import truediv

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
# What is spent is told in parts of one in this.
_EXACT = 10**18
# Components of one plan: 30 attributes, three at a time, with three levels each.
MAX_COMPONENTS = 200_000


@dataclass(frozen=True)
class Plan:
    """For every measure, the variance of the noise of every component, in squares of 1/`GRID`."""

    policy: LatticePolicy
    variances: Mapping[str, Mapping[Component, int]]

    @cached_property
    def digest(self) -> str:
        """Of the policy, cohorts apart, and every variance: what a charge on the ledger is for."""
        return digest({"policy": self.policy.lasting_digest, "variances": self._document()})

    @cached_property
    def blocks(self) -> dict[str, tuple[Block, ...]]:
        """The blocks of each attribute."""
        return {attribute.name: blocks(attribute) for attribute in self.policy.attributes}

    def spent(self, measure: str) -> Fraction:
        """The mu squared that publishing `measure` costs every person, from the noise really planned."""
        whole = 0
        for component, variance in self.variances[measure].items():
            over, under = _cost(self.blocks, component)
            whole -= -over * GRID**2 * _EXACT // (under * variance)  # each part rounded up
        return Fraction(whole * self.policy.measure(measure).sensitivity, _EXACT)

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
    shared: dict[int, dict[Component, float]] = {}
    variances = {}
    for measure in policy.all_measures():
        least = policy.least() if measure.name == COUNT else policy.least(measure.name)
        if least not in shared:
            shared[least] = _components(policy, of, least)
            _check_exact(of, shared[least], policy.declared_size)
        variances[measure.name] = _variances(of, shared[least], policy.mu(measure.name) / measure.sensitivity**0.5)
    return Plan(policy, variances)


# How much the cells of a level, all together, have in each block of their attribute, from the total on.
Shares = tuple[float, ...]


@dataclass(frozen=True)
class _Tree:
    """An attribute as planning sees it: for each level how many cells it has and its shares. Equal trees plan alike."""

    levels: tuple[tuple[int, Shares], ...]


def _components(policy: LatticePolicy, of: Mapping[str, tuple[Block, ...]], least: int) -> dict[Component, float]:
    """Every component that a table with `least` entities to a cell has, and how much of its noise all such tables
    together see."""
    trees = {name: _tree(of[name]) for name in of}
    known: dict[tuple[tuple[_Tree, ...], int], dict[tuple[int, ...], float]] = {}
    found: dict[Component, float] = {}
    for many in range(policy.together + 1):
        for names in combinations(trees, many):
            seen = _seen(tuple(trees[name] for name in names), policy.declared_size // least, known)
            for depths, weight in seen.items():
                component = tuple((name, depth) for name, depth in zip(names, depths, strict=True) if depth)
                found[component] = found.get(component, 0.0) + weight
        if len(found) > MAX_COMPONENTS:
            raise PolicyUnusable(
                f"the policy releases more than {MAX_COMPONENTS} parts; raise mincell or lower together"
            )
    return found


def _seen(
    trees: tuple[_Tree, ...], room: int, known: dict[tuple[tuple[_Tree, ...], int], dict[tuple[int, ...], float]]
) -> dict[tuple[int, ...], float]:
    """For each choice of a block an attribute, how much of its noise is seen by the tables over just these attributes
    that have at most `room` cells. `known` keeps what was worked out: many attributes look alike from here."""
    if not trees:
        return {(): 1.0} if room else {}
    if (trees, room) not in known:
        found: dict[tuple[int, ...], float] = {}
        for cells, shares in trees[0].levels:
            rest = _seen(trees[1:], room // cells, known)
            for block, share in enumerate(shares):
                for blocks, weight in rest.items() if share else ():
                    found[block, *blocks] = found.get((block, *blocks), 0.0) + share * weight
        known[trees, room] = found
    return known[trees, room]


def _tree(of: tuple[Block, ...]) -> _Tree:
    domain = int(of[-1].size.sum())
    levels = []
    for level in of:
        shares = [float(sum(Fraction(int(size), domain) ** 2 for size in level.size))]
        shares += [_share(level, block) for block in of[: level.depth]]
        levels.append((level.cells, tuple(shares)))
    return _Tree(tuple(levels))


def _share(level: Block, block: Block) -> float:
    """The sum over the level's cells of the squared part of the cell in that block, as an exact fraction first, so that
    a plan is the same on every machine."""
    if not block.dimension:
        return 0.0
    inside = np.zeros(level.cells, dtype=np.int64)  # which cell of the block each cell of the level lies in
    inside[level.of] = block.of
    siblings = np.bincount(block.group)
    whole = Fraction()
    for cell, size in zip(inside.tolist(), level.size.tolist(), strict=True):
        group = int(block.group[cell])
        own, above = Fraction(1, int(block.size[cell])), Fraction(1, int(block.group_size[group]))
        whole += size**2 * ((own - above) ** 2 + (int(siblings[group]) - 1) * above**2)
    return float(whole)


def _check_exact(of: Mapping[str, tuple[Block, ...]], components: Iterable[Component], size: int) -> None:
    """Raise `PolicyUnusable` unless every sum fits into 64 bits, noise included."""
    grows = {(name, block.depth): 2 * int(block.norm.max()) for name, blocks_ in of.items() for block in blocks_}
    for component in components:
        grown = prod(grows[part] for part in component)
        if grown * max(size, LEAST_PEOPLE) * GRID * HEADROOM >= 2**63:
            named = " and ".join(name for name, _ in component)
            raise PolicyUnusable(f"the levels of {named} are too uneven to be summed exactly; even them out")


def _cost(of: Mapping[str, tuple[Block, ...]], component: Component) -> tuple[int, int]:
    """What one person pays for the component with noise of deviation 1, as a fraction."""
    costs = [of[name][depth - 1].cost for name, depth in component]
    return prod(cost.numerator for cost in costs), prod(cost.denominator for cost in costs)


def _variances(
    of: Mapping[str, tuple[Block, ...]], components: Mapping[Component, float], mu: float
) -> dict[Component, int]:
    costs = {component: truediv(*_cost(of, component)) for component in components}
    total = sum(sqrt(costs[component] * seen) for component, seen in components.items())
    return {
        component: ceil(sqrt(costs[component] / seen) * total / mu**2 * GRID**2)
        for component, seen in sorted(components.items())
    }
