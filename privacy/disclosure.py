"""What may leave: the threshold on persons, rounding, dominance. Pure; decides over cells that were computed already.

The unit is the *entity* (a person, a firm), never the row: a row can be multiplied by a query, a person cannot.

1. **Threshold.** A cell of fewer than `Rules.minimum_entities` entities is suppressed, and a statistic over a measure
   is withheld when fewer entities than that have a value for it (else the average of the one known value would pass).
2. **Zero and class cells.** A suppressed cell is *absent*, and so is a cell nobody is in: 0 and 1 to k-1 look alike.
   For the same reason a margin that falls into one class entirely cannot be told from one that leaves up to k-1 out.
3. **Rounding.** Counts and sums are rounded to base 5 after suppression, half away from zero, so that neighbours
   in a difference are blurred. Nothing is said of how many cells were suppressed: that is itself a count, which one
   person could tip over.
4. **Averages** come from exact, clipped values, to two decimals: an average of rounded numbers would be wrong where it
   is needed most. Its limit: an exact average times a rounded count is a sharper sum than the sum we show. Bounded
   queries and the differencing rule (`privacy.differencing`) carry that load; the planned noisy cube will replace both.
5. **Dominance**, where a product asks for it: (1,50), (2,67) and p 10 % over the contributions of entities.

Sources: OpenSAFELY output rules (suppress, then round), ABS DataLab (rule of 10, dominance), ACRO (p-ratio 0.10).

    >>> rules = Rules()
    >>> round_to(12.5, 5), round_to(-12.5, 5), round_to(12, 5)
    (15, -15, 10)
    >>> release([Cell(("A",), entities=40, rows=43), Cell(("B",), entities=9, rows=30)], [Count()], rules)
    Released(rows=((('A',), (45,)),), kept=(0,))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

# Entities below which a cell says too much about each of them (ABS DataLab, ACRO, UK LLC).
MINIMUM_ENTITIES = 10
# Counts and sums are multiples of this (OpenSAFELY).
ROUNDING = 5
# Rows of one answer (OpenSAFELY's file gate).
MAXIMUM_ROWS = 5000
# The largest number every JSON reader reads alike (RFC 8785); what is larger, or is no number, is withheld.
LARGEST = 2**53 - 1
# Decimals of an average.
AVERAGE_DECIMALS = 2
# Dominance: the largest contributor may not reach this share of a total, nor the two largest together (ABS DataLab).
LARGEST_SHARE, TWO_LARGEST_SHARE = Decimal("0.50"), Decimal("0.67")
# p %: what all others contribute must be at least this share of the largest, or the second can estimate it (ACRO).
P_RATIO = Decimal("0.10")


@dataclass(frozen=True)
class Rules:
    """What the product's provider demands of every release."""

    minimum_entities: int = MINIMUM_ENTITIES
    rounding: int = ROUNDING
    maximum_rows: int = MAXIMUM_ROWS
    dominance: bool = False


@dataclass(frozen=True)
class Statistic:
    """What one cell knows about one measure, exactly: nothing of it may leave as it is.

    `clipped` is the sum of the values clipped to the declared range, `present` how many rows
    have a value, `entities` how many entities have one, `largest` the one or two largest contributions by an entity.
    """

    clipped: float | int = 0
    present: int = 0
    entities: int = 0
    largest: tuple[float | int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One group of a result: its key, its entities and rows, and what it knows about each measure."""

    key: tuple[Any, ...]
    entities: int
    rows: int
    measures: Mapping[str, Statistic] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """``count(*)``."""


@dataclass(frozen=True)
class Entities:
    """``count(DISTINCT entity key)``."""


@dataclass(frozen=True)
class Sum:
    """``sum(measure)``."""

    measure: str


@dataclass(frozen=True)
class Average:
    """``avg(measure)``."""

    measure: str


Aggregate = Count | Entities | Sum | Average


@dataclass(frozen=True)
class Released:
    """What leaves: rows of (key, values) in the order of their keys; `kept` are the indexes of their cells."""

    rows: tuple[tuple[tuple[Any, ...], tuple[float | int | None, ...]], ...]
    kept: tuple[int, ...]


def release(cells: Sequence[Cell], aggregates: Sequence[Aggregate], rules: Rules) -> Released:
    """Apply `rules` to `cells`. An empty result is a release too: it says that no cell was large enough."""
    kept = [index for index, cell in enumerate(cells) if cell.entities >= rules.minimum_entities]
    kept.sort(key=lambda index: order(cells[index].key))
    rows = tuple((cells[i].key, tuple(_value(cells[i], aggregate, rules) for aggregate in aggregates)) for i in kept)
    return Released(rows, tuple(kept))


def may_show(statistic: Statistic, rules: Rules) -> bool:
    """Whether a number over these contributions may be shown at all."""
    if statistic.entities < rules.minimum_entities:
        return False
    return not (rules.dominance and dominated(statistic))


def dominated(statistic: Statistic) -> bool:
    """Whether one or two entities make up so much of the sum that it gives them away."""
    total = Decimal(str(abs(statistic.clipped)))
    contributions = [Decimal(str(abs(value))) for value in statistic.largest] + [Decimal(0)] * 2
    first, second = contributions[:2]
    if total == 0:
        return first > 0  # contributions that cancel out: their shares cannot be bounded
    if first / total > LARGEST_SHARE or (first + second) / total > TWO_LARGEST_SHARE:
        return True
    return first > 0 and (total - first - second) / first < P_RATIO


def round_to(value: float, base: int) -> int:
    """`value` to the nearest multiple of `base`, half away from zero."""
    steps = floor(abs(Fraction(str(value))) / base + Fraction(1, 2))
    return (-steps if value < 0 else steps) * base


def order(key: tuple[Any, ...]) -> tuple[tuple[int, float, str], ...]:
    """Sorts keys of mixed values alike everywhere: missing first, then numbers, then text by code point."""
    return tuple(_rank(value) for value in key)


def _rank(value: Any) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, bool | int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _value(cell: Cell, aggregate: Aggregate, rules: Rules) -> float | int | None:
    match aggregate:
        case Count():
            return round_to(cell.rows, rules.rounding)
        case Entities():
            return round_to(cell.entities, rules.rounding)
        case Sum(measure):
            return _shown(cell.measures[measure], cell.measures[measure].clipped, rules)
        case Average(measure):
            return _average(cell.measures[measure], rules)


def _shown(statistic: Statistic, value: float, rules: Rules) -> int | None:
    return round_to(value, rules.rounding) if may_show(statistic, rules) and abs(value) <= LARGEST else None


def _average(statistic: Statistic, rules: Rules) -> float | None:
    if not may_show(statistic, rules) or statistic.present == 0 or not abs(statistic.clipped) <= LARGEST:
        return None
    scale: int = 10**AVERAGE_DECIMALS
    return round_to(float(Fraction(str(statistic.clipped)) / statistic.present * scale), 1) / scale
