"""The lane of encrypted sums: one controlled number, encrypted here, joined with others' by a neutral adder.

Under a controlled policy the number is one that its analysts would get from SQL: column levels, the cap and closeness
to earlier answers hold for both alike. What may leave is encrypted and kept first, then sent, then the run ends: sent
twice after a crash, it is the same.
"""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from hexi.canonical import Json, digest, digest_bytes, encode, parse
from hexi.database import Database
from privacy.homomorphic import encrypt
from sandbox import store
from sandbox.buckets import in_bucket
from sandbox.controlled.questions import Question
from sandbox.controlled.questions import review as review_controlled
from sandbox.datasets import Dataset
from sandbox.errors import RequestInvalid
from sandbox.execution import bound_of, compute_sum, refused, released
from sandbox.lane import Contribute, End, Result, Work
from sandbox.lanes.controlled import charge, computed, is_close
from sandbox.lanes.remembered import Remembered
from sandbox.lanes.tables import TOO_CLOSE, is_too_close, population_of
from sandbox.messages import RunAnswer, from_base64, to_base64
from sandbox.outputs import Sketches, rules_of, too_few
from sandbox.queries.query import SUM_MODE, Reviewed
from sandbox.queries.review import review
from sandbox.reasons import NOT_NAMED, Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings
from sandbox.tables import ReleaseRow

OTHER_COMPANY = Reason(
    "sandbox.too-close-to-earlier",
    "this number went into a sum with other contributors before, and the difference of the two sums would be about the "
    "few who are in one of them only; ask with the same contributors as before, or for a clearly different number",
)

# One number of one table; under a controlled policy, as that policy reads SQL.
Asked = Reviewed | Question


@dataclass(frozen=True)
class Kept:
    """A ciphertext that was kept, and the isolation its number was computed in."""

    ciphertext: bytes
    isolation: Json


@dataclass(frozen=True)
class Number:
    """A number that may leave, the sets behind it as later answers will be compared, and as it is compared itself."""

    value: float
    sets: Sketches
    compared: Sketches
    isolation: Json


class SumLane:
    """Contributions to encrypted sums."""

    def __init__(self, database: Database, settings: SandboxSettings, contribute: Contribute | None) -> None:
        self._database = database
        self._settings = settings
        self._contribute = contribute
        self._released = Remembered()

    def review(self, dataset: Dataset, request: RunRequest) -> Asked | Refusal:
        """See `Lane`."""
        product = dataset.product
        read = review if product.controlled is None else review_controlled
        return read(request.query, product, request.mode)

    def compute(self, work: Work[Asked]) -> Kept | Number | Reason:
        """The ciphertext kept before a crash, or the number. Raises as `sandbox.execution.compute_sum` does."""
        with self._database.transaction() as session:
            row = store.run(session, work.request.run)
            if row is not None and row.ciphertext is not None:
                return _kept(row.ciphertext, row.isolation)
            if (spent := _charge(session, work)) is not None:
                return spent
        with in_bucket(self._settings.bucket_seconds, work, last=False):
            return _number(work, self._settings)

    def finish(self, work: Work[Asked], computed: Kept | Number | Reason, end: End[Asked]) -> RunAnswer:
        """See `Lane`. Raises what `contribute` raises; the run then goes on where it is when asked for again."""
        with in_bucket(self._settings.bucket_seconds, work):
            kept = self._keep(work, computed)
        if isinstance(kept, Reason):
            isolation = None if isinstance(computed, Reason) else computed.isolation
            with self._database.transaction() as session:
                return end(session, work, refused(work, kept, isolation))
        wanted, contribute = work.request.encrypted_sum, self._contribute
        if wanted is None or contribute is None:
            raise RequestInvalid("this provider contributes to no encrypted sums")
        contribute(wanted.point, wanted.job, kept.ciphertext, work.request.run, wanted.terms(work.permit.holder))
        with self._database.transaction() as session:
            return end(session, work, Result(released(work, kept.isolation, digest_bytes(kept.ciphertext))))

    def _keep(self, work: Work[Asked], computed: Kept | Number | Reason) -> Kept | Reason:
        if not isinstance(computed, Number):
            return computed
        ciphertext = encrypt(work.context or b"", computed.value, bound=_bound(work))
        with self._database.transaction() as session:
            row = store.run(session, work.request.run)
            if row is not None and row.ciphertext is not None:
                # A worker that lost its lease came here first, and sent its own.
                return _kept(row.ciphertext, row.isolation)
            if self._is_close(session, work, computed):
                return TOO_CLOSE
            if not _in_one_company(session, work, computed):
                return OTHER_COMPANY
            store.add_cells(session, work.key, population_of(work), computed.sets)
            if row is not None:
                row.ciphertext, row.isolation = to_base64(ciphertext), encode(computed.isolation).decode()
                store.save(session, row)
        return Kept(ciphertext, computed.isolation)

    def _is_close(self, session: Session, work: Work[Any], number: Number) -> bool:
        if isinstance(work.question, Reviewed):
            return is_too_close(session, work, number.compared)
        return is_close(session, work, self._released, number.compared, number.sets)


def _kept(ciphertext: str, isolation: str | None) -> Kept:
    return Kept(from_base64(ciphertext), parse(isolation or "null"))


def _in_one_company(session: Session, work: Work[Any], number: Number) -> bool:
    """Whether this planner has the number in sums of these contributors only, from now on: by the entities and records
    that it is of, in whatever words and version it was asked for.
    """
    wanted = work.request.encrypted_sum
    company = encode(sorted(wanted.contributors) if wanted else []).decode()
    cells: Json = {basis: [cell.digest for cell in cells] for basis, cells in number.compared.items()}
    given: Json = {"mode": SUM_MODE, "planner": work.permit.holder, "cells": cells}
    key = (work.permit.product, store.LEDGER_VERSION, digest(given))
    store.add_release(session, ReleaseRow(product=key[0], version=key[1], query_digest=key[2], body=company))
    return store.release(session, *key) == company


def _charge(session: Session, work: Work[Any]) -> Reason | None:
    """Under a controlled policy, take the number from what is left to the group.

    Under a digest of its own: the same question in the open, in SQL, has another answer.
    """
    policy, question = work.dataset.product.controlled, work.question
    if policy is None or isinstance(question, Reviewed):
        return None
    if (group := policy.group_of(work.permit.holder)) is None:
        return NOT_NAMED
    return charge(session, work, group, digest({"mode": SUM_MODE, "question": question.digest}))


def _number(work: Work[Any], settings: SandboxSettings) -> Number | Reason:
    if isinstance(work.question, Reviewed):
        summed = compute_sum(work, settings)
        return summed if isinstance(summed, Reason) else Number(summed[0], summed[1], summed[1], summed[2])
    result = computed(work, settings, hold=False)
    output, happened = result.output, result.happened
    if output is None:
        return happened.reasons[0]
    value = output.rows[0][0] if output.rows else None
    if value is None:
        return too_few(rules_of(work.dataset.product.disclosure))
    return Number(float(value), output.sets, output.compared or output.sets, happened.isolation)


def _bound(work: Work[Any]) -> float:
    question, rows = work.question, work.dataset.product.rows
    if isinstance(question, Reviewed):
        field = question.query.fields[question.query.measures[0]]
        return bound_of(field.low, field.high, rows)
    (source,) = question.cells.bases.values()
    low, high = source.column.range
    return bound_of(low, high, rows)
