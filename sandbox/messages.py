"""What travels over HTTP to and from the sandbox and the aggregation point."""

import base64
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hexi.canonical import Wire, encode
from hexi.errors import Malformed
from privacy.aggregation import MAXIMUM_CONTRIBUTORS
from privacy.homomorphic import MAX_CIPHERTEXT_BYTES, MAX_CONTEXT_BYTES


def _base64(size: int) -> int:
    return (size + 2) // 3 * 4


class RunBody(Wire):
    """POST /sandbox/runs: two signed documents, and for an encrypted sum the public context (base64)."""

    permit: str
    request: str
    context: str | None = Field(default=None, max_length=_base64(MAX_CONTEXT_BYTES))


class ReasonBody(Wire):
    """A reason for a refusal."""

    code: str
    message: str


class RunAnswer(Wire):
    """The answer to a run. A refusal has reasons and neither columns nor rows; nor has a run that is held for review,
    and no receipt yet: ask again for how it ends.

    `outputs` are what a program declared. `ciphertext` is the digest of what an encrypted sum contributed; such an
    answer carries no number. `receipt` is a signed document of type run-receipt.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run": "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000006",
                    "verdict": "released",
                    "columns": ["sex", "n"],
                    "rows": [["f", 100], ["m", 100]],
                    "receipt": {"document": {"type": "run-receipt"}, "signatures": {"did:web:a.example": "h..s"}},
                }
            ]
        }
    )

    run: str
    verdict: Literal["released", "refused", "held"]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | bool | int | float | None, ...], ...] = ()
    outputs: tuple[dict[str, Any], ...] = ()
    reasons: tuple[ReasonBody, ...] = ()
    ciphertext: str | None = None
    receipt: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As it travels and is kept."""
        return self.model_dump(mode="json", by_alias=True)


class JobAnswer(Wire):
    """A job as it stands. `done` has an answer at /sandbox/runs/{run}; `failed` and `cancelled` have a reason."""

    run: str
    product: str
    state: Literal["queued", "running", "done", "cancelled", "failed"]
    attempts: int
    submitted: str
    finished: str | None = None
    reason: ReasonBody | None = None
    # The number of its newest event.
    events: int

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return self.model_dump(mode="json", by_alias=True)


class JobList(Wire):
    """A consumer's newest jobs, newest first."""

    jobs: tuple[JobAnswer, ...]


class JobEvent(Wire):
    """One thing that happened to a job: the state it entered. `number` counts from 1; times are whole seconds."""

    number: int
    state: Literal["queued", "running", "done", "cancelled", "failed"]
    attempt: int
    at: str
    reason: ReasonBody | None = None

    def written(self) -> bytes:
        """As a server-sent event, whose id is its number. Source: WHATWG HTML, section 9.2."""
        data = encode(self.model_dump(mode="json", by_alias=True)).decode()
        return f"id: {self.number}\nevent: {self.state}\ndata: {data}\n\n".encode()


class AggregationBody(Wire):
    """POST /aggregations: a new job."""

    job: str = Field(min_length=1, max_length=200)
    contributors: tuple[str, ...] = Field(max_length=MAXIMUM_CONTRIBUTORS)
    context: str = Field(max_length=_base64(MAX_CONTEXT_BYTES))


class ContributionBody(Wire):
    """POST /aggregations/{job}/contributions: one encrypted number.

    `terms` is the digest of planner, contributors and context that the contributor was shown; the point refuses the
    number if the job was opened with others.
    """

    ciphertext: str = Field(max_length=_base64(MAX_CIPHERTEXT_BYTES))
    run: str = Field(min_length=1, max_length=200)
    terms: str | None = Field(default=None, max_length=200)


class AggregationAnswer(Wire):
    """A job as its planner sees it. `total` (base64) and `receipt` are there once everybody has contributed."""

    job: str
    state: str
    contributors: tuple[str, ...]
    contributed: tuple[str, ...]
    total: str | None = None
    receipt: dict[str, Any] | None = None


class ContributionAnswer(Wire):
    """What a contributor gets back: that its contribution is there, and how many are missing."""

    job: str
    state: str
    digest: str
    missing: int


def to_base64(data: bytes) -> str:
    """Bytes in JSON."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Bytes out of JSON. Raises `Malformed`."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("this is not base64") from error
