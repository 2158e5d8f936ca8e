"""What a column's level forbids does not show, whatever is asked: random queries over tables that differ in it alone.

Both tables have the same rows but for the columns that no query may show, compare or compute with: there they are
permuted. A query that is let through must come to the same over both. (`margin` may be summed, but the product demands
more rows than there are.)
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from hexi.canonical import encode
from privacy.disclosure import Rules
from registry.catalogue import Product
from sandbox.bench import read_bench_product
from sandbox.controlled.answers import control
from sandbox.controlled.questions import Question, review
from sandbox.outputs import read_cells
from sandbox.queries.query import SQL_MODE

# What may be named where: in the table, in a sub-query, in both joined. Most of it is allowed, or nothing would pass.
OF_TABLE = ("id", "price", "id", "price", "id", "price", "rating", "margin")
OF_QUERY = ("x", "y")
OF_BOTH = (*OF_TABLE, "v.x", "z", "z")
COLUMNS = {
    "id": ("integer", "dimension"),
    "price": ("integer", "dimension"),
    "rating": ("integer", "dimension"),
    "margin": ("integer", "measure"),
    "open": ("boolean", "dimension"),
    "clerk": ("integer", "hidden"),
}
ROWS = [(i, i % 4, i % 3, 5 * i, i % 2 == 0, i) for i in range(12)]
OTHERS = [(*row[:2], *ROWS[(7 * i + 3) % 12][2:]) for i, row in enumerate(ROWS)]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    file = tmp_path_factory.mktemp("product") / "product.json"
    columns: list[dict[str, Any]] = [
        {"name": name, "datatype": kind, "role": role} for name, (kind, role) in COLUMNS.items()
    ]
    columns[3]["range"] = [0, 100]
    levels = {"t.rating": "compare-only", "t.open": "compare-only"}
    described: dict[str, Any] = {
        "tables": [{"name": "t", "columns": columns}],
        "disclosure": {"minimumEntities": 1000},
        "controlled": {"airlock": False, "levels": levels},
    }
    file.write_bytes(encode(described))
    return read_bench_product(file)


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Any]]:
    made = []
    for rows in (ROWS, OTHERS):
        made.append(duckdb.connect())
        made[-1].execute(
            "CREATE TABLE t (id BIGINT, price BIGINT, rating BIGINT, margin BIGINT, open BOOLEAN, clerk BIGINT)"
        )
        made[-1].executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    yield made
    for one in made:
        one.close()


numbers = st.integers(-2, 12).map(str)
Texts = st.SearchStrategy[str]


def expressions(names: tuple[str, ...], depth: int) -> Texts:
    plain = st.sampled_from(names) | numbers
    if depth == 0:
        return plain
    inner = expressions(names, depth - 1)
    return st.one_of(
        plain,
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(st.sampled_from(["abs", "floor", "round"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["coalesce", "nullif", "greatest", "least"]), inner, inner).map(
            lambda p: f"{p[0]}({p[1]}, {p[2]})"
        ),
        st.tuples(conditions(names, depth - 1), inner).map(lambda p: f"CASE WHEN {p[0]} THEN {p[1]} END"),
        inner.map(lambda e: f"CAST({e} AS BIGINT)"),
        queries(depth - 1).map(lambda q: f"(SELECT max(x) FROM ({q}) AS s)"),
    )


def conditions(names: tuple[str, ...], depth: int) -> Texts:
    inner = expressions(names, max(depth - 1, 0))
    compared = st.one_of(
        st.tuples(inner, st.sampled_from(["=", "<>", "<", ">="]), inner).map(" ".join),
        inner.map(lambda e: f"{e} IS NULL"),
        st.tuples(inner, numbers, numbers).map(lambda p: f"{p[0]} BETWEEN {p[1]} AND {p[2]}"),
        st.tuples(inner, numbers).map(lambda p: f"{p[0]} IN ({p[1]}, 3)"),
        st.sampled_from(["TRUE", "open", "open AND id < 6", "NOT open"]) if names is OF_TABLE else st.just("TRUE"),
    )
    if depth == 0:
        return compared
    return st.one_of(
        compared,
        st.tuples(compared, st.sampled_from(["AND", "OR"]), compared).map(" ".join),
        queries(depth - 1).map(lambda q: f"EXISTS (SELECT 1 FROM ({q}) AS s WHERE s.x = {names[0]})"),
        st.tuples(inner, queries(depth - 1)).map(lambda p: f"{p[0]} IN (SELECT x FROM ({p[1]}) AS s)"),
    )


@st.composite
def queries(draw: st.DrawFn, depth: int) -> str:
    """SELECT x, y FROM something."""
    source, names = "t", OF_TABLE
    if depth > 0 and (kind := draw(st.integers(0, 2))):
        inner = draw(queries(depth - 1))
        if kind == 1:
            source, names = f"({inner}) AS u", OF_QUERY
        else:
            source, names = f"t JOIN (SELECT w.x AS x, w.y AS z FROM ({inner}) AS w) AS v ON id = v.x", OF_BOTH
    x, y = draw(expressions(names, depth)), draw(expressions(names, depth))
    shape = draw(st.integers(0, 5))
    where = f" WHERE {draw(conditions(names, depth))}" if draw(st.booleans()) else ""
    if shape == 0:
        called = draw(st.sampled_from(["sum", "min", "max", "count", "avg"]))
        return f"SELECT {x} AS x, {called}({y}) AS y FROM {source}{where} GROUP BY {x}"
    if shape == 1:
        return f"SELECT DISTINCT {x} AS x, {y} AS y FROM {source}{where}"
    if shape == 2 and depth > 0:
        return f"SELECT {x} AS x, {y} AS y FROM {source}{where} UNION ALL {draw(queries(depth - 1))}"
    if shape == 3:
        key = draw(st.sampled_from(names))
        return f"SELECT {x} AS x, {y} AS y FROM {source}{where} ORDER BY {key}, {names[0]}, {names[1]} LIMIT 3"
    return f"SELECT {x} AS x, {y} AS y FROM {source}{where}"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=queries(2))
def test_what_is_let_through_does_not_hang_on_protected_columns(
    product: Product, engines: list[Any], query: str
) -> None:
    question = review(query, product, SQL_MODE)
    event(type(question).__name__)
    if isinstance(question, Question):
        assert came_to(engines[0], question) == came_to(engines[1], question), question.job_sql


def came_to(engine: Any, question: Question) -> list[str]:
    """What would leave, in an order of its own; or that there was nothing."""
    try:
        rows = engine.execute(question.job_sql).fetchall()
    except duckdb.Error:
        return ["failed"]
    if question.cells is not None:
        event("guarded")
        rows = control(question.cells, read_cells(question.cells, rows), Rules(minimum_entities=1000)).output.rows
    return sorted(map(repr, rows))
