"""One run, from a signed request to a signed receipt, exactly once.

1. The permit holds. 2. The request holds and fits it. 3. The query may be asked: a matter of its text and of the
published product; if not, the run ends refused, uncounted, and no data was touched. 4. In one transaction: the run is
taken on under its id and one of the permit's runs is used. 5. It is executed in isolation. 6. Disclosure control.
7. In one transaction: differencing against everything released before, the answer, the signed receipt, the evidence.

The same run id again gives the same answer. A process that dies between 4 and 7 leaves an orphan, which is executed
again by whoever asks for it or by `Sandbox.recover`: one charge, one receipt. What fails before data were touched is
undone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlmodel import Session

from hexi.canonical import Clock, Json, digest_bytes, encode, instant, parse
from hexi.database import Database
from hexi.errors import DataspaceError
from hexi.keys import VerifyingKey
from ledger.entries import Kind
from privacy.homomorphic import check_context, encrypt
from registry.identity import Identity
from registry.trust import Trust
from sandbox import store
from sandbox.datasets import Dataset
from sandbox.errors import (
    CountExhausted,
    DataChanged,
    PermitInvalid,
    PermitRevoked,
    RequestInvalid,
    RunConflict,
    RunInProgress,
    RunUnknown,
)
from sandbox.execution import CubeWork, Result, Work, bound_of, compute, compute_sum, refused, released
from sandbox.messages import ReasonBody, RunAnswer, from_base64, to_base64
from sandbox.outputs import EntitySets, Output
from sandbox.owners import is_alive, this_process
from sandbox.permits import Permit, read_permit, verify_permit
from sandbox.queries import SQL_MODE, SUM_MODE, Reviewed
from sandbox.reasons import Reason, Refusal
from sandbox.receipts import REFUSED, RELEASED, Happened, run_receipt, sign_receipt
from sandbox.requests import RunRequest, check_sum, read_request, verify_request
from sandbox.settings import SandboxSettings
from sandbox.states import State, next_state
from sandbox.tables import ReleaseRow, RunRow

if TYPE_CHECKING:
    from sandbox.cubes import Cubes
    from sandbox.door import CubeQuery

# Given a session, a product and a version: what it is made of. Raises if this provider has no such product.
Datasets = Callable[[Session, str, int], Dataset]
# Writes down, in the given transaction, that something happened: kind, subject, digest of the document, public facts.
Evidence = Callable[[Session, Kind, str, str, dict[str, str | int]], None]
# Sends a ciphertext to an aggregation point: its URL, the job, the ciphertext, the run, and the terms on which it is
# given (`EncryptedSum.terms`), which the point must hold the job by. Sending it twice is harmless.
Contribute = Callable[[str, str, bytes, str, str], None]


log = structlog.get_logger("sandbox.runs")

T = TypeVar("T")


class Sandbox:
    """Runs of one provider. See the module for the order of steps.

    `contribute` sends encrypted numbers to the aggregation point named in `settings`; without one there are no
    encrypted sums. `key` is the secret that a lattice's noise is drawn from; without one no cube is published.
    """

    def __init__(
        self,
        database: Database,
        identity: Identity,
        trust: Trust,
        datasets: Datasets,
        evidence: Evidence,
        clock: Clock,
        settings: SandboxSettings | None = None,
        *,
        contribute: Contribute | None = None,
        key: bytes = b"",
    ) -> None:
        self._database = database
        self._identity = identity
        self._trust = trust
        self._datasets = datasets
        self._evidence = evidence
        self._clock = clock
        self._settings = settings or SandboxSettings()
        self._contribute = contribute
        self._key = key
        self._busy: set[str] = set()
        self._lock = Lock()

    def run(self, permit_jws: str, request_jws: str, context: str | None = None) -> RunAnswer:
        """The answer to a request: released, or refused with reasons.

        Raises `PermitInvalid`, `PermitExpired`, `PermitRevoked`, `RequestInvalid`, `QueryOutsidePermit`,
        `CountExhausted`, `RunConflict`, `RunInProgress`, `DataChanged`, `IsolationUnavailable`, and for encrypted sums
        `PointNotTrusted`, `NotAContributor` and what `contribute` raises.
        """
        permit = verify_permit(permit_jws, issuer=self._identity.did, resolve=self._resolve, clock=self._clock)
        request = verify_request(request_jws, permit=permit, resolve=self._resolve)
        public_context = self._check_context(permit, request, context)
        with self._alone(request.run):
            work = self._take_on(permit, request, public_context, (permit_jws, request_jws, context))
            return work if isinstance(work, RunAnswer) else self._carry_out(work)

    def answer(self, run: str, holder: str) -> RunAnswer:
        """The answer to a run that ended. Raises `RunUnknown`, also for somebody else's run, and `RunInProgress`."""
        with self._database.reading() as session:
            row = store.run(session, run)
        if row is None or row.holder != holder:
            raise RunUnknown("there is no such run of yours")
        if row.answer is None:
            raise RunInProgress("the run is being executed; ask again in a moment")
        return RunAnswer.model_validate(parse(row.answer))

    def revoke(self, session: Session, permit: str, reason: str) -> int:
        """Take a permit back; runs under way still end. Twice changes nothing. How many runs it was used for."""
        row = store.permit(session, permit)
        if row.revoked is None:
            row.revoked = reason
            store.save(session, row)
        return row.used

    def recover(self) -> int:
        """Execute the runs that dead processes left behind. How many were brought to an end."""
        with self._database.reading() as session:
            orphans = [row for row in store.runs_in_state(session, State.RUNNING) if self._orphaned(row)]
        done = 0
        for row in orphans:
            try:
                done += self._resume(row.id)
            except DataspaceError as error:  # it stays an orphan; whoever asks for it is told why
                log.warning("an interrupted run cannot be taken up", run=row.id, why=error.code)
        return done

    # Taking on ---------------------------------------------------------------------------------------------------

    def _resolve(self, kid: str) -> VerifyingKey:
        # Our own key needs nobody's word, and no call to a registry.
        return self._identity.key.public if kid == self._identity.kid else self._trust.resolve(kid)

    def _check_context(self, permit: Permit, request: RunRequest, context: str | None) -> bytes | None:
        if request.encrypted_sum is None:
            return None
        if context is None or self._contribute is None:
            raise RequestInvalid("an encrypted sum needs the public context, and a provider that contributes")
        public_context = from_base64(context)
        check_sum(
            request.encrypted_sum,
            public_context,
            provider=self._identity.did,
            holder=permit.holder,
            point=self._settings.aggregation_point,
        )
        check_context(public_context)
        return public_context

    def _take_on(
        self, permit: Permit, request: RunRequest, context: bytes | None, wire: tuple[str, str, str | None]
    ) -> Work | CubeWork | RunAnswer:
        """Steps 3 and 4: the work to do, or the answer that is there already."""
        with self._database.reading() as session:
            dataset = self._dataset(session, permit)
        reviewed = self._review(dataset, request)
        fingerprint = "" if isinstance(reviewed, Refusal) else dataset.fingerprint()
        with self._database.transaction() as session:
            known = store.run(session, request.run)
            if known is not None and (answered := self._known(session, known, request)):
                return answered
            if isinstance(reviewed, Refusal):
                return self._refuse(session, permit, request, dataset, reviewed, wire)
            if known is None:
                self._pin(session, permit, fingerprint)
                self._count(session, permit)
                self._insert(session, permit, request, wire)
            return _work(permit, request, dataset, reviewed, context)

    @cached_property
    def _cubes(self) -> "Cubes":
        from sandbox.cubes import Cubes  # numpy and the parser of SQL wait until something is asked

        return Cubes(self._database, self._key, self._clock)

    def _review(self, dataset: Dataset, request: RunRequest) -> "Reviewed | CubeQuery | Refusal":
        """What the query asks, in the lane that the product's signed policy names: the cube's, or the table's."""
        from sandbox.review import review

        if dataset.product.lattice is None:
            return review(request.query, dataset.product, request.mode)
        if request.mode != SQL_MODE:
            return Refusal((_LATTICE_ONLY,))
        return self._cubes.review(dataset, request.query)

    def _dataset(self, session: Session, permit: Permit) -> Dataset:
        dataset = self._datasets(session, permit.product, permit.version)
        if dataset.digest != permit.product_digest:
            raise PermitInvalid("the permit was given for another description of this product version")
        return dataset

    def _known(self, session: Session, row: RunRow, request: RunRequest) -> RunAnswer | None:
        """The stored answer; None for an orphan, which is ours from now on. Raises `RunConflict`, `RunInProgress`."""
        if row.request_digest != request.digest:
            raise RunConflict("this run id was used for another request; take a fresh one")
        if row.answer is not None:
            return RunAnswer.model_validate(parse(row.answer))
        if not self._orphaned(row, mine=True):
            raise RunInProgress("the run is being executed; ask again in a moment")
        row.owner = this_process()
        store.save(session, row)
        return None

    def _count(self, session: Session, permit: Permit) -> None:
        row = store.permit(session, permit.id)
        if row.revoked is not None:
            raise PermitRevoked("the permit was revoked by its provider")
        if row.used >= permit.runs:
            raise CountExhausted(f"all {permit.runs} runs of this permit are used; order more")
        row.used += 1
        store.save(session, row)

    def _pin(self, session: Session, permit: Permit, fingerprint: str) -> None:
        if store.pin_data(session, permit.product, permit.version, fingerprint) != fingerprint:
            raise DataChanged(
                f"the files behind {permit.product} version {permit.version} changed since something was released from "
                "them; the provider must publish a new version"
            )

    def _insert(
        self, session: Session, permit: Permit, request: RunRequest, wire: tuple[str, str, str | None]
    ) -> RunRow:
        row = RunRow(
            id=request.run,
            permit=permit.id,
            holder=permit.holder,
            request_digest=request.digest,
            state=State.RUNNING,
            owner=this_process(),
            permit_jws=wire[0],
            request_jws=wire[1],
            context=wire[2],
            started=instant(self._clock()),
        )
        if not store.add_run(session, row):
            raise RunInProgress("the run is being executed; ask again in a moment")
        return row

    def _refuse(
        self,
        session: Session,
        permit: Permit,
        request: RunRequest,
        dataset: Dataset,
        refusal: Refusal,
        wire: tuple[str, str, str | None],
    ) -> RunAnswer:
        if store.permit(session, permit.id).revoked is not None:
            raise PermitRevoked("the permit was revoked by its provider")
        self._insert(session, permit, request, wire)
        result = Result(Happened(REFUSED, refusal.reasons))
        return self._end(session, permit, request, dataset, result)

    # Executing ---------------------------------------------------------------------------------------------------

    def _carry_out(self, work: Work | CubeWork) -> RunAnswer:
        if isinstance(work, CubeWork):
            return self._carry_out_lattice(work)
        if work.request.encrypted_sum is not None:
            return self._carry_out_sum(work)
        with self._database.reading() as session:
            known = store.release(session, *work.key, work.query_digest)
        computed = self._stored(work, known) if known else self._undone_on_error(work, compute)
        with self._database.transaction() as session:
            result = self._admit(session, work, computed)
            return self._end(session, work.permit, work.request, work.dataset, result)

    def _carry_out_lattice(self, work: CubeWork) -> RunAnswer:
        """The cube answers. Nothing is executed, nor compared with earlier answers: the cube is all there ever is."""
        from sandbox.cubes import ask

        try:
            published = self._cubes.published(work.dataset)
        except DataspaceError:
            self._undo(work)
            raise
        output = ask(published, work.query)
        happened = Happened(
            RELEASED,
            query=work.query.canonical_sql,
            data_digest=work.dataset.fingerprint(),
            output=output.digest,
            disclosure=published.terms(),
        )
        with self._database.transaction() as session:
            return self._end(session, work.permit, work.request, work.dataset, Result(happened, output))

    def _undone_on_error(self, work: Work, execute: Callable[[Work, SandboxSettings], T]) -> T:
        """Step 5. What fails before data were touched is undone: the run is forgotten and its count given back."""
        try:
            return execute(work, self._settings)
        except DataspaceError:
            self._undo(work)
            raise

    def _undo(self, work: Work | CubeWork) -> None:
        with self._database.transaction() as session:
            row = store.run(session, work.request.run)
            if row is not None and row.answer is None:
                store.delete_run(session, row)
                permit = store.permit(session, work.permit.id)
                permit.used -= 1
                store.save(session, permit)

    def _carry_out_sum(self, work: Work) -> RunAnswer:
        """The same for an encrypted sum: what may leave is encrypted and kept first, then sent, then the run ends."""
        prepared = self._prepared(work) or self._prepare(work)
        if isinstance(prepared, RunAnswer):
            return prepared
        ciphertext, isolation = prepared
        wanted, contribute = work.request.encrypted_sum, self._contribute
        if wanted is None or contribute is None:
            raise RequestInvalid("this provider contributes to no encrypted sums")
        contribute(wanted.point, wanted.job, ciphertext, work.request.run, wanted.terms(work.permit.holder))
        happened = released(work, isolation, digest_bytes(ciphertext))
        with self._database.transaction() as session:
            return self._end(session, work.permit, work.request, work.dataset, Result(happened))

    def _prepared(self, work: Work) -> tuple[bytes, Json] | None:
        with self._database.reading() as session:
            row = store.run(session, work.request.run)
        if row is None or row.ciphertext is None:
            return None
        return from_base64(row.ciphertext), parse(row.isolation or "null")

    def _prepare(self, work: Work) -> tuple[bytes, Json] | RunAnswer:
        number, isolation = self._undone_on_error(work, compute_sum), None
        if not isinstance(number, Reason):
            value, sets, isolation = number
            ciphertext = encrypt(work.context or b"", value, bound=bound_of(work))
        with self._database.transaction() as session:
            if not isinstance(number, Reason) and self._too_close(session, work, sets):
                number = _TOO_CLOSE
            if isinstance(number, Reason):
                result = refused(work, number, isolation)
                return self._end(session, work.permit, work.request, work.dataset, result)
            store.add_cells(session, *work.key, sets)
            row = self._row(session, work.request.run)
            row.ciphertext, row.isolation = to_base64(ciphertext), encode(isolation).decode()
            store.save(session, row)
        return ciphertext, isolation

    # Ending ------------------------------------------------------------------------------------------------------

    def _admit(self, session: Session, work: Work, result: Result) -> Result:
        """Step 7, differencing: the release is remembered and may leave, or is too close to an earlier one."""
        if result.output is None:
            return result
        self._pin(session, work.permit, str(result.happened.data_digest))
        known = store.release(session, *work.key, work.query_digest)
        if known:
            return self._stored(work, known)
        if self._too_close(session, work, result.output.sets):
            return refused(work, _TOO_CLOSE, result.happened.isolation)
        store.add_cells(session, *work.key, result.output.sets)
        body = {
            "columns": list(result.output.columns),
            "rows": [list(row) for row in result.output.rows],
            "isolation": result.happened.isolation,
        }
        product, version = work.key
        row = ReleaseRow(product=product, version=version, query_digest=work.query_digest, body=encode(body).decode())
        store.add_release(session, row)
        return result

    def _stored(self, work: Work, body: str) -> Result:
        """The answer that this very question got before, to whomever."""
        kept = parse(body)
        rows = tuple(tuple(row) for row in kept["rows"])
        output = Output(tuple(kept["columns"]), rows, {})
        return Result(released(work, kept["isolation"], output.digest), output)

    def _too_close(self, session: Session, work: Work, sets: EntitySets) -> bool:
        # The row that names the data is the lock: releases from one product version come one after another.
        store.pin_data(session, *work.key, work.dataset.fingerprint())
        minimum = work.dataset.product.disclosure.minimum_entities
        return store.is_too_close(session, *work.key, sets, minimum)

    def _end(
        self, session: Session, permit: Permit, request: RunRequest, dataset: Dataset, result: Result
    ) -> RunAnswer:
        """The answer, with its receipt and its evidence, in the caller's transaction."""
        now, happened = self._clock(), result.happened
        row = self._row(session, request.run)
        document = run_receipt(permit, request, dataset.product.disclosure, happened, now)
        receipt = sign_receipt(document, self._identity)
        answer = RunAnswer(
            run=request.run,
            verdict="released" if happened.outcome == RELEASED else "refused",
            columns=result.output.columns if result.output else (),
            rows=result.output.rows if result.output else (),
            reasons=tuple(ReasonBody(code=reason.code, message=reason.message) for reason in happened.reasons),
            ciphertext=happened.output if request.mode == SUM_MODE else None,
            receipt=receipt.to_json(),
        )
        row.state = next_state(State(row.state), State(happened.outcome))
        row.answer, row.finished, row.ciphertext = encode(answer.to_json()).decode(), instant(now), None
        store.save(session, row)
        self._evidence(session, Kind.RUN_COMPLETED, request.run, receipt.digest, _facts(permit, request, happened))
        return answer

    def _row(self, session: Session, run: str) -> RunRow:
        row = store.run(session, run)
        if row is None:
            raise RunUnknown("there is no such run")
        return row

    # Orphans -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, run: str) -> Iterator[None]:
        """One thread of this process at a time. Raises `RunInProgress`."""
        with self._lock:
            if run in self._busy:
                raise RunInProgress("the run is being executed; ask again in a moment")
            self._busy.add(run)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(run)

    def _orphaned(self, row: RunRow, *, mine: bool = False) -> bool:
        """Whether nobody executes this run any more. With `mine` the caller holds it itself (`_alone`)."""
        if row.owner == this_process():
            return mine or row.id not in self._busy
        return not is_alive(row.owner)

    def _resume(self, run: str) -> bool:
        with self._alone(run):
            with self._database.transaction() as session:
                row = store.run(session, run)
                if row is None or row.answer is not None or not self._orphaned(row, mine=True):
                    return False
                row.owner = this_process()
                store.save(session, row)
                # Both were verified when the run was taken on; they may have expired since, which does not undo it.
                permit, request = read_permit(row.permit_jws), read_request(row.request_jws)
                dataset = self._dataset(session, permit)
                context = from_base64(row.context) if row.context else None
            reviewed = self._review(dataset, request)
            if isinstance(reviewed, Refusal):
                raise PermitInvalid("the query of this run may not be asked any more")
            self._carry_out(_work(permit, request, dataset, reviewed, context))
            return True


_LATTICE_ONLY = Reason(
    "sandbox.lattice-only", "this product answers SQL queries from its published cube, and nothing else"
)
_TOO_CLOSE = Reason(
    "sandbox.too-close-to-earlier",
    "a group of this answer differs by a few entities only from one that was released before, so the difference would "
    "be about them; ask with the same conditions as before, or with clearly different ones",
)


def _work(
    permit: Permit, request: RunRequest, dataset: Dataset, reviewed: "Reviewed | CubeQuery", context: bytes | None
) -> Work | CubeWork:
    if isinstance(reviewed, Reviewed):
        return Work(permit, request, dataset, reviewed, context)
    return CubeWork(permit, request, dataset, reviewed)


def _facts(permit: Permit, request: RunRequest, happened: Happened) -> dict[str, str | int]:
    return {
        "order": permit.order or "",
        "agreement": permit.agreement,
        "permit": permit.id,
        "product": permit.product,
        "units": 1 if happened.outcome == RELEASED else 0,
        "outcome": happened.outcome,
        "request": request.digest,
    }
