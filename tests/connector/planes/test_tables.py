"""Tables over real sockets: what the terms let through, going on after a break, and the end of a grant."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import flight

from connector.planes.table_client import Fetched, FlightAddress, fetch_table
from connector.planes.table_files import BATCH_ROWS
from connector.planes.tables import FORMAT, ticket_of
from hexi.canonical import Json, parse
from hexi.errors import RemoteProblem
from tests.connector.business import USE, description
from tests.connector.planes.serving import Delivery, served
from tests.simulator import Dataspace

LAB = "127.0.0.1:8083"
ROWS = 2 * BATCH_ROWS + 100


def limited(operand: str, operator: str, right: Json) -> dict[str, Any]:
    limit = {"leftOperand": operand, "operator": operator, "rightOperand": right}
    return {"permission": [{"action": "use", "constraint": [limit]}]}


class Tables(Delivery):
    """The table ``visits`` with a hidden column; `fetch` writes it into a file as a consumer does."""

    def add_resource(self, source: dict[str, Any]) -> None:
        self.space.provider.client.add_resource("delivered", {"visits": source["path"]})

    def described(self) -> dict[str, Any]:
        (table,) = description()["tables"]
        hidden = {"name": "note", "title": table["title"], "datatype": "string", "role": "hidden"}
        return {"tables": [table | {"columns": [*table["columns"], hidden]}]}

    @property
    def flight(self) -> FlightAddress:
        told = self.address()
        return FlightAddress(told["endpoint"], self.pid(), told["authorization"])

    def fetch(self, path: Path, **asked: Any) -> Fetched:
        return fetch_table(self.flight, "visits", path, unsafe_allow_loopback=True, **asked)

    @contextmanager
    def reading(self, **asked: Any) -> Iterator[Any]:
        """The stream itself, as any Flight client reads it."""
        options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {self.flight.token}".encode())])
        with flight.connect(self.flight.endpoint) as client:
            yield client.do_get(flight.Ticket(ticket_of(self.pid(), "visits", **asked)), options)


def visits(path: Path, rows: int = ROWS) -> None:
    pa.parquet.write_table(
        pa.table(
            {
                "note": ["a secret of the inside"] * rows,
                "person": [f"p{n}" for n in range(rows)],
                "sex": ["f", "m"] * (rows // 2),
                "cost": pa.array([n % 1000 for n in range(rows)], pa.int64()),
            }
        ),
        path,
    )


def tables(space: Dataspace, tmp_path: Path, policy: Any = USE) -> Iterator[Tables]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    visits(tmp_path / "visits.parquet")
    space.provider = space.join("lab", LAB, "provider", flight_port=port)
    with served(space.provider.app) as url:
        found = Tables(space, url, {"path": str(tmp_path / "visits.parquet")}, "table", FORMAT, policy)
        with found.http:
            yield found


@pytest.fixture
def table(dataspace: Dataspace, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tables]:
    yield from tables(dataspace, tmp_path, getattr(request, "param", USE))


def problem(refused: Any) -> dict[str, Any]:
    found = parse(refused.value.extra_info)
    assert isinstance(found, dict)
    return found


def test_a_table_arrives_without_what_the_product_hides_and_is_counted(table: Tables, tmp_path: Path) -> None:
    fetched = table.fetch(tmp_path / "here.parquet")
    found = pa.parquet.read_table(tmp_path / "here.parquet")
    assert (fetched.rows, found.column_names) == (ROWS, ["person", "sex", "cost"])
    assert found["person"].to_pylist() == [f"p{n}" for n in range(ROWS)]
    grant = table.grant()
    assert (grant.count, grant.records) == (1, ROWS)
    assert grant.volume == pytest.approx(found.nbytes, rel=0.02)  # as Arrow holds them, here and there
    assert table.fetch(tmp_path / "again.parquet", columns=["cost"]).rows == ROWS
    assert table.grant().count == 2


@pytest.mark.parametrize("table", [limited("urn:hexi:field", "isPartOf", ["sex", "cost"])], indirect=True)
def test_only_the_fields_of_the_terms_leave(table: Tables, tmp_path: Path) -> None:
    table.fetch(tmp_path / "here.parquet")
    assert pa.parquet.read_schema(tmp_path / "here.parquet").names == ["sex", "cost"]
    with pytest.raises(RemoteProblem) as refused:
        table.fetch(tmp_path / "all.parquet", columns=["person", "cost"])
    assert refused.value.context["reasons"][0]["code"] == "policy.field"
    for wrong in (["note"], ["nobody"], []):
        with pytest.raises(RemoteProblem) as refused:
            table.fetch(tmp_path / "all.parquet", columns=wrong)
        assert refused.value.code == "connector.table-unknown"
    assert not (tmp_path / "all.parquet").exists()


@pytest.mark.parametrize("table", [limited("count", "lteq", "1")], indirect=True)
def test_a_broken_connection_goes_on_from_its_place_as_the_same_use(table: Tables) -> None:
    with table.reading() as reader:
        first = reader.read_chunk()
    place = first.app_metadata.to_pybytes().decode()
    with table.reading(place=place) as reader:
        rest = reader.read_all()
    assert first.data["person"].to_pylist() + rest["person"].to_pylist() == [f"p{n}" for n in range(ROWS)]
    assert table.grant().count == 1
    with table.reading() as reader, pytest.raises(flight.FlightUnauthorizedError) as refused:
        reader.read_all()
    assert problem(refused)["reasons"][0]["code"] == "policy.count"


def test_a_place_opens_nothing_but_what_it_is_a_place_of(table: Tables, tmp_path: Path) -> None:
    with table.reading() as reader:
        place = reader.read_chunk().app_metadata.to_pybytes().decode()

    def refused_with(**asked: Any) -> str:
        with pytest.raises(flight.FlightServerError) as refused, table.reading(**asked) as reader:
            reader.read_all()
        return str(problem(refused)["code"])

    invalid = "connector.table-place-invalid"
    assert refused_with(place="x.y.z") == invalid
    assert refused_with(place=table.flight.token) == invalid
    assert refused_with(place=place, columns=["cost"]) == invalid
    visits(tmp_path / "visits.parquet", ROWS + 2)
    assert refused_with(place=place) == invalid


@pytest.mark.parametrize("table", [limited("urn:hexi:records", "lteq", str(BATCH_ROWS + 3))], indirect=True)
def test_rows_leave_up_to_the_last_one_that_the_terms_allow(table: Tables) -> None:
    arrived: list[int] = []
    with table.reading() as reader, pytest.raises(flight.FlightUnauthorizedError) as refused:
        arrived.extend(chunk.data.num_rows for chunk in reader)
    assert sum(arrived) == BATCH_ROWS + 3
    assert problem(refused)["reasons"][0]["code"] == "policy.records"
    assert table.grant().records == BATCH_ROWS + 3


def test_a_stop_ends_what_is_under_way(table: Tables, tmp_path: Path) -> None:
    visits(tmp_path / "visits.parquet", 200 * BATCH_ROWS)
    with table.reading() as reader:
        reader.read_chunk()
        table.end()
        with pytest.raises(flight.FlightUnauthorizedError) as refused:
            reader.read_all()
    assert problem(refused)["code"] == "connector.handover-refused"
    assert table.grant().records < 200 * BATCH_ROWS
    with pytest.raises(RemoteProblem) as after:
        table.fetch(tmp_path / "here.parquet")
    assert after.value.code == "connector.handover-refused"


def test_only_the_token_of_this_transfer_reads(table: Tables, tmp_path: Path) -> None:
    def refused(address: FlightAddress) -> str:
        with pytest.raises(RemoteProblem) as told:
            fetch_table(address, "visits", tmp_path / "here.parquet", unsafe_allow_loopback=True)
        assert told.value.status == 401
        return str(told.value.code)

    invalid, old = "connector.data-token-invalid", table.flight
    assert refused(FlightAddress(old.endpoint, old.transfer, "x.y.z")) == invalid
    assert refused(FlightAddress(old.endpoint, old.transfer, "")) == invalid
    table.transfer = table.start()
    assert refused(FlightAddress(old.endpoint, table.pid(), old.token)) == invalid
    table.space.clock.advance(minutes=11)
    assert refused(table.flight) == invalid
    assert table.grant().count == 0


def test_without_a_port_for_tables_none_is_offered(dataspace: Dataspace) -> None:
    with pytest.raises(RemoteProblem, match="HEXI_CONNECTOR_FLIGHT_PORT"):
        dataspace.publish(modes=["table"])
