"""Spark, for tables past one machine: the same SQL, the same integers, the same cube to the byte.

Reads Parquet that every worker of the cluster can reach under the same path. Needs the extra ``hexi-dataspace[spark]``
and Java 17.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from privacy.lattice.blocks import Integers
from sandbox.engines.entity_view import EXACT, FLOATING, TEXT, Dialect, EntityView
from sandbox.errors import ProductUnusable

_TABLE, _ENTITIES = "hexi_table", "hexi_entities"
# Partitions of an aggregation: marginals are small, and so Spark's default of 200 would be nothing but overhead.
PARTITIONS = 16
# Where Spark listens when it has no other machine to talk to.
LOOPBACK = "127.0.0.1"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


DIALECT = Dialect(
    text="STRING",
    wide="DECIMAL(38, 0)",
    # Both are nought or more here, so rounding towards nought is rounding down.
    over=lambda number, by: f"(({number}) div {by})",
    quoted=_quoted,
    literal=_literal,
    listed=lambda items: f"array({', '.join(items)})",
    position="array_position",
    matches=lambda text, pattern: f"{text} RLIKE {_literal(pattern)}",
)


class Spark:
    """See `marginals.Engine`. `master` is Spark's word for where it runs: ``local[*]``, ``spark://host:7077``."""

    dialect = DIALECT

    def __init__(self, master: str, spill: Path | None = None) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ProductUnusable(
                "publishing on Spark needs the extra spark: pip install 'hexi-dataspace[spark]', and Java 17"
            ) from error
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master(master).appName("hexi-publishing")
        alone = {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
        settings = {
            **(alone if master.startswith("local") else {}),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.ansi.enabled": "true",
            "spark.sql.shuffle.partitions": str(PARTITIONS),
            "spark.sql.execution.arrow.pyspark.enabled": "true",
            **({"spark.local.dir": str(spill)} if spill else {}),
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        self._session: Any = builder.getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")

    def kinds(self, path: Path) -> Mapping[str, str]:
        """See `Engine`."""
        if path.suffix.lower() != ".parquet":
            raise ProductUnusable("Spark reads tables in Parquet only; convert the table, or publish it by DuckDB")
        return {name: _kind(datatype) for name, datatype in self._read(path).dtypes}

    def view(self, paths: Mapping[str, Path], view: EntityView) -> str:
        """See `Engine`."""
        sources = {table: f"{_TABLE}_{place}" for place, table in enumerate(paths)}
        for table, path in paths.items():
            self._read(path).createOrReplaceTempView(sources[table])
        entities = self._session.sql(view.query(sources))
        entities.createOrReplaceTempView(_ENTITIES)
        self._session.catalog.cacheTable(_ENTITIES)
        return _ENTITIES

    def rows(self, query: str) -> Mapping[str, Integers]:
        """See `Engine`."""
        from pyspark.errors import PySparkException

        try:
            found = self._session.sql(query).toArrow()
        except PySparkException as error:
            raise ProductUnusable("the table does not have the columns that its lattice policy names") from error
        return {name: found.column(name).to_numpy().astype(np.int64) for name in found.column_names}

    def close(self) -> None:
        """See `Engine`."""
        self._session.stop()

    def _read(self, path: Path) -> Any:
        from pyspark.errors import PySparkException

        try:
            return self._session.read.parquet(str(path))
        except PySparkException as error:
            raise ProductUnusable("the table cannot be read as Parquet") from error


def _kind(datatype: str) -> str:
    if datatype in {"double", "float"}:
        return FLOATING
    return TEXT if datatype == "string" else EXACT
