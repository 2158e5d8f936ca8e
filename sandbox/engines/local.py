"""DuckDB on this machine, out of core: what does not fit into the memory it is given is spilled to a directory of its
own, which only this user may read and which goes when it is closed."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

from privacy.lattice.blocks import Integers
from sandbox.engines.entity_view import EXACT, FLOATING, TEXT, Dialect, EntityView
from sandbox.errors import ProductUnusable

_ENTITIES = "hexi_entities"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


DIALECT = Dialect(
    text="VARCHAR",
    wide="HUGEINT",
    over=lambda number, by: f"(({number}) // {by})",
    quoted=_quoted,
    literal=_literal,
    listed=lambda items: f"[{', '.join(items)}]",
    position="list_position",
    matches=lambda text, pattern: f"regexp_matches({text}, {_literal(pattern)})",
)


class Local:
    """See `marginals.Engine`. `memory_bytes` is what DuckDB may use; `spill` is where it may put the rest."""

    dialect = DIALECT

    def __init__(self, memory_bytes: int, spill: Path | None = None, threads: int | None = None) -> None:
        self._spill = TemporaryDirectory(prefix="hexi-publishing-", dir=spill)
        self._engine = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_bytes}B",
                "temp_directory": self._spill.name,
                "threads": str(threads or os.cpu_count() or 1),
                # Rows may come in any order: they are only ever added up.
                "preserve_insertion_order": "false",
            },
        )

    def kinds(self, path: Path) -> Mapping[str, str]:
        """See `Engine`."""
        try:
            described = self._engine.execute(f"DESCRIBE SELECT * FROM {_source(path)}").fetchall()  # noqa: S608
        except duckdb.Error as error:
            raise ProductUnusable("the table cannot be read as CSV or Parquet") from error
        return {str(name): _kind(str(datatype)) for name, datatype, *_ in described}

    def view(self, paths: Mapping[str, Path], view: EntityView) -> str:
        """See `Engine`."""
        sources = {table: _source(path) for table, path in paths.items()}
        self._run(f"CREATE TEMP TABLE {_ENTITIES} AS {view.query(sources)}")
        return _ENTITIES

    def rows(self, query: str) -> Mapping[str, Integers]:
        """See `Engine`."""
        found = self._run(query).fetchnumpy()
        return {name: np.asarray(values, dtype=np.int64) for name, values in found.items()}

    def close(self) -> None:
        """See `Engine`."""
        self._engine.close()
        self._spill.cleanup()

    def _run(self, query: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._engine.execute(query)
        except duckdb.OutOfMemoryException as error:
            raise ProductUnusable(
                "publishing needs more memory, or more room to spill to: HEXI_SANDBOX_PUBLISHING_MEMORY_BYTES and "
                "HEXI_SANDBOX_PUBLISHING_SPILL say how much and where"
            ) from error
        except duckdb.Error as error:
            raise ProductUnusable("the table does not have the columns that its lattice policy names") from error


def _source(path: Path) -> str:
    if path.suffix.lower() == ".csv":
        return f"read_csv({_literal(str(path))}, header=true, all_varchar=true)"
    return f"read_parquet({_literal(str(path))})"


def _kind(datatype: str) -> str:
    if datatype in {"DOUBLE", "FLOAT"}:
        return FLOATING
    return TEXT if datatype == "VARCHAR" else EXACT
