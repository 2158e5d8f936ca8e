"""From what the job returned to what may leave. Pure: disclosure over cells, and the sketches of those behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from hexi.canonical import Json, digest
from privacy.differencing import Sketch
from privacy.disclosure import Cell, Rules, Statistic, may_show, release, round_to
from registry.catalogue import Disclosure
from sandbox.errors import JobFailed
from sandbox.queries.query import Group, Query
from sandbox.reasons import Reason

# Sketches of cells by what the numbers are about: "" for counts, else the measure, with its table.
Sketches = Mapping[str, Sequence[Sketch]]


@dataclass(frozen=True)
class Output:
    """What may leave, once differencing agrees: a table, or the declared outputs of a program. `sets` never leave."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    sets: Sketches
    outputs: tuple[Json, ...] = ()
    # What earlier releases are compared with, where it is not what later ones are.
    compared: Sketches | None = None

    @property
    def digest(self) -> str:
        """Names the output in the receipt."""
        return output_digest(self.to_json())

    def to_json(self) -> dict[str, Json]:
        """What of it leaves."""
        rows = [list(row) for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, "outputs": list(self.outputs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """What `to_json` gave."""
        return cls(tuple(value["columns"]), tuple(map(tuple, value["rows"])), {}, tuple(value["outputs"]))


def output_digest(answer: Mapping[str, Json]) -> str:
    """The digest by which a receipt names what left: of the table, or of a program's outputs."""
    if outputs := answer.get("outputs"):
        return digest({"outputs": outputs})
    return digest({"columns": answer.get("columns"), "rows": answer.get("rows")})


class CellForm(Protocol):
    """How a job's rows are cells: groups first, then the entities, then each measure."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in the order of the job's columns."""
        ...

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures, in the order of the job's columns."""
        ...

    @property
    def dominance(self) -> bool:
        """Whether the job gives the largest contributions."""
        ...


@dataclass(frozen=True)
class Computed:
    """One cell as the job computed it, with its entities, by basis."""

    cell: Cell
    sets: Mapping[str, Sketch]


def rules_of(disclosure: Disclosure) -> Rules:
    """The product's disclosure rules, for the mathematics."""
    return Rules(
        disclosure.minimum_entities,
        disclosure.rounding,
        disclosure.maximum_rows,
        disclosure.dominance,
    )


def read_cells(query: CellForm, rows: Sequence[Sequence[Json]]) -> list[Computed]:
    """The job's rows as cells. Raises `JobFailed` if they are not what the job was asked for."""
    try:
        return [_computed(query, list(row)) for row in rows]
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise JobFailed("the computation gave no usable result") from error


def control(query: Query, computed: Sequence[Computed], rules: Rules) -> Output | Reason:
    """The cells that may be shown, as a table with the columns asked for; or why there is none."""
    released = release([one.cell for one in computed], query.aggregates, rules)
    if len(released.rows) > rules.maximum_rows:
        return Reason(
            "sandbox.too-many-rows",
            f"the answer would have more than {rules.maximum_rows} rows; group by fewer dimensions",
        )
    rows = tuple(_row(query, key, values) for key, values in released.rows)
    kept = [computed[index] for index in released.kept]
    return Output(tuple(output.name for output in query.outputs), rows, _shown_sets(query, kept, rules))


def one_sum(query: Query, computed: Sequence[Computed], rules: Rules) -> tuple[float, Sketches] | Reason:
    """The one number of an encrypted sum, or why it may not even be encrypted.

    It is rounded here: whoever holds the key could keep the exact one.
    """
    (measure,) = query.measures
    statistic = computed[0].cell.measures[measure] if len(computed) == 1 else Statistic()
    if not may_show(statistic, rules):
        return too_few(rules)
    return float(round_to(statistic.clipped, rules.rounding)), {query.basis(measure): [computed[0].sets[measure]]}


def too_few(rules: Rules) -> Reason:
    """Why a sum may not even be encrypted."""
    return Reason(
        "sandbox.too-few-entities",
        f"fewer than {rules.minimum_entities} entities stand behind this sum, or one of them dominates it; ask for "
        "more of them",
    )


def _computed(query: CellForm, row: list[Json]) -> Computed:
    width = len(query.groups)
    key, (entities, buckets, count, *rest) = tuple(row[:width]), row[width:]
    everybody = Sketch.read(int(entities or 0), buckets)
    measures: dict[str, Statistic] = {}
    sets = {"": everybody}
    each = 5 if query.dominance else 4
    for index, measure in enumerate(query.measures):
        clipped, present, having, sketched, *largest = rest[index * each : (index + 1) * each]
        sets[measure] = everybody if sketched is None else Sketch.read(int(having or 0), sketched)
        top = tuple(largest[0] or ()) if largest else ()
        measures[measure] = Statistic(clipped or 0, present or 0, sets[measure].size, top)
    return Computed(Cell(key, everybody.size, int(count or 0), measures), sets)


def _row(query: Query, key: Sequence[Json], values: Sequence[Json]) -> tuple[Json, ...]:
    groups, numbers = dict(zip(query.groups, key, strict=True)), iter(values)
    return tuple(
        groups[output.item.column] if isinstance(output.item, Group) else next(numbers) for output in query.outputs
    )


def _shown_sets(query: Query, kept: Sequence[Computed], rules: Rules) -> Sketches:
    """The sets behind numbers that are shown: a withheld number gives nothing to compare with."""
    sets: dict[str, list[Sketch]] = {}
    if len(query.measures) < len(query.aggregates):
        sets[""] = [one.sets[""] for one in kept]
    for measure in query.measures:
        shown = [one.sets[measure] for one in kept if may_show(one.cell.measures[measure], rules)]
        sets[query.basis(measure)] = shown
    return sets
