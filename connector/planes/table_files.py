"""A table of a product, read from its file batch by batch: the columns asked for and no others, in flat memory.

The columns have the types that the product's description declares, whatever the file calls them. Arrow is imported
here, so this module is imported only where a table is really delivered.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from connector.sources import SourceUnavailable
from registry.catalogue import Column, Datatype

# Rows read at once from a Parquet file, and bytes from a CSV file.
BATCH_ROWS = 16_384
BLOCK_BYTES = 1024 * 1024

_TYPES = {
    Datatype.INTEGER: pa.int64(),
    Datatype.NUMBER: pa.float64(),
    Datatype.BOOLEAN: pa.bool_(),
    Datatype.DATE: pa.date32(),
    Datatype.STRING: pa.string(),
}


@dataclass(frozen=True)
class TableFile:
    """The file at `path` as a table of `columns`."""

    path: Path
    columns: Sequence[Column]

    @property
    def schema(self) -> Any:
        """The Arrow schema, from the description alone."""
        return pa.schema([(column.name, _TYPES[column.datatype]) for column in self.columns])

    @property
    def version(self) -> str:
        """What tells this state of the file from any other. Raises `SourceUnavailable`."""
        with _translated():
            found = self.path.stat()
            return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"

    @contextmanager
    def batches(self, version: str, after: int = 0) -> Iterator[Iterator[Any]]:
        """Record batches of `schema`, without the first `after` rows.

        Raises `SourceUnavailable`, also half way, where the file is not in the state `version` or not as described,
        and never quotes a row.
        """
        with _translated(), self._opened() as raw:
            yield self._typed(raw, version, after)

    @contextmanager
    def _opened(self) -> Iterator[Iterator[Any]]:
        names = [column.name for column in self.columns]
        if self.path.suffix == ".parquet":
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False)
            return
        types = dict(zip(names, self.schema.types, strict=True))
        options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=names, strings_can_be_null=True)
        reading = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
        with pyarrow.csv.open_csv(self.path, read_options=reading, convert_options=options) as reader:
            yield iter(reader)

    def _typed(self, raw: Iterator[Any], version: str, after: int) -> Iterator[Any]:
        with _translated():
            for batch in raw:
                if self.version != version:
                    raise SourceUnavailable("the table's file has changed since; ask again from its beginning")
                rest = batch.slice(min(after, batch.num_rows))
                after -= batch.num_rows - rest.num_rows
                if rest.num_rows:
                    yield rest.select(self.schema.names).cast(self.schema)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, KeyError, OSError) as error:
        # Arrow's own message may quote a row.
        raise SourceUnavailable(f"the table's file is not as it is described ({type(error).__name__})") from error
