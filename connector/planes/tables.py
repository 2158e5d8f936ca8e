"""ArrowFlight-PULL: the tables of a product, read with the token of the transfer; what Arrow does stands elsewhere.

Reading a table from its beginning is one use, its rows are records. Every batch is admitted before it is sent and goes
with its place (`connector.planes.table_places`), which goes on from there after an interruption without a new use: it
gives nothing but the rows that use was for. Only columns that the terms let be handed over are read from the file, and
never those that the product keeps hidden.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session

from connector.contracts import product_store
from connector.contracts import store as business_store
from connector.deliveries.errors import TableUnknown
from connector.planes import NotDeliverable
from connector.planes.access import Access
from connector.planes.handovers import HandoverRefused, Handovers
from connector.planes.offered import resource_of
from connector.planes.table_places import TablePlace, open_place, seal_place
from connector.protocol.processes import Process
from connector.usage import admission
from connector.usage.grants import Grant, Use
from hexi.canonical import Clock, Json, encode
from hexi.database import Database
from hexi.errors import Unavailable
from registry.catalogue import Column, ColumnRole, Table
from registry.identity import Identity

FORMAT = "ArrowFlight-PULL"
# The type of the endpoint, as it stands in a data address.
ENDPOINT_TYPE = "urn:hexi:arrow-flight"


class TooManyTables(Unavailable):
    """More tables are under way than this process delivers at once."""

    code = "connector.too-many-tables"
    title = "Too many tables at once"


@dataclass(frozen=True)
class TableRequest:
    """Somebody at the IP address `network` shows a token and asks for a table of a transfer.

    `columns` None: all that the terms let be handed over. `place`: what came with the last batch that arrived.
    """

    token: str = field(repr=False)
    transfer: str
    table: str
    columns: tuple[str, ...] | None = None
    place: str | None = None
    network: str | None = None


def ticket_of(transfer: str, table: str, columns: Sequence[str] | None = None, place: str | None = None) -> bytes:
    """The Flight ticket for a table of a transfer. It is no secret: the token opens, not the ticket."""
    asked: dict[str, Json] = {"transfer": transfer, "table": table}
    asked |= {} if columns is None else {"columns": list(columns)}
    return encode(asked | ({} if place is None else {"place": place}))


@dataclass(frozen=True)
class TableDelivery:
    """What is answered: an Arrow schema, and record batches, each with its place and admitted before it is given."""

    schema: Any
    batches: Callable[[], AbstractContextManager[Iterator[tuple[Any, str]]]]


@dataclass(frozen=True)
class TablePlane:
    """Implements `connector.planes.DataPlane`. `served`: whether this connector has a port for tables at all."""

    database: Database
    handovers: Handovers
    access: Access
    identity: Identity
    clock: Clock
    served: bool

    @property
    def format(self) -> str:
        return FORMAT

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json]:
        """The address of the Flight server, and fresh tokens."""
        if not self.served:
            raise NotDeliverable("the provider has set no port for tables (HEXI_CONNECTOR_FLIGHT_PORT)")
        return self.access.give(session, process, grant)

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: every batch asks the grant."""

    def tables(self, transfer: str, token: str) -> list[str]:
        """The names of the transfer's tables. Raises `DataTokenInvalid`, `HandoverRefused`."""
        grant = self.access.enter(transfer, token, FORMAT)
        with self.database.reading() as session:
            published = product_store.product(session, grant.product, grant.version)
        return [table.name for table in published.product.tables]

    def deliver(self, asked: TableRequest) -> TableDelivery:
        """The table, from where the place says. Raises `DataTokenInvalid`, `HandoverRefused`, `TableUnknown`,
        `TablePlaceInvalid`, `SourceUnavailable`.

        (1) The token counts and the transfer is served. (2) The product has the table, and the columns asked for.
        (3) Unasked, it is the columns that the terms let be handed over. (4) The place is one of this very delivery.
        Owed for each batch, and paid in `_piece`: the terms themselves.
        """
        # Arrow is loaded by the first table that is asked for.
        from connector.planes.table_files import TableFile

        grant = self.access.enter(asked.transfer, asked.token, FORMAT)  # (1)
        with self.database.reading() as session:
            table, path = _table(session, grant, asked.table)  # (2)
            columns = self._columns(session, grant, table, asked)  # (2) (3)
        file = TableFile(path, columns)
        names = tuple(column.name for column in columns)
        beginning = TablePlace(asked.transfer, table.name, names, file.version, 0)
        place = beginning if asked.place is None else open_place(asked.place, beginning, self.identity)  # (4)

        @contextmanager
        def batches() -> Iterator[Iterator[tuple[Any, str]]]:
            with file.batches(place.version, place.rows) as read:
                yield self._admitted(asked, place, read)

        return TableDelivery(file.schema, batches)

    def _columns(self, session: Session, grant: Grant, table: Table, asked: TableRequest) -> list[Column]:
        shown = {column.name: column for column in table.columns if column.role is not ColumnRole.HIDDEN}
        if asked.columns is not None:
            if not asked.columns or (unknown := set(asked.columns) - shown.keys()):
                wrong = ", ".join(sorted(unknown)) if asked.columns else "none at all"
                raise TableUnknown(f"the table {table.name} has other columns than were asked for: {wrong}")
            return [shown[name] for name in dict.fromkeys(asked.columns)]
        agreement = business_store.agreement(session, grant.agreement).agreement
        allowed = admission.fields_allowed(grant, agreement, shown, asked.network, self.clock())
        # Where none is allowed all are asked for, and the refusal says why.
        return [column for name, column in shown.items() if name in allowed] or list(shown.values())

    def _admitted(
        self, asked: TableRequest, place: TablePlace, batches: Iterator[Any]
    ) -> Generator[tuple[Any, str], None, None]:
        begun = asked.place is not None
        if not begun:
            self._admit(asked, place, count=1)
        for batch in batches:
            left = batch
            while left.num_rows:
                piece = self._piece(asked, place, left)
                place = replace(place, rows=place.rows + piece.num_rows)
                yield piece, seal_place(place, self.identity)
                left = left.slice(piece.num_rows)
        self.handovers.finish(asked.transfer, 0)

    def _piece(self, asked: TableRequest, place: TablePlace, batch: Any) -> Any:
        """As much of `batch` as may be handed over, admitted."""
        while True:
            try:
                self._admit(asked, place, volume=batch.nbytes, records=batch.num_rows)
            except HandoverRefused as refused:
                if batch.num_rows > 1 and refused.is_used_up:  # fewer may still be allowed
                    batch = batch.slice(0, batch.num_rows // 2)
                    continue
                if refused.is_used_up:
                    self.handovers.finish(asked.transfer, 0)
                raise
            return batch

    def _admit(
        self, asked: TableRequest, place: TablePlace, *, count: int = 0, volume: int = 0, records: int = 0
    ) -> None:
        names = frozenset(place.columns)
        use = Use(count, volume, records, fields=names, network=asked.network, unfinished=count > 0)
        self.handovers.admit(asked.transfer, use)


def _table(session: Session, grant: Grant, name: str) -> tuple[Table, Path]:
    """A table of the granted product as it is described there, and its file."""
    published = product_store.product(session, grant.product, grant.version)
    found = next((table for table in published.product.tables if table.name == name), None)
    if found is None:
        known = ", ".join(table.name for table in published.product.tables)
        raise TableUnknown(f"this product has the tables {known}")
    return found, resource_of(session, grant).tables[name]
