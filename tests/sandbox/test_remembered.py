"""Released cells: what is kept ready follows the database, and what was remembered in the old form goes on counting."""

import base64
import zlib
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from sqlalchemy import text

import sandbox
from hexi.canonical import encode
from hexi.database import Database
from privacy.differencing import Sketch
from sandbox import store
from sandbox.lanes.remembered import Remembered
from tests.privacy.sketches import sketch, spread

P, LEAST = "product", 10


def add(database: Database, *cells: Sketch, version: int = 1) -> None:
    with database.transaction() as session:
        store.add_cells(session, (P, version), "", {"cost": cells})


def singled_out(database: Database, ready: Remembered, cell: Sketch, population: str = "") -> bool:
    with database.reading() as session:
        return ready.of(session, population, "cost", LEAST).single_out(cell)


@pytest.fixture
def cells(database: Database) -> Database:
    database.migrate("sandbox")
    return database


def test_what_others_release_is_seen_and_what_is_tried_is_not_kept(cells: Database) -> None:
    ready, whole = Remembered(), sketch(range(300))
    add(cells, sketch(range(150)))
    assert not singled_out(cells, ready, whole)
    with cells.reading() as session:
        ready.of(session, "", "cost", LEAST).add(sketch(range(150, 297)))  # an answer that was refused in the end
    assert not singled_out(cells, ready, whole)
    add(cells, sketch(range(150, 297)), version=2)  # by another process, from another version
    assert singled_out(cells, ready, whole)
    assert not singled_out(cells, ready, whole, population="others")


def test_a_database_that_knows_less_again_is_believed(cells: Database) -> None:
    ready = Remembered()
    add(cells, sketch(range(150)), sketch(range(150, 297)))
    assert singled_out(cells, ready, sketch(range(300)))
    with cells.transaction() as session:
        session.connection().execute(text("DELETE FROM sandbox_released_cell WHERE size = 147"))
    assert not singled_out(cells, ready, sketch(range(300)))


def test_few_are_kept_ready(cells: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.lanes.remembered.MOST_CELLS", 1)
    ready = Remembered()
    add(cells, sketch(range(150)), sketch(range(150, 297)))
    for _ in range(2):
        assert singled_out(cells, ready, sketch(range(300)))
        assert not singled_out(cells, ready, sketch(range(300)), population="others")


def test_cells_remembered_by_their_entities_are_compared_by_them_from_then_on(database: Database) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(sandbox.__file__).parent / "migrations"))
    config.attributes["version_table"] = "sandbox_version"
    numbers = [spread(one) for one in range(200)]
    members = base64.b64encode(zlib.compress(encode([numbers, [5] * 200]))).decode()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0008")
        connection.execute(
            text("INSERT INTO sandbox_released_cell VALUES (:p, :v, 'cost', 'sha256:0', 200, :m)"),
            [{"p": P, "v": version, "m": members} for version in (1, 2)],
        )
    database.migrate("sandbox")
    with database.reading() as session:
        assert len(store.cell_keys(session, "", "cost")) == 1, "the same entities, once"
        without_bob, marks = sketch(range(199), range(199)), "its records are known by other marks now"
        assert store.is_too_close(session, (P, 2), "", {"cost": [without_bob]}, LEAST), marks
        assert not store.is_too_close(session, (P, 2), "", {"cost": [sketch(range(170))]}, LEAST)
