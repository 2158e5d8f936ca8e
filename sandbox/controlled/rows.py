"""What a relation is while it is compiled, and what one SELECT sees of relations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.catalogue import Column, ColumnRole, Datatype, Text
from registry.controlled import Level
from sandbox.controlled.columns import Source, Value
from sandbox.controlled.scopes import Scope

_TITLE = Text(zh="行数", en="rows")
_ROWS = Column(name="rows", title=_TITLE, datatype=Datatype.INTEGER, role=ColumnRole.MEASURE)
# How many rows somebody has: as secret as a measure.
ROWS_OF_ONE = Source(("count(*)",), Level.AGGREGATE_ONLY, _ROWS)


@dataclass(frozen=True)
class Rows:
    """A relation whose rows are about one entity each, or (`entity` None) about nobody.

    `text` stands in FROM; `entity` and `record` are columns of it; `keys` are columns that hold the entity's key. It is
    `simple` while every record is a row of one table, and `joined` once a record may stand in several rows. `records`
    are columns of it that say of which record of a table about entities a row was made, or of which together, one for
    each time the table was read; `tables` are those of which an entity may have several rows in it.
    """

    text: str
    columns: Mapping[str, tuple[str, Value]]
    entity: str | None = None
    record: str | None = None
    keys: frozenset[str] = frozenset()
    simple: bool = True
    joined: bool = False
    tables: frozenset[str] = frozenset()
    records: tuple[tuple[str, str], ...] = ()

    @property
    def read(self) -> frozenset[str]:
        """The tables about entities it was made of."""
        return frozenset(table for table, _ in self.records)


def records_of(columns: Mapping[str, tuple[str, Value]]) -> list[str]:
    """The columns that name which records the values of `columns` are of."""
    return sorted({value.record for _, value in columns.values() if value.record})


@dataclass
class Seen:
    """What one SELECT sees: its relations, and what WITH named around it."""

    withs: Mapping[str, Rows]
    scope: Scope = field(default_factory=Scope)
    keys: frozenset[str] = frozenset()
