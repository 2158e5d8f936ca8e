"""One run, from a signed request to a signed receipt, exactly once.

1. The permit holds. 2. The request holds and fits it. 3. The query may be asked: a matter of its text, of who asks, and
of the published product; if not, the run ends refused, uncounted, and no data was touched. 4. In one transaction: the
run is taken on under its id and one of the permit's runs is used. 5. and 6. It is computed, and what came out
controlled. 7. In one transaction: what the release is remembered by, the answer, the signed receipt, the evidence.
Steps 3 and 5 to 7 are those of its lane (`sandbox.lanes`).

The same run id again gives the same answer. A process that dies between 4 and 7 leaves an orphan, which is executed
again by whoever asks for it or by `Sandbox.recover`, unless its permit was revoked meanwhile: one charge, one receipt.
What fails before data were touched is undone; an orphan is not, for it may have read them before it died. A queue takes
steps 1 to 4 (`Sandbox.accept`) and 5 to 7 (`Sandbox.execute`) at different times and places.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from sqlmodel import Session

from hexi.canonical import Clock, encode, instant, parse
from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.entries import Kind
from registry.identity import Identity
from registry.trust import Trust
from sandbox import store
from sandbox.airlock.airlock import Airlock
from sandbox.datasets import Dataset, pin
from sandbox.errors import (
    CountExhausted,
    DataChanged,
    PermitInvalid,
    PermitRevoked,
    RunConflict,
    RunInProgress,
    RunUnknown,
)
from sandbox.isolation.stopping import Stop
from sandbox.lane import Contribute, Result, Work
from sandbox.lanes.chosen import Lanes
from sandbox.messages import ReasonBody, RunAnswer, from_base64
from sandbox.outputs import Output
from sandbox.owners import QUEUE, UnderWay, this_process
from sandbox.permits import Permit, read_permit
from sandbox.preview.offered import Preview
from sandbox.queries.query import SUM_MODE
from sandbox.reasons import Reason, Refusal
from sandbox.receipts import REFUSED, RELEASED, Happened, committed, rules_shown, run_facts, run_receipt, sign_receipt
from sandbox.requests import RunRequest, read_request
from sandbox.revoked import revoked
from sandbox.settings import SandboxSettings
from sandbox.states import State, next_state
from sandbox.tables import RunRow
from sandbox.verification import Verification

# Given a session, a product and a version: what it is made of. Raises if this provider has no such product.
Datasets = Callable[[Session, str, int], Dataset]
# Writes down, in the given transaction, that something happened: kind, subject, digest of the document, public facts.
Evidence = Callable[[Session, Kind, str, str, dict[str, str | int]], None]
# Puts a run into a queue, in the given transaction; with its answer, if it has one already.
Enlist = Callable[[Session, Permit, RunRequest, RunAnswer | None], None]

log = structlog.get_logger("sandbox.runs")


class Sandbox:
    """Runs of one provider. See the module for the order of steps.

    `contribute` sends encrypted numbers to the aggregation point named in `settings`; without one there are no
    encrypted sums. `key` is the secret that a lattice's noise and the salts of receipts are drawn from; without one no
    cube is published, and receipts do not say which files were read. `unsafe_hear` is told why a program failed, in its
    own words: for the bench alone, where the tables are the asker's.
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
        unsafe_hear: Callable[[str], None] | None = None,
    ) -> None:
        self._database = database
        self._identity = identity
        self._datasets = datasets
        self._evidence = evidence
        self._clock = clock
        self._key = key
        settings = settings or SandboxSettings()
        point, contributes = settings.aggregation_point, contribute is not None
        self._verification = Verification(identity, trust, clock, point, contributes)
        self._lanes = Lanes(database, settings, contribute, key, clock, unsafe_hear)
        self._under_way = UnderWay()
        self.preview = Preview(self._lanes)
        self.airlock = Airlock(database, identity.did, key, evidence, clock, self._conclude)

    def run(self, permit_jws: str, request_jws: str, context: str | None = None) -> RunAnswer:
        """The answer to a request: released, refused with reasons, or held until people of the provider have decided.

        Raises `PermitInvalid`, `PermitExpired`, `PermitRevoked`, `RequestInvalid`, `QueryOutsidePermit`,
        `CountExhausted`, `RunConflict`, `RunInProgress`, `DataChanged`, `IsolationUnavailable`, and for encrypted sums
        `PointNotTrusted`, `NotAContributor` and what `contribute` raises.
        """
        permit, request, public_context = self._verification.verified(permit_jws, request_jws, context)
        with self._under_way.alone(request.run):
            work = self._take_on(permit, request, public_context, (permit_jws, request_jws, context))
            if not isinstance(work, RunAnswer):
                return self._carry_out(work)
        return self.answer(request.run, permit.holder) if work.verdict == "held" else work

    def accept(self, permit_jws: str, request_jws: str, context: str | None, enlist: Enlist) -> None:
        """Steps 1 to 4: the run is taken on and waits. `enlist` is called in step 4. Raises as `run` does."""
        permit, request, public_context = self._verification.verified(permit_jws, request_jws, context)
        with self._under_way.alone(request.run):
            wire = (permit_jws, request_jws, context)
            self._take_on(permit, request, public_context, wire, owner=QUEUE, enlist=enlist)

    def execute(self, run: str, ended: Callable[[Session], None], stop: Stop) -> RunAnswer:
        """Steps 5 to 7 of an accepted run, for whoever leases it; `ended` is called in step 7 and may still say no.

        Raises `RunConflict` if it was ended meanwhile, `Stopped`, and what keeps it from being executed: then no data
        were touched, and it is left as it is, to be executed again or given back.
        """
        with self._database.reading() as session:
            row = self._row(session, run)
            if store.is_revoked(session, row.permit):
                raise PermitRevoked("the permit was revoked by its provider")
        work = self._again(row, stop)

        def end(session: Session, work: Work[Any], result: Result) -> RunAnswer:
            self._row(session, run)
            ended(session)
            return self._end(session, work, result)

        lane = self._lanes.of(work.dataset, work.request)
        answer: RunAnswer = lane.finish(work, lane.compute(work), end)
        return answer

    def end_refused(self, session: Session, run: str, reason: Reason) -> RunAnswer:
        """End an accepted run without an output, with its receipt. It counts: how long it took may have said something.

        Raises `RunConflict` if it has ended, or its encrypted number may have been sent.
        """
        row = self._row(session, run)
        if row.ciphertext is not None:
            raise RunConflict("the encrypted number of this run may have been sent, which cannot be taken back")
        return self._end_without(session, row, Happened(REFUSED, (reason,)))

    def end_revoked(self, session: Session, run: str) -> RunAnswer:
        """End an interrupted run whose permit was taken back, with its receipt: `sandbox.revoked`. It counts."""
        row = self._row(session, run)
        return self._end_without(session, row, revoked(row.ciphertext, row.isolation))

    def _end_without(self, session: Session, row: RunRow, happened: Happened) -> RunAnswer:
        permit, request = read_permit(row.permit_jws), read_request(row.request_jws)
        return self._end(session, Work(permit, request, self._dataset(session, permit), None), Result(happened))

    def give_back(self, session: Session, run: str) -> None:
        """Undo an accepted run that touched no data: it was never asked, and the permit has it again."""
        row = store.run(session, run)
        if row is not None and row.answer is None:
            store.delete_run(session, row)
            permit = store.permit(session, row.permit)
            permit.used -= 1
            store.save(session, permit)

    def answer(self, run: str, holder: str) -> RunAnswer:
        """The answer to a run that ended or is held. Raises `RunUnknown`, also for somebody else's, `RunInProgress`."""
        row = self._own(run, holder)
        if row.state == State.HELD and self.airlock.expire():
            row = self._own(run, holder)
        if row.answer is None:
            raise RunInProgress("the run is being executed; ask again in a moment")
        return RunAnswer.model_validate(parse(row.answer))

    def _own(self, run: str, holder: str) -> RunRow:
        with self._database.reading() as session:
            row = store.run(session, run)
        if row is None or row.holder != holder:
            raise RunUnknown("there is no such run of yours")
        return row

    def revoke(self, session: Session, permit: str, reason: str) -> int:
        """Take a permit back; runs under way still end. Twice changes nothing. How many runs it was used for."""
        row = store.permit(session, permit)
        if row.revoked is None:
            row.revoked = reason
            store.save(session, row)
        return row.used

    def recover(self) -> int:
        """Execute the runs that dead processes left behind, and end overdue reviews. How many runs were executed."""
        self.airlock.expire()
        with self._database.reading() as session:
            running = store.runs_in_state(session, State.RUNNING)
        orphans = [row for row in running if self._under_way.is_orphan(row.id, row.owner)]
        done = 0
        for row in orphans:
            try:
                done += self._resume(row.id)
            except DataspaceError as error:  # it stays an orphan; whoever asks for it is told why
                log.warning("an interrupted run cannot be taken up", run=row.id, why=error.code)
        return done

    # Taking on ---------------------------------------------------------------------------------------------------

    def _take_on(
        self,
        permit: Permit,
        request: RunRequest,
        context: bytes | None,
        wire: tuple[str, str, str | None],
        *,
        owner: str | None = None,
        enlist: Enlist | None = None,
    ) -> Work[Any] | RunAnswer:
        """Steps 3 and 4: the work to do, or the answer that is there already."""
        with self._database.reading() as session:
            dataset = self._dataset(session, permit)
        question = self._lanes.review(dataset, request, permit.holder)
        read = None if isinstance(question, Refusal) else self._lanes.fingerprint(dataset, request)
        with self._database.transaction() as session:
            known = store.run(session, request.run)
            answered = None if known is None else self._known(session, known, request, owner)
            if answered is None and isinstance(question, Refusal):
                answered = self._refuse(session, permit, request, dataset, question, wire)
            if answered is None and known is not None and store.is_revoked(session, known.permit):
                answered = self.end_revoked(session, known.id)
            if known is None and answered is None:
                if read is not None:
                    pin(session, permit.product, permit.version, read)
                self._count(session, permit)
                self._insert(session, permit, request, wire, owner)
            if enlist is not None:
                enlist(session, permit, request, answered)
            return answered or Work(permit, request, dataset, question, context, again=known is not None)

    def _dataset(self, session: Session, permit: Permit) -> Dataset:
        dataset = self._datasets(session, permit.product, permit.version)
        if dataset.digest != permit.product_digest:
            raise PermitInvalid("the permit was given for another description of this product version")
        return dataset

    def _known(self, session: Session, row: RunRow, request: RunRequest, owner: str | None = None) -> RunAnswer | None:
        """The stored answer; None for an orphan, which is ours from now on. Raises `RunConflict`, `RunInProgress`."""
        if row.request_digest != request.digest:
            raise RunConflict("this run id was used for another request; take a fresh one")
        if row.answer is not None:
            return RunAnswer.model_validate(parse(row.answer))
        if not self._under_way.is_orphan(row.id, row.owner, mine=True):
            raise RunInProgress("the run is being executed; ask again in a moment")
        row.owner = owner or this_process()
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

    def _insert(
        self,
        session: Session,
        permit: Permit,
        request: RunRequest,
        wire: tuple[str, str, str | None],
        owner: str | None = None,
    ) -> RunRow:
        row = RunRow(
            id=request.run,
            permit=permit.id,
            holder=permit.holder,
            request_digest=request.digest,
            state=State.RUNNING,
            owner=owner or this_process(),
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
        work = Work(permit, request, dataset, None)
        return self._end(session, work, Result(Happened(REFUSED, refusal.reasons)))

    # Executing ---------------------------------------------------------------------------------------------------

    def _carry_out(self, work: Work[Any]) -> RunAnswer:
        lane = self._lanes.of(work.dataset, work.request)
        try:
            computed = lane.compute(work)
        except DataChanged as error:  # while they were read
            with self._database.transaction() as session:
                return self.end_refused(session, work.request.run, Reason(error.code, error.detail))
        except DataspaceError:
            if not work.again:
                with self._database.transaction() as session:
                    self.give_back(session, work.request.run)
            raise
        answer: RunAnswer = lane.finish(work, computed, self._end)
        return answer

    # Ending ------------------------------------------------------------------------------------------------------

    def _end(self, session: Session, work: Work[Any], result: Result) -> RunAnswer:
        """The answer, with its receipt and its evidence, in the caller's transaction; or the run is held."""
        shown = result.happened.disclosure or rules_shown(work.dataset.product.disclosure)
        result = replace(result, happened=replace(result.happened, disclosure=shown))
        if result.hold is None:
            return self._conclude(session, work.request.run, result.happened, result.output)
        row = self._row(session, work.request.run)
        reason = self.airlock.hold(session, work, result, result.hold)
        row.state = next_state(State(row.state), State.HELD)
        answer = RunAnswer(run=row.id, verdict="held", reasons=(_reason(reason),), receipt=None)
        row.answer = encode(answer.to_json()).decode()
        store.save(session, row)
        return answer

    def _conclude(self, session: Session, run: str, happened: Happened, output: Output | None) -> RunAnswer:
        row, now = self._row(session, run), self._clock()
        permit, request = read_permit(row.permit_jws), read_request(row.request_jws)
        document = run_receipt(permit, request, committed(happened, self._key), now)
        receipt = sign_receipt(document, self._identity)
        answer = RunAnswer(
            run=run,
            verdict="released" if happened.outcome == RELEASED else "refused",
            columns=output.columns if output else (),
            rows=output.rows if output else (),
            outputs=output.outputs if output else (),
            reasons=tuple(map(_reason, happened.reasons)),
            ciphertext=happened.output if request.mode == SUM_MODE else None,
            receipt=receipt.to_json(),
        )
        row.state = next_state(State(row.state), State(happened.outcome))
        row.answer, row.finished, row.ciphertext = encode(answer.to_json()).decode(), instant(now), None
        store.save(session, row)
        self._evidence(session, Kind.RUN_COMPLETED, run, receipt.digest, run_facts(permit, request, happened))
        return answer

    def _row(self, session: Session, run: str) -> RunRow:
        row = store.run(session, run)
        if row is None:
            raise RunUnknown("there is no such run")
        return row

    # Orphans -----------------------------------------------------------------------------------------------------

    def _resume(self, run: str) -> bool:
        with self._under_way.alone(run):
            with self._database.transaction() as session:
                row = store.run(session, run)
                if row is None or row.answer is not None or not self._under_way.is_orphan(row.id, row.owner, mine=True):
                    return False
                if store.is_revoked(session, row.permit):
                    self.end_revoked(session, run)
                    return False
                row.owner = this_process()
                store.save(session, row)
            self._carry_out(self._again(row))
            return True

    def _again(self, row: RunRow, stop: Stop | None = None) -> Work[Any]:
        """The work of a run that was taken on. Its documents were verified then; they may have expired since, which
        does not undo it.
        """
        permit, request = read_permit(row.permit_jws), read_request(row.request_jws)
        with self._database.reading() as session:
            dataset = self._dataset(session, permit)
        context = from_base64(row.context) if row.context else None
        question = self._lanes.review(dataset, request, permit.holder)
        if isinstance(question, Refusal):
            raise PermitInvalid("the query of this run may not be asked any more")
        return Work(permit, request, dataset, question, context, stop, again=True)


def _reason(reason: Reason) -> ReasonBody:
    return ReasonBody(code=reason.code, message=reason.message)
