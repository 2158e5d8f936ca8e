"""The README's guide to two participants, run as it stands there: with other ports, and waiting."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.longyizhen.processes import free_ports
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.process

WAIT = "for _ in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/%s) 2> /dev/null && break; sleep 0.1; done"


def blocks() -> list[str]:
    return re.findall(
        r"^```sh guide\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def script(ports: dict[str, int]) -> str:
    """The guide with other ports; after a service is started, wait for it, as a person would by typing on."""
    lines = ["set -e", "trap 'kill $(jobs -p); wait' EXIT"]
    starting = iter(["8080", "8081", "8082"])
    for line in "".join(blocks()).splitlines():
        lines.append(line)
        if line.endswith("&"):
            lines.append(WAIT % next(starting))
    text = "\n".join(lines)
    for written, used in ports.items():
        text = text.replace(written, str(used))
    return text


def test_the_guide_to_two_participants(tmp_path: Path) -> None:
    ports = dict(zip(("8080", "8081", "8082"), free_ports(3), strict=True))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
    }
    subprocess.run(
        [sys.executable, "-m", "examples.longyizhen.bench", str(tmp_path / "bench")], cwd=ROOT, check=True, timeout=60
    )
    done = subprocess.run(
        ["bash", "-c", script(ports)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "FINALIZED" in done.stdout
    assert "excellent" in done.stdout
    assert (tmp_path / "log" / "checkpoint").exists()
