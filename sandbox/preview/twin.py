"""Twins: synthetic tables on which anybody may try what a product would be asked. No row of one is anybody's.

A twin is drawn from the signed description alone: declared domains, ranges and sizes. Where the product's cube has been
published, the table it is of is drawn from the numbers in that cube instead, so that what is frequent there is frequent
here; they were released before, so a twin tells nothing more (post-processing). Which of the two it was, and the seed,
stand in the sidecar `twin.json`. The same description, cube and seed give the same bytes.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.random import PCG64, Generator

from hexi.canonical import Json, digest, digest_bytes, pretty
from privacy.lattice.policy import read_policy
from privacy.lattice.publication import Cube
from registry.catalogue import Column, ColumnRole, Datatype, Product, Table
from sandbox.errors import ProductUnusable
from sandbox.preview import MAX_TWIN_ROWS, TwinFormat, TwinSidecar
from sandbox.preview.population import draw

SIDECAR = "twin.json"
FROM_SCHEMA, FROM_CUBE = "schema", "published-cube"
# Rows where the description declares none.
DEFAULT_ROWS = 1_000
# What a twin says of itself: drawn from the description, or from a cube.
NOTICE = (
    "Synthetic: no row is a person. Drawn from declared domains and ranges alone.",
    "Synthetic: no row is a person. Drawn from numbers that were published with noise, and from declared domains; no "
    "table was read for it.",
)
# Where nothing is declared: so many values of a text, whole numbers from 0 to this, and days before this one.
TEXTS, NUMBERS, LAST_DAY, DAYS = 10, 99, date(2025, 12, 31), 365

Values = Sequence[str | int | float | bool | None]


@dataclass(frozen=True)
class Twin:
    """Tables by name, column by column; and what the sidecar says of them."""

    product: Product
    tables: Mapping[str, Mapping[str, Values]]
    sidecar: TwinSidecar

    def file(self, name: str, format_: TwinFormat) -> bytes:
        """A table as CSV with a header line, or as Parquet. Raises `ProductUnusable` if there is none of this name."""
        for table in self.product.tables:
            if table.name == name:
                return _csv(self.tables[name]) if format_ is TwinFormat.CSV else _parquet(table, self.tables[name])
        raise ProductUnusable(f"the product has no table {name!r:.80}")

    def write(self, folder: Path, format_: TwinFormat = TwinFormat.CSV) -> dict[str, Json]:
        """Write every table and the sidecar into `folder`, which is made; what the sidecar says."""
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, Json] = {}
        for name in self.tables:
            content = self.file(name, format_)
            (folder / f"{name}.{format_}").write_bytes(content)
            files[f"{name}.{format_}"] = digest_bytes(content)
        said = {**self.sidecar.model_dump(mode="json", by_alias=True, exclude_none=True), "files": files}
        (folder / SIDECAR).write_text(pretty(said) + "\n", encoding="utf-8")
        return said


def twin(
    product: Product, described: str, cube: Cube | None = None, *, rows: int | None = None, seed: int | None = None
) -> Twin:
    """A twin of `product`, whose description has the digest `described`; from `cube`, if that has been published.

    Without a `seed` it follows from description and cube.
    """
    source: dict[str, Json] = (
        {"source": FROM_SCHEMA}
        if cube is None
        else {"source": FROM_CUBE, "policy": cube.plan.policy.digest, "plan": cube.plan.digest}
    )
    if seed is None:
        seed = int(digest({"described": described, **source}).removeprefix("sha256:")[:12], 16)
    # A stream of its own for every table: one table's length changes nothing of the next.
    tables = {
        table.name: _drawn(product, table, cube, _rows(product, cube, rows), Generator(PCG64([seed, number])))
        for number, table in enumerate(product.tables)
    }
    sidecar = TwinSidecar.model_validate(
        {
            "product": product.identifier,
            "version": product.version,
            "productDigest": described,
            **source,
            "seed": seed,
            "rows": {name: len(next(iter(columns.values()))) for name, columns in tables.items()},
            "notice": NOTICE[cube is not None],
        }
    )
    return Twin(product, tables, sidecar)


def _rows(product: Product, cube: Cube | None, wanted: int | None) -> int:
    declared = cube.plan.policy.declared_size if cube else getattr(product, "rows", 0) or DEFAULT_ROWS
    return max(1, min(wanted or declared, MAX_TWIN_ROWS))


def _drawn(product: Product, table: Table, cube: Cube | None, rows: int, drawn: Generator) -> dict[str, Values]:
    from_cube: Mapping[str, Values] = {}
    if cube is not None and table.entity_key == cube.plan.policy.entity:
        from_cube = draw(cube, {column.name: column.datatype for column in table.columns}, rows, drawn)
    declared = _declared(product)
    return {
        column.name: from_cube.get(column.name) or _column(column, declared, rows, drawn) for column in table.columns
    }


@dataclass(frozen=True)
class _Declared:
    """What a lattice policy declares of columns: labels by column, and ranges."""

    labels: Mapping[str, tuple[str, ...]]
    ranges: Mapping[str, tuple[float, float]]


def _declared(product: Product) -> _Declared:
    if product.lattice is None:
        return _Declared({}, {})
    policy = read_policy(dict(product.lattice))
    named = [(measure.column or measure.name, measure) for measure in policy.measures]
    labels = {name: measure.labels for name, measure in named if measure.labels and not measure.edges}
    labels |= {attribute.column or attribute.name: attribute.domain for attribute in policy.attributes}
    ranges = {name: (measure.low, measure.high) for name, measure in named if not measure.labels}
    bands = {name: (measure.edges[0] - 1, measure.edges[-1]) for name, measure in named if measure.edges}
    return _Declared(labels, ranges | bands)


def _column(column: Column, declared: _Declared, rows: int, drawn: Generator) -> Values:
    if column.role is ColumnRole.ENTITY_KEY:
        return [f"T{number:07d}" for number in range(1, rows + 1)]
    if column.role is ColumnRole.HIDDEN:
        return [None] * rows
    if domain := column.domain or declared.labels.get(column.name):
        return [domain[place] for place in drawn.integers(0, len(domain), rows).tolist()]
    low, high = column.range or declared.ranges.get(column.name, (0, NUMBERS))
    match column.datatype:
        case Datatype.BOOLEAN:
            return [place == 1 for place in drawn.integers(0, 2, rows).tolist()]
        case Datatype.INTEGER:
            found: list[int] = drawn.integers(int(low), int(high) + 1, rows).tolist()
            return found
        case Datatype.DATE:
            return [str(LAST_DAY - timedelta(days=days)) for days in drawn.integers(0, DAYS, rows).tolist()]
    if column.datatype is Datatype.NUMBER or column.role is ColumnRole.MEASURE:
        numbers: list[float] = np.round(drawn.uniform(low, high, rows), 2).tolist()
        return numbers
    return [f"{column.name} {place}" for place in drawn.integers(1, TEXTS + 1, rows).tolist()]


def _csv(columns: Mapping[str, Values]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_text, values) for values in columns.values()), strict=True))
    return text.getvalue().encode()


def _text(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parquet(table: Table, columns: Mapping[str, Values]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    kinds = {
        Datatype.INTEGER: pa.int64(),
        Datatype.NUMBER: pa.float64(),
        Datatype.BOOLEAN: pa.bool_(),
        Datatype.DATE: pa.date32(),
        Datatype.STRING: pa.string(),
    }
    arrays = {}
    for name, values in columns.items():
        column = table.column(name)
        kind = kinds[column.datatype] if column else pa.string()
        as_text = pa.array([None if value is None else _text(value) for value in values], pa.string())
        try:
            arrays[name] = as_text.cast(kind)
        except pa.ArrowInvalid:  # a label such as "60+" in a column of numbers
            arrays[name] = as_text
    target = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table(arrays), target)
    content: bytes = target.getvalue().to_pybytes()
    return content
