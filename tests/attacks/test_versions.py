"""Attacks by asking twice where the answers might not be compared: of the next version, or of another product."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import encode, system_clock
from registry.catalogue import Product
from sandbox.bench import open_bench, read_bench_product
from tests.attacks.clinic import COLUMNS, CONTROLLED, clinic
from tests.attacks.scoreboard import BOARD, REFUSED, THROUGH

ALL, YOUNG = "SELECT sum(cost) FROM patients", "SELECT sum(cost) FROM patients WHERE age IN ('0', '10')"
BY_COUNTY = "SELECT county, sum(cost) FROM patients GROUP BY county"


@contextmanager
def counted(door: str, attack: str) -> Iterator[None]:
    """One case on the board: it was refused, or came through."""
    outcome = REFUSED
    try:
        yield
    except AssertionError:
        outcome = THROUGH
        raise
    finally:
        BOARD.count(door, attack, outcome)


def product(folder: Path, lane: str, identifier: str = "p", version: int = 1, **policy: Any) -> Product:
    columns = [{"name": name, **described} for name, described in COLUMNS.items()]
    described: dict[str, Any] = {
        "identifier": identifier,
        "version": version,
        "tables": [{"name": "patients", "entityKey": "person", "columns": columns}],
        "disclosure": {"minimumIsolation": 0},
    }
    if lane == "table":
        described["hasPersonalInformation"] = False  # the lane of what is counted like persons, and is none
    else:
        described["controlled"] = {**CONTROLLED, **policy}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product.json").write_bytes(encode(described))
    return read_bench_product(folder / "product.json")


def codes(described: Product, tables: Path, state: Path, *queries: str) -> list[str]:
    """What came of the queries: a verdict, or the code of a refusal."""
    with open_bench(described, tables, state, system_clock) as bench:
        answers = [bench.ask(query) for query in queries]
    return [answer.reasons[0].code if answer.reasons else answer.verdict for answer in answers]


@pytest.mark.parametrize("lane", ["table", "controlled"])
@pytest.mark.parametrize("sorted_anew", [False, True])
def test_a_record_corrected_in_place_in_the_next_version(tmp_path: Path, lane: str, *, sorted_anew: bool) -> None:
    clinic(tmp_path / "1")
    clinic(tmp_path / "2")
    file = tmp_path / "2" / "patients.csv"
    with file.open(newline="") as opened:
        header, *rows = csv.reader(opened)
    corrected = [[*row[:4], "999", *row[5:]] if row[0] == "P0007" else row for row in rows]
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *(reversed(corrected) if sorted_anew else corrected)])
    state = tmp_path / "state"
    assert codes(product(tmp_path / "d1", lane), tmp_path / "1", state, ALL) == ["released"]
    with counted(lane, "Q17 a record corrected in the next version"):
        second = product(tmp_path / "d2", lane, version=2)
        assert codes(second, tmp_path / "2", state, ALL) == ["sandbox.too-close-to-earlier"]


def test_a_version_in_another_order_is_no_other_data(tmp_path: Path) -> None:
    clinic(tmp_path / "1")
    clinic(tmp_path / "2")
    file = tmp_path / "2" / "patients.csv"
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(lines)]) + "\n")
    for version in (1, 2):
        described = product(tmp_path / f"d{version}", "table", version=version)
        assert codes(described, tmp_path / f"{version}", tmp_path / "state", ALL, YOUNG) == ["released", "released"]


@pytest.mark.parametrize("lanes", [("controlled", "controlled"), ("table", "table"), ("table", "controlled")])
def test_the_same_people_in_another_product(tmp_path: Path, lanes: tuple[str, str]) -> None:
    """One patient is in one of them only; the other product calls itself another name, and has its own counts."""
    clinic(tmp_path / "1")
    clinic(tmp_path / "2", without=7)
    state = tmp_path / "state"
    first, second = (product(tmp_path / f"{name}", lane, name) for name, lane in zip("ab", lanes, strict=True))
    assert codes(first, tmp_path / "1", state, ALL, BY_COUNTY) == ["released", "released"]
    for query in (ALL, BY_COUNTY):
        with counted(lanes[1], "Q12 the same people through another product"):
            assert codes(second, tmp_path / "2", state, query) == ["sandbox.too-close-to-earlier"]


def test_products_about_others_and_honest_ones_about_the_same_are_answered(tmp_path: Path) -> None:
    clinic(tmp_path / "1")
    clinic(tmp_path / "2", without=7)
    state = tmp_path / "state"
    assert codes(product(tmp_path / "a", "controlled", "a"), tmp_path / "1", state, ALL) == ["released"]
    same = product(tmp_path / "b", "controlled", "b")
    assert codes(same, tmp_path / "1", state, ALL, BY_COUNTY) == ["released", "released"]
    # Whoever knows that these are other people says so, under a name of its own.
    others = product(tmp_path / "c", "controlled", "c", population="another town")
    assert codes(others, tmp_path / "2", state, ALL) == ["released"]
