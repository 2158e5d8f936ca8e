"""Running the kit: its settings, its process, and what it says.

The kit prints a line a test and its own totals (`src/main/java`); `Outcome` is what came of one run.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from connector.protocol.messages import PATH
from hexi.canonical import Json, parse
from hexi.errors import DataspaceError
from registry.identity import did_web
from tests.conformance import maven
from tests.conformance.dsp.script import (
    CATALOGUE,
    CONSUMER_NEGOTIATIONS,
    CONSUMER_TRANSFERS,
    FORMAT,
    NOT_IN_THE_CATALOGUE,
    PROVIDER_NEGOTIATIONS,
    PROVIDER_TRANSFERS,
    offer_of,
)

FOLDER = Path(__file__).parent
# What a whole run executes; two more are switched off in the kit itself. Fewer would be a kit that did not look.
EXPECTED = 65
EXPECTED_SKIPPED = 2
# How long the kit waits for one message of ours, and for all of its tests, in seconds.
WAIT_SECONDS = 10
RUN_SECONDS = 600


@dataclass(frozen=True)
class Failure:
    """A test that failed, and why. `container` is the test class it belongs to."""

    test: str
    container: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the kit's own totals, and its failures."""

    ok: int
    failed: int
    skipped: int
    failures: tuple[Failure, ...]

    @property
    def is_green(self) -> bool:
        """Whether everything ran that there is, and passed."""
        return (self.ok, self.failed, self.skipped) == (EXPECTED, 0, EXPECTED_SKIPPED) and not self.failures

    @property
    def may_run_again(self) -> bool:
        """Whether all ran and one test alone failed: the kit fails against its own connector once in a while."""
        return (self.ok, self.failed) == (EXPECTED - 1, 1) and len(self.failures) == 1

    def __str__(self) -> str:
        return f"dsp-tck: {self.ok} ok, {self.failed} failed, {self.skipped} skipped"


def run(connector: str, port: int, work: Path, only: Failure | None = None) -> Outcome:
    """Run the kit, listening at `port`, against the connector at the URL `connector`; `only` runs that test alone.

    Raises `maven.CannotBuild`.
    """
    properties = work / "kit.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in _properties(connector, port).items()))
    names = [] if only is None else [only.container, only.test]
    command = [maven.tool("java"), "-cp", maven.class_path(FOLDER), "RunKit", str(properties), *names]
    with (work / "kit.log").open("ab") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, timeout=RUN_SECONDS, check=False)
        log.write(done.stdout)
    return _read(done.stdout.decode().splitlines())


def _read(lines: Iterable[str]) -> Outcome:
    said = [line for line in map(_json, lines) if isinstance(line, dict)]
    totals = next((line["totals"] for line in said if "totals" in line), {"ok": 0, "failed": 0, "skipped": 0})
    failures = [
        Failure(line["test"], line["container"], line["reason"]) for line in said if line.get("outcome") == "failed"
    ]
    return Outcome(totals["ok"], totals["failed"], totals["skipped"], tuple(failures))


def _json(line: str) -> Json:
    try:
        return parse(line.encode()) if line.startswith("{") else None
    except DataspaceError:
        return None


def _properties(connector: str, port: int) -> dict[str, str]:
    prefix = "dataspacetck.dsp.connector"
    return {
        "dataspacetck.dsp.local.connector": "false",
        f"{prefix}.agent.id": did_web(connector),
        f"{prefix}.http.url": connector + PATH,
        f"{prefix}.http.base.url": connector,
        f"{prefix}.negotiation.initiate.url": f"{connector}/kit/negotiations",
        f"{prefix}.transfer.initiate.url": f"{connector}/kit/transfers",
        "dataspacetck.dsp.default.wait": str(WAIT_SECONDS),
        "dataspacetck.callback.address": f"http://127.0.0.1:{port}",
        "dataspacetck.host": "127.0.0.1",
        "dataspacetck.port": str(port),
        **_subjects(),
    }


def _subjects() -> dict[str, str]:
    """Which dataset or agreement each test is about: ``CN_C_02_01_DATASETID=ACNC0201``."""
    subjects = {}
    for dataset in (*PROVIDER_NEGOTIATIONS, *CONSUMER_NEGOTIATIONS, *CATALOGUE, NOT_IN_THE_CATALOGUE):
        subjects[f"{_test_of(dataset)}_DATASETID"] = dataset
    for dataset in PROVIDER_NEGOTIATIONS:
        subjects[f"{_test_of(dataset)}_OFFERID"] = str(offer_of(dataset)["@id"])
    for agreement in (*PROVIDER_TRANSFERS, *CONSUMER_TRANSFERS):
        subjects[f"{_test_of(agreement)}_AGREEMENTID"] = agreement
        subjects[f"{_test_of(agreement)}_FORMAT"] = FORMAT
    return subjects


def _test_of(subject: str) -> str:
    """``ACNC0201`` -> ``CN_C_02_01``."""
    group, numbers = subject[:-4], subject[-4:]
    return f"{_GROUPS[group]}_{numbers[:2]}_{numbers[2:]}"


_GROUPS = {"ACN": "CN", "ACNC": "CN_C", "ATP": "TP", "ATPC": "TP_C", "CAT": "CAT"}
