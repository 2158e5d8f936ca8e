"""Which cells of a table may be shown together, and numbers that agree with each other. Pure.

What `privacy.disclosure` decides cell by cell is not enough for a table: what is left out can be worked out from what
is shown and a total, and a table that shows one class only says it of everybody.

1. **Threshold**: fewer than k entities, left out.
2. **Class disclosure.** Along a sensitive key, a line (the cells that differ in nothing else) in which a single cell
   would be shown says that everybody in it belongs there; so the line shows two classes, or none. Cells in which every
   value of a measure stands at the same end of its range say it of everybody too, and are left out.
3. **Complementary suppression.** In every line with a cell left out, another of k entities or more is left out as well,
   the smallest there is: so what is missing of the line's total is two cells, and k entities at least.
4. **Numbers that agree**: averages and totals come from numbers that were rounded before, so that none is sharper than
   what it is made of.

Sources: OpenSAFELY (suppress, round, totals from rounded cells), ACRO and UK LLC (zeros are disclosive), attack Q18.

    >>> cells = [Cell(("a",), 30, 30), Cell(("b",), 4, 4), Cell(("c",), 12, 12)]
    >>> shown(cells, Rules()).kept
    (0,)
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from privacy.disclosure import AVERAGE_DECIMALS, LARGEST, Cell, Rules, Statistic, may_show, order, round_to

Number = float | int | None


@dataclass(frozen=True)
class Shown:
    """The indexes of the cells that may be shown, in the order of their keys, and how many fell to each rule.

    `fallen` is for the provider alone: a count of cells left out is one that a single person can tip over.
    """

    kept: tuple[int, ...]
    fallen: Mapping[str, int]


def shown(
    cells: Sequence[Cell],
    rules: Rules,
    *,
    sensitive: Collection[int] = (),
    ends: Mapping[str, tuple[float, float]] | None = None,
) -> Shown:
    """Apply rules 1 to 3. `sensitive` are places in the key; `ends` the declared range of each measure."""
    fallen = {index: "threshold" for index, cell in enumerate(cells) if cell.entities < rules.minimum_entities}
    for index, cell in enumerate(cells):
        if index not in fallen and _of_one_class(cell, ends or {}):
            fallen[index] = "class"
    width = len(cells[0].key) if cells else 0
    lines = {place: _lines(cells, place) for place in range(width)}
    before = -1
    while len(fallen) > before:
        before = len(fallen)
        for line in (line for place in sensitive for line in lines[place]):
            visible = [index for index in line if index not in fallen]
            if len(visible) == 1:
                fallen[visible[0]] = "class"
        for line in (line for place in range(width) for line in lines[place]):
            if (extra := _complement(line, fallen, cells, rules)) is not None:
                fallen[extra] = "complementary"
    kept = sorted(
        (index for index in range(len(cells)) if index not in fallen), key=lambda index: order(cells[index].key)
    )
    counted: dict[str, int] = defaultdict(int)
    for rule in fallen.values():
        counted[rule] += 1
    return Shown(tuple(kept), dict(counted))


def average(statistic: Statistic, rules: Rules) -> Number:
    """The rounded sum by the rounded number of values: no sharper than the two together."""
    present = round_to(statistic.present, rules.rounding)
    if not may_show(statistic, rules) or present == 0 or not abs(statistic.clipped) <= LARGEST:
        return None
    scale: int = 10**AVERAGE_DECIMALS
    return round_to(float(Fraction(round_to(statistic.clipped, rules.rounding)) / present * scale), 1) / scale


def totals(
    rows: Iterable[tuple[tuple[Any, ...], tuple[Number, ...]]], places: int
) -> dict[tuple[Any, ...], tuple[Number, ...]]:
    """The sums of what is shown, over rows that agree in the first `places` of their keys.

    A number that is withheld somewhere is withheld in the total. Only numbers that add up may be given.
    """
    sums: dict[tuple[Any, ...], tuple[Number, ...]] = {}
    for key, values in rows:
        group = key[:places]
        before = sums.get(group)
        sums[group] = values if before is None else tuple(map(_plus, before, values))
    return sums


def _plus(one: Number, other: Number) -> Number:
    return None if one is None or other is None else one + other


def _lines(cells: Sequence[Cell], place: int) -> list[list[int]]:
    """The cells that differ in nothing but the value at `place` of their keys."""
    lines: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        lines[cell.key[:place] + cell.key[place + 1 :]].append(index)
    return list(lines.values())


def _complement(line: Sequence[int], fallen: Collection[int], cells: Sequence[Cell], rules: Rules) -> int | None:
    """The cell of `line` that must be left out as well, if any."""
    out = [index for index in line if index in fallen]
    if not out or (len(out) > 1 and any(cells[index].entities >= rules.minimum_entities for index in out)):
        return None
    visible = [index for index in line if index not in fallen]
    return min(visible, key=lambda index: (cells[index].entities, order(cells[index].key)), default=None)


def _of_one_class(cell: Cell, ends: Mapping[str, tuple[float, float]]) -> bool:
    return any(
        statistic.present > 0 and statistic.clipped in {end * statistic.present for end in ends[measure]}
        for measure, statistic in cell.measures.items()
        if measure in ends
    )
