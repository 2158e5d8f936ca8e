"""``make conformance``: everything that others verify us with, in one go; the last line says how it went.

The official kit of the Dataspace Protocol on SQLite and on PostgreSQL; the messages we write against the
specification's JSON Schemas; a live Eclipse EDC in both directions; object storage of moto and of versitygw;
jobs under gVisor's kernel; our exported logs read by Go's sumdb/tlog; our proofs checked by pymerkle; the cube of a
million people published by Spark and by DuckDB.
"""

import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.conformance import go, maven
from tests.conformance.dsp import kit, runner
from tests.conformance.edc import runtime
from tests.connector.s3.peers import VERSITY_MODULE
from tests.sandbox.isolation.gvisor_builds import GVISOR_MODULE

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Tally:
    """How many tests passed, failed, and could not be run here."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="runs of the kit on each database (1)")
    runs = parser.parse_args().runs
    checks: dict[str, Callable[[], Tally]] = {
        "other implementations of the ledger's formats": _ledger,
        "the specification's JSON Schemas": _schemas,
        "the kit, on SQLite": lambda: _kit("sqlite", runs),
        "the kit, on PostgreSQL": lambda: _kit("postgresql", runs),
        "a live Eclipse EDC, in both directions": _edc,
        "object storage by others": _object_storage,
        "isolation under gVisor's kernel": _gvisor,
        "a million people, published by Spark and by DuckDB": _spark,
    }
    total = Tally()
    try:
        maven.class_path(kit.FOLDER)
        os.environ["HEXI_TEST_VERSITYGW"] = str(go.program(VERSITY_MODULE))
        os.environ["HEXI_TEST_RUNSC"] = str(go.program(GVISOR_MODULE))
        for name, check in checks.items():
            print(f"== {name}", flush=True)
            total += check()
    except maven.CannotBuild as error:
        print(f"conformance cannot be checked: {error}", file=sys.stderr)
        return 2
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"conformance: {total.passed} passed, {total.failed} failed{skipped}")
    return 1 if total.failed or not total.passed else 0


def _ledger() -> Tally:
    return _pytest("tests/ledger/test_export.py", "tests/ledger/test_merkle.py", "-k", "go or pymerkle or export")


def _schemas() -> Tally:
    tally = _pytest("tests/conformance")
    # The jars are there: nothing excuses a test that did not look into them.
    return Tally(tally.passed, tally.failed + tally.skipped)


def _edc() -> Tally:
    print(f"Eclipse EDC {runtime.version()}", flush=True)
    tally = _pytest("tests/conformance/edc", "-m", "edc")
    # EDC is there: nothing excuses a test that did not ask it.
    tally = Tally(tally.passed, tally.failed + tally.skipped)
    print(f"edc: {tally.passed} ok, {tally.failed} failed", flush=True)
    return tally


def _object_storage() -> Tally:
    tally = _pytest("tests/connector/s3", "tests/connector/planes/test_s3.py")
    # Both servers are there: nothing excuses a test that did not ask them.
    return Tally(tally.passed, tally.failed + tally.skipped)


def _gvisor() -> Tally:
    tally = _pytest("tests/sandbox/isolation/test_gvisor.py")
    # gVisor is there: nothing excuses a test that did not run a job in it.
    return Tally(tally.passed, tally.failed + tally.skipped)


def _spark() -> Tally:
    tally = _pytest("tests/sandbox/engines/test_spark.py", "-m", "spark")
    # Java is there, for the kit needs it too: nothing excuses a cube that was not compared.
    return Tally(tally.passed, tally.failed + tally.skipped)


def _kit(database: str, runs: int) -> Tally:
    tally = Tally()
    for result in runner.run(database, runs):
        failed = kit.EXPECTED - result.outcome.ok + len(result.flaws)
        tally += Tally(result.outcome.ok, failed if result.is_green else max(1, failed))
    return tally


def _pytest(*arguments: str) -> Tally:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        suites = ET.parse(report).getroot().iter("testsuite") if report.is_file() else []
        counts = [
            {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")} for suite in suites
        ]
    failed = sum(count["failures"] + count["errors"] for count in counts)
    skipped = sum(count["skipped"] for count in counts)
    passed = sum(count["tests"] for count in counts) - failed - skipped
    return Tally(passed, max(failed, 1) if code else failed, skipped)


if __name__ == "__main__":
    sys.exit(main())
