"""What a lattice policy may not say: limits, and contradictions. Everything refused is told with its reason."""

import re
from typing import TYPE_CHECKING

from privacy.errors import PolicyUnusable

if TYPE_CHECKING:
    from privacy.lattice.policy import Attribute, LatticePolicy, Measure

# The family that pays for counts unless the policy says otherwise.
MEMBERSHIP = "membership"
# A larger mu promises nothing: the theorem would let everybody be guessed with 98 % certainty.
MAX_MU = 4.0
# Attributes in one table. Three answer nearly every honest question; each more multiplies the components.
MAX_ATTRIBUTES_TOGETHER = 3
# Limits of one policy: generous for people, tight for whoever would make planning an attack. Counts.
MAX_ATTRIBUTES, MAX_LEVELS, MAX_DOMAIN, MAX_MEASURES = 40, 6, 4_096, 64
# Labels of a sensitive column; two are said by one number and the count.
BINARY, MAX_LABELS = 2, 64
# Values lie within this on either side of nought, and clip ranges are wider than that: six decimals count.
LARGEST, NARROWEST = 1e12, 1e-3
# No table is cut finer than this many people to a cell on average, whatever the policy says.
MINCELL_FLOOR = 20

# Cohorts of one product: a quarter of a century in months. Characters of a population's name.
MAX_COHORTS, MAX_NAME = 300, 200

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def check(policy: "LatticePolicy") -> None:
    """Raise `PolicyUnusable` unless the policy contradicts itself nowhere and stays within the limits."""
    _check_sizes(policy)
    names = [level.name for attribute in policy.attributes for level in attribute.levels]
    names += [measure.name for measure in policy.all_measures()]
    _check_names([*names, policy.entity])
    for attribute in policy.attributes:
        _check_attribute(attribute)
    families = {family.name for family in policy.families} | {MEMBERSHIP}
    for measure in policy.all_measures():
        if measure.family not in families:
            raise PolicyUnusable(
                f"the measure {measure.name} belongs to the family {measure.family}, which is not declared"
            )
        _check_measure(measure)
    _check_correlations(policy)
    _check_columns(policy)
    _check_cohorts(policy)
    for family in policy.families:
        if not 0 < family.mu <= MAX_MU:
            raise PolicyUnusable(f"the mu of the family {family.name} lies between 0 and {MAX_MU}")


def _check_measure(measure: "Measure") -> None:
    if not measure.low + NARROWEST <= measure.high or max(-measure.low, measure.high) > LARGEST or measure.weight <= 0:
        raise PolicyUnusable(
            f"the measure {measure.name} needs a clip range, between -{LARGEST:g} and {LARGEST:g} and at least "
            f"{NARROWEST:g} wide, and a weight above nought"
        )
    if not measure.labels:
        if measure.edges or measure.other is not None:
            raise PolicyUnusable(f"the measure {measure.name} has bands or a place for others, but no labels")
        return
    if len(set(measure.labels)) != len(measure.labels) or not BINARY <= len(measure.labels) <= MAX_LABELS:
        raise PolicyUnusable(f"the sensitive column {measure.name} needs {BINARY} to {MAX_LABELS} different labels")
    if measure.square:
        raise PolicyUnusable(f"the sensitive column {measure.name} has labels and so no square")
    rising = list(measure.edges) == sorted(set(measure.edges))
    if measure.edges and (not rising or len(measure.edges) != len(measure.labels) - 1):
        raise PolicyUnusable(f"the bands of {measure.name} need rising edges, one fewer than labels")
    if max(map(abs, measure.edges), default=0) > LARGEST:
        raise PolicyUnusable(f"the edges of {measure.name} lie between -{LARGEST:g} and {LARGEST:g}")
    if measure.other is not None and measure.other not in measure.labels:
        raise PolicyUnusable(f"{measure.name}: whoever has no label is put under {measure.other!r}, not among them")


