"""A database with the connector's tables, on either engine."""

import pytest

from hexi.database import Database


@pytest.fixture
def connectors(two_databases: list[Database]) -> Database:
    """An empty connector's database; each test that asks for it runs once on either engine."""
    return two_databases[0]


@pytest.fixture
def sqlite_connectors(two_sqlite: list[Database]) -> Database:
    """The same, where the engine does not matter."""
    return two_sqlite[0]
