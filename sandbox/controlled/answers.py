"""From the cells that the job computed to the rows that may leave, and the sketches of those behind them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hexi.canonical import Json
from privacy.differencing import Sketch
from privacy.disclosure import LARGEST, Aggregate, Average, Cell, Count, Entities, Rules, Sum, may_show, order, round_to
from privacy.suppression import Number, average, shown, totals
from sandbox.controlled.cells import Cells
from sandbox.outputs import Computed, Output, Sketches
from sandbox.queries.query import Group
from sandbox.reasons import Reason

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What may leave, and how many cells each rule kept back, which the provider may know and nobody else."""

    output: Output
    fallen: Mapping[str, int]

    def report(self, rules: Rules) -> list[dict[str, Json]]:
        """For reviewers, rule by rule."""
        says = {
            "threshold": f"cells of fewer than {rules.minimum_entities} entities",
            "class": "cells that would say one thing of everybody",
            "complementary": "cells that could be worked out from the others",
        }
        return [
            {"rule": rule, "passed": True, "says": f"{self.fallen.get(rule, 0)} {what} left out"}
            for rule, what in says.items()
        ] + [{"rule": "rounding", "passed": True, "says": f"counts and sums are multiples of {rules.rounding}"}]


def control(question: Cells, computed: Sequence[Computed], rules: Rules) -> Answer:
    """The cells that may be shown, as rows with the columns asked for."""
    cells = [_as_small_as_its_parts(question, one.cell, rules) for one in computed]
    sensitive = [place for place, group in enumerate(question.groups) if group in question.sensitive]
    ends = {name: source.column.range for name, source in question.bases.items() if source.column.range is not None}
    table = shown(cells, rules, sensitive=sensitive, ends=ends)
    kept = [computed[index] for index in table.kept]
    numbers = [(one.cell.key, tuple(_value(one.cell, each, rules) for each in question.aggregates)) for one in kept]
    rows = [_row(question, key, values) for key, values in numbers + _totals(question, numbers)]
    for place, descending in reversed(question.order):
        rows = sorted(rows, key=_at(place), reverse=descending)
    remembered, compared = _sets(question, kept, rules)
    names = tuple(output.name for output in question.outputs)
    return Answer(Output(names, tuple(rows[: question.limit]), remembered, compared=compared), table.fallen)


def _as_small_as_its_parts(question: Cells, cell: Cell, rules: Rules) -> Cell:
    """The cell, for deciding whether it is shown, with no more entities than the smallest part of somebody has."""
    parts = [(part, cell.measures[name]) for name, part in question.parts.items()]
    sizes = [
        0 if part.measure is not None and not may_show(statistic, rules) else statistic.entities
        for part, statistic in parts
        if statistic.entities
    ]
    return replace(cell, entities=min([cell.entities, *sizes]))


def _at(place: int) -> Callable[[tuple[Json, ...]], tuple[tuple[int, float, str], ...]]:
    return lambda row: order((row[place],))


def plain(names: tuple[str, ...], rows: Sequence[Sequence[Json]], rules: Rules) -> Output | Reason:
    """The rows of a query over no persons."""
    return within(Output(names, tuple(tuple(row) for row in rows), {}), rules)


def within(output: Output, rules: Rules) -> Output | Reason:
    """The output, unless it is too long."""
    if len(output.rows) > rules.maximum_rows:
        return Reason(
            "sandbox.too-many-rows",
            f"the answer would have more than {rules.maximum_rows} rows; group by fewer columns or use LIMIT",
        )
    return output


def _row(question: Cells, key: Key, values: Sequence[Number]) -> tuple[Json, ...]:
    groups, numbers = dict(zip(question.groups, key, strict=True)), iter(values)
    return tuple(
        groups[output.item.column] if isinstance(output.item, Group) else next(numbers) for output in question.outputs
    )


def _totals(question: Cells, rows: Sequence[tuple[Key, tuple[Number, ...]]]) -> list[tuple[Key, tuple[Number, ...]]]:
    """For ROLLUP: what is shown, added up. Means do not add up, nor do entities, who may be in several cells."""
    if not question.rollup:
        return []
    adds = [isinstance(each, Count | Sum) for each in question.aggregates]
    given = [(key, tuple(v if add else None for v, add in zip(values, adds, strict=True))) for key, values in rows]
    width = len(question.groups)
    return [
        (key + (None,) * (width - places), values)
        for places in reversed(range(width))
        for key, values in totals(given, places).items()
    ]


def _value(cell: Cell, aggregate: Aggregate, rules: Rules) -> Number:
    match aggregate:
        case Count():
            return round_to(cell.rows, rules.rounding)
        case Entities():
            return round_to(cell.entities, rules.rounding)
        case Average(measure):
            return average(cell.measures[measure], rules)
        case Sum(measure):
            statistic = cell.measures[measure]
            if not may_show(statistic, rules) or abs(statistic.clipped) > LARGEST:
                return None
            return round_to(statistic.clipped, rules.rounding)


def _sets(question: Cells, kept: Sequence[Computed], rules: Rules) -> tuple[Sketches, Sketches]:
    """What later releases are compared with, and what this one is.

    Records tell two cells of one table apart that are of the same entities. A record that a join or a sub-query made is
    like no other, though, and would make any two cells look different; so a cell with such records is compared by its
    entities too, with every cell, and every cell with it.
    """
    bases: dict[str, list[Sketch]] = {}
    for measure, source in question.bases.items():
        visible = [one.sets[measure] for one in kept if may_show(one.cell.measures[measure], rules)]
        bases[source.name] = bases.get(source.name, []) + visible
    entities = {basis: [each.without_records() for each in sets] for basis, sets in bases.items()}
    if any(isinstance(one, Count | Entities) for one in question.aggregates):
        bases[question.rows] = [one.sets[""] for one in kept]
        entities[""] = [each.without_records() for each in bases[question.rows]]
    for name, part in question.parts.items():
        some = [one.sets[name] for one in kept if one.cell.measures[name].entities]
        bases[part.basis] = bases.get(part.basis, []) + some
    joined = {f"{_JOINED}{basis}": sets for basis, sets in entities.items()}
    single = {f"{_SINGLE}{basis}": sets for basis, sets in entities.items()}
    if question.simple:
        return {**bases, **single}, {**bases, **joined}
    return {**bases, **joined}, {**bases, **joined, **single}


# Bases of sets without records: of cells whose records a join or a sub-query made, and of all others.
_JOINED, _SINGLE = "joined:", "single:"
