"""Executing reviewed work: the isolated job, and disclosure control over what came out of it. Steps 5 and 6 of a run.

Everything that goes wrong inside the job becomes one reason without details. Everything else is raised, and means that
no data were touched.
"""

from dataclasses import replace
from typing import Protocol

from hexi.canonical import Json
from privacy.homomorphic import MAX_BOUND
from sandbox.errors import DataChanged, JobFailed
from sandbox.isolation.processes import Isolation, IsolationSettings, Job, Limits, run_isolated
from sandbox.isolation.spares import Spares
from sandbox.lane import Result, Work
from sandbox.outputs import Sketches, control, one_sum, read_cells, rules_of
from sandbox.queries.query import Reviewed
from sandbox.reasons import Reason
from sandbox.receipts import REFUSED, RELEASED, Happened
from sandbox.settings import SandboxSettings

JOB_FAILED = Reason(
    "sandbox.job-failed",
    "the computation did not end within its limits or could not be done; ask for less, or give the provider the run id",
)


class Asked(Protocol):
    """A question as executing it needs to know it."""

    @property
    def canonical_sql(self) -> str:
        """As the receipt has it."""
        ...

    @property
    def digest(self) -> str:
        """Names the question, however it was spelled."""
        ...


def compute(work: Work[Reviewed], settings: SandboxSettings) -> Result:
    """The table that may leave, or a refusal. Raises `IsolationUnavailable`, `DataChanged`, `ProductUnusable`."""
    executed = execute(work, _job(work, settings), settings)
    if isinstance(executed, Reason):
        return refused(work, executed)
    rows, isolation = executed
    query = work.question.query
    try:
        output = control(query, read_cells(query, rows), rules_of(work.dataset.product.disclosure))
    except JobFailed:
        output = JOB_FAILED
    if isinstance(output, Reason):
        return refused(work, output, isolation)
    return Result(released(work, isolation, output.digest), output)


def compute_sum(work: Work[Reviewed], settings: SandboxSettings) -> tuple[float, Sketches, Json] | Reason:
    """The number to encrypt, the sets behind it, and the isolation; or why not. Raises as `compute` does."""
    executed = execute(work, _job(work, settings), settings)
    if isinstance(executed, Reason):
        return executed
    rows, isolation = executed
    query = work.question.query
    try:
        number = one_sum(query, read_cells(query, rows), rules_of(work.dataset.product.disclosure))
    except JobFailed:
        return JOB_FAILED
    return number if isinstance(number, Reason) else (*number, isolation)


def bound_of(low: float | None, high: float | None, rows: int) -> float:
    """What the sum of a measure clipped to its range cannot exceed, from the product's description alone."""
    largest = max(abs(low or 0.0), abs(high or 0.0), 1.0)
    return min(largest * rows, MAX_BOUND) if rows else MAX_BOUND


def released(work: Work[Asked], isolation: Json, output: str) -> Happened:
    """What the receipt says of a release."""
    return replace(_happened(work, RELEASED, isolation), output=output)


def refused(work: Work[Asked], reason: Reason, isolation: Json = None) -> Result:
    """A refusal."""
    return Result(replace(_happened(work, REFUSED, isolation), reasons=(reason,)))


def execute(
    work: Work[Asked], job: Job, settings: SandboxSettings, spares: Spares | None = None
) -> tuple[list[list[Json]], Json] | Reason:
    """The job's raw rows and the isolation they were computed in. With `spares` a worker that waits may do it.

    Raises `IsolationUnavailable`, `DataChanged`, `ProductUnusable`; what goes wrong inside is a reason.
    """
    disclosure, before = work.dataset.product.disclosure, work.dataset.fingerprint()
    level = max(work.permit.minimum_isolation, disclosure.minimum_isolation)
    try:
        result = run_isolated(
            job, minimum_level=level, settings=IsolationSettings(runsc=settings.runsc), stop=work.stop, spares=spares
        )
    except JobFailed:
        return JOB_FAILED
    if work.dataset.fingerprint() != before:
        raise DataChanged("the files of this product changed while they were read; ask again")
    return result.rows, _measured(result.isolation)


def _job(work: Work[Reviewed], settings: SandboxSettings) -> Job:
    query = work.question.query
    path = work.dataset.file(query.table)
    # A CSV file is read as text. Typed is every file by the query, which turns what does not fit into missing values.
    text = path.suffix.lower() == ".csv"
    columns = dict.fromkeys([*query.contents, query.entity_key], "string") if text else {}
    return Job({query.table: path}, work.question.job_sql, limits_of(settings), {query.table: columns})


def limits_of(settings: SandboxSettings) -> Limits:
    """What a job may use."""
    return Limits(settings.memory_bytes, settings.cpu_seconds, settings.wall_seconds, settings.output_bytes)


def _measured(isolation: Isolation) -> Json:
    return {"level": isolation.level, "layers": dict(isolation.layers)}


def _happened(work: Work[Asked], outcome: str, isolation: Json) -> Happened:
    return Happened(
        outcome, query=work.question.canonical_sql, data_digest=work.dataset.fingerprint(), isolation=isolation
    )
