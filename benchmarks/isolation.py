"""What does full isolation cost over bare DuckDB? One query on one small table, a fresh process each, side by side.

    uv run python -m benchmarks.isolation

The first peer is what anybody would write without isolation: ``python -c "import duckdb; ..."`` from the same virtual
environment. The second, harder one takes the same short cuts as our worker (no site-packages, the engine without the
package around it) and has no isolation at all; against it the target of the architecture, section 7, is held: isolation
adds under 60 ms at the median. Level 1 is the worker without bubblewrap, which shows what the outer wall costs.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.isolation.processes import IsolationSettings, Job, files, run_isolated

ROUNDS = 20
ROWS = 10_000
TARGET_MILLISECONDS = 60.0

SQL = "SELECT region, count(DISTINCT person), sum(cost) FROM visits GROUP BY region ORDER BY region"


PROGRAM = """
con = duckdb.connect({options})
con.execute("CREATE TABLE visits AS SELECT * FROM read_csv('{table}')")
print(json.dumps(con.execute("{sql}").fetchall()))
"""


def bare(table: Path) -> None:
    """DuckDB in a process of its own, as one would write it."""
    code = "import duckdb, json" + PROGRAM.format(table=table, sql=SQL, options="")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def lean(table: Path) -> None:
    """The same with our worker's short cuts, and nothing else of it."""
    packages = str(files.engine_files()[0].parent)
    options = "':memory:', False, {'threads': '1', 'async_threads': '0'}"
    program = PROGRAM.format(table=table, sql=SQL, options=options)
    code = f"import sys; sys.path.append({packages!r})\nimport _duckdb as duckdb, json" + program
    subprocess.run([str(files.interpreter()), "-I", "-S", "-c", code], check=True, capture_output=True, env={})


def isolated(table: Path, level: int) -> None:
    """The same question in isolation; level 1 is forced by doing as if there were no bubblewrap."""
    settings = IsolationSettings(bwrap="auto" if level == 2 else None)
    result = run_isolated(Job({"visits": table}, SQL), minimum_level=level, settings=settings)
    assert (result.isolation.level, len(result.rows)) == (level, 7)


def milliseconds(call: Callable[[], None]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Interleave them, so that a busy machine is busy for all of them; print medians and the difference."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "visits.csv"
        lines = (f"p{i},r{i % 7},{i % 1000}" for i in range(ROWS))
        table.write_text("person,region,cost\n" + "\n".join(lines) + "\n")
        ways: dict[str, Callable[[], None]] = {
            "bare duckdb": lambda: bare(table),
            "lean duckdb": lambda: lean(table),
            "level 1": lambda: isolated(table, 1),
            "level 2": lambda: isolated(table, 2),
        }
        for way in ways.values():
            way()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                times[name].append(milliseconds(way))
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        print(f"{name:12} p50 {middle[name]:6.1f} ms   p95 {sorted(found)[int(ROUNDS * 0.95) - 1]:6.1f} ms")
    added = middle["level 2"] - middle["lean duckdb"]
    print(f"isolation adds {added:+.1f} ms over lean duckdb (target: under {TARGET_MILLISECONDS:.0f} ms)")
    for peer in ("bare duckdb", "lean duckdb"):
        print(f"ratio level 2 to {peer} {middle['level 2'] / middle[peer]:.2f}")
    print(f"bubblewrap and its namespaces cost {middle['level 2'] - middle['level 1']:+.1f} ms over level 1")


if __name__ == "__main__":
    main()
