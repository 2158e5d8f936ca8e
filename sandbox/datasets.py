"""What a product version is made of at its provider: its description, and one file per table.

The files of a version may not change once something was released from them: a difference between two answers would then
be the difference between two days. `fingerprint` names their content, and whoever changed them publishes a new version.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlmodel import Session

from hexi.canonical import digest
from registry.catalogue import Product
from sandbox import store
from sandbox.errors import DataChanged, ProductUnusable

# Bytes read at a time when hashing.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """`digest` is that of the product document; `tables` maps each table of the product to its CSV or Parquet file."""

    product: Product
    digest: str
    tables: Mapping[str, Path]

    def fingerprint(self) -> str:
        """The digest over the content of all files. Raises `ProductUnusable` if one is missing."""
        return digest({name: _content(path) for name, path in self.tables.items()})

    def file(self, table: str) -> Path:
        """The file of `table`. Raises `ProductUnusable`."""
        if table not in self.tables:
            raise ProductUnusable(f"there is no file for the table {table}")
        return self.tables[table]


def pin(session: Session, product: str, version: int, fingerprint: str) -> None:
    """From now on the version is made of these files. Raises `DataChanged` if something was released from others."""
    if store.pin_data(session, product, version, fingerprint) != fingerprint:
        raise DataChanged(
            f"the files behind {product} version {version} changed since something was released from them; the "
            "provider must publish a new version"
        )


def _content(path: Path) -> str:
    try:
        state = path.stat()
        return _hashed(str(path), state.st_size, state.st_mtime_ns, state.st_ino)
    except OSError as error:
        # Without the path: it says something about the provider's machine.
        raise ProductUnusable("a file of this product is missing or cannot be read") from error


@lru_cache(maxsize=256)
def _hashed(path: str, _size: int, _changed: int, _node: int) -> str:
    """Hashing gigabytes for every query would be slow; a file of the same size, time and node is taken for the same."""
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return f"sha256:{hasher.hexdigest()}"
