"""Streams and tables read by command, between whole connectors over TLS: HTTP and gRPC."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

from benchmarks.peers.certificates import Certificates
from benchmarks.peers.files import End, agree, described, members
from examples.longyizhen.processes import HEXI, run_hexi
from examples.longyizhen.scenario import eventually
from hexi.canonical import parse
from hexi.client import tls_context

pytestmark = pytest.mark.process

ROWS = 40_000


class Reading:
    """A provider and a consumer, and the commands of the consumer."""

    def __init__(self, provider: End, consumer: End) -> None:
        self.provider, self.consumer = provider, consumer

    def start(self, product: str, format_: str) -> str:
        asked = self.consumer.client.transfer(agree(self.consumer, product), format_)
        started = self.consumer.client.wait_transfer(asked.id)
        assert started.state == "STARTED", started
        return str(asked.id)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
        return run_hexi(["connector", "data", *words, "--home", str(self.consumer.home)], environment)

    def json(self, *words: str) -> Any:
        done = self.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        return parse(done.stdout)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    folder = tmp_path_factory.mktemp("reading")
    certificates = Certificates(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(certificates.authority))
        tls_context.cache_clear()
        with members(folder, certificates=certificates, tables=True) as (provider, consumer):
            yield Reading(provider, consumer)
    tls_context.cache_clear()


@pytest.fixture(scope="module")
def stream(reading: Reading) -> str:
    """The transfer of a stream that is called beds."""
    reading.provider.client.add_resource("beds", source={"type": "stream"})
    return reading.start(
        reading.provider.client.publish("beds", described("stream")).identifier, "ServerSentEvents-PULL"
    )


@pytest.fixture(scope="module")
def table(reading: Reading, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The transfer of a table that is called visits."""
    path = tmp_path_factory.mktemp("table") / "visits.csv"
    path.write_text("ward,beds\n" + "".join(f"w{n % 7},{n}\n" for n in range(ROWS)), "utf-8")
    reading.provider.client.add_resource("wards", {"visits": str(path)})
    title = {"zh": "病区", "en": "Wards"}
    columns = [
        {"name": "ward", "title": title, "datatype": "string", "role": "dimension"},
        {"name": "beds", "title": title, "datatype": "integer", "role": "measure"},
    ]
    product = described("table") | {"tables": [{"name": "visits", "title": title, "columns": columns}]}
    return reading.start(reading.provider.client.publish("wards", product).identifier, "ArrowFlight-PULL")


def test_a_stream_is_followed_into_a_file_through_every_interruption(
    reading: Reading, stream: str, tmp_path: Path
) -> None:
    """The command is killed, the file torn, the provider killed and restarted: each event stands there once."""
    target = tmp_path / "beds.ndjson"

    def append(first: int, last: int) -> None:
        reading.provider.client.append_events("beds", [{"data": {"n": n}} for n in range(first, last)])

    append(0, 3)
    words = [HEXI, "connector", "data", "follow", stream, "--to", target, "--home", reading.consumer.home]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as following:
        eventually("three events", lambda: lines(target), lambda found: len(found) == 3)
        following.kill()
    append(3, 6)
    target.write_bytes(target.read_bytes() + b'{"data":{"n":')
    said = reading.json("follow", stream, "--to", str(target), "--count", "3")
    assert (said["events"], said["last"], said["bytes"]) == (3, "6", target.stat().st_size)
    with subprocess.Popen(words, stderr=subprocess.PIPE) as following:
        assert following.stderr is not None
        append(6, 8)
        eventually("eight events", lambda: lines(target), lambda found: len(found) == 8)
        reading.provider.kill()
        assert b"waits: the provider went away" in following.stderr.readline() + following.stderr.readline()
        reading.provider.restart()
        append(8, 9)
        eventually("nine events", lambda: lines(target), lambda found: len(found) == 9)
        following.kill()
    found = [parse(line) for line in lines(target)]
    assert found == [{"id": str(n + 1), "event": "message", "data": {"n": n}} for n in range(9)]


def test_events_come_as_lines_and_the_end_of_the_transfer_is_the_end(reading: Reading, tmp_path: Path) -> None:
    product = next(p.identifier for p in reading.provider.client.products() if p.resource == "beds")
    transfer = reading.start(product, "ServerSentEvents-PULL")
    done = reading.command("follow", transfer, "--after", "1", "--count", "2")
    assert [parse(line)["id"] for line in done.stdout.splitlines()] == ["2", "3"]
    wrong = reading.command("follow", transfer, "--after", "99")
    assert (wrong.returncode, "connector.last-event-id-invalid" in wrong.stderr) == (2, True)
    reading.consumer.client.end_transfer(transfer, "enough")
    ended = reading.command("follow", transfer, "--to", str(tmp_path / "none.ndjson"))
    assert (ended.returncode, "enough [connector.stream-ended]" in ended.stderr) == (1, True)
    both = reading.command("follow", transfer, "--to", str(tmp_path / "none.ndjson"), "--after", "1")
    assert both.returncode == 2


def test_a_table_is_read_into_parquet_and_csv(reading: Reading, table: str, tmp_path: Path) -> None:
    parquet, csv = tmp_path / "visits.parquet", tmp_path / "visits.csv"
    said = reading.json("table", table, "--to", str(parquet))  # the only table there is
    assert said == {
        "transfer": table,
        "table": "visits",
        "rows": ROWS,
        "bytes": parquet.stat().st_size,
        "path": str(parquet),
    }
    assert pyarrow.parquet.read_table(parquet)["beds"].to_pylist() == list(range(ROWS))
    assert reading.json("table", table, "visits", "--to", str(csv), "--column", "beds")["rows"] == ROWS
    assert pyarrow.csv.read_csv(csv).to_pydict() == {"beds": list(range(ROWS))}
    taken = reading.command("table", table, "visits", "--to", str(csv))
    assert (taken.returncode, "connector.place-taken" in taken.stderr) == (2, True)
    unknown = reading.command("table", table, "nobody", "--to", str(tmp_path / "nobody.csv"))
    assert (unknown.returncode, "connector.table-unknown" in unknown.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["visits.csv", "visits.parquet"]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []
