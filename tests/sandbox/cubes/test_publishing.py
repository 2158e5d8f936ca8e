"""Who publishes a cube keeps nobody else waiting; and it says what it was built from, whatever becomes of that."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from sqlalchemy import text

from hexi.canonical import digest
from hexi.database import Database
from sandbox import datasets, store
from sandbox.bench import open_bench
from sandbox.cubes import cubes
from sandbox.cubes.cubes import PUBLISHED, Cubes
from sandbox.datasets import Dataset
from sandbox.errors import DataChanged
from tests.builders import SettableClock
from tests.sandbox.cubes.test_cubes import LATTICE, QUERY, answered, bodies, described, patients

__all__ = ["patients"]  # the fixture

MEASURES = 4
# A thread that gets no answer within this many seconds never will.
FOREVER = 60

World = Callable[..., Dataset]


@pytest.fixture
def made(database: Database, clock: SettableClock) -> Cubes:
    database.migrate("sandbox")
    return Cubes(database, b"k" * 32, clock)


@pytest.fixture
def world(patients: Path, tmp_path: Path) -> World:
    """Products over a file of their own, which may be changed."""
    file = shutil.copy(patients, tmp_path / "patients.csv")

    def make(identifier: str = "p", **lattice: Any) -> Dataset:
        product = described(tmp_path, lattice={**LATTICE, "population": identifier, **lattice})
        product = product.model_copy(update={"identifier": identifier})
        return Dataset(product, digest(identifier), {"patients": Path(file)})

    return make


def another(clock: SettableClock, database: Database) -> Cubes:
    """Another process over the same database: nothing in memory."""
    return Cubes(database, b"k" * 32, clock)


def charged(database: Database, product: str = "p") -> dict[str, tuple[str, str | None]]:
    with database.reading() as session:
        return {row.measure: (row.state, row.data_digest) for row in store.charges(session, product)}


def grow(dataset: Dataset) -> None:
    """One person more."""
    with dataset.tables["patients"].open("a") as file:
        file.write("p-new,f,0,1,0\r\n")


def test_a_published_cube_answers_while_another_is_published(
    made: Cubes, world: World, database: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, new = world("known"), world("new")
    rows = answered(another(clock, database), known)
    begun, goes_on, draw = Event(), Event(), cubes.residuals

    def slow(*args: Any, **named: Any) -> Any:
        begun.set()
        assert goes_on.wait(FOREVER)
        return draw(*args, **named)

    monkeypatch.setattr(cubes, "residuals", slow)
    with ThreadPoolExecutor(2) as threads:
        publishing = threads.submit(made.published, new)
        try:
            assert begun.wait(FOREVER)
            for _ in ("read from the database", "kept in memory"):
                assert threads.submit(answered, made, known).result(FOREVER / 6) == rows
            assert not publishing.done()
        finally:
            goes_on.set()
        publishing.result(FOREVER)
    assert {state for state, _ in charged(database, "new").values()} == {PUBLISHED}


def test_whoever_asks_first_together_publishes_once(
    made: Cubes, world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, together, drawn, draw = world(), Barrier(4), list[str](), cubes.residuals
    monkeypatch.setattr(cubes, "residuals", lambda *args, **named: drawn.append(args[1]) or draw(*args, **named))

    def ask(_: int) -> Any:
        together.wait(FOREVER)
        return answered(made, dataset)

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(ask, range(4))
    assert others == [first] * 3
    assert (len(drawn), len(set(drawn)), len(charged(database))) == (MEASURES, MEASURES, MEASURES)
    assert len(made._publishing) == 0  # nothing is kept of who waited for whom


def test_files_that_change_while_a_cube_is_built_are_not_what_it_was_built_from(
    made: Cubes, world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, draw = world(), cubes.residuals
    before = dataset.tables["patients"].read_bytes()

    def changing(*args: Any, **named: Any) -> Any:
        grow(dataset)
        return draw(*args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(cubes, "residuals", changing)
        with pytest.raises(DataChanged, match="while its cube was built"):
            made.published(dataset)
    assert bodies(database) == {}
    assert len(charged(database)) == MEASURES  # which stays
    with pytest.raises(DataChanged, match="must publish a new version"):  # the version is held to what was read first
        made.published(dataset)
    dataset.tables["patients"].write_bytes(before)
    assert made.published(dataset).data_digest == dataset.fingerprint()
    assert set(charged(database).values()) == {(PUBLISHED, dataset.fingerprint())}


def test_a_cube_of_several_versions_files_names_all_of_them(
    made: Cubes, world: World, database: Database, clock: SettableClock
) -> None:
    """Cohorts by sex: women first, men with the second version, when there was one person more."""
    plain = {"attributes": LATTICE["attributes"][1:], "size": 1_000, "mincell": 50}
    first = world(**plain, cohorts={"column": "sex", "labels": ["f"]})
    alone = made.published(first)
    assert (alone.data_digest, "builtFrom" in alone.terms()) == (first.fingerprint(), False)
    read = first.fingerprint()
    grow(first)
    second = world(**plain, cohorts={"column": "sex", "labels": ["f", "m"]})
    second = replace(second, product=second.product.model_copy(update={"version": 2}), digest=digest("second"))
    both = sorted([read, second.fingerprint()])
    for cube in (made.published(second), another(clock, database).published(second)):
        assert (cube.terms()["builtFrom"], cube.data_digest) == (both, digest(both))
    second.tables["patients"].unlink()
    third = replace(second, product=second.product.model_copy(update={"version": 3}))
    assert made.published(third).data_digest == digest(both)  # nothing is left to publish, and nothing is read


def test_what_an_older_cube_was_built_from_is_what_its_version_was_held_to(
    made: Cubes, world: World, database: Database, clock: SettableClock
) -> None:
    dataset = world()
    made.published(dataset)
    with database.transaction() as session:
        for row in store.charges(session, "p"):
            row.data_digest = None
            session.add(row)
    assert another(clock, database).published(dataset).data_digest is None
    migration = import_module("sandbox.migrations.versions.0011_what_cubes_were_built_from")
    with database.transaction() as session:
        session.connection().execute(text(migration.KNOWN))
    assert another(clock, database).published(dataset).data_digest == dataset.fingerprint()


def test_an_answer_does_not_need_the_table_nor_look_at_it(
    patients: Path, tmp_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, folder = described(tmp_path), tmp_path / "tables"
    folder.mkdir()
    shutil.copy(patients, folder / "patients.csv")
    with open_bench(product, folder, tmp_path / "state", clock) as bench:
        first = bench.ask(QUERY)
        built_from = first.receipt["document"]["dataDigest"]
        assert str(built_from).startswith("sha256:")
        monkeypatch.setattr(datasets, "_content", lambda _: pytest.fail("looked at the table"))
        (folder / "patients.csv").unlink()
        again = bench.ask(QUERY)
    assert (again.rows, again.receipt["document"]["dataDigest"]) == (first.rows, built_from)
    (folder / "patients.csv").write_text("another file")
    with open_bench(product, folder, tmp_path / "state", clock) as bench:  # another process
        later = bench.ask(QUERY)
    assert (later.rows, later.receipt["document"]["dataDigest"]) == (first.rows, built_from)
