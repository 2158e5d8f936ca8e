"""The Arrow Flight server: gRPC outside, `TableRequest` and `TableDelivery` inside. The only module that knows Flight.

It decides nothing: whoever asks shows a token in the ``authorization`` header, a ticket names a transfer and a table,
and `deliver` says what comes of it. What goes wrong travels as Flight's nearest error with our problem+json as its
extra info. Imported only where a table is really delivered, because Arrow and gRPC take their time and memory.
Source: Apache Arrow, Flight RPC.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pyarrow import flight

from connector.planes.tables import Deliver, TableRequest, TooManyTables
from hexi.canonical import Json, encode, parse
from hexi.errors import DataspaceError, Malformed

log = structlog.get_logger("connector.flight")

# Tables under way at once in this process: each holds a thread, a file and a batch.
MAX_AT_ONCE = 16
# A ticket is a small JSON object, in bytes.
MAX_TICKET_BYTES = 4_096
_TOKEN = "token"  # noqa: S105 - the name of a middleware


class TableServer(flight.FlightServerBase):  # type: ignore[misc]
    """Serves tables at `location` (``grpc+tls://host:port``) from the moment it is built, until `shutdown`.

    `certificate` is the pair of PEM files of the connector itself; without one the connection is not encrypted, as the
    connector's own is not.
    """

    def __init__(self, location: str, certificate: tuple[bytes, bytes] | None, deliver: Deliver) -> None:
        self._deliver = deliver
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(
            location, tls_certificates=[certificate] if certificate else None, middleware={_TOKEN: _ShownTokens()}
        )

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """The schema of a table, and the ticket for it; the descriptor's path is the transfer and the table."""
        with _told():
            path = [part.decode() for part in descriptor.path or []]
            if len(path) != 2:
                raise Malformed("the path of a descriptor is the transfer and the table")
            request = TableRequest(_token(context), *path)
            schema = self._deliver(request).schema
            ticket = flight.Ticket(ticket_of(request.transfer, request.table))
            return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The table that `ticket` names, batch by batch."""
        with _told():
            transfer, table = _read_ticket(ticket.ticket)
            delivery = self._deliver(TableRequest(_token(context), transfer, table))
            return flight.GeneratorStream(delivery.schema, self._batches(delivery))

    def _batches(self, delivery: Any) -> Iterator[Any]:
        with _told():
            if not self._places.acquire(blocking=False):
                raise TooManyTables(f"{MAX_AT_ONCE} tables are under way already; ask again when one is through")
            try:
                with delivery.batches() as batches:
                    yield from batches
            finally:
                self._places.release()


def ticket_of(transfer: str, table: str) -> bytes:
    """The ticket for a table of a transfer. It is no secret: the token opens, not the ticket."""
    return encode({"transfer": transfer, "table": table})


def _read_ticket(ticket: bytes) -> tuple[str, str]:
    found: Json = parse(ticket) if len(ticket) <= MAX_TICKET_BYTES else None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("transfer", "table")):
        raise Malformed("a ticket names a transfer and a table")
    return found["transfer"], found["table"]


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
