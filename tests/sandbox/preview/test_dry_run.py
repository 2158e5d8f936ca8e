"""A dry run promises what a run then keeps, and looks at no table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hexi.canonical import digest, encode
from hexi.cli import REFUSED
from hexi.database import Database
from privacy.lattice.answers import INTERVAL, answer
from sandbox.bench import dry_bench, open_bench, read_bench_product
from sandbox.cli import app
from sandbox.cubes.cubes import Cubes
from sandbox.cubes.queries import CubeQuery, Statistic
from sandbox.datasets import Dataset
from sandbox.lanes.chosen import Lanes
from sandbox.preview.dry_run import dry_run
from sandbox.preview.shown import show_dry_run
from sandbox.queries.query import PROGRAM_MODE, SQL_MODE, SUM_MODE
from sandbox.settings import SandboxSettings
from tests.builders import SettableClock
from tests.sandbox.builders import TABLES
from tests.sandbox.cubes.test_cubes import described, patients

__all__ = ["patients"]  # the fixture

QUERIES = [
    "SELECT count(*) FROM patients",
    "SELECT sex, count(*) AS n, sum(cost) FROM patients GROUP BY sex",
    "SELECT age_band, sex, sum(cost), sum(ill) FROM patients WHERE sex = 'f' GROUP BY age_band, sex",
    "SELECT count(*), sum(ill) FROM patients WHERE age IN ('0', '70')",
]


@pytest.mark.parametrize("query", QUERIES)
def test_the_error_foretold_is_the_error_of_the_answer(
    query: str, patients: Path, sqlite: Database, tmp_path: Path
) -> None:
    sqlite.migrate("sandbox")
    dataset = Dataset(described(tmp_path), digest("p"), {"patients": patients})
    found = dry_bench(dataset.product, SettableClock())(query)
    cubes = Cubes(sqlite, b"k" * 32, SettableClock())
    asked = cubes.review(dataset, query)
    assert isinstance(asked, CubeQuery)
    cells = answer(cubes.published(dataset).cube, asked.question, asked.moments)
    statistics = [column.item for column in asked.columns if isinstance(column.item, Statistic)]
    assert (found.verdict, found.cells, len(found.expected)) == ("admissible", len(cells.labels), len(cells.labels))
    assert [cell.labels for cell in found.expected] == cells.labels
    for place, item in enumerate(statistics):
        real = item.of(cells).sd
        told = [cell.half_widths[place] for cell in found.expected]
        assert np.allclose(told, INTERVAL * real, rtol=0.01)
        error = found.errors[place]
        assert np.allclose([error.smallest, error.largest], [real.min(), real.max()], rtol=0.01)
        assert (error.assumes, error.half_width) == ("", max(told))


def test_a_mean_is_foretold_within_what_was_assumed(patients: Path, sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    dataset = Dataset(described(tmp_path), digest("p"), {"patients": patients})
    query = "SELECT sex, avg(ill) FROM patients GROUP BY sex"
    found = dry_bench(dataset.product, SettableClock())(query)
    cubes = Cubes(sqlite, b"k" * 32, SettableClock())
    asked = cubes.review(dataset, query)
    assert isinstance(asked, CubeQuery)
    item = asked.columns[1].item
    assert isinstance(item, Statistic)
    real = item.of(answer(cubes.published(dataset).cube, asked.question, asked.moments)).sd
    assert "spread evenly" in found.errors[0].assumes
    assert 0.5 < found.errors[0].largest / real.max() < 2  # the people here are spread nearly evenly


REFUSED_QUERIES = [
    ("SELECT sex, age, avg(cost) FROM patients GROUP BY sex, age", "sandbox.table-not-released"),
    ("SELECT person, count(*) FROM patients GROUP BY person", "sandbox.singling-out"),
    ("SELECT * FROM patients", "sandbox.query-rows"),
    ("DROP TABLE patients", "sandbox.query-not-select"),
    ("SELECT count(*) FROM patients WHERE cost > 5", "sandbox.query-column-role"),
]


@pytest.mark.parametrize("query", [*QUERIES, *(query for query, _ in REFUSED_QUERIES), "x" * 100_000])
def test_the_verdict_is_that_of_a_run(query: str, patients: Path, tmp_path: Path) -> None:
    product = described(tmp_path)
    found = dry_bench(product, SettableClock())(query)
    with open_bench(product, patients.parent, None, SettableClock()) as bench:
        run = bench.ask(query)
    if run.verdict == "released":
        assert (found.verdict, found.query) == ("admissible", run.receipt and run.receipt["document"]["queryCanonical"])
    else:
        assert (found.verdict, found.reasons) == ("refused", run.reasons)


def lanes() -> Lanes:
    return Lanes(Database("sqlite://"), SandboxSettings(), None, b"", SettableClock())


def product_of(tmp_path: Path, **members: Any) -> Any:
    file = tmp_path / "product.json"
    described = {"identifier": "p", "version": 3, "tables": TABLES, "hasPersonalInformation": False, **members}
    file.write_bytes(encode(described))
    return read_bench_product(file)


def test_other_lanes_say_their_rules_and_their_time(tmp_path: Path) -> None:
    product = product_of(tmp_path, rows=50_000, disclosure={"minimumEntities": 12, "rounding": 6})
    nowhere = Dataset(product, "sha256:0", {"visits": tmp_path / "there is no such file.csv"})
    found = dry_run(lanes(), nowhere, "SELECT county, count(*) FROM visits GROUP BY county", SQL_MODE)
    assert (found.verdict, found.lane, found.run_time, found.cells) == ("admissible", "tables", "under 1 s", None)
    said = {rule.rule: rule.says for rule in found.rules}
    assert said.keys() == {"isolation", "minimum-entities", "rounding", "maximum-rows", "differencing"}
    assert "12" in said["minimum-entities"]
    assert "1 to 11" in said["differencing"]
    found = dry_run(lanes(), nowhere, "SELECT sum(cost) FROM visits", SUM_MODE)
    assert (found.verdict, found.lane) == ("admissible", "encrypted-sum")
    assert "encrypted" in {rule.rule for rule in found.rules}


def test_a_price_is_put_in_by_whoever_knows_the_listing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = dry_bench(described(tmp_path), SettableClock())(QUERIES[0])
    assert found.price is None
    show_dry_run(found.priced(3_800))
    assert "38.00 CNY a run" in capsys.readouterr().out
    assert found.priced(3_800).to_json()["price"] == {"amount": 3_800, "currency": "CNY"}


def test_a_program_is_told_that_people_look_first(tmp_path: Path) -> None:
    nowhere = Dataset(product_of(tmp_path), "sha256:0", {})
    found = dry_run(lanes(), nowhere, "import pandas", PROGRAM_MODE)
    assert (found.verdict, found.lane, found.query) == ("admissible", "programs", None)
    assert {rule.rule for rule in found.rules} == {"isolation", "declared-outputs", "airlock"}


@pytest.mark.parametrize(("rows", "words"), [(0, "not known"), (2_000_000, "under 10 s"), (10**8, "limit")])
def test_the_time_is_told_by_the_declared_rows(tmp_path: Path, rows: int, words: str) -> None:
    product = product_of(tmp_path, rows=rows)
    found = dry_bench(product, SettableClock())("SELECT count(*) FROM visits")
    assert words in found.run_time


def test_the_command_needs_no_tables(tmp_path: Path) -> None:
    described(tmp_path)
    words = ["try", "--product", str(tmp_path / "product.json"), "--dry-run"]
    said = CliRunner().invoke(app, [*words, "--query", QUERIES[1]])
    assert said.exit_code == 0
    assert "admissible in the lane lattice" in said.output
    refused = CliRunner().invoke(app, [*words, "--query", REFUSED_QUERIES[0][0], "--json"])
    assert refused.exit_code == REFUSED
    assert json.loads(refused.stdout)["reasons"][0]["code"] == "sandbox.table-not-released"
    stream = CliRunner().invoke(app, [*words, "--query", "-"], input=f'"{QUERIES[0]}"\n7\n')
    assert [json.loads(line)["verdict"] for line in stream.stdout.splitlines()] == ["admissible", "refused"]
    assert CliRunner().invoke(app, [*words[:3], "--query", QUERIES[0]]).exit_code != 0
