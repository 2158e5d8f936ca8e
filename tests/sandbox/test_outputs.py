"""The job's SQL in a real DuckDB, and disclosure over what it returns, against counts done by hand."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from privacy.disclosure import Rules
from registry.catalogue import Product
from sandbox.errors import JobFailed
from sandbox.isolation.processes import Job, run_isolated
from sandbox.outputs import Output, control, one_sum, read_cells
from sandbox.queries.query import Query
from sandbox.queries.review import SUM_MODE, Reviewed, review
from sandbox.reasons import Reason
from tests.sandbox.builders import TABLES, write_visits
from tests.sandbox.builders import product as a_product

RULES = Rules()


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return a_product(tmp_path)


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    write_visits(tmp_path / "visits.csv")
    return tmp_path / "visits.csv"


def write(path: Path, columns: str, rows: list[str]) -> Path:
    """A file of visits with these columns, and the others empty."""
    others = [column["name"] for column in TABLES[0]["columns"] if column["name"] not in columns.split(",")]
    blank = "," * len(others)
    path.write_text("\n".join([",".join([columns, *others]), *(row + blank for row in rows)]))
    return path


def computed(visits: Path, query: Query, sql: str) -> list[list[Any]]:
    columns = dict.fromkeys([*query.contents, query.entity_key], "string")
    return run_isolated(Job({"visits": visits}, sql, columns={"visits": columns}), minimum_level=0).rows


def answer(visits: Path, product: Product, text: str, rules: Rules = RULES) -> Output | Reason:
    reviewed = review(text, product)
    assert isinstance(reviewed, Reviewed), reviewed
    return control(
        reviewed.query, read_cells(reviewed.query, computed(visits, reviewed.query, reviewed.job_sql)), rules
    )


def test_numbers_are_those_done_by_hand(visits: Path, product: Product) -> None:
    text = "SELECT count(*) AS n, county, count(DISTINCT person) AS p, sum(cost), avg(cost) FROM visits GROUP BY county"
    output = answer(visits, product, text)
    by_hand: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with visits.open() as file:
        for row in csv.DictReader(file):
            if row["cost"]:
                by_hand[row["county"]]["cost"].append(min(float(row["cost"]), 1000))
    assert isinstance(output, Output)
    assert output.columns == ("n", "county", "p", "sum_cost", "avg_cost")
    assert [(n, county, p) for n, county, p, *_ in output.rows] == [(80, "Huan", 40), (50, "Ning", 25)]
    for _, county, _, total, mean in output.rows:
        costs = by_hand[str(county)]["cost"]
        assert abs(float(str(total)) - sum(by_hand[str(county)]["cost"])) <= 2.5
        assert mean == round(sum(costs) / len(costs), 2)


def test_exactly_the_cells_under_ten_persons_are_missing(visits: Path, product: Product) -> None:
    output = answer(visits, product, "SELECT county, smoker, count(*) FROM visits GROUP BY county, smoker")
    assert isinstance(output, Output)
    assert [row[:2] for row in output.rows] == [("Huan", False), ("Huan", True), ("Ning", False), ("Ning", True)]


def test_a_total_of_too_few_is_no_row_and_nobody_looks_the_same(visits: Path, product: Product) -> None:
    for where in ("county = 'Zhengning'", "year = 1900"):
        output = answer(visits, product, f"SELECT count(*), sum(cost) FROM visits WHERE {where}")
        assert isinstance(output, Output)
        assert output.rows == ()


def test_a_measure_few_have_is_withheld_beside_a_count_that_is_shown(tmp_path: Path, product: Product) -> None:
    rows = [f"P{n},Huan,{'100' if n < 9 else ''}" for n in range(30)]
    path = write(tmp_path / "v.csv", "person,county,cost", rows)
    output = answer(path, product, "SELECT county, count(*), sum(cost), avg(cost) FROM visits GROUP BY county")
    assert isinstance(output, Output)
    assert output.rows == (("Huan", 30, None, None),)
    assert output.sets["visits.cost"] == []
    assert [entities.size for entities in output.sets[""]] == [30]


def test_values_that_do_not_fit_and_rows_of_nobody_are_missing_not_errors(tmp_path: Path, product: Product) -> None:
    rows = [
        f"P{n},Huan,2024,{'much' if n == 0 else 'nan' if n == 1 else '1e308' if n == 2 else '5'}" for n in range(20)
    ]
    path = write(tmp_path / "v.csv", "person,county,year,cost", [*rows, ",Huan,2024,7", "P3,Huan,soon,5"])
    output = answer(path, product, "SELECT year, count(*), sum(cost) FROM visits GROUP BY year")
    assert isinstance(output, Output)
    assert output.rows == ((2024, 20, 1085),)


def test_entities_have_the_same_numbers_in_every_query(visits: Path, product: Product) -> None:
    everybody = answer(visits, product, "SELECT count(*) FROM visits")
    grouped = answer(visits, product, "SELECT county, count(*) FROM visits WHERE smoker = TRUE GROUP BY county")
    named = answer(visits, product, "SELECT count(*) FROM visits WHERE smoker = TRUE AND county = 'Huan'")
    assert isinstance(everybody, Output)
    assert isinstance(grouped, Output)
    assert isinstance(named, Output)
    assert everybody.sets[""][0].size == 74
    assert named.sets[""][0] in grouped.sets[""]
    assert named.sets[""][0].size > 0
    assert everybody.sets[""][0] not in grouped.sets[""]


def test_dates_and_booleans_come_as_json(visits: Path, product: Product) -> None:
    output = answer(visits, product, "SELECT day, count(*) FROM visits GROUP BY day", Rules(minimum_entities=1))
    assert isinstance(output, Output)
    assert output.rows[0][0] == "2024-03-01"


def test_more_rows_than_may_leave_are_refused(visits: Path, product: Product) -> None:
    output = answer(visits, product, "SELECT day, count(*) FROM visits GROUP BY day", Rules(1, 5, maximum_rows=3))
    assert isinstance(output, Reason)
    assert output.code == "sandbox.too-many-rows"


def test_the_one_sum_is_of_clipped_values_and_needs_ten(visits: Path, product: Product) -> None:
    for where, enough in (("county = 'Ning'", True), ("county = 'Zhengning'", False), ("year = 1900", False)):
        reviewed = review(f"SELECT sum(cost) FROM visits WHERE {where}", product, SUM_MODE)
        assert isinstance(reviewed, Reviewed)
        number = one_sum(
            reviewed.query, read_cells(reviewed.query, computed(visits, reviewed.query, reviewed.job_sql)), RULES
        )
        assert isinstance(number, Reason) is not enough


@pytest.mark.parametrize("rows", [[[1, 2]], [["x"]], [[[1], "many"]], [[[-1], 1]], [[["a"], 1]]])
def test_a_result_of_another_shape_is_a_failed_job(rows: list[list[object]], product: Product) -> None:
    reviewed = review("SELECT count(*) FROM visits", product)
    assert isinstance(reviewed, Reviewed)
    with pytest.raises(JobFailed):
        read_cells(reviewed.query, rows)


def test_dominance_is_asked_for_by_the_query_and_applied(tmp_path: Path, product: Product) -> None:
    from dataclasses import replace

    path = write(tmp_path / "v.csv", "person,cost", [f"P{n},{900 if n == 0 else 10}" for n in range(30)])
    reviewed = review("SELECT sum(cost) FROM visits", product)
    assert isinstance(reviewed, Reviewed)
    query = replace(reviewed.query, dominance=True)
    cells = read_cells(query, computed(path, query, query.job()))
    for dominance, shown in ((False, 1190), (True, None)):
        output = control(query, cells, Rules(dominance=dominance))
        assert isinstance(output, Output)
        assert output.rows == ((shown,),)
