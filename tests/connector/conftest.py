"""Two databases of the same kind, one for each end."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.pair import Pair


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the connector's tables, to copy."""
    path = tmp_path_factory.mktemp("template") / "connector.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate("connector")
    database.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> str:
    """The name of a PostgreSQL database with the connector's tables, to copy."""
    name = f"template{uuid.uuid4().hex}"
    _administer(postgresql_url, f"CREATE DATABASE {name}")
    database = Database(_named(postgresql_url, name))
    database.migrate("connector")
    database.dispose()
    return name


@pytest.fixture
def two_sqlite(tmp_path: Path, migrated_sqlite: Path) -> Iterator[list[Database]]:
    paths = [tmp_path / f"{name}.sqlite" for name in ("ours", "theirs")]
    for path in paths:
        shutil.copy(migrated_sqlite, path)
    databases = [Database(f"sqlite:///{path}") for path in paths]
    yield databases
    for database in databases:
        database.dispose()


@pytest.fixture
def two_postgresql(postgresql_url: str, migrated_postgresql: str) -> Iterator[list[Database]]:
    names = [f"t{uuid.uuid4().hex}" for _ in range(2)]
    for name in names:
        _administer(postgresql_url, f"CREATE DATABASE {name} TEMPLATE {migrated_postgresql}")
    databases = [Database(_named(postgresql_url, name)) for name in names]
    yield databases
    for database in databases:
        database.dispose()
    for name in names:
        _administer(postgresql_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def two_databases(request: pytest.FixtureRequest) -> list[Database]:
    """Two databases with the connector's tables; each test runs once on either engine."""
    return list(request.getfixturevalue(f"two_{request.param}"))


@pytest.fixture
def pair(two_sqlite: list[Database], clock: SettableClock) -> Pair:
    """Two connectors, where the database engine does not matter."""
    return Pair(two_sqlite, clock)


@pytest.fixture
def pair_on_both(two_databases: list[Database], clock: SettableClock) -> Pair:
    """Two connectors, once on SQLite and once on PostgreSQL."""
    return Pair(two_databases, clock)


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _administer(server: str, statement: str) -> None:
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()
