"""Cohorts are published once and never again, and products about the same people pay from one ledger."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hexi.canonical import digest, encode
from hexi.database import Database
from sandbox import store
from sandbox.bench import read_bench_product
from sandbox.cli import app
from sandbox.cubes.cubes import Cubes, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery
from sandbox.datasets import Dataset
from sandbox.errors import BudgetSpent, ProductUnusable
from tests.builders import SettableClock

PEOPLE = 3_000
YEARS = ("2024", "2025", "2026")
LATTICE: dict[str, Any] = {
    "type": "lattice-policy",
    "entity": "person",
    "size": PEOPLE,
    "attributes": [{"name": "sex", "levels": [{"name": "sex", "labels": ["f", "m"]}]}],
    "measures": [{"name": "ill", "family": "health", "range": [0, 1]}],
    "families": [{"name": "health", "mu": 0.5}],
}

World = Callable[..., tuple[Cubes, Dataset]]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand people a year, by the year they came in; every tenth has a row of a later year as well."""
    path = tmp_path_factory.mktemp("visits") / "visits.csv"
    drawn = np.random.default_rng(5)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "sex", "year", "ill"])
        for number in range(PEOPLE):
            sex, year = "fm"[drawn.integers(2)], number * len(YEARS) // PEOPLE
            writer.writerow([f"p{number}", sex, YEARS[year], int(drawn.random() < 0.3)])
            if number % 10 == 0:
                writer.writerow([f"p{number}", sex, YEARS[-1], 0])
    return path


@pytest.fixture
def world(database: Database, visits: Path, tmp_path: Path, clock: SettableClock) -> World:
    database.migrate("sandbox")

    def make(identifier: str = "p", version: int = 1, **lattice: Any) -> tuple[Cubes, Dataset]:
        columns = [{"name": "person", "datatype": "string", "role": "entity-key"}]
        table = {"name": "visits", "entityKey": "person", "columns": columns}
        described = {"identifier": identifier, "version": version, "tables": [table], "lattice": {**LATTICE, **lattice}}
        (tmp_path / "product.json").write_bytes(encode(described))
        product = read_bench_product(tmp_path / "product.json")
        return Cubes(database, b"k" * 32, clock), Dataset(product, digest(described), {"visits": visits})

    return make


def cohorts(*labels: str) -> dict[str, Any]:
    return {"size": 1_000, "cohorts": {"column": "year", "labels": list(labels)}}


def counted(made: Cubes, dataset: Dataset) -> tuple[float, float]:
    """How many people there are by the cube, and half the width of the interval."""
    query = read_query("SELECT count(*) FROM visits", made.plan(dataset), "visits")
    assert isinstance(query, CubeQuery), query
    ((value, low, high),) = ask(made.published(dataset), query).rows
    return float(value), (float(high) - float(low)) / 2  # type: ignore[arg-type]


def bodies(database: Database) -> dict[tuple[int, str, str], bytes]:
    with database.reading() as session:
        rows = [row for number in (1, 2, -1, -2, -3) for row in store.lattice_tables(session, "p", number)]
        return {(row.version, row.measure, row.component): row.body for row in rows}


def test_a_new_cohort_is_added_and_the_others_stay_as_they_were(world: World, database: Database) -> None:
    first, one = world(**cohorts("2024"))
    people, error = counted(first, one)
    assert people == pytest.approx(1_000, abs=30)
    before = bodies(database)
    second, two = world(version=2, **cohorts("2024", "2025", "2026"))
    whole, wider = counted(second, two)
    assert whole == pytest.approx(PEOPLE, abs=50)
    assert wider == pytest.approx(error * 3**0.5, rel=0.1)  # three cubes have three noises
    after = bodies(database)
    assert {key: after[key] for key in before} == before
    assert {version for version, *_ in after} == {-1, -2, -3}
    # Nobody pays twice: each cohort took the whole budget, and a fourth version with all of them takes nothing.
    with database.reading() as session:
        charges = len(store.charges(session, "p"))
    third, three = world(version=3, **cohorts("2024", "2025", "2026"))
    assert counted(third, three)[0] == whole
    with database.reading() as session:
        assert len(store.charges(session, "p")) == charges


def test_everybody_is_in_the_cohort_they_came_with(world: World) -> None:
    # A tenth of the first two years' people have rows of the last year too.
    made, dataset = world(**cohorts("2026"))
    assert counted(made, dataset)[0] == pytest.approx(1_000, abs=30)


@pytest.mark.parametrize("labels", [("2025", "2024"), ("2025",)])
def test_cohorts_are_only_appended(world: World, labels: tuple[str, ...]) -> None:
    first, one = world(**cohorts("2024", "2025"))
    first.published(one)
    second, two = world(version=2, **cohorts(*labels))
    with pytest.raises(ProductUnusable, match="append new ones only"):
        second.published(two)


def test_a_cohort_is_not_measured_again_under_another_policy(world: World) -> None:
    first, one = world(**cohorts("2024"))
    first.published(one)
    second, two = world(version=2, **cohorts("2024", "2025"), mincell=200)
    with pytest.raises(ProductUnusable, match="another lattice policy"):
        second.published(two)


def test_a_second_product_about_the_same_people_has_no_second_budget(world: World, database: Database) -> None:
    first, one = world("p")
    first.published(one)
    second, two = world("q")
    with pytest.raises(BudgetSpent, match=r"\(p, q\)"):
        second.published(two)
    with database.reading() as session:
        # Not even the counts, whose ledger is the product's own: everything is charged, or nothing is.
        assert store.lattice_tables(session, "q", 1) == []
        assert store.charges(session, "q") == []


def test_the_register_is_shown(world: World, database_url: str) -> None:
    first, one = world("p", population="visitors of Ning")
    first.published(one)
    shown = CliRunner().invoke(app, ["register", "--database", database_url, "--json"])
    assert shown.exit_code == 0, shown.output
    assert [
        (one["population"], one["family"], round(one["mu"], 3), one["cap"]) for one in json.loads(shown.output)
    ] == [
        ("visitors of Ning", "health", 0.5, 0.5),
        ("visitors of Ning", "membership", 1.0, 1.0),
    ]
    assert "visitors of Ning" in CliRunner().invoke(app, ["register", "--database", database_url]).output
    assert CliRunner().invoke(app, ["register"]).exit_code == 2


def test_other_people_have_their_own_ledger_where_the_policy_says_so(world: World) -> None:
    for identifier, population in (("p", ""), ("q", "visitors of Ning"), ("r", "visitors of Huan")):
        made, dataset = world(identifier, population=population)
        made.published(dataset)
    again, dataset = world("s", population="visitors of Ning")
    with pytest.raises(BudgetSpent):
        again.published(dataset)


def test_a_column_does_not_change_its_family_between_products(world: World) -> None:
    first, one = world("p")
    first.published(one)
    measures = [{"name": "sick", "column": "ill", "family": "other", "range": [0, 1]}]
    second, two = world("q", measures=measures, families=[{"name": "other", "mu": 0.5}])
    with pytest.raises(ProductUnusable, match="the column ill is published by p under the family health"):
        second.published(two)
