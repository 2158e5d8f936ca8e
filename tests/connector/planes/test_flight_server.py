"""The Flight server and our client of it, over real TLS on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import flight

from connector.planes.flight_server import TableServer
from connector.planes.table_client import FlightAddress, fetch_table
from connector.planes.tables import TableDelivery, TableRequest, ticket_of
from connector.protocol.errors import CallbackRefused
from hexi.canonical import parse
from hexi.client import Unreachable
from hexi.errors import Forbidden, RemoteProblem, Unauthenticated, Unavailable
from tests.connector.planes.certificates import certificate

SCHEMA = pa.schema([("n", pa.int64())])


def batches(count: int, first: int = 0) -> Iterator[Any]:
    for number in range(first, count):
        yield pa.record_batch([[number]], SCHEMA), str(number + 1)


def deliver(request: TableRequest) -> TableDelivery:
    if request.token != "Bearer good":
        raise Unauthenticated("show the token")

    @contextmanager
    def opened() -> Iterator[Iterator[Any]]:
        tables = {"whole": lambda: batches(5), "ended": ended, "broken": broken, "shaky": lambda: shaky(request.place)}
        yield tables[request.table]()

    return TableDelivery(SCHEMA, opened)


def ended() -> Iterator[Any]:
    yield from batches(2)
    raise Forbidden("the grant ended", reasons=[{"code": "policy.count"}])


def shaky(place: str | None) -> Iterator[Any]:
    """Breaks off after two batches, and goes on from the place shown; after the fourth it never comes back."""
    first = int(place or 0)
    yield from batches(min(first + 2, 4), first)
    raise Unavailable("the table's disk is away")


def tables(transfer: str, token: str) -> list[str]:
    assert (transfer, token) == ("urn:t", "Bearer good")
    return ["whole", "ended"]


def broken() -> Iterator[Any]:
    yield from batches(1)
    raise ZeroDivisionError("a secret of the inside")


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    return certificate()


@pytest.fixture
def server(pair: tuple[bytes, bytes]) -> Iterator[str]:
    with TableServer("grpc+tls://127.0.0.1:0", pair, deliver, tables) as running:
        yield f"grpc+tls://127.0.0.1:{running.port}"


def fetch(server: str, pair: tuple[bytes, bytes], path: Path, table: str = "whole", token: str = "good") -> Any:
    address = FlightAddress(server, "urn:t", token)
    return fetch_table(address, table, path, unsafe_allow_loopback=True, roots=pair[0])


def test_a_table_arrives_whole(server: str, pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    assert fetch(server, pair, path).rows == 5
    assert pa.parquet.read_table(path)["n"].to_pylist() == [0, 1, 2, 3, 4]
    with flight.connect(server, tls_root_certs=pair[0]) as client:
        options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer good")])
        info = client.get_flight_info(flight.FlightDescriptor.for_path("urn:t", "whole"), options)
        assert (info.schema, info.endpoints[0].ticket.ticket) == (SCHEMA, ticket_of("urn:t", "whole"))
        listed = [found.descriptor.path for found in client.list_flights(b"urn:t", options)]
        assert listed == [[b"urn:t", b"whole"], [b"urn:t", b"ended"]]


def test_what_breaks_off_goes_on_from_its_place_as_long_as_rows_come(
    server: str, pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    told: list[int] = []
    address = FlightAddress(server, "urn:t", "good")
    path = tmp_path / "table.parquet"
    with pytest.raises(RemoteProblem) as refused:
        fetch_table(address, "shaky", path, unsafe_allow_loopback=True, roots=pair[0], progress=told.append)
    assert refused.value.status == 503
    assert told == [1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "token", "status"), [("whole", "bad", 401), ("whole", "", 401), ("ended", "good", 403)]
)
def test_a_refusal_says_why_and_leaves_no_file(
    server: str, pair: tuple[bytes, bytes], tmp_path: Path, table: str, token: str, status: int
) -> None:
    with pytest.raises(RemoteProblem) as refused:
        fetch(server, pair, tmp_path / "table.parquet", table, token)
    assert refused.value.status == status
    assert table != "ended" or refused.value.context["reasons"] == [{"code": "policy.count"}]
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_inside_stays_inside(server: str, pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as refused:
        fetch(server, pair, tmp_path / "table.parquet", "broken")
    assert "secret" not in str(refused.value.__cause__)


@pytest.mark.parametrize(
    "ticket",
    [b"", b"{}", b"[1]", b"not json", b'{"transfer":1,"table":"t"}', b'{"transfer":"","table":"","a":1}', b" " * 5_000],
)
def test_a_ticket_that_is_none_is_refused(server: str, pair: tuple[bytes, bytes], ticket: bytes) -> None:
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer good")])
    with flight.connect(server, tls_root_certs=pair[0]) as client:
        with pytest.raises(flight.FlightServerError) as refused:
            client.do_get(flight.Ticket(ticket), options).read_all()
        assert parse(refused.value.extra_info)["status"] == 422


def test_only_whom_the_certificate_names_is_believed(server: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetch(server, certificate(), tmp_path / "t")


@pytest.mark.parametrize(
    "endpoint",
    ["grpc+tls://127.0.0.1:1", "grpc+tls://10.0.0.5:1", "grpc+tls://[::1]:1", "grpc+tcp://192.0.2.1:1", "http://a:1"],
)
def test_an_address_that_is_not_everybody_s_is_not_called(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(CallbackRefused):
        fetch_table(FlightAddress(endpoint, "urn:t", "good"), "t", tmp_path / "t")
