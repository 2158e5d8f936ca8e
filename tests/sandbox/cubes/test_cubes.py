"""A cube is published once, charged first, the same to the byte after any crash, and all that answers are made of."""

import csv
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hexi.canonical import digest, encode
from hexi.database import Database
from registry.catalogue import Product
from sandbox import store
from sandbox.bench import open_bench, read_bench_product
from sandbox.cli import app
from sandbox.cubes import cubes
from sandbox.cubes.cubes import CHARGED, PUBLISHED, Cubes, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.noise_key import noise_key
from sandbox.cubes.queries import CubeQuery, RegressionQuery
from sandbox.datasets import Dataset
from sandbox.errors import BudgetSpent, ProductUnusable
from tests.builders import SettableClock

PEOPLE = 2_000
AGES = [str(age) for age in range(0, 80, 10)]
LATTICE: dict[str, Any] = {
    "type": "lattice-policy",
    "entity": "person",
    "size": PEOPLE,
    "mincell": 200,
    "attributes": [
        {"name": "sex", "levels": [{"name": "sex", "labels": ["f", "m"]}]},
        {
            "name": "age_tree",
            "column": "age",
            "levels": [
                {"name": "age_band", "labels": ["young", "old"], "of": [0, 0, 0, 0, 1, 1, 1, 1]},
                {"name": "age", "labels": AGES},
            ],
        },
    ],
    "measures": [
        {"name": "cost", "family": "money", "range": [0, 1000], "square": True},
        {"name": "ill", "family": "health", "range": [0, 1]},
    ],
    "families": [{"name": "money", "mu": 1.0}, {"name": "health", "mu": 0.5}],
}
QUERY = "SELECT age_band, count(*) AS n, avg(cost), avg(ill) FROM patients GROUP BY age_band"


