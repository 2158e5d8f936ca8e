"""Data resources: the tables a provider keeps at home, and what can be counted in them.

A resource is a name for files that lie on this machine and stay there, or for a source (`connector.sources`) that is
delivered as it is. Before a product is published from it, its rows,
the distinct persons or firms in it, and the quality figures are counted here, from the files themselves, so that the
catalogue says what is true rather than what was typed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connector.sources.errors import ResourceUnusable
from hexi.canonical import Json
from registry.catalogue import Column, Datatype, Table

SUFFIXES = frozenset({".csv", ".parquet"})

# Larger resources belong into an engine, not into one process's memory. In bytes, per file.
MAX_FILE_BYTES = 2 * 1024**3
# Data that end no longer ago than this count as timely; older ones in proportion. In days.
TIMELY_DAYS = 366
# Quality figures are published with this many decimals; more would pretend.
DECIMALS = 4

_ARROW = {
    Datatype.INTEGER: "int64",
    Datatype.NUMBER: "float64",
    Datatype.BOOLEAN: "bool",
    Datatype.DATE: "date32",
    Datatype.STRING: "string",
}


@dataclass(frozen=True)
class Resource:
    """`tables` maps a table's name, as queries use it, to its file. `source` describes what can be delivered whole, as
    `connector.sources.descriptions` reads it."""

    name: str
    tables: Mapping[str, Path]
    source: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class Count:
    """What was counted: rows in all tables, distinct entities over all of them, and shares between 0 and 1."""

    rows: int
    entities: int
    completeness: float
    normativity: float
    accuracy: float
    consistency: float


def check_resource(resource: Resource) -> None:
    """Raise `ResourceUnusable` unless there is a source or a table, and every table is an absolute path to a readable
    CSV or Parquet file."""
    if not resource.tables and resource.source is None:
        raise ResourceUnusable(f"the resource {resource.name} has neither tables nor a source")
    for name, path in resource.tables.items():
        if not name.isidentifier():
            raise ResourceUnusable(f"{name!r} cannot be the name of a table in a query")
        if not path.is_absolute() or path.suffix not in SUFFIXES or not path.is_file():
            raise ResourceUnusable(f"the table {name} needs the absolute path of a .csv or .parquet file that exists")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ResourceUnusable(f"the file of table {name} has more than {MAX_FILE_BYTES} bytes")


def count(resource: Resource, tables: Sequence[Table]) -> Count:
    """Count `resource` as a product's `tables` describe it. Raises `ResourceUnusable` where they do not fit.

    Completeness: cells that are not empty. Normativity: filled cells that are of the declared type. Accuracy: filled
    cells inside the declared domain or range. Consistency: rows that do not repeat another row of their table.
    """
    tallies = [_tally(resource, table) for table in tables]
    entities: set[str] = set()
    for tally in tallies:
        entities |= tally.entities
    rows, cells = sum(t.rows for t in tallies), sum(t.cells for t in tallies)
    filled = sum(t.filled for t in tallies)
    return Count(
        rows=rows,
        entities=len(entities),
        completeness=_share(filled, cells),
        normativity=_share(sum(t.typed for t in tallies), filled),
        accuracy=_share(sum(t.inside for t in tallies), filled),
        consistency=_share(sum(t.distinct for t in tallies), rows),
    )


def fingerprint(resource: Resource) -> dict[str, str]:
    """The digest of every file, by table: whether the data are still those that were published."""
    return {name: _digest_of(path) for name, path in resource.tables.items()}


def quality(counted: Count, covers_until: date, today: date) -> dict[str, Any]:
    """The quality figures of a product (GB/T 36344) from what was counted and the end of the period it covers."""
    return {
        "normativity": counted.normativity,
        "completeness": counted.completeness,
        "accuracy": counted.accuracy,
        "consistency": counted.consistency,
        "timeliness": _share(TIMELY_DAYS, max(TIMELY_DAYS, (today - covers_until).days)),
        # Every file was opened and read to the end a moment ago; `count` raises otherwise.
        "accessibility": 1.0,
        "assessedAt": today.isoformat(),
    }


@dataclass(frozen=True)
class _Tally:
    rows: int
    cells: int
    filled: int
    typed: int
    inside: int
    distinct: int
    entities: frozenset[str]


def _tally(resource: Resource, table: Table) -> _Tally:
    import pyarrow.compute as pc

    if table.name not in resource.tables:
        raise ResourceUnusable(f"the resource {resource.name} has no table {table.name}")
    names = [column.name for column in table.columns]
    data = _read(resource.tables[table.name], table.name, names)
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
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

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
    import pyarrow as pa

    kind = pa.type_for_alias(_ARROW[datatype])
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return pa.chunked_array([[_one(value, kind) for value in values]], type=kind)


def _one(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return value.cast(kind).as_py()
    except pa.ArrowInvalid:
        return None


def _inside(values: Any, column: Column) -> int:
    """How many of the non-null `values` lie in the column's declared domain or range."""
    import pyarrow as pa
    import pyarrow.compute as pc

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


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _share(part: int, whole: int) -> float:
    return round(part / whole, DECIMALS) if whole else 1.0
