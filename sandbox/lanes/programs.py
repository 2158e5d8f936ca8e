"""The programs lane: Python over a product's tables, in isolation of level 2 or better, always held for review.

The program is the request's text, or an accepted algorithm that the text names by its digest, with parameters.

Until people have decided, a consumer learns nothing but that it was held: whether the program failed, was stopped, or
said something inadmissible is held like an output, and the answer comes a fixed time after the program began.
"""

import time
from dataclasses import dataclass, field

from sqlmodel import Session

from hexi.canonical import Json, digest
from hexi.database import Database
from sandbox.airlock import store as airlock_store
from sandbox.algorithms.asking import ask_algorithm, is_reference
from sandbox.datasets import Dataset
from sandbox.lane import End, Hold, Result, Work
from sandbox.messages import RunAnswer
from sandbox.outputs import Output
from sandbox.programs.execution import Asked, Hear, Ran, execute, seconds_of
from sandbox.programs.rules import inadmissible, report
from sandbox.programs.source import Program, read_program
from sandbox.reasons import Reason, Refusal
from sandbox.receipts import REFUSED, RELEASED, Happened
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

# One sentence for everything inside.
FAILED = Reason(
    "sandbox.program-failed",
    "the program failed, took too long, or declared what may not leave; try it on the product's twin or on the bench, "
    "where you see what it says",
)
ONLY_ALGORITHMS = Reason(
    "sandbox.algorithms-only",
    "this product runs accepted algorithms only: name one by its digest, or have yours accepted by the provider's "
    "algorithm repository",
)
# Earlier releases that a new one is compared with.
MAX_COMPARED = 200


@dataclass(frozen=True)
class Question:
    """What is to be run; and of an algorithm, what receipt and reviewers are told of it."""

    asked: Asked
    algorithm: dict[str, Json] = field(default_factory=dict)

    @property
    def program(self) -> Program:
        """The program."""
        return self.asked.program


class ProgramLane:
    """Programs over the tables of a product without a lattice; under a controlled policy, by its analysts."""

    def __init__(self, database: Database, settings: SandboxSettings, unsafe_hear: Hear | None = None) -> None:
        self._database = database
        self._settings = settings
        self._unsafe_hear = unsafe_hear

    def review(self, dataset: Dataset, request: RunRequest) -> Question | Refusal:
        """See `Lane`. Which algorithms are accepted is public: like the text, it says nothing of the data."""
        if is_reference(request.query):
            with self._database.reading() as session:
                found = ask_algorithm(session, request.query, dataset.product)
            return found if isinstance(found, Refusal) else Question(*found)
        if dataset.product.disclosure.algorithms_only:
            return Refusal((ONLY_ALGORITHMS,))
        program = read_program(request.query)
        return program if isinstance(program, Refusal) else Question(Asked(program))

    def compute(self, work: Work[Question]) -> Ran:
        """What came of it, a fixed time after it began. Raises as `sandbox.programs.execution.execute` does."""
        question = work.question
        level = max(work.permit.minimum_isolation, work.dataset.product.disclosure.minimum_isolation)
        ran = execute(
            question.asked,
            work.dataset,
            self._settings,
            minimum_level=level,
            stop=work.stop,
            unsafe_hear=self._unsafe_hear,
        )
        self._wait(ran.began, seconds_of(question.program, self._settings))
        return ran

    def finish(self, work: Work[Question], computed: Ran, end: End[Question]) -> RunAnswer:
        """See `Lane`."""
        with self._database.transaction() as session:
            return end(session, work, _held(session, work, computed))

    def _wait(self, start: float, seconds: int) -> None:
        """Until the next multiple of the program's time: when the answer comes says nothing of when it was done.

        From the moment the program itself began, for laying out large tables takes longer than any fixed time, and
        starting its isolation does on a busy machine: after that a program could choose by its own duration into which
        multiple it falls.
        """
        if self._settings.program_overhead_seconds:
            slot = seconds + self._settings.program_overhead_seconds
            time.sleep(slot - (time.monotonic() - start) % slot)


def _held(session: Session, work: Work[Question], ran: Ran) -> Result:
    """Held whatever came of it: that a program failed may say something too."""
    digest_, algorithm = work.question.program.digest, work.question.algorithm
    program = {"digest": digest_, "environment": ran.environment.digest, **algorithm}
    # One receipt for everything inside: a program that ended with an error is not told from one whose outputs were not
    # taken. Reviewers see which.
    happened = Happened(REFUSED, (FAILED,), data_digest=work.dataset.fingerprint(), program=program)
    lineage = {
        "program": digest_,
        "environment": ran.environment.to_json(),
        "isolation": ran.isolation,
        **algorithm,
    }
    if algorithm:
        lineage["source"] = work.question.program.text
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
    earlier = airlock_store.outputs_released(session, work.permit.product, MAX_COMPARED)
    return Result(released, output, Hold(report(ran.collected, ran.expected, ran.unchecked, earlier), lineage))
