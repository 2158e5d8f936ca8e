"""Fetching a table over Arrow Flight: the consumer's side. Arrow is imported here, when a table is really fetched.

The address is the provider's word, so it is checked like any other (`connector.protocol.callbacks`): resolved once,
looked at, and called at the very address that was looked at, while TLS still asks for the host's name.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pyarrow import flight

from connector.deliveries.parts import PlaceTaken
from connector.planes.tables import ticket_of
from connector.protocol.callbacks import check_address
from connector.protocol.errors import CallbackRefused
from hexi.canonical import parse
from hexi.client import Unreachable, trusted_certificates
from hexi.errors import DataspaceError, RemoteProblem

# How often a table may break off on its way. A provider whose tables break more often than that has none to give.
MAX_BREAKS = 20
TLS, PLAIN = "grpc+tls", "grpc+tcp"


@dataclass(frozen=True)
class FlightAddress:
    """Where a transfer's tables are fetched: from its data address, with the transfer's id at the provider."""

    endpoint: str
    transfer: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Fetched:
    """What arrived. `size` is that of the file, in bytes."""

    rows: int
    size: int


# Given the address whose token was refused, one with a newer token; `RemoteProblem` where there is none.
Renew = Callable[[FlightAddress], FlightAddress]


def fetch_table(
    address: FlightAddress,
    table: str,
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    unsafe_allow_loopback: bool = False,
    roots: bytes | None = None,
    renew: Renew | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Fetched:
    """Write the table into the new file `path`, CSV if it is called so and else Parquet: whole, or not at all.

    Where the connection breaks it goes on from the last batch that arrived, so that nothing is counted twice.
    `columns` None: all that the terms let be handed over. `roots` are PEM certificates to trust instead of those that
    all our clients do. `progress` is told the rows so far. Raises `RemoteProblem` with the provider's reasons,
    `Unreachable`, `CallbackRefused`, `PlaceTaken`.
    """
    if path.exists() or not path.parent.is_dir():
        raise PlaceTaken(f"a table is written to a file that does not exist yet, in a folder that does, not to {path}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    arriving, renewed = _Arriving(partial, progress, is_csv=path.suffix.lower() == ".csv"), False
    try:
        for breaks in range(MAX_BREAKS + 1):
            rows, ticket = arriving.rows, flight.Ticket(ticket_of(address.transfer, table, columns, arriving.place))
            try:
                with _client(address.endpoint, roots, unsafe_allow_loopback=unsafe_allow_loopback) as client:
                    arriving.take(client.do_get(ticket, _options(address)))
                break
            except pa.ArrowException as error:
                came, last = arriving.rows > rows, breaks == MAX_BREAKS
                if (
                    isinstance(error, flight.FlightUnauthenticatedError)
                    and renew
                    and (came or not renewed)
                    and not last
                ):
                    address, renewed = renew(address), True
                # Only where rows came there is something to go on from.
                elif not (isinstance(error, flight.FlightUnavailableError) and came and arriving.place) or last:
                    raise _translated(error, address.endpoint) from error
        arriving.finish()
        _named(partial, path)
        return Fetched(arriving.rows, path.stat().st_size)
    finally:
        arriving.close()
        partial.unlink(missing_ok=True)


def list_tables(
    address: FlightAddress, *, unsafe_allow_loopback: bool = False, roots: bytes | None = None
) -> list[str]:
    """The names of the transfer's tables. Raises `RemoteProblem`, `Unreachable`, `CallbackRefused`."""
    try:
        with _client(address.endpoint, roots, unsafe_allow_loopback=unsafe_allow_loopback) as client:
            found = client.list_flights(address.transfer.encode(), _options(address))
            return [described.descriptor.path[1].decode() for described in found]
    except pa.ArrowException as error:
        raise _translated(error, address.endpoint) from error


def _options(address: FlightAddress) -> Any:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {address.token}".encode("ascii"))])


def _named(partial: Path, path: Path) -> None:
    try:
        path.hardlink_to(partial)  # unlike a rename it never replaces what is there already
    except FileExistsError as error:
        raise PlaceTaken(f"there is a file {path} by now; it is not overwritten") from error


class _Arriving:
    """A file being written, and the place in the table behind what is in it."""

    def __init__(self, partial: Path, progress: Callable[[int], None], *, is_csv: bool) -> None:
        self.rows = 0
        self.place: str | None = None
        self._partial, self._progress = partial, progress
        self._kind = pyarrow.csv.CSVWriter if is_csv else pyarrow.parquet.ParquetWriter
        self._writer: Any = None

    def take(self, reader: Any) -> None:
        if self._writer is None:
            self._writer = self._kind(self._partial, reader.schema)
        for chunk in reader:
            self._writer.write_batch(chunk.data)
            self.rows += chunk.data.num_rows
            self.place = chunk.app_metadata.to_pybytes().decode() if chunk.app_metadata else None
            self._progress(self.rows)

    def finish(self) -> None:
        self._writer.close()
        self._writer = None

    def close(self) -> None:
        if self._writer is not None:
            self.finish()


def _client(endpoint: str, roots: bytes | None, *, unsafe_allow_loopback: bool) -> Any:
    parts = urlsplit(endpoint)
    if not parts.hostname or not parts.port or parts.scheme not in {TLS, PLAIN}:
        raise CallbackRefused("a table is fetched from an address such as grpc+tls://host:port")
    if parts.scheme != TLS and not unsafe_allow_loopback:
        raise CallbackRefused("a table is fetched over grpc+tls")
    try:
        address = str(socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise Unreachable(f"the host {parts.hostname} has no address") from error
    if not unsafe_allow_loopback:
        check_address(address)
    named: Mapping[str, Any] = {"override_hostname": parts.hostname} if parts.scheme == TLS else {}
    host = f"[{address}]" if ":" in address else address
    if parts.scheme == TLS and roots is None:
        roots = trusted_certificates()
    return flight.connect(f"{parts.scheme}://{host}:{parts.port}", tls_root_certs=roots, **named)


def _translated(error: Any, endpoint: str) -> DataspaceError:
    try:
        problem = parse(getattr(error, "extra_info", None) or b"null")
    except DataspaceError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("status"), int):
        return RemoteProblem(problem["status"], problem, "the provider")
    return Unreachable(f"the provider at {endpoint} does not answer ({type(error).__name__})")
