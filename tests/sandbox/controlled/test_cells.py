"""Cells over persons against the same written by hand: who is counted, how often, and what each adds."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.catalogue import Product
from sandbox.controlled.questions import Question, review
from sandbox.outputs import read_cells
from sandbox.queries.query import SQL_MODE
from tests.sandbox.controlled.builders import clinic_product

PATIENTS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C", "D", None]),
        st.sampled_from(["Huan", "Ning", "elsewhere", None]),
        st.sampled_from(["f", "m"]),
        st.sampled_from(["0", "10", "5000", "-3", "much", None]),
    ),
    max_size=8,
)
VISITS = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C", "E", None]), st.sampled_from(["1", "50", None])), max_size=8
)

# What is asked, and of every row that it is about the entity, the group, the value and which record the value is of,
# written by hand over clean tables. However often a join repeats a record, in a cell it adds its value once.
SHAPES: dict[str, tuple[str, str]] = {
    "one table": (
        "SELECT county, sum(cost) FROM patients GROUP BY county",
        "SELECT person, county, cost, n FROM p",
    ),
    "a condition": (
        "SELECT county, sum(cost) FROM patients WHERE sex = 'f' GROUP BY county",
        "SELECT person, county, cost, n FROM p WHERE sex = 'f'",
    ),
    "joined with visits": (
        "SELECT p.county, sum(v.price) FROM visits v JOIN patients p ON v.patient = p.person GROUP BY p.county",
        "SELECT person, county, price, v.n FROM p JOIN v ON person = patient",
    ),
    "with and without visits": (
        "SELECT p.county, sum(v.price) FROM patients p LEFT JOIN visits v ON v.patient = p.person GROUP BY p.county",
        "SELECT person, county, price, v.n FROM p LEFT JOIN v ON person = patient",
    ),
    "joined with regions": (
        "SELECT r.region, sum(p.cost) FROM regions r JOIN patients p ON r.county = p.county GROUP BY r.region",
        "SELECT person, CASE WHEN county IN ('Heshui', 'Huan') THEN 'north' ELSE 'south' END, cost, n FROM p "
        "WHERE county IS NOT NULL",
    ),
    "totals of each": (
        "WITH t AS (SELECT patient, sum(price) AS total FROM visits GROUP BY patient) "
        "SELECT p.sex, sum(t.total) FROM patients p JOIN t ON p.person = t.patient GROUP BY p.sex",
        "SELECT person, sex, total, patient FROM p "
        "JOIN (SELECT patient, sum(price) AS total FROM v GROUP BY patient) ON person = patient",
    ),
    "patients as often as they have visits": (
        "SELECT v.ward, sum(p.cost) FROM patients p JOIN visits v ON v.patient = p.person GROUP BY v.ward",
        "SELECT person, 'x', cost, p.n FROM p JOIN v ON person = patient",
    ),
    "one under the other": (
        "SELECT ward, sum(x) FROM (SELECT patient, ward, price AS x FROM visits) t GROUP BY ward",
        "SELECT patient, 'x', price, n FROM v",
    ),
}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return clinic_product(tmp_path_factory.mktemp("clinic"))


@pytest.fixture
def engine() -> Iterator[Any]:
    with duckdb.connect() as engine:
        names = ("person", "county", "sex", "disease", "born", "cost", "score", "income", "name")
        engine.execute(f"CREATE TABLE patients ({', '.join(f'{name} VARCHAR' for name in names)})")
        engine.execute("CREATE TABLE visits (patient VARCHAR, ward VARCHAR, doctor VARCHAR, price VARCHAR)")
        engine.execute("CREATE TABLE regions (county VARCHAR, region VARCHAR)")
        regions = [("Heshui", "north"), ("Huan", "north"), ("Ning", "south"), ("Zhengning", "south")]
        engine.executemany("INSERT INTO regions VALUES (?, ?)", regions)
        engine.execute(
            "CREATE VIEW p AS SELECT row_number() OVER () AS n, person, "
            "CASE WHEN county <> 'elsewhere' THEN county END AS county, sex, "
            "greatest(0, least(1000, TRY_CAST(cost AS DOUBLE))) + 0 * TRY_CAST(cost AS DOUBLE) AS cost "
            "FROM patients WHERE person IS NOT NULL"
        )
        engine.execute(
            "CREATE VIEW v AS SELECT row_number() OVER () AS n, patient, CAST(price AS DOUBLE) AS price "
            "FROM visits WHERE patient NOT NULL"
        )
        yield engine


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(patients=PATIENTS, visits=VISITS)
def test_cells_are_what_one_would_count_by_hand(
    clinic: Product, engine: Any, shape: str, patients: list[Any], visits: list[Any]
) -> None:
    asked, by_hand = SHAPES[shape]
    fill(engine, patients, visits)
    question = review(asked, clinic, SQL_MODE)
    assert isinstance(question, Question)
    assert question.cells is not None
    rows = [list(row) for row in engine.execute(question.job_sql).fetchall()]
    cells = {
        one.cell.key[0]: (
            one.cell.entities,
            one.cell.rows,
            one.cell.measures["v0"].entities,
            one.cell.measures["v0"].clipped,
        )
        for one in read_cells(question.cells, rows)
    }
    expected = engine.execute(
        "SELECT g, count(DISTINCT e), count(*), count(DISTINCT CASE WHEN x IS NOT NULL THEN e END), "
        "coalesce(sum(CASE WHEN first THEN x END), 0) "
        f"FROM (SELECT *, row_number() OVER (PARTITION BY g, r) = 1 AS first FROM ({by_hand}) AS t(e, g, x, r)) "
        "GROUP BY g"
    ).fetchall()
    assert cells == {group: tuple(numbers) for group, *numbers in expected}


def fill(engine: Any, patients: list[Any], visits: list[Any]) -> None:
    engine.execute("DELETE FROM patients")
    engine.execute("DELETE FROM visits")
    for person, county, sex, cost in patients:
        engine.execute(
            "INSERT INTO patients (person, county, sex, cost) VALUES (?, ?, ?, ?)", [person, county, sex, cost]
        )
    for patient, price in visits:
        engine.execute("INSERT INTO visits VALUES (?, 'x', 'D', ?)", [patient, price])
