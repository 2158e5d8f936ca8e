"""Reading one table: every value as its declared datatype, inside its declared range and domain, or missing.

With the values go the entity a row is about, and the record it is. A record is known by what may be asked of it, also
where it stands elsewhere in another version; of those that are alike in everything each has a number. In a table that
is guarded row by row every record is an entity.
"""

from registry.catalogue import Table
from sandbox.controlled.columns import Columns, Source, Value
from sandbox.controlled.scopes import Names
from sandbox.queries.query import ENTITY_BITS, Field, entity_number, literal, named, quote, typed


def scan(table: Table, columns: Columns, names: Names) -> tuple[str, dict[str, tuple[str, Value]]]:
    """The SQL that reads `table`, and its columns; `hexi_e` and `hexi_r` are entity and record, if it is about any."""
    about, record = columns.is_about_entities(table), names.fresh()
    read, chosen = {}, []
    for visible, source in columns.sources(table).items():
        name = names.fresh()
        read[visible] = name, Value(frozenset({source}), plain=True, record=record if about else None)
        chosen.append(f"{_read(source)} AS {quote(name)}")
    if not about:
        return f"SELECT {', '.join(chosen)} FROM {quote(table.name)}", read  # noqa: S608 - all is quoted
    values = ", ".join(quote(name) for name, _ in read.values())
    if table.entity_key:
        key = f"CAST({quote(table.entity_key)} AS VARCHAR)"
        chosen.append(f"{entity_number(key)} AS hexi_e")
        inner = f"SELECT {', '.join(chosen)} FROM {quote(table.name)} WHERE {key} IS NOT NULL"  # noqa: S608
        entity, alike = "hexi_e", "hexi_e, hexi_c"
    else:
        inner = f"SELECT {', '.join(chosen)} FROM {quote(table.name)}"  # noqa: S608 - all is quoted
        entity, alike = f"CAST(hexi_r & {ENTITY_BITS} AS BIGINT) AS hexi_e", "hexi_c"
    known = f"SELECT *, hash({literal(table.name, 'string')}, {values}) AS hexi_c FROM ({inner})"  # noqa: S608
    number = f"{named('hexi_c', f'row_number() OVER (PARTITION BY {alike})')} AS hexi_r"
    marked = f"SELECT *, {number} FROM ({known})"  # noqa: S608 - all is quoted
    return f"SELECT {values}, {entity}, hexi_r, hexi_r AS {quote(record)} FROM ({marked})", read  # noqa: S608


def _read(source: Source) -> str:
    """The column as its declared datatype, clipped to its declared range; outside of its domain it is missing."""
    column = source.column
    value = typed(column.name, Field(str(column.datatype)))
    if column.range is not None:
        low, high = (repr(float(end)) for end in column.range)
        # greatest and least skip NULLs in DuckDB: without the guard a missing value would count as a bound.
        return f"CASE WHEN {value} IS NOT NULL THEN greatest({low}, least({high}, {value})) END"
    if column.domain:
        known = ", ".join(literal(one, str(column.datatype)) for one in column.domain)
        return f"CASE WHEN {value} IN ({known}) THEN {value} END"
    return value
