"""Whole runs of the kit: a fresh database, our connector over it, the kit against that, and what came of it.

All that the connector sends and answers meanwhile is held against the specification's JSON Schemas, and its log must
be free of errors. If a single test fails it is run once more, and that is said: the kit loses one even against its own
connector now and then.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from jsonschema import ValidationError

from hexi.canonical import parse
from tests.conformance import maven
from tests.conformance.dsp import kit
from tests.conformance.ports import free_ports
from tests.conformance.schemas import Schemas
from tests.databases import fresh_postgresql, postgresql_server

# How long our connector may take to answer after its start, and to stop, in seconds.
START_SECONDS = 30
STOP_SECONDS = 30


@dataclass(frozen=True)
class Result:
    """What came of a run: the kit's word, and what else was wrong with us."""

    outcome: kit.Outcome
    flaws: tuple[str, ...]

    @property
    def is_green(self) -> bool:
        """Whether the kit was content and nothing else was wrong."""
        return self.outcome.is_green and not self.flaws


def run(database: str, runs: int, *, log: bool = False) -> list[Result]:
    """So many runs, one after the other, on ``sqlite`` or ``postgresql``; each is printed.

    `log` also prints what kit and connector logged in a green run. Raises `maven.CannotBuild`.
    """
    schemas = Schemas(maven.jars(kit.FOLDER))
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server()) if database == "postgresql" else None
        return [_run_once(server, schemas, log=log) for _ in range(runs)]


def _run_once(server: str | None, schemas: Schemas, *, log: bool) -> Result:
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hexi-dsp-")))
        url = stack.enter_context(fresh_postgresql(server)) if server else f"sqlite:///{work / 'connector.sqlite'}"
        own_port, kit_port = free_ports(2)
        started = time.monotonic()
        with _connector(own_port, url, work) as address:
            outcome = kit.run(address, kit_port, work)
            if outcome.may_run_again:
                outcome = _again(address, kit_port, work, outcome)
        flaws = [*_flaws(schemas, work / "messages.jsonl"), *_errors(work / "connector.log")]
        for failure in outcome.failures:
            print(f"  failed: {failure.test}\n    {failure.reason}")
        for flaw in flaws:
            print(f"  {flaw}")
        result = Result(outcome, tuple(flaws))
        if log or not result.is_green:
            print((work / "kit.log").read_text(), (work / "connector.log").read_text(), sep="\n")
        print(f"on {'postgresql' if server else 'sqlite'}, in {time.monotonic() - started:.0f} s:")
        print(outcome, flush=True)
        return result


def _again(address: str, port: int, work: Path, first: kit.Outcome) -> kit.Outcome:
    """The outcome with the one failed test run once more."""
    failure = first.failures[0]
    second = kit.run(address, port, work, only=failure)
    passed = (second.ok, second.failed) == (1, 0)
    print(f"  run again: {failure.test}: {'passed' if passed else 'failed'}\n    the first time: {failure.reason}")
    return kit.Outcome(first.ok + 1, 0, first.skipped, ()) if passed else first


@contextmanager
def _connector(port: int, database_url: str, work: Path) -> Iterator[str]:
    """Our connector as a process of its own; its address."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.conformance.dsp.connector", "--port", str(port)]
    files = ["--database-url", database_url, "--messages", str(work / "messages.jsonl")]
    with (work / "connector.log").open("wb") as log, subprocess.Popen([*command, *files], stderr=log) as process:
        try:
            _wait_for(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("our connector did not start; see its log")


def _flaws(schemas: Schemas, messages: Path) -> list[str]:
    """What the schemas have against what was sent and answered."""
    sent = [parse(line) for line in messages.read_bytes().splitlines()]
    flaws = [] if sent else ["nothing was sent"]
    for message in sent:
        try:
            schemas.check(message["body"])
        except ValidationError as error:
            flaws.append(f"not as the schemas want it, at {message['where']}: {error.message}")
    print(f"json schemas: {len(sent) - len(flaws)} messages and answers valid, {len(flaws)} not")
    return flaws


def _errors(log: Path) -> list[str]:
    """What the connector logged as an error: it may be nothing the kit looks at, and is a fault all the same."""
    lines = [parse(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    return [f"our connector logged: {line.get('event')}" for line in lines if line.get("level") == "error"]
