"""An index of grams in SQL: which texts may contain a word. On PostgreSQL a GIN index, on SQLite an FTS5 table.

Neither needs an extension: PostgreSQL's ``pg_trgm`` is not everywhere, and finds no Chinese word of two characters,
as SQLite's ``trigram`` does not. The texts themselves stay where they are, in a table with a number for each.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, column, select, table, text

from registry.words import grams, grams_of

# Texts that are indexed in one statement.
_BATCH = 500

_POSTGRESQL = (
    # The grams stand beside the row, not in it: what is read when searching are the rows alone.
    "CREATE TABLE {name} (position BIGINT PRIMARY KEY, grams INTEGER[] NOT NULL) WITH (toast_tuple_target = 128)",
    "ALTER TABLE {name} ALTER COLUMN grams SET STORAGE EXTERNAL",
    # Without its list of pending entries, which every search would have to look through.
    "CREATE INDEX {name}_gin ON {name} USING gin (grams) WITH (fastupdate = off)",
)
# Contentless: the texts can be had elsewhere. Which grams, and not where: the text is compared with once more.
_SQLITE = ("CREATE VIRTUAL TABLE {name} USING fts5(grams, content='', detail=none, columnsize=0)",)


def create(connection: Connection, name: str) -> None:
    """Make an index called `name`: for migrations."""
    for statement in _POSTGRESQL if _is_postgresql(connection) else _SQLITE:
        connection.execute(text(statement.format(name=name)))


def keep(connection: Connection, name: str, texts: Mapping[int, str]) -> None:
    """From now on the index `name` knows these folded texts, by the number of each; it knew none under that number."""
    if _is_postgresql(connection):
        statement = text(f"INSERT INTO {name} (position, grams) VALUES (:position, :grams)")  # noqa: S608 - our own name
        rows: list[dict[str, Any]] = [{"position": one, "grams": sorted(grams(texts[one]))} for one in sorted(texts)]
    else:
        statement = text(f"INSERT INTO {name} (rowid, grams) VALUES (:position, :grams)")  # noqa: S608
        rows = [{"position": one, "grams": _tokens(grams(texts[one]))} for one in sorted(texts)]
    for first in range(0, len(rows), _BATCH):
        connection.execute(statement, rows[first : first + _BATCH])


def forget(connection: Connection, name: str, texts: Mapping[int, str]) -> None:
    """From now on the index `name` does not know these texts, given as they were when it got to know them."""
    if not texts:
        return
    if _is_postgresql(connection):
        statement = text(f"DELETE FROM {name} WHERE position = :position")  # noqa: S608 - our own name
        connection.execute(statement, [{"position": one} for one in texts])
        return
    # What has no content is told what it had.
    statement = text(f"INSERT INTO {name} ({name}, rowid, grams) VALUES ('delete', :position, :grams)")  # noqa: S608
    connection.execute(statement, [{"position": one, "grams": _tokens(grams(known))} for one, known in texts.items()])


def holding(connection: Connection, name: str, words: Iterable[str]) -> Select[Any] | None:
    """The numbers of the texts that may contain all these folded words; None if any text may."""
    wanted = sorted(frozenset[int]().union(*(grams_of(word) for word in words)))
    if not wanted:
        return None
    # Written into the statement, for only a plan made for these very grams knows how rare they are. They are numbers.
    if _is_postgresql(connection):
        numbers = ",".join(str(number) for number in wanted)
        return select(column("position")).select_from(table(name)).where(text(f"grams @> ARRAY[{numbers}]"))
    return select(column("rowid")).select_from(table(name)).where(text(f"{name} MATCH '{_tokens(wanted)}'"))


def _tokens(wanted: Iterable[int]) -> str:
    """Grams as FTS5 reads words: letters and figures alone. Several words mean all of them."""
    return " ".join(f"g{number + (1 << 31):x}" for number in sorted(wanted))


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
