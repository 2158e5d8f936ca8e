"""A clinic with a queue, on either database and on SQLite alone."""

from pathlib import Path

import pytest

from hexi.database import Database
from tests.sandbox.jobs.builders import Queued


@pytest.fixture
def queued(database: Database, tmp_path: Path) -> Queued:
    return Queued(database, tmp_path)


@pytest.fixture
def on_sqlite(sqlite: Database, tmp_path: Path) -> Queued:
    return Queued(sqlite, tmp_path)
