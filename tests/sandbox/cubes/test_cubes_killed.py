"""SIGKILL at two hundred moments of publishing: the charge stays, the noise is the same, nothing is drawn twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hexi.canonical import digest, system_clock
from hexi.database import Database
from sandbox import store
from sandbox.cubes.cubes import PUBLISHED, Cubes
from sandbox.datasets import Dataset
from tests.sandbox.cubes.test_cubes import described, patients

__all__ = ["patients"]  # the fixture

KILLS = 200
KEY = b"k" * 32
# Kills itself at a moment that is a share of what publishing takes without it. A fork, so that nothing is loaded anew.
PROGRAM = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
from tests.sandbox.cubes.test_cubes_killed import open_at, publish, state

home, patients, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def forked(folder, seconds=None):
    if not folder.exists():
        shutil.copytree(home / "empty", folder)
    started, child = time.monotonic(), os.fork()
    if child == 0:
        publish(folder, patients)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return time.monotonic() - started

(home / "empty").mkdir()
open_at(home / "empty").dispose()
forked(home / "whole")
took = min(forked(home / f"timed{i}") for i in range(3))
drawn, found = random.Random(5), []
for number in range(kills):
    folder = home / f"kill{number}"
    forked(folder, drawn.uniform(0.05, 1.1) * took)
    left = state(folder)
    forked(folder)
    found.append([left, state(folder)])
    shutil.rmtree(folder)
print(json.dumps({"whole": state(home / "whole"), "found": found}))
"""


def open_at(folder: Path) -> Database:
    """The database in `folder`, with its tables."""
    database = Database(f"sqlite:///{folder / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    return database


def publish(folder: Path, patients: Path) -> None:
    """Publish the cube of `patients`, keeping everything in `folder`."""
    dataset = Dataset(described(folder), digest("p"), {"patients": patients})
    Cubes(open_at(folder), KEY, system_clock).published(dataset)


def state(folder: Path) -> dict[str, dict[str, str]]:
    """What is charged, by measure; and the digest of every table kept, by measure and component."""
    database = open_at(folder)
    with database.reading() as session:
        charges = {row.measure: f"{row.spent} {row.state}" for row in store.charges(session, "p")}
        rows = store.lattice_tables(session, "p", 1)
        tables = {f"{row.measure} {row.component}": digest(row.body.hex()) for row in rows}
    database.dispose()
    return {"charges": charges, "tables": tables}


@pytest.mark.process
def test_two_hundred_kills_leave_every_charge_and_one_draw(patients: Path, tmp_path: Path) -> None:
    arguments = [str(tmp_path), str(patients), str(KILLS)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    whole, cut_short = told["whole"], 0
    for left, after in told["found"]:
        assert after == whole
        assert left["tables"].items() <= whole["tables"].items()
        for measure, charge in left["charges"].items():
            assert charge.split()[0] == whole["charges"][measure].split()[0]
        tabled = {key.split()[0] for key in left["tables"]}
        assert tabled <= {measure for measure, charge in left["charges"].items() if charge.endswith(PUBLISHED)}
        cut_short += left != whole
    assert len(told["found"]) == KILLS
    assert cut_short >= KILLS // 4  # the moments lie within publishing, not after it
