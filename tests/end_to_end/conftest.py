"""One demo for all tests that look at it, and a small road of one's own for those that break things."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.longyizhen.cast import HOSPITALS, PLANNER
from examples.longyizhen.data import write_shares
from examples.longyizhen.processes import Services
from examples.longyizhen.scenario import SQL_FORMAT, Road

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Demo:
    """A finished ``make demo``: what it printed and what it left."""

    out: Path
    printed: str

    def json(self, name: str) -> Any:
        """One of its papers."""
        return json.loads((self.out / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """What ``make demo`` runs, to its end."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(
        [sys.executable, "-m", "examples.longyizhen", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Demo(out, done.stdout)


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    """A space, one hospital and the planner as processes, the hospital's product on sale."""
    with Services(tmp_path) as services:
        road = Road(tmp_path, services)
        road.open_space(HOSPITALS[:1])
        for node in road.nodes.values():
            road.join(node)
        road.publish(road.nodes[HOSPITALS[0].key], write_shares(tmp_path / "data")[0])
        yield road


@pytest.fixture
def started(road: Road) -> Road:
    """The same, with an agreement, an order and a permit for SQL."""
    hospital = road.nodes[HOSPITALS[0].key]
    agreement = road.negotiate(hospital)
    road.order(hospital, agreement, SQL_FORMAT, runs=3)
    road.open_transfer(hospital, agreement, SQL_FORMAT)
    assert PLANNER.key in road.nodes
    return road
