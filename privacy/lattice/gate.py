"""The gate: what a provider is shown before it signs, from the policy and the plan alone.

Two attackers. The *insider* knows everything about everybody else: whatever it asks, it guesses a bit of the last
person right with probability at most Phi(mu / 2) (a theorem; for any prior the gain over guessing is at most
Phi(mu / 2) - 1/2). The *outsider* knows all attributes but no secrets, holds the whole closure of released tables, and
decodes it as well as linear estimation can; its gain is computed for a flat prior and people spread evenly over cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import erf, prod, sqrt

from privacy.lattice.answers import INTERVAL
from privacy.lattice.plan import GRID, Plan, plan
from privacy.lattice.policy import Family, LatticePolicy

# The variance of a bit about which nobody knows anything.
FLAT = 0.25
# Points of accuracy over the guess that an outsider may gain under the Standard profile, as a share.
STANDARD_GAIN = 0.05


@dataclass(frozen=True)
class Profile:
    """How much a family may give away, and how finely tables may be cut, by the number of entities."""

    name: str
    mu: float
    mincell_small: int
    mincell_large: int

    def mincell(self, size: int) -> int:
        """The least average cell for a table of `size` entities."""
        return self.mincell_large if size >= LARGE else self.mincell_small


# From how many entities on the larger cells are demanded.
LARGE = 10_000
STRICT = Profile("strict", 0.25, 50, 100)
STANDARD = Profile("standard", 0.33, 150, 300)
# The provider signs the gate's numbers for this one.
UTILITY = Profile("utility", 1.0, 100, 100)
PROFILES = (STRICT, STANDARD, UTILITY)


@dataclass(frozen=True)
class Exposure:
    """What a family would give away. Gains are over guessing, as shares; `typical_error` is half a 95 % interval
    of the sum over an average cell of the finest tables, in units of the clip range."""

    family: str
    mu: float
    insider_accuracy: float
    insider_gain: float
    outsider_gain: float
    independent_numbers: int
    typical_error: float


def exposure(planned: Plan, family: str) -> Exposure:
    """What everything published of `family` gives away of one person."""
    policy = planned.policy
    measures = [measure.name for measure in policy.all_measures() if measure.family == family]
    mu = sqrt(sum(planned.spent(measure) for measure in measures))
    known = min(1.0, sum(_learned(planned, measure) for measure in measures))
    insider = _phi(mu / 2)
    outsider = _phi(sqrt(known / (1 - known))) if known < 1 else 1.0
    return Exposure(
        family=family,
        mu=mu,
        insider_accuracy=insider,
        insider_gain=insider - 0.5,
        # The theorem holds for everybody, so the outsider cannot do better than the insider.
        outsider_gain=min(outsider, insider) - 0.5,
        independent_numbers=sum(_numbers(planned, measure) for measure in measures),
        typical_error=max(INTERVAL * _typical_sd(planned, measure) for measure in measures),
    )


def under(policy: LatticePolicy, profile: Profile) -> LatticePolicy:
    """`policy` with the mu and the cells of `profile` for every family it declares."""
    families = tuple(Family(family.name, profile.mu) for family in policy.families)
    return replace(policy, families=families, mincell=profile.mincell(policy.declared_size))


def proposals(policy: LatticePolicy) -> Iterable[tuple[Profile, tuple[Exposure, ...]]]:
    """For each profile what every family would give away, so that a provider can choose with open eyes."""
    for profile in PROFILES:
        planned = plan(under(policy, profile))
        yield profile, tuple(exposure(planned, family.name) for family in policy.families)


def _learned(planned: Plan, measure: str) -> float:
    """The share of a person's variance that the closure explains on average: its leverage, a component at a time."""
    people = planned.policy.declared_size
    return planned.policy.measure(measure).numbers * (
        sum(
            _dimension(planned, component)
            * _signal(planned, component)
            / (_signal(planned, component) + variance / GRID**2)
            for component, variance in planned.variances[measure].items()
        )
        / people
    )


def _signal(planned: Plan, component: tuple[tuple[str, int], ...]) -> float:
    """The variance of one direction of a component over people about whom nothing is known."""
    cells = prod(planned.blocks[name][depth - 1].cells for name, depth in component)
    return FLAT * planned.policy.declared_size / cells


def _dimension(planned: Plan, component: tuple[tuple[str, int], ...]) -> int:
    return prod(planned.blocks[name][depth - 1].dimension for name, depth in component)


def _numbers(planned: Plan, measure: str) -> int:
    each = sum(_dimension(planned, component) for component in planned.variances[measure])
    return each * planned.policy.measure(measure).numbers


def _typical_sd(planned: Plan, measure: str) -> float:
    """The root of the mean variance of a cell over all released tables: noise in units of the clip range."""
    finest = max(planned.variances[measure], key=lambda component: (len(component), component))
    cells = prod(planned.blocks[name][depth - 1].cells for name, depth in finest)
    parts = [v for c, v in planned.variances[measure].items() if _is_within(c, finest)]
    return sqrt(planned.policy.editions * sum(parts) / max(1, cells)) / GRID if parts else 0.0


def _is_within(component: tuple[tuple[str, int], ...], whole: tuple[tuple[str, int], ...]) -> bool:
    depths = dict(whole)
    return all(depth <= depths.get(name, 0) for name, depth in component)


def _phi(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))
