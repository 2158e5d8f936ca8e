"""The lane of encrypted sums: one controlled number, encrypted here, joined with others' by a neutral adder.

What may leave is encrypted and kept first, then sent, then the run ends: sent twice after a crash, it is the same.
"""

from sqlmodel import Session

from hexi.canonical import Json, digest_bytes, encode, parse
from hexi.database import Database
from privacy.homomorphic import encrypt
from sandbox import store
from sandbox.buckets import in_bucket
from sandbox.datasets import Dataset
from sandbox.errors import RequestInvalid
from sandbox.execution import bound_of, compute_sum, refused, released
from sandbox.lane import Contribute, End, Result, Work
from sandbox.lanes.tables import TOO_CLOSE, is_too_close
from sandbox.messages import RunAnswer, from_base64, to_base64
from sandbox.outputs import EntitySets
from sandbox.queries.query import Reviewed
from sandbox.queries.review import review
from sandbox.reasons import Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

# A ciphertext that was kept, and the isolation its number was computed in.
Kept = tuple[bytes, Json]
# A number that may leave, the sets behind it, and the isolation; or why none may.
Summed = tuple[float, EntitySets, Json] | Reason


class SumLane:
    """Contributions to encrypted sums."""

    def __init__(self, database: Database, settings: SandboxSettings, contribute: Contribute | None) -> None:
        self._database = database
        self._settings = settings
        self._contribute = contribute

    def review(self, dataset: Dataset, request: RunRequest) -> Reviewed | Refusal:
        """See `Lane`."""
        return review(request.query, dataset.product, request.mode)

    def compute(self, work: Work[Reviewed]) -> "Kept | Summed":
        """The ciphertext kept before a crash, or the number. Raises as `sandbox.execution.compute_sum` does."""
        with self._database.reading() as session:
            row = store.run(session, work.request.run)
        if row is not None and row.ciphertext is not None:
            return from_base64(row.ciphertext), parse(row.isolation or "null")
        with in_bucket(self._settings.bucket_seconds, work, last=False):
            return compute_sum(work, self._settings)

    def finish(self, work: Work[Reviewed], computed: "Kept | Summed", end: End[Reviewed]) -> RunAnswer:
        """See `Lane`. Raises what `contribute` raises; the run then goes on where it is when asked for again."""
        with in_bucket(self._settings.bucket_seconds, work):
            kept = self._keep(work, computed)
        if isinstance(kept, Reason):
            with self._database.transaction() as session:
                return end(session, work, refused(work, kept, _isolation(computed)))
        ciphertext, isolation = kept
        wanted, contribute = work.request.encrypted_sum, self._contribute
        if wanted is None or contribute is None:
            raise RequestInvalid("this provider contributes to no encrypted sums")
        contribute(wanted.point, wanted.job, ciphertext, work.request.run, wanted.terms(work.permit.holder))
        with self._database.transaction() as session:
            return end(session, work, Result(released(work, isolation, digest_bytes(ciphertext))))

    def _keep(self, work: Work[Reviewed], computed: "Kept | Summed") -> Kept | Reason:
        if isinstance(computed, Reason) or len(computed) == 2:
            return computed
        value, sets, isolation = computed
        ciphertext = encrypt(work.context or b"", value, bound=bound_of(work))
        with self._database.transaction() as session:
            # A worker that lost its lease may have come here first, and sent its own.
            if (row := store.run(session, work.request.run)) is not None and row.ciphertext is not None:
                return from_base64(row.ciphertext), parse(row.isolation or "null")
            if is_too_close(session, work, sets):
                return TOO_CLOSE
            store.add_cells(session, *work.key, sets)
            _keep_in_row(session, work.request.run, ciphertext, isolation)
        return ciphertext, isolation


def _keep_in_row(session: Session, run: str, ciphertext: bytes, isolation: Json) -> None:
    row = store.run(session, run)
    if row is not None:
        row.ciphertext, row.isolation = to_base64(ciphertext), encode(isolation).decode()
        store.save(session, row)


def _isolation(computed: "Kept | Summed") -> Json:
    return computed[-1] if isinstance(computed, tuple) else None
