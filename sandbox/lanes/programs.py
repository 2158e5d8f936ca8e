"""The programs lane: Python over a product's tables, in isolation of level 2 or better, always held for review.

Until people have decided, a consumer learns nothing but that it was held: whether the program failed, was stopped, or
said something inadmissible is held like an output, and the answer comes a fixed time after the start.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from hexi.canonical import Json, digest
from hexi.database import Database
from sandbox.airlock import store as airlock_store
from sandbox.datasets import Dataset
from sandbox.errors import DataChanged, JobFailed
from sandbox.isolation import Isolation, Limits, Packages, run_program
from sandbox.lanes import End, Hold, Result, Work
from sandbox.messages import RunAnswer
from sandbox.outputs import Output
from sandbox.programs.collecting import MAX_BYTES, Collected, Expected, Inadmissible, check_counts, collect
from sandbox.programs.environment import Environment, default_folder, open_environment
from sandbox.programs.inputs import lay_out
from sandbox.programs.rules import inadmissible, report
from sandbox.programs.source import Program, read_program
from sandbox.reasons import Reason, Refusal
from sandbox.receipts import REFUSED, RELEASED, Happened
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

# Programs are never run with less between them and the machine.
MINIMUM_LEVEL = 2
# One sentence for everything inside.
FAILED = Reason(
    "sandbox.program-failed",
    "the program failed, took too long, or declared what may not leave; try it on the product's twin or on the bench, "
    "where you see what it says",
)
# Earlier releases that a new one is compared with.
MAX_COMPARED = 200


@dataclass(frozen=True)
class Ran:
    """What a program left: outputs or why there are none, and what it was held against."""

    collected: Collected | str
    unchecked: Sequence[str]
    expected: Expected
    isolation: Json
    environment: Environment


class ProgramLane:
    """Programs over the tables of a product that has neither a lattice nor a controlled policy."""

    def __init__(self, database: Database, settings: SandboxSettings) -> None:
        self._database = database
        self._settings = settings

    def review(self, dataset: Dataset, request: RunRequest) -> Program | Refusal:
        """See `Lane`."""
        return read_program(request.query)

    def compute(self, work: Work[Program]) -> Ran:
        """What came of it, a fixed time after the start.

        Raises `IsolationUnavailable`, `EnvironmentUnavailable`, `DataChanged`, `ProductUnusable`.
        """
        start, seconds = time.monotonic(), self._seconds(work.question)
        environment = open_environment((self._settings.environment or default_folder()).absolute())
        ran = self._run(work, environment, seconds)
        self._wait(start, seconds)
        return ran

    def finish(self, work: Work[Program], computed: Ran, end: End[Program]) -> RunAnswer:
        """See `Lane`."""
        with self._database.transaction() as session:
            return end(session, work, _held(session, work, computed))

    def _run(self, work: Work[Program], environment: Environment, seconds: int) -> Ran:
        before = work.dataset.fingerprint()
        with lay_out(work.dataset) as inputs:
            expected = Expected(work.dataset.product, work.question.words, inputs.entities)
            packages = Packages(environment.packages, inputs.schema)
            limits = Limits(self._settings.program_memory_bytes, seconds, float(seconds), MAX_BYTES)
            collected, isolation = _executed(work, inputs.tables, packages, limits, expected)
            unchecked: Sequence[str] = ()
            if isinstance(collected, Collected):
                try:
                    unchecked = check_counts(collected.outputs, inputs.most, expected.product.disclosure.rounding)
                except Inadmissible as why:
                    collected = str(why)
        if work.dataset.fingerprint() != before:
            raise DataChanged("the files of this product changed while they were read; ask again")
        return Ran(collected, unchecked, expected, isolation, environment)

    def _seconds(self, program: Program) -> int:
        asked = program.seconds or self._settings.program_seconds
        return max(1, min(asked, self._settings.program_most_seconds))

    def _wait(self, start: float, seconds: int) -> None:
        """Until the next multiple of the program's time: when the answer comes says nothing of when it was done."""
        if self._settings.program_overhead_seconds:
            slot = seconds + self._settings.program_overhead_seconds
            time.sleep(slot - (time.monotonic() - start) % slot)


def _executed(
    work: Work[Program], tables: Mapping[str, Path], packages: Packages, limits: Limits, expected: Expected
) -> tuple[Collected | str, Json]:
    """Outputs, or why there are none; and the isolation where it is known."""
    level = max(MINIMUM_LEVEL, work.permit.minimum_isolation, work.dataset.product.disclosure.minimum_isolation)
    try:
        result = run_program(
            work.question.text, minimum_level=level, tables=tables, limits=limits, stop=work.stop, packages=packages
        )
    except JobFailed:
        return "it ended with an error, or at one of its limits", None
    try:
        return collect(result.output, expected), _measured(result.isolation)
    except Inadmissible as why:
        return str(why), _measured(result.isolation)


def _held(session: Session, work: Work[Program], ran: Ran) -> Result:
    """Held whatever came of it: that a program failed may say something too."""
    program = {"digest": work.question.digest, "environment": ran.environment.digest}
    happened = Happened(
        REFUSED, (FAILED,), data_digest=work.dataset.fingerprint(), isolation=ran.isolation, program=program
    )
    lineage = {"program": work.question.digest, "environment": ran.environment.to_json()}
    if isinstance(ran.collected, str):
        return Result(happened, None, Hold(inadmissible(ran.collected), lineage))
    output = Output((), (), {}, ran.collected.outputs)
    released = Happened(
        RELEASED,
        data_digest=happened.data_digest,
        isolation=ran.isolation,
        output=digest({"outputs": list(output.outputs)}),
        program=program,
    )
    said = report(ran.collected, ran.expected, ran.unchecked, _earlier(session, work))
    return Result(released, output, Hold(said, lineage))


def _earlier(session: Session, work: Work[Program]) -> Sequence[Sequence[Json]]:
    return airlock_store.outputs_released(session, work.permit.product, MAX_COMPARED)


def _measured(isolation: Isolation) -> Json:
    return {"level": isolation.level, "layers": dict(isolation.layers)}
