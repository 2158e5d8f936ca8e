"""Data resources: the tables a provider keeps at home, and what can be counted in them.

A resource is a name for files that lie on this machine and stay there, or for a source (`connector.sources`) that is
delivered as it is. Before a product is published from it, its rows,
the distinct persons or firms in it, and the quality figures are counted here, from the files themselves, so that the
catalogue says what is true rather than what was typed.
"""

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connector.sources.errors import ResourceUnusable
from hexi.canonical import Json, encode, parse
from registry.catalogue import Table

SUFFIXES = frozenset({".csv", ".parquet"})

# Larger resources belong into an engine, not into one process's memory. In bytes, per file.
MAX_FILE_BYTES = 2 * 1024**3
# Quality figures are published with this many decimals; more would pretend.
DECIMALS = 4
# Data that end no longer ago than this count as timely; older ones in proportion. In days.
TIMELY_DAYS = 366


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
    """Count `resource` as a product's `tables` describe it; see `connector.contracts.counting`.

    Raises `ResourceUnusable` where they do not fit. It is done by a process of its own, because what Arrow loads and
    reads, 70 MB and the table itself, would stay in this one for good.
    """
    for table in tables:
        if table.name not in resource.tables:
            raise ResourceUnusable(f"the resource {resource.name} has no table {table.name}")
    asked = [[str(resource.tables[table.name]), table.model_dump(mode="json", by_alias=True)] for table in tables]
    counting = [sys.executable, "-m", "connector.contracts.counting"]
    done = subprocess.run(counting, input=encode(asked), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise ResourceUnusable(f"counting the tables of {resource.name} ended with {done.returncode}; see the log")
    answer = parse(done.stdout)
    if "unusable" in answer:
        raise ResourceUnusable(answer["unusable"])
    return Count(**answer)


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
        "timeliness": share(TIMELY_DAYS, max(TIMELY_DAYS, (today - covers_until).days)),
        # Every file was opened and read to the end a moment ago; `count` raises otherwise.
        "accessibility": 1.0,
        "assessedAt": today.isoformat(),
    }


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def share(part: int, whole: int) -> float:
    """`part` of `whole`, rounded; all of nothing."""
    return round(part / whole, DECIMALS) if whole else 1.0
