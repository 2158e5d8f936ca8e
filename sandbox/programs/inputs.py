"""What a program sees of a product's tables: declared columns, typed, entities as numbers. Laid out by the provider.

Hidden columns, those that a controlled policy sets to `never`, and the values of entity keys never enter the program's
process; the numbers that stand for entities are drawn anew for every run, alike in all its tables.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from hexi.canonical import Json
from registry.catalogue import Column, ColumnRole, Product, Table
from registry.controlled import Level
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable

_PATTERNS = {"integer": r"^[+-]?\d{1,18}$", "number": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"}
_BOOLEANS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}

# Values of some columns, as text.
_Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Inputs:
    """Files to mount, by table; the schema the program is told; and how many entities there are."""

    tables: Mapping[str, Path]
    schema: Mapping[str, Json]
    entities: int
    # The same tables here, to hold a program's counts against.
    typed: Mapping[str, Any]
    # What was counted already, by the columns it was counted by: each table once, however many rows a program declares.
    _counted: dict[tuple[str, ...], list[Mapping[_Key, int]]] = field(default_factory=dict, repr=False, compare=False)

    def most(self, names: Sequence[str], key: Sequence[Json]) -> int | None:
        """How many entities have `key` in the columns `names` of one table; None where no table has all of them."""
        wanted, columns = tuple(None if value is None else _as_text(value) for value in key), tuple(names)
        if columns not in self._counted:
            self._counted[columns] = [
                _entities(typed, entity, columns)
                for table, typed in self.typed.items()
                if (entity := self.schema[table]["entity"]) and {*columns} <= {*typed.column_names}
            ]
        return max((one.get(wanted, 0) for one in self._counted[columns]), default=None)


@contextmanager
def lay_out(dataset: Dataset) -> Iterator[Inputs]:
    """The tables of `dataset` as a program sees them, in a folder that is gone afterwards. Raises `ProductUnusable`."""
    with TemporaryDirectory(prefix="hexi-program-") as folder:
        try:
            tables = {table.name: table for table in laid_out(dataset.product)}
            raw = {name: _read(table, dataset.file(name)) for name, table in tables.items()}
        except (OSError, pa.ArrowException, KeyError) as error:
            raise ProductUnusable("a table of this product cannot be read as described") from error
        numbers = _numbers([raw[name][one.entity_key] for name, one in tables.items() if one.entity_key])
        files, typed = {}, {}
        for number, (name, table) in enumerate(tables.items()):
            files[name] = Path(folder) / f"{number}.csv"
            typed[name] = _typed(table, raw[name], numbers)
            pyarrow.csv.write_csv(typed[name], files[name])
        yield Inputs(files, {name: _schema(table) for name, table in tables.items()}, len(numbers), typed)


def laid_out(product: Product) -> list[Table]:
    """The tables without the columns that a controlled policy lets nobody name, save the one that tells entities."""
    policy = product.controlled
    if policy is None:
        return list(product.tables)
    return [
        table.model_copy(
            update={
                "columns": tuple(
                    one
                    for one in table.columns
                    if one.name == table.entity_key or policy.level(table, one) is not Level.NEVER
                )
            }
        )
        for table in product.tables
    ]


def shown(table: Table) -> list[Column]:
    """The columns a program sees."""
    return [column for column in table.columns if column.role is not ColumnRole.HIDDEN]


def _entities(typed: Any, entity: str, names: Sequence[str]) -> Mapping[_Key, int]:
    """How many entities there are by the values, as text, of these columns."""
    if not names:
        return {(): int(pc.count_distinct(typed[entity]).as_py())}
    # By place: the entity's own column may stand among them.
    keys = [str(place) for place in range(len(names))]
    columns = {place: typed[name].cast(pa.string()) for place, name in zip(keys, names, strict=True)}
    counted = pa.table({**columns, "entity": typed[entity]}).group_by(keys).aggregate([("entity", "count_distinct")])
    values = zip(*(counted[key].to_pylist() for key in keys), strict=True)
    return dict(zip(values, counted["entity_count_distinct"].to_pylist(), strict=True))


def _as_text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _schema(table: Table) -> Json:
    key = table.entity_key
    return {
        "entity": key,
        "columns": {one.name: "integer" if one.name == key else str(one.datatype) for one in shown(table)},
    }


def _read(table: Table, path: Path) -> Any:
    """The declared columns as text."""
    names = [column.name for column in shown(table)]
    if path.suffix.lower() == ".parquet":
        found = pyarrow.parquet.read_table(path, columns=names)
    else:
        options = pyarrow.csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
        )
        found = pyarrow.csv.read_csv(path, convert_options=options)
    return pa.table({name: found[name].cast(pa.string()) for name in names})


def _numbers(keys: list[Any]) -> dict[str, int]:
    """A number for every entity, in an order that says nothing."""
    found = {key for column in keys for key in pc.unique(column).to_pylist() if key is not None}
    order = np.random.Generator(np.random.PCG64(secrets.randbits(128))).permutation(len(found))
    return dict(zip(sorted(found), map(int, order), strict=True))


def _typed(table: Table, raw: Any, numbers: Mapping[str, int]) -> Any:
    made = {}
    for column in shown(table):
        given = raw[column.name]
        if column.name == table.entity_key:
            made[column.name] = pa.array([numbers.get(key) for key in given.to_pylist()], pa.int64())
        else:
            made[column.name] = _as_datatype(given, str(column.datatype))
    return pa.table(made)


def _as_datatype(given: Any, datatype: str) -> Any:
    """Text as its column's datatype; what does not fit is missing, as in queries."""
    if datatype in _PATTERNS:
        fits = pc.match_substring_regex(given, _PATTERNS[datatype])
        kept = pc.if_else(fits, given, pa.scalar(None, pa.string()))
        return pc.cast(kept, pa.int64() if datatype == "integer" else pa.float64())
    if datatype == "boolean":
        return pa.array([_BOOLEANS.get(str(value).lower()) for value in given.to_pylist()], pa.bool_())
    if datatype == "date":
        text = pc.utf8_slice_codeunits(given, 0, 10)
        days = pc.strptime(text, "%Y-%m-%d", "s", error_is_null=True)
        # The 30th of February parses, as the first of March: it is no day all the same.
        kept = pc.if_else(pc.equal(pc.strftime(days, "%Y-%m-%d"), text), days, pa.scalar(None, days.type))
        return pc.cast(kept, pa.date32())
    return given
