"""The aggregation point: adds up encrypted numbers of several providers, and can read none of them.

It is run by somebody neutral, the operator, and holds no key. The planner, who has the key, gets the total and
nothing else; a single contribution is never given out and is forgotten once the total is there. So neither side alone
learns one provider's number: that needs the operator and the planner together.

Sessions come in as arguments: a job, its evidence and the answer share one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from hexi.canonical import Clock, Json, digest_bytes, encode, instant, parse
from ledger.documents import SignedDocument, sign_document
from ledger.entries import Kind
from privacy.aggregation import Job, State
from privacy.homomorphic import PARAMETERS, add, check_ciphertext, check_context
from registry.identity import Identity
from sandbox import store
from sandbox.errors import AggregationConflict, AggregationUnknown, NotAContributor
from sandbox.messages import from_base64, to_base64
from sandbox.requests import terms
from sandbox.tables import AggregationRow, ContributionRow

TYPE = "aggregation-receipt"

# As `sandbox.runs.Evidence`: writes down in the same transaction that something happened.
Evidence = Callable[[Session, Kind, str, str, dict[str, str | int]], None]


@dataclass(frozen=True)
class Aggregation:
    """A job as its planner may see it. `digests` are of the contributions; `total` and `receipt` come last."""

    job: str
    state: State
    contributors: tuple[str, ...]
    digests: Mapping[str, str]
    total: bytes | None
    receipt: Json


class AggregationPoint:
    """The jobs of one point. `identity` is the operator's: it signs the receipts."""

    def __init__(self, identity: Identity, evidence: Evidence, clock: Clock) -> None:
        self._identity = identity
        self._evidence = evidence
        self._clock = clock

    def open(
        self, session: Session, planner: str, job: str, contributors: Sequence[str], context: bytes
    ) -> Aggregation:
        """A new job. The same job again is the same; with other content it raises `AggregationConflict`.

        Raises `TooFewContributors`, `EncryptionUnusable`, `CiphertextTooLarge` too.
        """
        start = Job.start(planner, contributors)
        check_context(context)
        row = AggregationRow(
            job=job,
            planner=planner,
            contributors=encode(list(start.contributors)).decode(),
            context=to_base64(context),
            state=start.state,
            opened=instant(self._clock()),
        )
        store.add_aggregation(session, row)
        known = store.aggregation(session, job)
        if known is None or _content(known) != _content(row):
            raise AggregationConflict("this job exists with another planner, other contributors or another context")
        return self._view(session, known)

    def contribute(
        self, session: Session, contributor: str, job: str, ciphertext: bytes, run: str, on: str | None = None
    ) -> Aggregation:
        """Take one contribution; the last one makes the total.

        `on` are the terms the contributor was shown: a planner could open the job with others than it signed for, such
        as two of its own, and learn the one number left. The same contribution again changes nothing. Raises
        `AggregationUnknown`, `NotAContributor`, `AggregationConflict` for another contribution or other terms,
        `EncryptionUnusable`, `CiphertextTooLarge`.
        """
        row = self._row(session, job)
        contributors = tuple(parse(row.contributors))
        if contributor not in contributors:
            raise NotAContributor("you are not among the contributors of this job")
        if on is not None and on != terms(row.planner, contributors, digest_bytes(from_base64(row.context))):
            raise AggregationConflict("the job was opened with another planner, other contributors or another context")
        earlier = {one.contributor: one for one in store.contributions(session, job)}
        digest = digest_bytes(ciphertext)
        if contributor in earlier:
            if earlier[contributor].digest != digest:
                raise AggregationConflict("you have contributed to this job already; a contribution cannot be changed")
            return self._view(session, row)
        check_ciphertext(from_base64(row.context), ciphertext)
        state = Job(row.planner, contributors, frozenset(earlier), State(row.state)).contributed(contributor).state
        new = ContributionRow(
            job=job,
            contributor=contributor,
            run=run,
            digest=digest,
            ciphertext=to_base64(ciphertext),
            received=instant(self._clock()),
        )
        store.save(session, new)
        row.state = state
        if state is State.COMPLETE:
            self._complete(session, row)
        store.save(session, row)
        return self._view(session, row)

    def view(self, session: Session, planner: str, job: str) -> Aggregation:
        """The job, for its planner. Raises `AggregationUnknown` for everybody else."""
        row = self._row(session, job)
        if row.planner != planner:
            raise AggregationUnknown("there is no such job of yours")
        return self._view(session, row)

    def _row(self, session: Session, job: str) -> AggregationRow:
        row = store.aggregation(session, job)
        if row is None:
            raise AggregationUnknown("there is no such job")
        return row

    def _complete(self, session: Session, row: AggregationRow) -> None:
        parts = store.contributions(session, row.job)
        total = add(from_base64(row.context), [from_base64(part.ciphertext or "") for part in parts])
        for part in parts:
            part.ciphertext = None
            store.save(session, part)
        receipt = self._receipt(row, parts, total)
        row.total, row.receipt = to_base64(total), encode(receipt.to_json()).decode()
        facts: dict[str, str | int] = {"planner": row.planner, "contributors": len(parts)}
        self._evidence(session, Kind.AGGREGATION_COMPLETED, row.job, receipt.digest, facts)

    def _receipt(self, row: AggregationRow, parts: Sequence[ContributionRow], total: bytes) -> SignedDocument:
        document: dict[str, Json] = {
            "type": TYPE,
            "parties": [self._identity.did],
            "job": row.job,
            "planner": row.planner,
            "parameters": PARAMETERS,
            "context": digest_bytes(from_base64(row.context)),
            "contributions": [
                {"contributor": part.contributor, "digest": part.digest, "run": part.run} for part in parts
            ],
            "total": digest_bytes(total),
            "completedAt": instant(self._clock()),
        }
        return SignedDocument(
            document, {self._identity.did: sign_document(document, self._identity.key, self._identity.kid)}
        )

    def _view(self, session: Session, row: AggregationRow) -> Aggregation:
        return Aggregation(
            row.job,
            State(row.state),
            tuple(parse(row.contributors)),
            {one.contributor: one.digest for one in store.contributions(session, row.job)},
            from_base64(row.total) if row.total else None,
            parse(row.receipt) if row.receipt else None,
        )


def _content(row: AggregationRow) -> tuple[str, ...]:
    return row.planner, row.contributors, row.context
