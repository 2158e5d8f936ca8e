"""Attacks by queries that are allowed, and what all their answers together give away, at the lattice's SQL door.

`benchmarks/reconstruction.py` does the same with ten thousand queries, stronger attackers and other sizes.
"""

import csv
from collections.abc import Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hexi.canonical import encode, parse, system_clock
from hexi.database import Database
from registry.catalogue import Product
from sandbox.bench import Bench, read_bench_product
from sandbox.cubes.cubes import Cubes
from sandbox.datasets import Dataset
from sandbox.errors import BudgetSpent, ProductUnusable
from tests.attacks.clinic import AGES, COUNTIES, LABELLED, LATTICE, PEOPLE, Clinic, clinic
from tests.attacks.scoreboard import BOARD, HARMLESS, THROUGH

DOOR = "lattice"
NOTHING: Mapping[str, Any] = MappingProxyType({})
# Points over the guess that everything published may give away to whoever does not know the others' secrets, and the
# standard error of one population of two thousand: sqrt(0.25 / 2000).
ALLOWED, SAMPLING = 5.0, 100 * (0.25 / PEOPLE) ** 0.5


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    return clinic(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module")
def bench(patients: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with patients.bench(DOOR, tmp_path_factory.mktemp("state")) as bench:
        yield bench


def counted(attack: str, *, harmless: bool, points: float | None = None) -> None:
    """Count it on the board, and fail if it came through."""
    BOARD.count(DOOR, attack, HARMLESS if harmless else THROUGH, points)
    assert harmless, f"{attack}: {points}"


def conditions(rng: np.random.Generator, patients: Clinic) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Conditions on two attributes at most, and who they are about."""
    while True:
        ages, counties = rng.random(len(AGES)) < 0.5, rng.random(len(COUNTIES)) < 0.5
        texts, inside = [], np.ones(PEOPLE, dtype=bool)
        for column, domain, chosen in (("age", AGES, ages), ("county", COUNTIES, counties)):
            if 0 < chosen.sum() < len(domain) and rng.random() < 0.7:
                listed = ", ".join(f"'{label}'" for label, is_in in zip(domain, chosen, strict=True) if is_in)
                texts.append(f"{column} IN ({listed})")
                inside &= chosen[patients.codes[column]]
        if texts:
            yield " AND ".join(texts), inside


def gained(patients: Clinic, guess: NDArray[np.float64]) -> float:
    """Points over guessing, where half are ill."""
    return 100 * (float(np.mean((guess > 0.5) == (patients.ill > 0))) - 0.5)


def test_q2_four_hundred_allowed_queries_reconstruct_next_to_nothing(bench: Bench, patients: Clinic) -> None:
    rows, told, error = [], [], []
    for text, inside in islice(conditions(np.random.default_rng(1), patients), 400):
        answer = bench.ask(f"SELECT sum(ill) FROM patients WHERE {text}")
        for value, low, high in answer.rows:
            rows.append(inside)
            told.append(value)
            error.append(((high - low) / 4) ** 2)  # type: ignore[operator]
    design = np.array(rows, dtype=float)
    assert len(design) > 100  # there is something to decode
    gram = 0.25 * design @ design.T + np.diag(error)
    guess = 0.5 + 0.25 * design.T @ np.linalg.solve(gram, np.array(told) - design @ np.full(PEOPLE, 0.5))
    points = gained(patients, guess)
    counted("Q2 reconstruction by allowed queries", harmless=points <= ALLOWED + 3 * SAMPLING, points=points)


def test_q2_a_secret_in_where_reconstructs_next_to_nothing(patients: Clinic, tmp_path: Path) -> None:
    """The illness stands in WHERE itself, as one label and as the other, among all the sets that conditions make."""
    rows, told, error = [], [], []
    with patients.bench(DOOR, tmp_path, LABELLED) as bench:
        for number, (text, inside) in enumerate(islice(conditions(np.random.default_rng(5), patients), 400)):
            label = number % 2
            for value, low, high in bench.ask(f"SELECT count(*) FROM patients WHERE {text} AND ill = {label}").rows:
                rows.append(inside)
                told.append(float(value) if label else inside.sum() - float(value))  # type: ignore[arg-type]
                error.append(((high - low) / 4) ** 2)  # type: ignore[operator]
    design = np.array(rows, dtype=float)
    assert len(design) > 100
    gram = 0.25 * design @ design.T + np.diag(error)
    guess = 0.5 + 0.25 * design.T @ np.linalg.solve(gram, np.array(told) - design @ np.full(PEOPLE, 0.5))
    points = gained(patients, guess)
    counted("Q2 reconstruction with the secret in WHERE", harmless=points <= ALLOWED + 3 * SAMPLING, points=points)


def test_q3_no_cell_by_a_secret_s_labels_singles_anybody_out(patients: Clinic, tmp_path: Path) -> None:
    shown: list[float] = []
    with patients.bench(DOOR, tmp_path, LABELLED) as bench:
        for levels in ("ill", "ill, sex", "ill, age", "ill, county", "ill, age_band, sex", "ill, age, county, sex"):
            answer = bench.ask(f"SELECT {levels}, count(*) FROM patients GROUP BY {levels}")
            shown += [float(row[-1] - row[-2]) for row in answer.rows]  # type: ignore[operator]
    # Nowhere is the interval so narrow that one person more or less would show.
    counted("Q3 singling out by a secret's labels", harmless=len(shown) > 10 and min(shown) > 10, points=None)


def test_q1_differences_of_allowed_answers_are_worth_their_noise(bench: Bench, patients: Clinic) -> None:
    right = []
    for county, sex in product(COUNTIES, "fm"):
        inside = (patients.codes["county"] == COUNTIES.index(county)) & (patients.codes["sex"] == "fm".index(sex))
        whole = bench.ask(f"SELECT sum(ill) FROM patients WHERE county = '{county}'").rows
        rest = bench.ask(f"SELECT sum(ill) FROM patients WHERE county = '{county}' AND sex <> '{sex}'").rows
        inferred = float(whole[0][0]) - float(rest[0][0])  # type: ignore[arg-type]
        right += [(inferred > inside.sum() / 2) == bool(ill) for ill in patients.ill[inside]]
    points = 100 * (float(np.mean(right)) - 0.5)
    counted("Q1 differences of allowed answers", harmless=points <= ALLOWED + 3 * SAMPLING, points=points)


def test_q11_repetitions_and_rewritings_say_what_one_says(bench: Bench) -> None:
    spellings = [
        "SELECT sum(ill) FROM patients WHERE age_band = 'young' AND sex = 'f'",
        "SELECT sum(ill) FROM patients WHERE sex = 'f' AND age IN ('0', '10', '20', '30')",
        "SELECT sum(ill) FROM patients WHERE NOT (sex <> 'f') AND age < '40'",
        "SELECT sum(ill) FROM patients p WHERE p.sex IN ('f') AND p.age BETWEEN '0' AND '30'",
    ]
    answers = {bench.ask(text).rows for text in spellings for _ in range(25)}
    counted("Q11 averaging over repetitions", harmless=len(answers) == 1)


def test_q12_asked_anew_by_whomever_the_numbers_are_the_same(patients: Clinic, tmp_path: Path) -> None:
    # The cube is the product's: who asks is no input of it, nor is the process that is asked.
    text, seen = "SELECT age, sum(ill) FROM patients GROUP BY age", set()
    for _ in range(2):
        with patients.bench(DOOR, tmp_path) as bench:
            seen.add(bench.ask(text).rows)
    counted("Q12 budgets that do not add up over askings", harmless=len(seen) == 1)


def test_q13_no_decision_says_whether_somebody_is_there(bench: Bench, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    texts = [
        f"SELECT {', '.join([*levels, number])} FROM patients" + (f" GROUP BY {', '.join(levels)}" if levels else "")
        for levels in ([], ["sex"], ["age"], ["age", "county"], ["age", "county", "sex"], ["age_band", "sex"])
        for number in ("count(*)", "avg(ill)", "avg(cost)", "min(ill)")
    ]
    differing = 0
    without = clinic(tmp_path / "tables", without=int(rng.integers(PEOPLE)))
    with without.bench(DOOR, tmp_path / "state") as other:
        for text in texts:
            decided = [
                (answer.verdict, tuple(reason.message for reason in answer.reasons))
                for answer in (bench.ask(text), other.ask(text))
            ]
            differing += decided[0] != decided[1]
    counted("Q13 refusals that say who is there", harmless=differing == 0)


def test_q17_a_second_version_has_no_second_budget(patients: Clinic, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    cubes, refused = Cubes(database, b"k" * 32, system_clock), False
    with patients.bench(DOOR, tmp_path / "state"):
        pass
    for version in (1, 2):
        product = _product(tmp_path / "state" / "product.json", version)
        dataset = Dataset(product, f"digest {version}", {"patients": patients.folder / "patients.csv"})
        try:
            cubes.published(dataset)
        except BudgetSpent:
            refused = version == 2
    database.dispose()
    counted("Q17 the same question to the next version", harmless=refused)


def test_q17_another_product_about_the_same_people_has_no_second_budget(patients: Clinic, tmp_path: Path) -> None:
    """The same secret once more, in a product of another name, and under another family's name."""
    database = Database(f"sqlite:///{tmp_path / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    cubes, came = Cubes(database, b"k" * 32, system_clock), []
    renamed = {"measures": [{"name": "sick", "column": "ill", "family": "wellbeing", "range": [0, 1]}]}
    renamed["families"] = [{"name": "wellbeing", "mu": 0.33}]
    with patients.bench(DOOR, tmp_path / "state"):
        pass
    for identifier, changes in (("p", {}), ("q", {}), ("r", renamed)):
        product = _product(tmp_path / "state" / "product.json", 1, identifier, changes)
        try:
            cubes.published(Dataset(product, f"digest {identifier}", {"patients": patients.folder / "patients.csv"}))
            came.append(identifier)
        except (BudgetSpent, ProductUnusable):
            pass
    database.dispose()
    counted("Q17 the same question to another product", harmless=came == ["p"])


def test_q18_a_group_that_is_wholly_ill_is_not_told_from_one_that_is_not(patients: Clinic, tmp_path: Path) -> None:
    # Everybody of one age is ill. The interval still leaves room for some who are not.
    struck = patients.codes["age"] == 0
    patients.ill[struck], before = 1, patients.ill[struck].copy()
    try:
        again = _rewritten(patients, tmp_path / "tables")
        with again.bench(DOOR, tmp_path / "state") as bench:
            ((_, people, *_, low, high),) = [
                row
                for row in bench.ask("SELECT age, count(*), sum(ill) FROM patients GROUP BY age").rows
                if row[0] == "0"
            ]
    finally:
        patients.ill[struck] = before
    spread = float(high) - float(low)  # type: ignore[arg-type]
    counted("Q18 groups of one class", harmless=spread >= 10 and float(people) > 0)  # type: ignore[arg-type]


def _product(path: Path, version: int, identifier: str = "p", changes: Mapping[str, Any] = NOTHING) -> Product:
    described = parse(path.read_bytes()) | {"version": version, "identifier": identifier}
    described["lattice"] = LATTICE | dict(changes)
    path.write_bytes(encode(described))
    return read_bench_product(path)


def _rewritten(patients: Clinic, folder: Path) -> Clinic:
    """The same table with the illnesses as they are now."""
    folder.mkdir(parents=True)
    with (patients.folder / "patients.csv").open() as source, (folder / "patients.csv").open("w", newline="") as target:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, rows.fieldnames or ())
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow(row | {"ill": int(patients.ill[i])})
    return Clinic(folder, patients.codes, patients.ill, patients.cost)
