"""Smoothing: what published numbers say together is closer to the truth than each by itself. Costs no privacy.

A residual table of a measure is mostly what the residual table of the counts says already (more people, larger sum),
and the rest is mostly noise where the measure does not depend on the attributes. So the counts' part is taken from the
counts, which are published with less noise, and what is left over is drawn towards nought by as much as its size says
it is noise (Breiman's garrote of 1995, one factor for a component so that all tables still agree).
It works on published numbers only, so the theorem holds for what comes out as for what goes in.

What is drawn in is closer on average, not everywhere: a cell that stands out among others that do not is drawn in too
far. So smoothed numbers are for values; an interval stands about what was published, and holds the truth as promised.
"""

from collections.abc import Mapping

import numpy as np

from privacy.lattice.blocks import Floats, Integers
from privacy.lattice.plan import GRID, Component, Plan
from privacy.lattice.policy import COUNT

Tables = Mapping[str, Mapping[Component, Floats]]


def plain(plan: Plan, residuals: Mapping[str, Mapping[Component, Integers]]) -> dict[str, dict[Component, Floats]]:
    """The residual tables in units of the clip range, as they were published."""
    return {
        measure: {component: table / _scale(plan, component, measure) / GRID for component, table in of.items()}
        for measure, of in residuals.items()
    }


def smoothed(plan: Plan, tables: Tables) -> Tables:
    """`tables` with every measure's noise reduced by what the counts, and its own size, say about it."""
    if COUNT not in tables or not tables[COUNT]:
        return tables
    return {
        measure: of if measure == COUNT else _smooth_each(plan, measure, of, tables[COUNT])
        for measure, of in tables.items()
    }


def _smooth_each(
    plan: Plan, measure: str, tables: Mapping[Component, Floats], counts: Mapping[Component, Floats]
) -> dict[Component, Floats]:
    """A measure smoothed; of a sensitive column every label by itself."""
    if not plan.policy.measure(measure).axis:
        return _smooth(plan, measure, tables, counts)
    each = [
        _smooth(plan, measure, {component: table[..., label] for component, table in tables.items()}, counts)
        for label in range(plan.policy.measure(measure).numbers)
    ]
    return {component: np.stack([one[component] for one in each], axis=-1) for component in tables}


def _smooth(
    plan: Plan, measure: str, tables: Mapping[Component, Floats], counts: Mapping[Component, Floats]
) -> dict[Component, Floats]:
    people = float(counts[()])
    share = min(1.0, max(0.0, float(tables[()]) / people)) if people >= 1 else 0.0
    found = {}
    for component, table in tables.items():
        if not component or component not in counts:
            found[component] = table
            continue
        left = table - share * counts[component]
        variance = plan.variances[measure][component] + share**2 * plan.variances[COUNT][component]
        noise = plan.policy.editions * variance / GRID**2
        found[component] = share * counts[component] + _signal(plan, component, left, noise) * left
    return found


def _signal(plan: Plan, component: Component, left: Floats, noise: float) -> float:
    """How much of what is left over is signal, between 0 and 1: its size without that of the noise expected in it."""
    dimension = int(np.prod([plan.blocks[name][depth - 1].dimension for name, depth in component]))
    size = float(np.sum(left**2))
    return max(0.0, 1.0 - dimension * noise / size) if size else 1.0


def _scale(plan: Plan, component: Component, measure: str) -> Floats:
    """What the integer residuals of a component are still to be divided by."""
    scale: Floats = np.ones(())
    for name, depth in component:
        scale = np.multiply.outer(scale, plan.blocks[name][depth - 1].norm.astype(np.float64))
    return scale[..., np.newaxis] if plan.policy.measure(measure).axis else scale
