"""A registry in memory, on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import SettableClock
from tests.registry import builders


@pytest.fixture
def space(tmp_path: Path, clock: SettableClock) -> Iterator[builders.Space]:
    """A registry on SQLite, where the engine does not matter."""
    space = builders.space(tmp_path / "space", clock)
    yield space
    space.database.dispose()


@pytest.fixture
def each_space(tmp_path: Path, clock: SettableClock, database_url: str) -> Iterator[builders.Space]:
    """A registry on SQLite and on PostgreSQL."""
    space = builders.space(tmp_path / "space", clock, database_url)
    yield space
    space.database.dispose()
