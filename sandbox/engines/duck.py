"""DuckDB, opened in memory, loaded, locked, and asked exactly one question.

Runs inside the isolated worker, so it imports nothing but the standard library and the engine. The order matters and is
the whole point: CSV files are loaded while files may still be read; then every way out but the Parquet files of the
query is closed and the configuration locked; only then does the query run. Parquet files are read in place, so that a
query takes from them what it needs. DuckDB itself calls untrusted SQL unsafe by design, so this is the inner door: the
wall is the operating system's (`sandbox.isolation.processes`).
"""

import datetime as dt
import decimal
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# `_duckdb` is the engine itself. The package `duckdb` around it adds relations, data frames and file systems that we
# do not want in the sandbox, and 80 ms of imports.
import _duckdb

# Hexi's datatypes (registry.catalogue.Column) in DuckDB's words.
TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
}

# Half of the process's memory: the rest is the interpreter, the result and what DuckDB allocates past its own limit.
MEMORY_SHARE = 0.5

# Rows taken from the engine at a time, so that a result over the limit is noticed before it fills the memory.
FETCH_ROWS = 1_000

# Beyond this, integers are not exact in JSON (RFC 8785 section 3.2.2.3); they become floating point.
LARGEST_EXACT = 2**53 - 1

# An empty temp directory: DuckDB allows reading and writing in it even when external access is off, which
# would be a channel between jobs. No threads of any kind: the seccomp program refuses to make one.
FROM_THE_START: Mapping[str, str] = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "threads": "1",
    "async_threads": "0",
}
# A question about nothing, asked before the worker waits: the code of joins, groups, sorts and texts is in memory then.
WARMING = """
    SELECT k, count(DISTINCT v), sum(a.d), avg(b.d)
    FROM (SELECT i % 7 AS k, i::VARCHAR AS v, i::DECIMAL(15, 2) AS d FROM range(5000) t(i)) a
    JOIN (SELECT i % 7 AS k, i * 0.5 AS d, DATE '2000-01-01' + i::INTEGER AS t FROM range(70) t(i)) b USING (k)
    WHERE v LIKE '%1%' AND t < DATE '2000-03-01' GROUP BY k HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 5
"""
# Much of nothing: some 40 MB are used and kept by the engine, which need not ask the kernel for them when it counts.
# Takes some 60 ms, and spares a question over millions of rows 2 to 8 of them (`benchmarks.controlled`).
TOUCHING = "SELECT count(DISTINCT i::VARCHAR) FROM range(1000000) t(i)"
# The foot of a Parquet file is read when the view is made, and need not be read again when it is asked.
KEEPING_FEET = "SET parquet_metadata_cache=true"
AFTER_LOADING = ("SET enable_external_access=false", "SET lock_configuration=true")
# What is read in place, where it lies.
PARQUET = ".parquet"


class NotOneSelect(ValueError):
    """The text is not exactly one SELECT statement."""


def start(memory_bytes: int) -> Any:
    """An empty engine for a process of `memory_bytes`. Called before the worker locks itself in: it looks at /proc."""
    memory = f"{int(memory_bytes * MEMORY_SHARE)}B"
    engine = _duckdb.connect(":memory:", False, {**FROM_THE_START, "memory_limit": memory})
    engine.execute(KEEPING_FEET)
    engine.execute(WARMING).fetchall()
    return engine


def touch_memory(engine: Any) -> None:
    """Have the engine use some memory, and keep it, while its process has nothing else to do."""
    engine.execute(TOUCHING).fetchall()


def answer(
    engine: Any, tables: Mapping[str, str], columns: Mapping[str, Mapping[str, str]], sql: str
) -> tuple[list[str], Iterator[list[list[Any]]]]:
    """Open `tables` (name to path; CSV or Parquet by suffix), lock the engine, run the one SELECT in `sql`.

    Where `columns` names a table's columns and datatypes, only these are there, with these types; otherwise the file
    decides. Returns the column names and the rows as JSON values, in batches. Raises whatever DuckDB raises, and
    `NotOneSelect`.
    """
    for name, path in tables.items():
        engine.execute(_opening(name, path, columns.get(name, {})))
    in_place = ", ".join(_literal(path) for path in tables.values() if path.endswith(PARQUET))
    for statement in (f"SET allowed_paths=[{in_place}]", *AFTER_LOADING):
        engine.execute(statement)
    statements = engine.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != _duckdb.StatementType.SELECT:
        raise NotOneSelect
    engine.execute(statements[0])
    names = [column[0] for column in engine.description or ()]
    return names, _batches(engine)


def _opening(name: str, path: str, columns: Mapping[str, str]) -> str:
    if path.endswith(PARQUET):
        chosen = ", ".join(f"CAST({_quoted(c)} AS {TYPES[t]}) AS {_quoted(c)}" for c, t in columns.items()) or "*"
        return f"CREATE VIEW {_quoted(name)} AS SELECT {chosen} FROM read_parquet({_literal(path)})"  # noqa: S608
    chosen = ", ".join(map(_quoted, columns)) or "*"
    types = ", ".join(f"{_literal(c)}: {_literal(TYPES[t])}" for c, t in columns.items())
    # Only with every type given is sniffing off the table for what matters: codes such as 0012 stay text.
    source = f"read_csv({_literal(path)}, header=true{f', types={{{types}}}' if types else ''})"
    return f"CREATE TABLE {_quoted(name)} AS SELECT {chosen} FROM {source}"  # noqa: S608 - every part is quoted above


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _batches(engine: Any) -> Iterator[list[list[Any]]]:
    while rows := engine.fetchmany(FETCH_ROWS):
        yield [[value if type(value) in _AS_THEY_ARE else plain(value) for value in row] for row in rows]


# Most of what large answers consist of.
_AS_THEY_ARE = frozenset({str, bool, type(None)})


def plain(value: Any) -> Any:
    """`value` as JSON: NULL and non-finite numbers are null, decimals numbers, dates and times ISO text.

    Raises `TypeError` for what has no plain JSON form (blobs, intervals).
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_EXACT else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return _number(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return _collection(value)


def _number(value: decimal.Decimal) -> Any:
    if not value.is_finite():
        return None
    return plain(int(value)) if value == value.to_integral_value() else float(value)


def _collection(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    raise TypeError
