"""A lane: one of the ways in which a question may be answered. Every run takes exactly one, chosen by product and mode.

What all runs have in common (permits, counting, receipts, crashes) is `sandbox.runs`; what a lane lets through, how it
computes and what it remembers, is the lane's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, Protocol, TypeVar

from sqlmodel import Session

from hexi.canonical import Json
from sandbox.datasets import Dataset
from sandbox.isolation.stopping import Stop
from sandbox.messages import RunAnswer
from sandbox.outputs import Output
from sandbox.permits import Permit
from sandbox.reasons import Refusal
from sandbox.receipts import Happened
from sandbox.requests import RunRequest

Question = TypeVar("Question")
Question_co = TypeVar("Question_co", covariant=True)
Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Work(Generic[Question_co]):
    """A run that was taken on: verified, reviewed, counted. `context` is an encrypted sum's public context; `stop` ends
    its computation where a queue executes it. With `again` an earlier attempt may have read data.
    """

    permit: Permit
    request: RunRequest
    dataset: Dataset
    question: Question_co
    context: bytes | None = None
    stop: Stop | None = None
    again: bool = False
    # When it was taken up to be executed, by the monotonic clock: answers leave at fixed times after this.
    began: float = field(default_factory=monotonic, compare=False)

    @property
    def key(self) -> tuple[str, int]:
        """The product version it is about."""
        return self.permit.product, self.permit.version


@dataclass(frozen=True)
class Hold:
    """People decide whether a result leaves (`sandbox.airlock`). What they see beside it.

    `report` says, rule by rule, what was found (`rule`, `passed`, `says`); `lineage` is what the lane knows of how the
    output came about, besides what every run has.
    """

    report: Sequence[Mapping[str, Json]] = ()
    lineage: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What came of it: what the receipt says, and the output that may leave, if any. With `hold` nothing leaves yet."""

    happened: Happened
    output: Output | None = None
    hold: Hold | None = None


# Sends a ciphertext to an aggregation point: its URL, the job, the ciphertext, the run, and the terms on which it is
# given (`EncryptedSum.terms`), which the point must hold the job by. Sending it twice is harmless.
Contribute = Callable[[str, str, bytes, str, str], None]
# Ends a run in the given transaction: answer, signed receipt, evidence; or holds it, with neither.
End = Callable[[Session, Work[Question], Result], RunAnswer]


class Lane(Protocol[Question, Computed]):
    """Steps 3 and 5 to 7 of a run."""

    def review(self, dataset: Dataset, request: RunRequest) -> Question | Refusal:
        """What is asked, or why it may not be: by text and published description alone. Never raises on a text."""
        ...

    def compute(self, work: Work[Question]) -> Computed:
        """What is needed to answer. A `DataspaceError` means that no data were touched, and undoes the run if this is
        the first attempt at it; `DataChanged` says that they changed while they were read, and ends it.
        """
        ...

    def finish(self, work: Work[Question], computed: Computed, end: End[Question]) -> RunAnswer:
        """What may leave, remembered and ended in one transaction. Done again after a crash, it comes to the same."""
        ...
