"""Attacks on the controlled lane by asking for the same records in another shape: two answers, of the same people or of
nearly all, whose difference is of two. Every pair of questions is asked in both orders.

Two patients have a visit in ward y, and all who visited were in ward x as well.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hexi.canonical import system_clock
from sandbox.bench import Bench, open_bench
from tests.attacks.scoreboard import BLOCKED, BOARD, REFUSED, THROUGH
from tests.sandbox.controlled.builders import CLINIC, POLICY, clinic_product, write_clinic

LITERALS = {"literals": [*POLICY["literals"], "visits.ward"]}
# All but what two people have in ward y.
MOST = "v.ward = 'x' OR p.county <> 'Zhengning'"
VISITS, VISITED = "visits v JOIN patients p ON v.patient = p.person", "patients p JOIN visits v ON v.patient = p.person"
GROUPED = "(SELECT patient, {} AS s FROM visits{} GROUP BY patient) t"
PAIRS = {
    "a sum of sums, and one without a few records": (
        f"SELECT sum(s) FROM {GROUPED.format('sum(price)', '')}",
        f"SELECT sum(v.price) FROM {VISITS} WHERE {MOST}",
    ),
    "a sum, and a sum of sums without a few records": (
        "SELECT sum(price) FROM visits",
        f"SELECT sum(s) FROM {GROUPED.format('sum(price)', chr(32) + 'WHERE ward = ' + chr(39) + 'x' + chr(39))}",
    ),
    "a count of records, and the sum of everybody's": (
        "SELECT count(*) FROM visits",
        f"SELECT sum(n) FROM (SELECT v.patient, count(*) AS n FROM {VISITS} WHERE {MOST} GROUP BY v.patient) t",
    ),
    "a count of records, and of the same joined": (
        "SELECT count(*) FROM visits",
        f"SELECT count(*) FROM {VISITS} WHERE {MOST}",
    ),
    "two tables joined one way round, and the other": (
        f"SELECT count(*) FROM {VISITED}",
        f"SELECT count(*) FROM {VISITS} WHERE {MOST}",
    ),
    "rows of two tables, and of three": (
        f"SELECT count(*) FROM {VISITED}",
        f"SELECT count(*) FROM {VISITED} JOIN (SELECT person, max(cost) AS c FROM patients GROUP BY person) q "
        f"ON q.person = p.person WHERE {MOST}",
    ),
    "what everybody has, and the most of it": (
        "SELECT sum(price) FROM visits",
        f"SELECT sum(s) FROM {GROUPED.format('max(price)', '')}",
    ),
    "what everybody has, and its mean": (
        "SELECT sum(price) FROM visits",
        f"SELECT sum(s) FROM {GROUPED.format('avg(price)', '')}",
    ),
}
# Each shows hundreds of people, and adds something of two to what is known of the others.
PADDED = {
    "sums of two tables united": "SELECT sum(x) FROM (SELECT cost AS x FROM patients UNION ALL "
    "SELECT price AS x FROM visits WHERE ward = 'y') t",
    "rows of two tables united": "SELECT count(*) FROM (SELECT person FROM patients UNION ALL "
    "SELECT patient FROM visits WHERE ward = 'y') t",
    "rows joined to a few": "SELECT count(*) FROM patients p LEFT JOIN (SELECT patient FROM visits WHERE ward = 'y') z "
    "ON p.person = z.patient",
}


@contextmanager
def counted(attack: str, outcome: str) -> Iterator[None]:
    """One case on the board: it came to `outcome`, or through."""
    try:
        yield
    except AssertionError:
        outcome = THROUGH
        raise
    finally:
        BOARD.count("controlled", attack, outcome)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_clinic(folder)
    with (folder / "visits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in CLINIC[1]["columns"]])
        for i in range(1, 400):
            writer.writerow([f"P{i:03d}", "x", "D1", 1 + i % 90])
            if i in {2, 3}:
                writer.writerow([f"P{i:03d}", "y", "D1", 37])
    return folder


@pytest.fixture
def clinic(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # One range for all money, so that it may stand under each other.
    monkeypatch.setitem(CLINIC[0]["columns"][5], "range", [0, 100])
    with open_bench(clinic_product(tmp_path, policy=LITERALS), tables, None, system_clock) as bench:
        yield bench


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shapes", PAIRS)
def test_q1_the_same_records_in_another_shape(clinic: Bench, shapes: str, turned: bool) -> None:
    one, other = reversed(PAIRS[shapes]) if turned else PAIRS[shapes]
    assert clinic.ask(one).verdict == "released"
    with counted(f"Q1 {shapes}", REFUSED):
        assert [reason.code for reason in clinic.ask(other).reasons] == ["sandbox.too-close-to-earlier"]


@pytest.mark.parametrize("way", PADDED)
def test_q5_a_few_among_many_of_another_table(clinic: Bench, way: str) -> None:
    with counted(f"Q5 {way}", BLOCKED):
        assert clinic.ask(PADDED[way]).rows == ()


HONEST = (
    "SELECT sum(price) FROM visits",
    "SELECT count(*), avg(price) FROM visits",
    f"SELECT p.sex, count(*), sum(v.price) FROM {VISITED} GROUP BY p.sex",
    f"SELECT sum(s) FROM {GROUPED.format('sum(price)', '')}",
    "SELECT sum(x) FROM (SELECT cost AS x FROM patients UNION ALL SELECT price AS x FROM visits) t",
)


def test_honest_questions_in_many_shapes_are_answered_after_each_other(clinic: Bench) -> None:
    for query in HONEST:
        answer = clinic.ask(query)
        assert (answer.verdict, answer.rows != ()) == ("released", True), query


def test_rows_of_two_tables_are_counted_together(clinic: Bench) -> None:
    answer = clinic.ask("SELECT count(*) FROM (SELECT person FROM patients UNION ALL SELECT patient FROM visits) t")
    assert answer.verdict == "released", answer.reasons
    assert answer.rows[0][0] > 750
