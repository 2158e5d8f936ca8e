"""What do the sandbox's lanes cost? Planning a cube, publishing it, asking it, and isolation over bare DuckDB.

    uv run python -m benchmarks.sandbox [--quick]

Goals: a query to a cube under 2 ms at the 95th percentile in process and independent of the table's size; publishing a
million entities under 2 s a measure; plans for thirty attributes and a million entities in seconds; the controlled lane
under 60 ms over bare DuckDB at the median, and TPC-H in isolation within 10 % of it (`benchmarks/controlled.py`). What
isolation alone adds: `benchmarks/isolation.py`; a thousand queued jobs: `benchmarks/jobs.py`.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import controlled
from benchmarks.people import SIZES, attribute, policy
from benchmarks.utility import analyses
from hexi.canonical import digest, system_clock
from hexi.database import Database
from privacy.lattice.gate import STANDARD, exposure
from privacy.lattice.plan import plan
from privacy.lattice.policy import Family, LatticePolicy, Measure
from registry.catalogue import Product
from sandbox.bench import read_bench_product
from sandbox.cubes.cubes import Cubes, ask
from sandbox.cubes.queries import CubeQuery
from sandbox.datasets import Dataset

QUERY_GOAL_MS, PUBLISH_GOAL_S = 2.0, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 20,000 people")
    quick = parser.parse_args().quick
    sizes = [2_000, 20_000] if quick else [2_000, 20_000, 1_000_000]
    print(
        f"{'people':>10} {'measures':>8} {'numbers':>8} {'publish s':>10} {'s a measure':>11} {'read ms':>8} ", end=""
    )
    print(f"{'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7}")
    for size in sizes:
        with TemporaryDirectory() as folder:
            print(_row(size, Path(folder)))
    print(f"goals: p95 under {QUERY_GOAL_MS} ms at any size; a million entities under {PUBLISH_GOAL_S} s a measure")
    print(_planned())
    controlled.measure(quick=quick)


def _planned() -> str:
    """Seconds to plan, and to show the provider what it would give away, for thirty attributes of many shapes: a
    million entities, three levels each, three attributes together, a secret, a cost and its square."""
    coarse = [2 + i % 5 for i in range(30)]
    middle = [size * (2 + i // 5 % 3) for i, size in enumerate(coarse)]
    sizes = zip(coarse, middle, [size * (2 + i // 2 % 4) for i, size in enumerate(middle)], strict=True)
    measures = (Measure("secret", "secret", 0, 1), Measure("cost", "money", 0, 4000, square=True))
    families = (Family("secret", STANDARD.mu), Family("money", 2 * STANDARD.mu))
    attributes = tuple(attribute(f"a{i}", levels) for i, levels in enumerate(sizes))
    declared = LatticePolicy("person", attributes, measures, families, 1_000_000, mincell=STANDARD.mincell_large)
    started = time.perf_counter()
    made = plan(declared)
    planned = time.perf_counter() - started
    exposure(made, "secret")
    exposure(made, "money")
    shown = time.perf_counter() - started - planned
    parts = len(made.variances["secret"])
    return (
        f"30 attributes, 1,000,000 entities: planned in {planned:.1f} s, {parts:,} parts; shown in {shown:.1f} s more"
    )


def _row(size: int, folder: Path) -> str:
    dataset = _dataset(size, folder)
    database = Database(f"sqlite:///{folder / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    started = time.perf_counter()
    cubes = Cubes(database, b"k" * 32, system_clock)
    published = cubes.published(dataset)
    took = time.perf_counter() - started
    started = time.perf_counter()
    Cubes(database, b"k" * 32, system_clock).published(dataset)
    read = time.perf_counter() - started
    times = _asked(cubes, dataset)
    database.dispose()
    planned = published.cube.plan
    numbers = sum(table.size for tables in published.cube.residuals.values() for table in tables.values())
    measures = len(planned.variances)
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
    return (
        f"{size:>10,} {measures:>8} {numbers:>8,} {took:>10.2f} {took / measures:>11.2f} {1000 * read:>8.1f} "
        f"{p50:>7.2f} {p95:>7.2f} {p99:>7.2f}"
    )


def _asked(cubes: Cubes, dataset: Dataset) -> list[float]:
    """Seconds from the text of each of 200 analyses to its table: parsed, reviewed, answered."""
    times = []
    texts = [analysis.sql() for analysis in analyses(cubes.plan(dataset).policy, "month_tree", ("cost", "secret"))]
    for _ in range(5):
        for text in texts:
            started = time.perf_counter()
            query = cubes.review(dataset, text)
            if isinstance(query, CubeQuery):
                ask(cubes.published(dataset), query)
                times.append(time.perf_counter() - started)
    return times


def _dataset(size: int, folder: Path) -> Dataset:
    """The study's people as a Parquet file, one row each, and the product that describes them."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(7)
    columns = {name: rng.integers(0, sizes[-1], size).astype(str) for name, sizes in SIZES.items()}
    secret = (rng.random(size) < 0.5).astype(np.int64)
    cost = np.clip(rng.lognormal(6, 0.9, size), 0, 4000).round(2)
    table = pa.table({"person": np.arange(size).astype(str), **columns, "secret": secret, "cost": cost})
    parquet.write_table(table, folder / "people.parquet")
    return Dataset(_product(size, folder), digest("people"), {"people": folder / "people.parquet"})


def _product(size: int, folder: Path) -> Product:
    from hexi.canonical import encode

    roles = {"person": "entity-key", **dict.fromkeys(SIZES, "dimension"), "secret": "measure", "cost": "measure"}
    columns = [{"name": name, "datatype": "string", "role": role} for name, role in roles.items()]
    table = {"name": "people", "entityKey": "person", "columns": columns}
    described = {"identifier": "people", "version": 1, "tables": [table], "lattice": policy(size, STANDARD).document()}
    (folder / "product.json").write_bytes(encode(described))
    return read_bench_product(folder / "product.json")


if __name__ == "__main__":
    main()
