"""The lane of single tables, about entities that are no persons, such as firms: the query runs in isolation.

What comes out is held to disclosure rules, which are no guarantee against combined answers (decision 0007). About
persons a cube answers, or named analysts ask (`registry.lanes`).

An answer is compared with everything released before from the same product version, and the same question gets the
answer it got before.
"""

from sqlmodel import Session

from hexi.canonical import Json, encode, parse
from hexi.database import Database
from sandbox import store
from sandbox.buckets import in_bucket
from sandbox.datasets import Dataset, pin
from sandbox.execution import Asked, compute, refused, released
from sandbox.lane import End, Result, Work
from sandbox.messages import RunAnswer
from sandbox.outputs import Output, Sketches
from sandbox.queries.query import Reviewed
from sandbox.queries.review import review
from sandbox.reasons import Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings
from sandbox.tables import ReleaseRow

TOO_CLOSE = Reason(
    "sandbox.too-close-to-earlier",
    "a group of this answer differs by a few entities only from one that was released before, so the difference would "
    "be about them; ask with the same conditions as before, or with clearly different ones",
)


class TableLane:
    """Queries over one table of a product without persons."""

    def __init__(self, database: Database, settings: SandboxSettings) -> None:
        self._database = database
        self._settings = settings

    def review(self, dataset: Dataset, request: RunRequest) -> Reviewed | Refusal:
        """See `Lane`."""
        return review(request.query, dataset.product, request.mode)

    def compute(self, work: Work[Reviewed]) -> Result:
        """The controlled table, or the answer given before. Raises as `sandbox.execution.compute` does."""
        with in_bucket(self._settings.bucket_seconds, work, last=False):
            with self._database.reading() as session:
                known = store.release(session, *work.key, work.question.digest)
            return _stored(work, known) if known else compute(work, self._settings)

    def finish(self, work: Work[Reviewed], computed: Result, end: End[Reviewed]) -> RunAnswer:
        """See `Lane`."""
        with in_bucket(self._settings.bucket_seconds, work), self._database.transaction() as session:
            return end(session, work, _admit(session, work, computed))


def is_too_close(session: Session, work: Work[Asked], sets: Sketches) -> bool:
    """Whether the records by which a cell differs from an earlier one belong to too few entities."""
    store.pin_data(session, *work.key, work.dataset.fingerprint())
    # Releases about one population come one after another, whichever product and version they are from.
    store.lock_population(session, population := population_of(work))
    minimum = work.dataset.product.disclosure.minimum_entities
    return store.is_too_close(session, work.key, population, sets, minimum)


def population_of(work: Work[Asked]) -> str:
    """Whom or what the product is about: a name of the provider's, or empty, which is everybody it has."""
    policy = work.dataset.product.controlled
    return policy.population if policy else ""


def _admit(session: Session, work: Work[Reviewed], result: Result) -> Result:
    """Step 7, differencing: the release is remembered and may leave, or is too close to an earlier one."""
    if result.output is None:
        return result
    pin(session, *work.key, str(result.happened.data_digest))
    if known := store.release(session, *work.key, work.question.digest):
        return _stored(work, known)
    if is_too_close(session, work, result.output.sets):
        return refused(work, TOO_CLOSE, result.happened.isolation)
    store.add_cells(session, work.key, population_of(work), result.output.sets)
    store.add_release(session, _release(work, result.output, result.happened.isolation))
    return result


def _release(work: Work[Reviewed], output: Output, isolation: Json) -> ReleaseRow:
    body = {"columns": list(output.columns), "rows": [list(row) for row in output.rows], "isolation": isolation}
    product, version = work.key
    return ReleaseRow(product=product, version=version, query_digest=work.question.digest, body=encode(body).decode())


def _stored(work: Work[Reviewed], body: str) -> Result:
    """The answer that this very question got before, to whomever."""
    kept = parse(body)
    rows = tuple(tuple(row) for row in kept["rows"])
    output = Output(tuple(kept["columns"]), rows, {})
    return Result(released(work, kept["isolation"], output.digest), output)
