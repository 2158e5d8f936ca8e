"""Attacks on columns that may only be summed, of tables without persons: a row's value out of sums, counts, branches.

A question that names such a column is answered as over persons, each row of its table counting as one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hexi.canonical import system_clock
from sandbox.bench import Bench, open_bench
from tests.attacks.scoreboard import BLOCKED, BOARD, HARMLESS, REFUSED, THROUGH
from tests.sandbox.controlled.builders import shop_product, write_shop

# A sum of 49 margins, and the same without that of order 11.
MOST, ONE_LESS = "SELECT sum(margin) FROM orders WHERE id > 10", "SELECT sum(margin) FROM orders WHERE id > 11"


@contextmanager
def counted(attack: str, outcome: str) -> Iterator[None]:
    """One case on the board: it came to `outcome`, or through."""
    try:
        yield
    except AssertionError:
        outcome = THROUGH
        raise
    finally:
        BOARD.count("summed", attack, outcome)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return folder


@pytest.fixture
def shop(tables: Path, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(shop_product(tmp_path), tables, None, system_clock) as bench:
        yield bench


BY_TEXT = {
    "equal or not, by counting": (
        "SELECT count(DISTINCT margin) FROM orders WHERE id IN (7, 8)",
        "SELECT count(margin) FROM orders WHERE id = 7",
        "SELECT id, count(DISTINCT margin) FROM orders GROUP BY id",
    ),
    "one more row, within one query": (
        "SELECT (SELECT sum(margin) FROM orders) - (SELECT sum(margin) FROM orders WHERE id <> 7) AS x",
        "SELECT sum(margin) FROM orders UNION ALL SELECT sum(margin) FROM orders WHERE id <> 7",
        "SELECT stddev(margin) FROM orders WHERE id <> 7",
        "SELECT variance(margin) * 60 AS x FROM orders",
    ),
    "a branch on a sum": (
        "SELECT id FROM orders WHERE (SELECT sum(margin) FROM orders) > 700 LIMIT 1",
        "SELECT town, sum(margin) FROM orders GROUP BY town HAVING sum(margin) > 700",
        "SELECT CASE WHEN sum(margin) > 700 THEN 1 ELSE 0 END AS x FROM orders",
        "SELECT count(*) FROM orders WHERE id IN (SELECT 1 FROM orders HAVING avg(margin) > 7)",
        "SELECT town FROM orders GROUP BY town ORDER BY sum(margin)",
    ),
    "rows weighted by a join": (
        "SELECT sum(o.margin) FROM orders o JOIN items i ON o.id < 12 AND (o.id = 7 OR i.order_id = 0)",
        "SELECT sum(a.margin) FROM orders a JOIN orders b ON a.price = b.id",
        "SELECT sum(o.margin) FROM orders o, items i",
        "SELECT sum(x) FROM (SELECT id, sum(margin) AS x FROM orders GROUP BY id) t",
        "SELECT sum(margin) FROM (SELECT margin FROM orders UNION ALL SELECT margin FROM orders WHERE id = 7) t",
    ),
}


@pytest.mark.parametrize(("attack", "query"), [(a, q) for a, queries in BY_TEXT.items() for q in queries])
def test_these_are_refused_by_their_text(shop: Bench, attack: str, query: str) -> None:
    with counted(attack, REFUSED):
        answer = shop.ask(query)
        assert answer.verdict == "refused", answer.rows[:3]
        assert answer.receipt is not None
        assert answer.receipt["document"]["dataDigest"] is None
        assert any("orders.margin" in reason.message for reason in answer.reasons)


def test_two_sums_that_differ_by_a_row(shop: Bench) -> None:
    assert shop.ask(MOST).verdict == "released"
    with counted("one row more in the second sum", REFUSED):
        assert [reason.code for reason in shop.ask(ONE_LESS).reasons] == ["sandbox.too-close-to-earlier"]
    with counted("one row more in the second sum", REFUSED):
        joined = "SELECT sum(o.margin) FROM orders o JOIN items i ON o.id = i.order_id WHERE o.id > 11"
        assert [reason.code for reason in shop.ask(joined).reasons] == ["sandbox.too-close-to-earlier"]


def test_rows_repeated_by_a_join_count_once(shop: Bench) -> None:
    with counted("rows weighted by a join", HARMLESS):
        weighted = "SELECT sum(o.margin) FROM orders o LEFT JOIN items i ON o.price = i.order_id WHERE o.id > 10"
        assert shop.ask(weighted).rows == shop.ask(MOST).rows


def test_few_rows_and_one_large_among_many(shop: Bench) -> None:
    with counted("a sum over few rows", BLOCKED):
        assert shop.ask("SELECT sum(margin) FROM orders WHERE id IN (7, 8, 9)").rows == ()
    with counted("a sum that one row makes up", BLOCKED):
        assert shop.ask("SELECT sum(margin) FROM orders").rows == ((None,),)


def test_a_row_corrected_in_the_next_version(tables: Path, tmp_path: Path) -> None:
    described = shop_product(tmp_path)
    with open_bench(described, tables, tmp_path / "state", system_clock) as bench:
        assert bench.ask(MOST).verdict == "released"
    write_shop(tmp_path / "next")
    orders = tmp_path / "next" / "orders.csv"
    orders.write_text(orders.read_text().replace(",20,2.0,", ",20,3.0,"))
    following = described.model_copy(update={"version": 2})
    with (
        open_bench(following, tmp_path / "next", tmp_path / "state", system_clock) as bench,
        counted("a row corrected in the next version", REFUSED),
    ):
        assert [reason.code for reason in bench.ask(MOST).reasons] == ["sandbox.too-close-to-earlier"]