def described(folder: Path, *, version: int = 1, lattice: dict[str, Any] = LATTICE) -> Product:
    roles = {"person": "entity-key", "sex": "dimension", "age": "dimension", "cost": "measure", "ill": "measure"}
    columns = [{"name": name, "datatype": "string", "role": role} for name, role in roles.items()]
    table = {"name": "patients", "entityKey": "person", "columns": columns}
    file = folder / "product.json"
    file.write_bytes(encode({"identifier": "p", "version": version, "tables": [table], "lattice": lattice}))
    return read_bench_product(file)


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows a person, whose costs add up; one in a hundred has no cost at all."""
    path = tmp_path_factory.mktemp("lattice") / "patients.csv"
    drawn = np.random.default_rng(5)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "sex", "age", "cost", "ill"])
        for number in range(PEOPLE):
            fixed = [f"p{number}", "fm"[drawn.integers(2)], AGES[drawn.integers(8)]]
            ill = drawn.random() < 0.3
            writer.writerow([*fixed, round(float(drawn.uniform(0, 300)), 2) if number % 100 else "", int(ill)])
            writer.writerow([*fixed, round(float(drawn.uniform(0, 300)), 2) if number % 100 else "", 0])
    return path


@pytest.fixture
def world(
    database: Database, patients: Path, tmp_path: Path, clock: SettableClock
) -> Callable[..., tuple[Cubes, Dataset]]:
    database.migrate("sandbox")

    def make(version: int = 1, key: bytes = b"k" * 32, **lattice: Any) -> tuple[Cubes, Dataset]:
        product = described(tmp_path, version=version, lattice={**LATTICE, **lattice})
        return Cubes(database, key, clock), Dataset(product, digest("p"), {"patients": patients})

    return make


def bodies(database: Database) -> dict[tuple[str, str], bytes]:
    with database.reading() as session:
        return {(row.measure, row.component): row.body for row in store.lattice_tables(session, "p", 1)}


def answered(made: Cubes, dataset: Dataset, text: str = QUERY) -> list[tuple[Any, ...]]:
    query = read_query(text, made.plan(dataset), "patients")
    assert isinstance(query, CubeQuery), query
    return list(ask(made.published(dataset), query).rows)


def test_answers_are_close_to_the_truth_and_inside_their_intervals(world: Any, patients: Path) -> None:
    made, dataset = world()
    people: dict[str, dict[str, Any]] = {}
    with patients.open() as file:
        for row in csv.DictReader(file):
            one = people.setdefault(row["person"], {"old": int(row["age"]) >= 40, "cost": 0.0, "ill": 0})
            one["cost"] += float(row["cost"] or 0)
            one["ill"] += int(row["ill"])
    for band, n, n_low, n_high, cost, cost_low, cost_high, ill, ill_low, ill_high in answered(made, dataset):
        inside = [one for one in people.values() if one["old"] == (band == "old")]
        assert n == pytest.approx(len(inside), abs=60)
        assert cost == pytest.approx(sum(one["cost"] for one in inside) / len(inside), rel=0.15)
        assert ill == pytest.approx(sum(one["ill"] for one in inside) / len(inside), abs=0.1)
        assert n_low < n < n_high
        assert cost_low < cost < cost_high
        assert ill_low < ill < ill_high


def test_a_cube_is_published_once_and_read_from_then_on(
    world: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, dataset = world()
    first, kept = answered(made, dataset), bodies(database)
    monkeypatch.setattr(cubes, "residuals", lambda *_, **__: pytest.fail("drawn again"))
    again, _ = world()  # another process: nothing in memory
    assert answered(again, dataset) == first
    assert bodies(database) == kept


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("moment", range(8))
def test_a_crash_anywhere_leaves_the_charge_and_draws_the_same_noise(
    world: Any, database: Database, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Publishing has four measures, so eight moments: after each charge, and before each set of tables is kept."""
    reference, dataset = world()
    passed = iter(range(100))
    real_residuals, real_finish = cubes.residuals, store.finish_charge

    def dying(real: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if next(passed) == moment:
                raise Killed
            return real(*args, **named)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(cubes, "residuals", dying(real_residuals))
        patched.setattr(cubes.store, "finish_charge", dying(real_finish))
        with pytest.raises(Killed):
            reference.published(dataset)
    with database.reading() as session:
        charged = {row.measure: row.state for row in store.charges(session, "p")}
    assert CHARGED in charged.values()
    finished = bodies(database)
    after, _ = world()
    after.published(dataset)
    with database.reading() as session:
        rows = store.charges(session, "p")
    assert {row.state for row in rows} == {PUBLISHED}
    assert len(rows) == 4
    now = bodies(database)
    assert all(now[key] == body for key, body in finished.items())
    with database.transaction() as session:
        for row in [*store.charges(session, "p"), *store.lattice_tables(session, "p", 1)]:
            session.delete(row)
    fresh, _ = world()  # as if a backup from before had been restored
    fresh.published(dataset)
    assert bodies(database) == now


def test_versions_pay_from_one_cap(world: Any, database: Database) -> None:
    first, one = world(version=1)
    first.published(one)
    second, two = world(version=2)
    with pytest.raises(BudgetSpent, match="has given away a mu"):
        second.published(two)
    with database.reading() as session:
        assert {row.version for row in store.charges(session, "p")} == {1}
        assert store.lattice_tables(session, "p", 2) == []


def test_two_versions_fit_where_the_cap_says_so(world: Any, database: Database) -> None:
    families = [{"name": name, "mu": 0.5, "cap": 0.8} for name in ("money", "health", "membership")]
    for version in (1, 2):
        made, dataset = world(version=version, families=families)
        made.published(dataset)
    third, dataset = world(version=3, families=families)
    with pytest.raises(BudgetSpent):
        third.published(dataset)
    with database.reading() as session:
        spent = sum(Fraction(row.spent) for row in store.charges(session, "p") if row.family == "health")
    assert float(spent) ** 0.5 == pytest.approx(0.5 * 2**0.5, rel=1e-3)


def test_another_policy_for_a_published_version_is_refused(world: Any) -> None:
    made, dataset = world()
    made.published(dataset)
    other, changed = world(mincell=400)
    with pytest.raises(ProductUnusable, match="publish a new version"):
        other.published(changed)


def test_values_outside_the_domain_need_a_place(world: Any) -> None:
    lattice = [{"name": "sex", "levels": [{"name": "sex", "labels": ["f", "x"]}]}, LATTICE["attributes"][1]]
    made, dataset = world(attributes=lattice)
    with pytest.raises(ProductUnusable, match="sex has values outside its declared domain"):
        made.published(dataset)
    lattice[0] = {**lattice[0], "other": "x"}
    taken, dataset = world(version=2, attributes=lattice)
    rows = answered(taken, dataset, "SELECT sex, count(*) FROM patients GROUP BY sex")
    assert [row[0] for row in rows] == ["f", "x"]
    assert sum(row[1] for row in rows) == pytest.approx(PEOPLE, abs=60)


def test_having_order_and_limit_work_on_published_numbers(world: Any) -> None:
    made, dataset = world()
    every = answered(made, dataset, "SELECT age, count(*) FROM patients GROUP BY age")
    some = answered(
        made,
        dataset,
        "SELECT age, count(*) AS n FROM patients GROUP BY age HAVING count(*) > 250 ORDER BY n DESC LIMIT 2",
    )
    wanted = sorted((row for row in every if row[1] > 250), key=lambda row: -row[1])[:2]
    assert some == wanted


def test_a_regression_answers_with_a_row_for_each_term(world: Any) -> None:
    made, dataset = world()
    text = "SELECT linear_regression(ill, age_band, sex) FROM patients"
    query = read_query(text, made.plan(dataset), "patients")
    assert isinstance(query, RegressionQuery), query
    output = ask(made.published(dataset), query)
    assert output.columns == ("term", "coefficient", "coefficient_low", "coefficient_high")
    assert [row[0] for row in output.rows] == ["intercept", "age_band = old", "sex = m"]
    (_, intercept, low, high), *others = output.rows
    assert low < 0.3 < high  # three in ten are ill, whatever their age and sex
    assert all(abs(value) < 0.15 and low < value < high for _, value, low, high in others)
    assert intercept == pytest.approx(0.3, abs=0.1)


def test_two_hundred_repetitions_say_what_one_says(world: Any) -> None:
    made, dataset = world()
    query = read_query(QUERY, made.plan(dataset), "patients")
    assert isinstance(query, CubeQuery)
    first = ask(made.published(dataset), query)
    assert all(ask(made.published(dataset), query) == first for _ in range(200))


def test_the_bench_answers_from_the_cube_and_its_receipt_says_so(
    patients: Path, tmp_path: Path, clock: SettableClock
) -> None:
    product = described(tmp_path)
    with open_bench(product, patients.parent, tmp_path / "state", clock) as bench:
        answer = bench.ask(QUERY)
        refused = bench.ask("SELECT age, sex, avg(ill) FROM patients GROUP BY age, sex")
    assert answer.verdict == "released"
    assert answer.columns[:4] == ("age_band", "n", "n_low", "n_high")
    disclosure = answer.receipt["document"]["disclosure"]
    assert disclosure["lane"] == "lattice"
    assert {one["family"]: one["mu"] for one in disclosure["budget"]} == {
        "health": "0.500000",
        "membership": "1.000000",
        "money": "1.000000",
    }
    assert answer.receipt["document"]["isolation"] is None
    assert [reason.code for reason in refused.reasons] == ["sandbox.table-not-released"]
    with open_bench(product, patients.parent, tmp_path / "state", clock) as bench:
        assert bench.ask(QUERY).rows == answer.rows


def test_the_noise_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = noise_key(tmp_path / "home")
    assert len(key) == 32
    assert noise_key(tmp_path / "home") == key
    assert (tmp_path / "home" / "lattice.key").stat().st_mode & 0o077 == 0


def test_the_command_line_shows_intervals_beside_numbers_and_the_gate_before_signing(
    patients: Path, tmp_path: Path
) -> None:
    described(tmp_path)
    product = ["--product", str(tmp_path / "product.json")]
    asked = CliRunner().invoke(app, ["try", *product, "--tables", str(patients.parent), "--query", QUERY])
    assert asked.exit_code == 0, asked.output
    assert "avg_cost_low" not in asked.output
    assert re.search(r"old .* [\d.]+ \[[\d.]+; [\d.]+\]", asked.output)
    told = json.loads(CliRunner().invoke(app, ["explain", *product, "--json"]).output)
    declared = {one["family"]: one for one in told["exposures"] if one["profile"] == "as declared"}
    assert declared["health"]["insiderAccuracy"] == pytest.approx(0.5987, abs=1e-4)  # Phi(0.5 / 2)
    assert {one["profile"] for one in told["exposures"]} == {"as declared", "strict", "standard", "utility"}
    shown = CliRunner().invoke(app, ["explain", *product])
    assert "59.9 %" in shown.output
