"""Executing reviewed work: the isolated job, and disclosure control over what came out of it. Steps 5 and 6 of a run.

Everything that goes wrong inside the job becomes one reason without details. Everything else is raised, and means that
no data were touched.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hexi.canonical import Json, digest
from privacy.homomorphic import MAX_BOUND
from sandbox.datasets import Dataset
from sandbox.errors import DataChanged, JobFailed
from sandbox.isolation import Isolation, Job, Limits, run_isolated
from sandbox.outputs import EntitySets, Output, control, one_sum, read_cells, rules_of
from sandbox.permits import Permit
from sandbox.queries import Reviewed
from sandbox.reasons import Reason
from sandbox.receipts import REFUSED, RELEASED, Happened
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from sandbox.door import CubeQuery

JOB_FAILED = Reason(
    "sandbox.job-failed",
    "the computation did not end within its limits or could not be done; ask for less, or give the provider the run id",
)


@dataclass(frozen=True)
class Work:
    """A run that was taken on: verified, reviewed, counted."""

    permit: Permit
    request: RunRequest
    dataset: Dataset
    reviewed: Reviewed
    context: bytes | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The product version it is about."""
        return self.permit.product, self.permit.version

    @property
    def query_digest(self) -> str:
        """Names the question."""
        return digest({"query": self.reviewed.canonical_sql})


@dataclass(frozen=True)
class CubeWork:
    """A run that the product's cube answers: nothing is executed for it."""

    permit: Permit
    request: RunRequest
    dataset: Dataset
    query: "CubeQuery"


@dataclass(frozen=True)
class Result:
    """What came of it: what the receipt says, and the table that may leave, if any."""

    happened: Happened
    output: Output | None = None


def compute(work: Work, settings: SandboxSettings) -> Result:
    """The table that may leave, or a refusal. Raises `IsolationUnavailable`, `DataChanged`, `ProductUnusable`."""
    executed = _execute(work, settings)
    if isinstance(executed, Reason):
        return refused(work, executed)
    rows, isolation = executed
    query = work.reviewed.query
    try:
        output = control(query, read_cells(query, rows), rules_of(work.dataset.product.disclosure))
    except JobFailed:
        output = JOB_FAILED
    if isinstance(output, Reason):
        return refused(work, output, isolation)
    return Result(released(work, isolation, output.digest), output)


def compute_sum(work: Work, settings: SandboxSettings) -> tuple[float, EntitySets, Json] | Reason:
    """The number to encrypt, the sets behind it, and the isolation; or why not. Raises as `compute` does."""
    executed = _execute(work, settings)
    if isinstance(executed, Reason):
        return executed
    rows, isolation = executed
    query = work.reviewed.query
    try:
        number = one_sum(query, read_cells(query, rows), rules_of(work.dataset.product.disclosure))
    except JobFailed:
        return JOB_FAILED
    return number if isinstance(number, Reason) else (*number, isolation)


def bound_of(work: Work) -> float:
    """What the sum of a clipped measure cannot exceed, from the product's description alone."""
    query, rows = work.reviewed.query, getattr(work.dataset.product, "rows", 0)
    field = query.fields[query.measures[0]]
    largest = max(abs(field.low or 0.0), abs(field.high or 0.0), 1.0)
    return min(largest * rows, MAX_BOUND) if rows else MAX_BOUND


def released(work: Work, isolation: Json, output: str) -> Happened:
    """What the receipt says of a release."""
    return replace(_happened(work, RELEASED, isolation), output=output)


def refused(work: Work, reason: Reason, isolation: Json = None) -> Result:
    """A refusal."""
    return Result(replace(_happened(work, REFUSED, isolation), reasons=(reason,)))


def _execute(work: Work, settings: SandboxSettings) -> tuple[list[list[Json]], Json] | Reason:
    """The job's raw rows and the isolation they were computed in."""
    disclosure, before = work.dataset.product.disclosure, work.dataset.fingerprint()
    level = max(work.permit.minimum_isolation, disclosure.minimum_isolation)
    try:
        result = run_isolated(_job(work, settings), minimum_level=level)
    except JobFailed:
        return JOB_FAILED
    if work.dataset.fingerprint() != before:
        raise DataChanged("the files of this product changed while they were read; ask again")
    return result.rows, _measured(result.isolation)


def _job(work: Work, settings: SandboxSettings) -> Job:
    query = work.reviewed.query
    path = work.dataset.file(query.table)
    # A CSV file is read as text and typed by the query, which turns what does not fit into missing values.
    text = path.suffix.lower() == ".csv"
    columns = {name: "string" if text else field.datatype for name, field in query.fields.items()}
    limits = Limits(settings.memory_bytes, settings.cpu_seconds, settings.wall_seconds, settings.output_bytes)
    columns[query.entity_key] = "string"
    return Job({query.table: path}, work.reviewed.job_sql, limits, {query.table: columns})


def _measured(isolation: Isolation) -> Json:
    return {"level": isolation.level, "layers": dict(isolation.layers)}


def _happened(work: Work, outcome: str, isolation: Json) -> Happened:
    return Happened(
        outcome, query=work.reviewed.canonical_sql, data_digest=work.dataset.fingerprint(), isolation=isolation
    )
