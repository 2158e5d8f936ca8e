"""A PostgreSQL table or query as a source, written out as CSV by the server itself (``COPY ... TO STDOUT``).

What a query gives has no size beforehand, and another row may be there the next time: such a delivery is whole or it
is not, and is never resumed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.sources import CHUNK_BYTES, Chunks, Content, SourceUnavailable

if TYPE_CHECKING:
    import psycopg

CSV = "text/csv"
# How long the server may take to accept the connection, in seconds.
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class PostgresqlSource:
    """`query` is the provider's own, never a consumer's; it runs in a read-only transaction."""

    dsn: str
    query: str
    name: str

    def __repr__(self) -> str:
        return f"PostgresqlSource({self.name})"

    def content(self) -> Content:
        return Content(f"{self.name}.csv", CSV)

    @contextmanager
    def open(self, content: Content, offset: int = 0) -> Iterator[Chunks]:
        if offset:
            raise SourceUnavailable("what a query gives cannot be resumed; ask for it from its beginning")
        import psycopg  # ten megabytes that a connector without such a source need not hold
        from psycopg import sql

        statement, ended = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(sql.SQL(self.query)), False

        def pieces() -> Iterator[bytes]:
            nonlocal ended
            for piece in copied:
                yield bytes(piece)
            ended = True

        try:
            with (
                suppress(_LeftEarly),
                psycopg.connect(self.dsn, connect_timeout=CONNECT_SECONDS) as connection,
                _read_only(connection).cursor() as cursor,
                cursor.copy(statement) as copied,
            ):
                yield _gathered(pieces())
                if not ended:
                    raise _LeftEarly
        except psycopg.Error as error:
            # The driver's own words quote the connection string or a row.
            raise SourceUnavailable(f"the database refused or went away ({type(error).__name__})") from error


class _LeftEarly(Exception):
    """Whoever read has gone. Only an exception makes the driver cancel the query."""


def _read_only(connection: "psycopg.Connection[Any]") -> "psycopg.Connection[Any]":
    connection.read_only = True
    return connection


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Rows come one by one; they are handed on by the chunk."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
