"""A market on either database, and one on SQLite where the engine does not matter."""

import pytest

from hexi.database import Database
from tests.builders import SettableClock
from tests.marketplace.builders import Market


@pytest.fixture
def market(database: Database, clock: SettableClock) -> Market:
    return Market(database, clock)


@pytest.fixture
def shop(sqlite: Database, clock: SettableClock) -> Market:
    return Market(sqlite, clock)
