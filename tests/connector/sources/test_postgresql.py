"""A real PostgreSQL table and query as sources, alone and delivered through a data space."""

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from connector.planes.http_pull import FORMAT as PULL
from connector.planes.http_push import FORMAT as PUSH
from connector.sources import CHUNK_BYTES, SourceUnavailable
from connector.sources.descriptions import SECRETS_FOLDER
from connector.sources.postgresql import PostgresqlSource
from tests.connector.planes.delivery import Offered
from tests.connector.sources.delivered import delivered
from tests.databases import fresh_postgresql
from tests.simulator import Dataspace

ROWS = [("1", "Ma, Jun"), ("2", 'said "no"'), ("3", "马军")]


@pytest.fixture
def dsn(postgresql_url: str) -> Iterator[str]:
    """A database with a table of visits."""
    with fresh_postgresql(postgresql_url) as made:
        url = made.replace("postgresql+psycopg:", "postgresql:")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE visits (id integer, name text)")
            connection.cursor().executemany("INSERT INTO visits VALUES (%s, %s)", ROWS)
        yield url


def whole(source: PostgresqlSource) -> bytes:
    with source.open(source.content()) as chunks:
        return b"".join(chunks)


def test_a_table_is_written_out_as_csv(dsn: str) -> None:
    source = PostgresqlSource(dsn, "SELECT * FROM visits ORDER BY id", "visits")
    said = source.content()
    assert (said.name, said.media_type, said.size, said.is_resumable) == ("visits.csv", "text/csv", None, False)
    assert list(csv.reader(io.StringIO(whole(source).decode()))) == [["id", "name"], *map(list, ROWS)]


def test_many_rows_come_by_the_chunk(dsn: str) -> None:
    source = PostgresqlSource(dsn, "SELECT n, repeat('x', 90) AS text FROM generate_series(1, 50000) n", "many")
    with source.open(source.content()) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) > 4 * CHUNK_BYTES
    assert all(CHUNK_BYTES <= size < 2 * CHUNK_BYTES for size in sizes[:-1])
    assert whole(source).count(b"\n") == 50_001


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM visits RETURNING *",
        "INSERT INTO visits VALUES (4, 'x') RETURNING *",
        "SELECT nonsense",
        "SELECT 1/0",
    ],
)
def test_nothing_is_changed_and_no_error_quotes_the_database(dsn: str, query: str) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        whole(PostgresqlSource(dsn, query, "visits"))
    assert not any(secret in refused.value.detail for secret in (dsn, "visits", "nonsense", query))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (len(ROWS),)


def test_a_server_that_is_not_there_is_said_so_without_its_address() -> None:
    with pytest.raises(SourceUnavailable) as refused:
        whole(PostgresqlSource("postgresql://user:hunter2@127.0.0.1:1/db", "SELECT 1", "visits"))
    assert "hunter2" not in refused.value.detail
    assert "127.0.0.1" not in refused.value.detail
    assert "hunter2" not in repr(PostgresqlSource("postgresql://user:hunter2@127.0.0.1:1/db", "SELECT 1", "visits"))


def test_who_leaves_early_ends_the_query_and_nothing_is_wrong(dsn: str) -> None:
    source = PostgresqlSource(dsn, "SELECT repeat('x', 90) FROM generate_series(1, 10000000)", "many")
    with source.open(source.content()) as chunks:
        assert next(chunks)
    with psycopg.connect(dsn) as connection:
        running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY%'"
        until = time.monotonic() + 30
        while connection.execute(running).fetchone() != (0,) and time.monotonic() < until:
            time.sleep(0.01)
        assert connection.execute(running).fetchone() == (0,)


def test_it_is_not_resumed(dsn: str) -> None:
    source = PostgresqlSource(dsn, "SELECT 1", "one")
    with pytest.raises(SourceUnavailable, match="beginning"), source.open(source.content(), 1):
        pass


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_a_database_that_is_away_is_no_use_of_its_consumer(dataspace: Dataspace, tmp_path: Path, format_: str) -> None:
    secrets = dataspace.provider.app.state.settings.home / SECRETS_FOLDER
    secrets.mkdir(exist_ok=True)
    (secrets / "warehouse").write_text("postgresql://127.0.0.1:1/away", "ascii")
    source = {"type": "postgresql", "secret": "warehouse", "query": "SELECT 1"}
    offered = Offered(dataspace, tmp_path / "arrived.csv", source=source)
    transfer = offered.ask(format_, to=str(offered.file))
    offered.work(rounds=2)
    assert offered.states(transfer) == ("STARTED", "STARTED")
    assert offered.counted() == (0, 0)


def test_a_query_is_delivered(dataspace: Dataspace, dsn: str, tmp_path: Path) -> None:
    secrets = dataspace.provider.app.state.settings.home / SECRETS_FOLDER
    secrets.mkdir(exist_ok=True)
    (secrets / "warehouse").write_text(dsn, "ascii")
    source = {"type": "postgresql", "secret": "warehouse", "query": "SELECT * FROM visits ORDER BY id;"}
    arrived = delivered(dataspace, source, PULL, tmp_path / "arrived.csv")
    assert list(csv.reader(io.StringIO(arrived.read_text("utf-8")))) == [["id", "name"], *map(list, ROWS)]
