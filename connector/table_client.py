"""Fetching a table over Arrow Flight: the consumer's side. Arrow is imported here, when a table is really fetched.

The address is the provider's word, so it is checked like any other (`connector.callbacks`): resolved once, looked at,
and called at the very address that was looked at, while TLS still asks for the host's name.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet
from pyarrow import flight

from connector.callbacks import check_address
from connector.errors import CallbackRefused
from hexi.canonical import parse
from hexi.client import Unreachable
from hexi.errors import DataspaceError, RemoteProblem

TLS, PLAIN = "grpc+tls", "grpc+tcp"


@dataclass(frozen=True)
class Fetched:
    """What arrived. `size` is that of the file, in bytes."""

    rows: int
    size: int


def fetch_table(
    endpoint: str,
    token: str,
    ticket: bytes,
    path: Path,
    *,
    unsafe_allow_loopback: bool = False,
    roots: bytes | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Fetched:
    """Write the table into the Parquet file `path`, which is there whole or not at all.

    `roots` are PEM certificates to trust instead of the system's. Raises `RemoteProblem` with the provider's reasons,
    `Unreachable`, `CallbackRefused`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _client(endpoint, roots, unsafe_allow_loopback=unsafe_allow_loopback) as client:
            options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode("ascii"))])
            rows = _write(client.do_get(flight.Ticket(ticket), options), partial, progress)
        partial.replace(path)
        return Fetched(rows, path.stat().st_size)
    except flight.FlightError as error:
        raise _translated(error, endpoint) from error
    except pa.ArrowException as error:
        raise Unreachable(f"the provider at {endpoint} does not answer ({type(error).__name__})") from error
    finally:
        partial.unlink(missing_ok=True)


def _write(reader: Any, partial: Path, progress: Callable[[int], None]) -> int:
    rows = 0
    with pyarrow.parquet.ParquetWriter(partial, reader.schema) as writer:
        for chunk in reader:
            writer.write_batch(chunk.data)
            rows += chunk.data.num_rows
            progress(rows)
    return rows


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
    return flight.connect(f"{parts.scheme}://{host}:{parts.port}", tls_root_certs=roots, **named)


def _translated(error: Any, endpoint: str) -> DataspaceError:
    try:
        problem = parse(error.extra_info) if error.extra_info else None
    except DataspaceError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("status"), int):
        return RemoteProblem(problem["status"], problem, "the provider")
    return Unreachable(f"the provider at {endpoint} does not answer ({type(error).__name__})")
