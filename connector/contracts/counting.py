"""Counting what lies in a provider's tables: a process of its own, begun by `connector.contracts.resources`.

    python -m connector.contracts.counting < '[["/data/visits.csv", {"name": "visits", ...}]]'

The answer on standard output is a `Count`, or ``{"unusable": why}``.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from connector.contracts.resources import Count, share
from connector.sources.errors import ResourceUnusable
from hexi.canonical import Json, encode, parse
from registry.catalogue import Column, Datatype, Table

_ARROW = {
    Datatype.INTEGER: "int64",
    Datatype.NUMBER: "float64",
    Datatype.BOOLEAN: "bool",
    Datatype.DATE: "date32",
    Datatype.STRING: "string",
}


def count(tables: Sequence[tuple[Path, Table]]) -> Count:
    """Count files as tables of a product. Raises `ResourceUnusable` where one does not fit its description.

    Completeness: cells that are not empty. Normativity: filled cells that are of the declared type. Accuracy: filled
    cells inside the declared domain or range. Consistency: rows that do not repeat another row of their table.
    """
    tallies = [_tally(path, table) for path, table in tables]
    entities: set[str] = set()
    for tally in tallies:
        entities |= tally.entities
    rows, cells = sum(t.rows for t in tallies), sum(t.cells for t in tallies)
    filled = sum(t.filled for t in tallies)
    return Count(
        rows=rows,
        entities=len(entities),
        completeness=share(filled, cells),
        normativity=share(sum(t.typed for t in tallies), filled),
        accuracy=share(sum(t.inside for t in tallies), filled),
        consistency=share(sum(t.distinct for t in tallies), rows),
    )


@dataclass(frozen=True)
class _Tally:
    rows: int
    cells: int
    filled: int
    typed: int
    inside: int
    distinct: int
    entities: frozenset[str]


def _tally(path: Path, table: Table) -> _Tally:
    names = [column.name for column in table.columns]
    data = _read(path, table.name, names)
    typed = {column.name: _typed(data[column.name], column.datatype) for column in table.columns}
    key = table.entity_key
    return _Tally(
        rows=data.num_rows,
        cells=data.num_rows * len(names),
        filled=sum(len(data[name]) - data[name].null_count for name in names),
        typed=sum(len(values) - values.null_count for values in typed.values()),
        inside=sum(_inside(typed[column.name], column) for column in table.columns),
        distinct=data.group_by(names).aggregate([]).num_rows,
        entities=frozenset(pc.unique(data[key].drop_null()).to_pylist()) if key else frozenset(),
    )


def _read(path: Path, name: str, columns: list[str]) -> Any:
    """The columns of a table, all as strings: whether they are of the declared type is what is to be counted."""
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path, columns=columns)
            return table.cast(pa.schema([(field.name, pa.string()) for field in table.schema]))
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), include_columns=columns, strings_can_be_null=True
        )
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, KeyError, OSError) as error:
        # Arrow's own message may quote a row, and rows stay at home.
        raise ResourceUnusable(
            f"the file of table {name} does not have the columns described ({type(error).__name__})"
        ) from error


def _typed(values: Any, datatype: Datatype) -> Any:
    """`values` as `datatype`; those that are not become null. Whole columns first, since most are clean."""
    kind = pa.type_for_alias(_ARROW[datatype])
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return pa.chunked_array([[_one(value, kind) for value in values]], type=kind)


def _one(value: Any, kind: Any) -> Any:
    try:
        return value.cast(kind).as_py()
    except pa.ArrowInvalid:
        return None


def _inside(values: Any, column: Column) -> int:
    """How many of the non-null `values` lie in the column's declared domain or range."""
    if column.domain:
        members = pa.array([_spelled(value) for value in column.domain])
        return int(pc.sum(pc.is_in(values.cast(pa.string()), value_set=members)).as_py() or 0)
    if column.range:
        low, high = column.range
        fits = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
        return int(pc.sum(fits).as_py() or 0)
    return len(values) - int(values.null_count)


def _spelled(value: str | bool | float) -> str:
    """A domain value as Arrow spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Answer what standard input asks."""
    asked = [(Path(path), Table.model_validate(described)) for path, described in parse(sys.stdin.buffer.read())]
    try:
        answer: Json = asdict(count(asked))
    except ResourceUnusable as error:
        answer = {"unusable": error.detail}
    sys.stdout.buffer.write(encode(answer))


if __name__ == "__main__":
    main()
