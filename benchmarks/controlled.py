"""What does the controlled lane cost over bare DuckDB? A small question, and the 22 of TPC-H at scale 1.

    uv run python -m benchmarks.controlled [--quick]

A question of ours goes the whole road: permit and request verified, query reviewed and rewritten, cells charged, a job
in full isolation, answer, receipt and evidence durable in SQLite. The peer is DuckDB in this process, connected before,
over the same Parquet files, with as many threads as our worker has: one, isolation allows no more. Both are asked in
turn, so that a busy machine is busy for both. Goals: the whole road adds under 60 ms at the median; computing the 22 in
isolation, by workers that wait, takes at most 10 % more. What the whole road comes to is shown beside it.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from benchmarks.tpch import COLUMNS, QUERIES, generate, product
from hexi.canonical import encode, system_clock
from registry.catalogue import Product
from sandbox.bench import Bench, open_bench, read_bench_product
from sandbox.controlled.questions import Question, review
from sandbox.execution import limits_of
from sandbox.isolation.processes import Job, run_isolated
from sandbox.isolation.spares import Spares
from sandbox.queries.query import SQL_MODE
from sandbox.settings import SandboxSettings

ROUNDS, TPCH_ROUNDS = 40, 3
ADDED_GOAL_MS, TPCH_GOAL = 60.0, 1.10
LIMITS = limits_of(SandboxSettings())
# How long people think between two questions, in seconds: more than starting a worker takes.
THOUGHT = 0.25

SMALL = """
SELECT n_name, count(*) AS suppliers, sum(s_acctbal) AS balance FROM nation JOIN supplier ON s_nationkey = n_nationkey
WHERE s_acctbal > {number} GROUP BY n_name ORDER BY n_name
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="scale 0.1 and fewer rounds")
    measure(quick=parser.parse_args().quick)


def measure(*, quick: bool) -> None:
    """Make the tables, and print both answers."""
    with TemporaryDirectory() as folder:
        generate(Path(folder), 0.1 if quick else 1.0)
        report(Path(folder), 10 if quick else ROUNDS, 1 if quick else TPCH_ROUNDS)


def report(folder: Path, rounds: int, tpch_rounds: int) -> None:
    """Print both answers for the tables in `folder`."""
    (folder / "product.json").write_bytes(encode(product()))
    described = read_bench_product(folder / "product.json")
    with open_bench(described, folder, None, system_clock) as bench, bare(folder) as peer:
        _small(bench, peer, rounds)
        _tpch(described, folder, peer, tpch_rounds)


@contextmanager
def bare(folder: Path) -> Iterator[Any]:
    """DuckDB without anything around it."""
    with duckdb.connect(config={"threads": "1"}) as peer:
        for table in COLUMNS:
            peer.execute(f"CREATE VIEW {table} AS SELECT * FROM '{folder / table}.parquet'")
        yield peer


def _small(bench: Bench, peer: Any, rounds: int) -> None:
    ours: dict[str, list[float]] = {"after a thought": [], "at once": []}
    theirs: list[float] = []
    number = 0
    for pause, times in zip((THOUGHT, 0.0), ours.values(), strict=True):
        for _ in range(rounds):
            # No question twice: the second time the answer would come from the store.
            text = SMALL.format(number=number)
            theirs.append(seconds(lambda text=text: peer.execute(text).fetchall()))
            time.sleep(pause)
            times.append(seconds(lambda text=text: released(bench, text)))
            number += 1
    middle = statistics.median(theirs)
    print(f"{'a small question':24} {'p50 ms':>8} {'p95 ms':>8} {'added at p50':>13}")
    print(f"{'bare duckdb':24} {1000 * middle:>8.1f} {1000 * _p95(theirs):>8.1f}")
    for name, times in ours.items():
        added = 1000 * (statistics.median(times) - middle)
        shown = f"{1000 * statistics.median(times):>8.1f} {1000 * _p95(times):>8.1f} {added:>+13.1f}"
        print(f"{f'controlled, {name}':24} {shown}   goal {ADDED_GOAL_MS:.0f}: {_reached(added <= ADDED_GOAL_MS)}")


def _tpch(described: Product, folder: Path, peer: Any, rounds: int) -> None:
    bare_: list[list[float]] = [[] for _ in QUERIES]
    isolated: list[list[float]] = [[] for _ in QUERIES]
    whole: list[list[float]] = [[] for _ in QUERIES]
    spares = Spares()
    for _ in range(rounds):
        # Another bench each time, or the questions would be answered from its store.
        with open_bench(described, folder, None, system_clock) as bench:
            for index, query in enumerate(QUERIES):
                job = _job(described, folder, query)
                bare_[index].append(seconds(lambda query=query: peer.execute(query).fetchall()))
                time.sleep(THOUGHT)
                isolated[index].append(run_isolated(job, minimum_level=2, spares=spares).seconds)
                whole[index].append(seconds(lambda query=query: released(bench, query)))
    spares.close()
    print(f"{'TPC-H':>6} {'bare ms':>9} {'isolated':>9} {'ratio':>6} {'whole road':>11} {'ratio':>6}")
    middle = [[statistics.median(times) for times in way] for way in (bare_, isolated, whole)]
    for name, *way in [*zip(range(1, 23), *middle, strict=True), ("all 22", *map(sum, middle))]:
        alone, isolated_, whole_ = (1000 * each for each in way)
        print(f"{name:>6} {alone:>9.0f} {isolated_:>9.0f} {isolated_ / alone:>6.2f}", end="")
        print(f" {whole_:>11.0f} {whole_ / alone:>6.2f}")
    print(f"goal {TPCH_GOAL:.2f} in isolation, all 22: {_reached(sum(middle[1]) <= TPCH_GOAL * sum(middle[0]))}")


def _job(described: Product, folder: Path, query: str) -> Job:
    """What the lane makes of the query."""
    question = review(query, described, SQL_MODE)
    if not isinstance(question, Question):
        raise TypeError(f"refused: {question.reasons}")
    files = {table: folder / f"{table}.parquet" for table in COLUMNS}
    return Job({t.name: files[t.name] for t in question.tables}, question.job_sql, LIMITS, readable=files)


def released(bench: Bench, text: str) -> None:
    """Ask, and insist on an answer."""
    answer = bench.ask(text)
    if answer.verdict != "released":
        raise RuntimeError(f"not released: {answer.reasons}")


def seconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _p95(times: list[float]) -> float:
    return sorted(times)[int(0.95 * len(times)) - 1]


def _reached(reached: bool) -> str:
    return "reached" if reached else "missed"


if __name__ == "__main__":
    main()