def _check_correlations(policy: "LatticePolicy") -> None:
    named = {measure.name: measure for measure in policy.measures}
    for pair in policy.correlations:
        if pair[0] == pair[1] or not all(name in named and named[name].square for name in pair):
            raise PolicyUnusable(
                f"a correlation is of two different measures with square: true, not of {' and '.join(pair)}"
            )
        if named[pair[0]].family != named[pair[1]].family:
            raise PolicyUnusable(
                f"the product of {' and '.join(pair)} says something of both, so both belong into one family"
            )
    if len({frozenset(pair) for pair in policy.correlations}) < len(policy.correlations):
        raise PolicyUnusable("a correlation is declared twice")


def _check_columns(policy: "LatticePolicy") -> None:
    families: dict[str, str] = {}
    for measure in policy.measures:
        column = measure.column or measure.name
        if families.setdefault(column, measure.family) != measure.family:
            raise PolicyUnusable(
                f"the column {column} is in the families {families[column]} and {measure.family}; whatever is "
                "published of a column says something of all of it, so it belongs into one"
            )
    for attribute in policy.attributes:
        column = attribute.column or attribute.name
        if families.get(column, policy.count_family) != policy.count_family:
            raise PolicyUnusable(
                f"the column {column} is the attribute {attribute.name}, which counts tell at the price of the family "
                f"{policy.count_family}, and a secret of the family {families[column]}; take it out of the one or the "
                "other"
            )


def _check_cohorts(policy: "LatticePolicy") -> None:
    if len(policy.population) > MAX_NAME:
        raise PolicyUnusable(f"the name of a population has at most {MAX_NAME} characters")
    if policy.cohorts is None:
        return
    labels = policy.cohorts.labels
    if not 1 <= len(labels) <= MAX_COHORTS or len(set(labels)) < len(labels) or not policy.cohorts.column:
        raise PolicyUnusable(f"cohorts need a column and 1 to {MAX_COHORTS} different labels")


def _check_sizes(policy: "LatticePolicy") -> None:
    if policy.size < 1:
        raise PolicyUnusable("a policy declares how many entities there are, to two significant digits")
    if not 1 <= policy.together <= MAX_ATTRIBUTES_TOGETHER:
        raise PolicyUnusable(f"tables join between 1 and {MAX_ATTRIBUTES_TOGETHER} attributes")
    if min(policy.mincell, policy.count_mincell) < MINCELL_FLOOR:
        raise PolicyUnusable(f"a table has at least {MINCELL_FLOOR} entities to a cell on average")
    for what, found, limit in (
        ("attributes", len(policy.attributes), MAX_ATTRIBUTES),
        ("measures", len(policy.measures), MAX_MEASURES),
    ):
        if found > limit:
            raise PolicyUnusable(f"a policy has at most {limit} {what}, not {found}")


def _check_names(names: list[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise PolicyUnusable(
                f"{name!r} is no name a query could use: small letters, digits and _, not first a digit"
            )
    if twice := {name for name in names if names.count(name) > 1}:
        raise PolicyUnusable(f"the name {min(twice)} stands for two things; levels and measures share one set of names")


def _check_attribute(attribute: "Attribute") -> None:
    if not 1 <= len(attribute.levels) <= MAX_LEVELS or not 2 <= len(attribute.domain) <= MAX_DOMAIN:
        raise PolicyUnusable(
            f"the attribute {attribute.name} has 1 to {MAX_LEVELS} levels, the finest of 2 to {MAX_DOMAIN}"
        )
    if attribute.levels[-1].of != tuple(range(len(attribute.domain))):
        raise PolicyUnusable(f"the last level of {attribute.name} is its domain itself")
    if attribute.other is not None and attribute.other not in attribute.domain:
        raise PolicyUnusable(
            f"{attribute.name}: what lies outside the domain is put under {attribute.other!r}, not in it"
        )
    above: tuple[int, ...] = (0,) * len(attribute.domain)
    for level in attribute.levels:
        if len(set(level.labels)) != len(level.labels) or len(level.of) != len(attribute.domain):
            raise PolicyUnusable(f"the level {level.name} names a label twice, or does not place every value")
        if set(level.of) != set(range(len(level.labels))):
            raise PolicyUnusable(
                f"the level {level.name} has a label that nothing falls under, or places under one it lacks"
            )
        if len(set(zip(level.of, above, strict=True))) != len(level.labels):
            raise PolicyUnusable(f"the level {level.name} does not refine the level above it")
        above = level.of
