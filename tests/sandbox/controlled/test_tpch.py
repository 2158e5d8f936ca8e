"""The 22 questions of TPC-H may be asked, and come to what DuckDB says without us."""

import datetime as dt
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.tpch import COLUMNS, QUERIES, generate, product
from hexi.canonical import encode, system_clock
from sandbox.bench import Bench, open_bench, read_bench_product


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tpch")
    generate(folder, 0.01)
    return folder


@pytest.fixture(scope="module")
def bench(tables: Path) -> Iterator[Bench]:
    (tables / "product.json").write_bytes(encode(product()))
    with open_bench(read_bench_product(tables / "product.json"), tables, None, system_clock) as bench:
        yield bench


@pytest.mark.parametrize("number", range(1, 23))
def test_a_question_of_tpch(bench: Bench, tables: Path, number: int) -> None:
    query = QUERIES[number - 1]
    answer = bench.ask(query)
    assert answer.verdict == "released", answer.reasons
    with duckdb.connect() as bare:
        for table in COLUMNS:
            bare.execute(f"CREATE VIEW {table} AS SELECT * FROM '{tables / table}.parquet'")
        expected = bare.execute(query).fetchall()
    assert len(answer.rows) == len(expected)
    for row, other in zip(answer.rows, expected, strict=True):
        assert [_near(one, two) for one, two in zip(row, other, strict=True)] == list(row)


def _near(ours: Any, theirs: Any) -> Any:
    """`theirs` as ours writes it; a number that is as good as ours is ours."""
    if isinstance(theirs, decimal.Decimal | float):
        return ours if ours == pytest.approx(float(theirs), rel=1e-9) else float(theirs)
    return theirs.isoformat() if isinstance(theirs, dt.date) else theirs
