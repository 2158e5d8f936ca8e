"""The Arrow Flight server: gRPC outside, `TableRequest` and `TableDelivery` inside.

It decides nothing: whoever asks shows a token in the ``authorization`` header, a ticket names a transfer and a table,
and `deliver` says what comes of it. The place of a batch is its application metadata. What goes wrong travels as
Flight's nearest error with our problem+json as its extra info. Imported only where a connector has a port for tables,
because Arrow and gRPC take their time and memory.
Source: Apache Arrow, Flight RPC.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import structlog
from pyarrow import flight
from pydantic import ValidationError

from connector.planes.tables import TableDelivery, TableRequest, TooManyTables, ticket_of
from connector.planes.under_way import UnderWay
from hexi.canonical import Json, Wire, encode, parse
from hexi.errors import DataspaceError, Malformed, Unavailable

log = structlog.get_logger("connector.flight")

# Tables under way at once in this process, and for one transfer: each holds a thread, a file and a batch.
MAX_AT_ONCE = 16
MAX_OF_TRANSFER = 4
# How long stopping waits for tables under way, in seconds; who is cut off then goes on from its place.
STOP_SECONDS = 2.0
# A ticket is a small JSON object, in bytes.
MAX_TICKET_BYTES = 4_096
_TOKEN = "token"  # noqa: S105 - the name of a middleware


class TableServer(flight.FlightServerBase):  # type: ignore[misc]
    """Serves tables at `location` (``grpc+tls://host:port``) from the moment it is built, until `shutdown`.

    `certificate` is the pair of PEM files of the connector itself; without one the connection is not encrypted, as the
    connector's own is not.
    """

    def __init__(
        self,
        location: str,
        certificate: tuple[bytes, bytes] | None,
        deliver: Callable[[TableRequest], TableDelivery],
        tables: Callable[[str, str], list[str]],
    ) -> None:
        self._deliver, self._tables = deliver, tables
        self._under_way = UnderWay("tables", of_transfer=MAX_OF_TRANSFER, in_all=MAX_AT_ONCE, refusal=TooManyTables)
        self._stopping = threading.Event()
        try:
            super().__init__(
                location, tls_certificates=[certificate] if certificate else None, middleware={_TOKEN: _ShownTokens()}
            )
        except pa.ArrowException as error:
            raise Unavailable(f"tables cannot be served at {location} ({type(error).__name__})") from error

    def stop(self) -> None:
        """End what is under way and listen no longer. A reader that takes nothing is not waited for."""
        self._stopping.set()
        ending = threading.Thread(target=self.shutdown, name="connector-flight-stop", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)

    def list_flights(self, context: Any, criteria: Any) -> Any:
        """Schema and ticket of every table of the transfer that the criteria name."""
        with _told():
            transfer = _text(criteria)
            for table in self._tables(transfer, _token(context)):
                yield self._info(context, flight.FlightDescriptor.for_path(transfer, table), transfer, table)

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """The schema of a table, and the ticket for it; the descriptor's path is the transfer and the table."""
        with _told():
            path = [_text(part) for part in descriptor.path or []]
            if len(path) != 2:
                raise Malformed("the path of a descriptor is the transfer and the table")
            return self._info(context, descriptor, *path)

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The table that `ticket` names, batch by batch."""
        with _told():
            asked = _read_ticket(ticket.ticket)
            delivery = self._deliver(TableRequest(_token(context), **asked, network=_network(context)))
            return flight.GeneratorStream(delivery.schema, self._batches(asked["transfer"], delivery))

    def _info(self, context: Any, descriptor: Any, transfer: str, table: str) -> Any:
        schema = self._deliver(TableRequest(_token(context), transfer, table, network=_network(context))).schema
        endpoint = flight.FlightEndpoint(ticket_of(transfer, table), [])
        return flight.FlightInfo(schema, descriptor, [endpoint], -1, -1)

    def _batches(self, transfer: str, delivery: TableDelivery) -> Iterator[Any]:
        with _told(), self._under_way.place(transfer), delivery.batches() as batches:
            for batch, place in batches:
                if self._stopping.is_set():
                    raise Unavailable("this connector is being stopped; go on from your place in a moment")
                yield batch, place.encode("ascii")


def _read_ticket(ticket: bytes) -> dict[str, Any]:
    """The members of a ticket, by their names in `TableRequest`. Raises `Malformed`."""
    found: Json = parse(ticket) if len(ticket) <= MAX_TICKET_BYTES else None
    try:
        return _Ticket.model_validate(found).model_dump()
    except ValidationError as error:
        raise Malformed("a ticket names a transfer and a table, and perhaps columns and a place") from error


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a transfer and a table are named in UTF-8") from error


def _network(context: Any) -> str | None:
    """The IP address that gRPC says the call comes from: ``ipv4:192.0.2.1:5`` or ``ipv6:%5B2001:db8::1%5D:5``."""
    kind, _, address = unquote(context.peer()).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else None


class _Ticket(Wire):
    transfer: str
    table: str
    columns: tuple[str, ...] | None = None
    place: str | None = None


class _ShownTokens(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, _info: Any, headers: Any) -> Any:
        return _ShownToken(next(iter(headers.get("authorization") or headers.get("Authorization") or []), ""))


class _ShownToken(flight.ServerMiddleware):  # type: ignore[misc]
    def __init__(self, shown: str) -> None:
        self.shown = shown


def _token(context: Any) -> str:
    middleware = context.get_middleware(_TOKEN)
    return str(middleware.shown) if middleware else ""


@contextmanager
def _told() -> Iterator[None]:
    """Errors of ours become Flight's nearest; anything else becomes one that says nothing."""
    try:
        yield
    except DataspaceError as error:
        raise _ERRORS.get(error.status, flight.FlightServerError)(error.detail, encode(error.problem())) from error
    except Exception as error:
        log.error("a table could not be delivered", exc_info=error)
        raise flight.FlightInternalError("something went wrong on our side") from None


_ERRORS: dict[int, Any] = {
    401: flight.FlightUnauthenticatedError,
    403: flight.FlightUnauthorizedError,
    503: flight.FlightUnavailableError,
}
