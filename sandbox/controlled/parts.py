"""The parts that a number is made of: what each table adds to it, and which records of it do. Pure.

A number over several tables may be of hundreds, and what one of the tables adds to it of two: those are whoever has a
record there, and the rest is known from elsewhere. So of every table that adds to a number, the records that do are a
part: in a cell that is shown a part is of nobody or of as many as any cell, and it is compared with what was known of
that table's records before, in whatever shape they were asked for.

* ``count(*)`` counts rows, each made of one record of every table that was joined: its parts are the records of each
  table, and of every choice of several tables those that stood together in a row.
* a sum over UNION ALL is one of each table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from privacy.disclosure import Count
from sandbox.controlled.columns import Value
from sandbox.controlled.rows import ROWS_OF_ONE, Rows
from sandbox.queries.query import Output, named, quote
from sandbox.reasons import Reason, Refused

# Times that tables about entities may be read for one count: every choice of them is a part.
MAX_COUNTED = 4


@dataclass(frozen=True)
class Part:
    """What one table, or several together, add to a number: value and record in the SQL that runs, and what it is
    compared with. `measure` is the measure it is a part of, None for the rows counted."""

    basis: str
    value: str
    record: str
    measure: str | None = None


def parts_of(rows: Rows, outputs: Sequence[Output], measures: Mapping[str, tuple[str, Value]]) -> dict[str, Part]:
    """The parts of the numbers asked for, by names of ours. Raises `Refused`."""
    parts: list[Part] = []
    counted = any(isinstance(output.item, Count) for output in outputs)
    if (counted and not rows_of(rows)) or any(value.source is ROWS_OF_ONE for _, value in measures.values()):
        parts += _of_rows(rows)
    for name, (column, value) in measures.items():
        parts += _of_sum(rows, name, column, value)
    return {f"part_{number:02}": part for number, part in enumerate(parts)}


def rows_of(rows: Rows) -> str:
    """What the records of these rows are compared as, where each is one of one table: such a cell is its only part."""
    return _basis([table for table, _ in rows.records]) if rows.simple and len(rows.records) == 1 else ""


def _basis(tables: Sequence[str]) -> str:
    return f"rows of {', '.join(tables)}"


def _of_rows(rows: Rows) -> list[Part]:
    if len(rows.records) > MAX_COUNTED:
        raise Refused(
            Reason(
                "sandbox.query-too-large",
                f"rows of at most {MAX_COUNTED} tables about entities are counted together; count(DISTINCT) the entity "
                "key, or join fewer",
            )
        )
    chosen = [some for size in range(1, len(rows.records) + 1) for some in combinations(sorted(rows.records), size)]
    parts = []
    for some in chosen:
        names = [quote(name) for _, name in some]
        together = " AND ".join(f"{name} IS NOT NULL" for name in names)
        record = names[0] if len(names) == 1 else named(*names)
        parts.append(Part(_basis([table for table, _ in some]), f"CASE WHEN {together} THEN 1 END", record))
    return parts


def _of_sum(rows: Rows, name: str, column: str, value: Value) -> list[Part]:
    """Of a column that UNION ALL made of several: those of each."""
    names = value.source.names if value.source else ()
    if len(names) < 2:
        return []
    parts = []
    for one in names:
        records = [quote(record) for table, record in rows.records if table == one.rpartition(".")[0]]
        there = " OR ".join(f"{record} IS NOT NULL" for record in records) or "TRUE"
        own = quote(value.record) if value.record else str(rows.record)
        parts.append(Part(one, f"CASE WHEN {there} THEN {quote(column)} END", own, name))
    return parts
