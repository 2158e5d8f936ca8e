"""The airlock at work: outputs come in sealed, reviewers look and vote, and the run ends. One transaction a step.

Nothing waits in memory: a process that dies leaves a review as it was. A review whose time is over is ended by whoever
touches the airlock next, and when the service starts.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from hexi.canonical import Clock, Json, digest, digest_bytes, encode, instant, parse
from hexi.database import Database
from ledger.entries import Kind
from registry.catalogue import HumanReview
from sandbox.airlock import store
from sandbox.airlock.decisions import (
    Decision,
    Review,
    Reviewer,
    Vote,
    cast,
    check_independent,
    is_overdue,
    may_see,
    reasons_for_consumer,
    visible_votes,
)
from sandbox.airlock.messages import CastVote, ReviewBody, ReviewerBody, ReviewSummary
from sandbox.airlock.sealing import seal, unseal
from sandbox.airlock.states import ENDING_EVENTS, OPEN, Event, ReviewState, next_state
from sandbox.airlock.tables import ReviewerRow, ReviewRow
from sandbox.errors import ReviewerTaken, ReviewerUnknown, ReviewUnknown, RunUnknown
from sandbox.lane import Hold, Result, Work
from sandbox.outputs import Output
from sandbox.reasons import Reason
from sandbox.receipts import REFUSED, Happened

# Bytes of randomness in a reviewer's token.
TOKEN_BYTES = 32
# Outputs of earlier reviews that are shown beside a new one, and reviews listed at once: what a person can take in.
MAX_EARLIER, MAX_LISTED = 20, 200

# Writes down that something happened (`sandbox.runs.Evidence`); ends a run with what is to be said about it.
Evidence = Callable[[Session, Kind, str, str, dict[str, str | int]], None]
Conclude = Callable[[Session, str, Happened, Output | None], Any]


class Airlock:
    """Held outputs of the provider `did`. `conclude` ends a run in the given transaction: answer, receipt, evidence."""

    def __init__(
        self, database: Database, did: str, secret: bytes, evidence: Evidence, clock: Clock, conclude: Conclude
    ) -> None:
        self._database = database
        self._did = did
        self._secret = secret
        self._evidence = evidence
        self._clock = clock
        self._conclude = conclude

    # Holding -----------------------------------------------------------------------------------------------------

    def hold(self, session: Session, work: Work[Any], result: Result, hold: Hold) -> Reason:
        """Seal what was computed and open its review; what the consumer may know meanwhile.

        Raises `AirlockUnavailable`.
        The evidence names the sealed bytes, never the output: a small output could be guessed from its digest.
        """
        permit, request, now = work.permit, work.request, self._clock()
        rules = work.dataset.product.disclosure.review or HumanReview()
        expires = instant(now + timedelta(days=rules.days))
        sealed = seal(self._secret, request.run, encode(_contents(work, result, hold)))
        row = ReviewRow(
            run=request.run,
            product=permit.product,
            version=permit.version,
            holder=permit.holder,
            state=ReviewState.AWAITING,
            required=rules.reviewers,
            sealed=sealed,
            sealed_digest=digest_bytes(sealed),
            opened=instant(now),
            expires=expires,
        )
        store.add_review(session, row)
        store.add_event(session, request.run, Event.HELD, self._did, instant(now))
        document = {"type": "run-held", "run": row.run, "sealed": row.sealed_digest, "required": row.required}
        self._evidence(session, Kind.RUN_HELD, row.run, digest(document), {"required": row.required})
        return Reason(
            "sandbox.held-for-review",
            f"people of the provider look at what was computed before it leaves ({rules.reviewers} of them); ask again "
            f"for the answer, which comes by {expires}",
        )

    # Ending ------------------------------------------------------------------------------------------------------

    def vote(self, reviewer: Reviewer, run: str, decision: Decision, reason: str) -> ReviewSummary:
        """One reviewer's vote; the same again changes nothing. The last one needed ends the run.

        Raises `ReviewUnknown` and what `sandbox.airlock.decisions.cast` raises.
        """
        self.expire()
        with self._database.transaction() as session:
            row = self._review(session, run, reviewer)
            review, now = store.value_of(session, row), instant(self._clock())
            vote = Vote(reviewer, decision, reason, now)
            if any(replace(known, at=now) == vote for known in review.votes):
                return _summary(row, review)
            state = cast(review, vote)
            store.add_vote(session, run, vote)
            store.add_event(session, run, Event.VOTED, reviewer.name, now)
            number = len(review.votes) + 1
            self._evidence(
                session, Kind.RUN_REVIEWED, f"{run}#{number}", digest(_document(run, vote)), {"vote": number}
            )
            review = replace(review, state=state, votes=(*review.votes, vote))
            self._move(session, row, review, self._did)
            return _summary(row, review)

    def withdraw(self, run: str, holder: str) -> None:
        """The consumer wants the output no more; twice is once. Raises `RunUnknown`, `ReviewEnded`."""
        with self._database.transaction() as session:
            row = store.review(session, run)
            if row is None or row.holder != holder:
                raise RunUnknown("no output of a run of yours of this name is held")
            if row.state == ReviewState.WITHDRAWN:
                return
            review = store.value_of(session, row)
            state = next_state(review.state, ReviewState.WITHDRAWN)
            self._move(session, row, replace(review, state=state), holder)

    def expire(self) -> int:
        """End the reviews whose time is over. How many."""
        now = instant(self._clock())
        with self._database.reading() as session:
            runs = store.overdue(session, now)
        return sum(self._expire(run, now) for run in runs)

    def _expire(self, run: str, now: str) -> bool:
        with self._database.transaction() as session:
            row = self._review(session, run)
            review = store.value_of(session, row)
            if not is_overdue(review, now):
                return False
            self._move(session, row, replace(review, state=ReviewState.EXPIRED), self._did)
            return True

    def _move(self, session: Session, row: ReviewRow, review: Review, who: str) -> None:
        """Write the state that `review` came to; where it is an end, the run ends with it and the seal goes."""
        row.state = review.state
        if review.state not in OPEN:
            now = instant(self._clock())
            store.add_event(session, row.run, ENDING_EVENTS[review.state], who, now)
            happened, output = self._ending(session, row, review)
            row.ended, row.sealed = now, None
            self._conclude(session, row.run, happened, output)
        store.save(session, row)

    def _ending(self, session: Session, row: ReviewRow, review: Review) -> tuple[Happened, Output | None]:
        kept = self._kept(row)
        happened, shown = Happened.from_json(kept["happened"]), kept["output"]
        happened = replace(happened, review=_said(session, row, review))
        if review.state is ReviewState.APPROVED:
            return happened, None if shown is None else Output.from_json(shown)
        # What was computed and not released leaves no digest: a small output could be guessed from it. Nor does it
        # leave what was measured of the isolation: where nothing was, the job failed, and that may be a secret.
        nothing = replace(happened, outcome=REFUSED, reasons=reasons_for_consumer(review), output=None, isolation=None)
        return nothing, None

    # Looking -----------------------------------------------------------------------------------------------------

    def reviews(self, reviewer: Reviewer | None = None, *, only_open: bool = True) -> list[ReviewSummary]:
        """The reviews that wait, oldest first; or the newest of all. With `reviewer` those that are for them."""
        self.expire()
        named = None if reviewer is None or reviewer.organisation == self._did else reviewer.products
        with self._database.reading() as session:
            rows = store.reviews(session, only_open=only_open, limit=MAX_LISTED, products=named)
            return [_summary(row, store.value_of(session, row)) for row in rows]

    def look(self, reviewer: Reviewer, run: str) -> ReviewBody:
        """All there is to see about a held output; that it was looked at is on the audit.

        Raises `ReviewUnknown`, and `ReviewerExcluded` for whoever speaks for the consumer, from whom it is held.
        """
        self.expire()
        with self._database.transaction() as session:
            row = self._review(session, run, reviewer)
            review = store.value_of(session, row)
            check_independent(review, reviewer)
            events = store.events(session, run)
            if not any((one.event, one.who) == (Event.SEEN, reviewer.name) for one in events):
                store.add_event(session, run, Event.SEEN, reviewer.name, instant(self._clock()))
                events = store.events(session, run)
            kept = self._kept(row) if row.sealed is not None else None
            return ReviewBody(
                **dict(_summary(row, review)),
                output=kept and kept["output"],
                lineage=kept and kept["lineage"],
                report=tuple(kept["report"]) if kept else (),
                earlier=tuple(_earlier(*one) for one in store.released_earlier(session, row.product, MAX_EARLIER)),
                votes_seen=tuple(map(_cast_vote, visible_votes(review, reviewer))),
                audit=tuple({"event": one.event, "who": one.who, "at": one.at} for one in events),
            )

    # Reviewers ---------------------------------------------------------------------------------------------------

    def add_reviewer(
        self, session: Session, name: str, organisation: str | None, products: Sequence[str] = ()
    ) -> ReviewerBody:
        """A reviewer with a fresh token, told here and never again; an older token of theirs counts no more.

        One of the provider's own sees the held outputs of all products and all algorithms, another one those of
        `products`, from now on.
        Raises `ReviewerTaken` when the name is another organisation's.
        """
        wanted, known = organisation or self._did, store.reviewer(session, name)
        if known is not None and known.organisation != wanted:
            raise ReviewerTaken(f"{name} is a reviewer of {known.organisation}; names are for good, choose another")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        added = known.added if known else instant(self._clock())
        row = ReviewerRow(
            name=name,
            organisation=wanted,
            products=encode(sorted(set(products))).decode(),
            token_digest=_token_digest(token),
            added=added,
        )
        store.add_reviewer(session, row)
        return _reviewer(row).model_copy(update={"token": token})

    def remove_reviewer(self, session: Session, name: str) -> ReviewerBody:
        """Take a reviewer's voice away; votes that were cast stay. Twice is once. Raises `ReviewerUnknown`."""
        row = store.reviewer(session, name)
        if row is None:
            raise ReviewUnknown(f"there is no reviewer {name}")
        row.removed = row.removed or instant(self._clock())
        store.add_reviewer(session, row)
        return _reviewer(row)

    def reviewers(self, session: Session) -> list[ReviewerBody]:
        """All reviewers by name."""
        return [_reviewer(row) for row in store.reviewers(session)]

    def authenticate(self, token: str) -> Reviewer:
        """Whose token this is. Raises `ReviewerUnknown`."""
        with self._database.reading() as session:
            row = store.reviewer_by_token(session, _token_digest(token))
        if row is None:
            raise ReviewerUnknown("show the token that was told when you were added as a reviewer of this provider")
        return Reviewer(row.name, row.organisation, frozenset(parse(row.products)))

    def _review(self, session: Session, run: str, reviewer: Reviewer | None = None) -> ReviewRow:
        """The review. Raises `ReviewUnknown`, also where it is not for `reviewer`."""
        row = store.review(session, run)
        if row is None or (reviewer is not None and not may_see(reviewer, self._did, [row.product])):
            raise ReviewUnknown(f"no output of a run {run} was ever held here")
        return row

    def _kept(self, row: ReviewRow) -> dict[str, Json]:
        kept: dict[str, Json] = parse(unseal(self._secret, row.run, row.sealed or b""))
        return kept


def _contents(work: Work[Any], result: Result, hold: Hold) -> Json:
    permit, request = work.permit, work.request
    lineage = {
        "agreement": permit.agreement,
        "permit": permit.id,
        "purpose": permit.purpose,
        "productDigest": permit.product_digest,
        "dataDigest": result.happened.data_digest,
        "mode": request.mode,
        "request": request.digest,
        "source": request.query,
        "isolation": result.happened.isolation,
        **hold.lineage,
    }
    return {
        "happened": result.happened.to_json(),
        "output": None if result.output is None else result.output.to_json(),
        "lineage": lineage,
        "report": list(hold.report),
    }


def _said(session: Session, row: ReviewRow, review: Review) -> Json:
    """What the receipt says of the review: its end, how many voted, and the digest of who said what and when."""
    trail = [_document(row.run, vote) for vote in review.votes]
    audit = [{"event": one.event, "who": one.who, "at": one.at} for one in store.events(session, row.run)]
    return {
        "outcome": review.state,
        "required": review.required,
        "votes": len(review.votes),
        "trail": digest({"votes": trail, "audit": audit}),
    }


def _document(run: str, vote: Vote) -> dict[str, Json]:
    return {"type": "run-review", "run": run, **_cast_vote(vote).model_dump(mode="json", by_alias=True)}


def _cast_vote(vote: Vote) -> CastVote:
    return CastVote(
        decision=vote.decision.value,
        reason=vote.reason,
        reviewer=vote.reviewer.name,
        organisation=vote.reviewer.organisation,
        at=vote.at,
    )


def _summary(row: ReviewRow, review: Review) -> ReviewSummary:
    return ReviewSummary(
        run=row.run,
        state=ReviewState(row.state),
        holder=row.holder,
        product=row.product,
        version=row.version,
        required=row.required,
        votes=len(review.votes),
        opened=row.opened,
        expires=row.expires,
        ended=row.ended,
    )


def _earlier(row: ReviewRow, answer: str | None) -> dict[str, Json]:
    said = parse(answer or "{}")
    output = {name: said.get(name, []) for name in ("columns", "rows", "outputs")}
    return {"run": row.run, "holder": row.holder, "version": row.version, "ended": row.ended, "output": output}


def _reviewer(row: ReviewerRow) -> ReviewerBody:
    return ReviewerBody(
        name=row.name,
        organisation=row.organisation,
        products=tuple(parse(row.products)),
        added=row.added,
        removed=row.removed,
    )


def _token_digest(token: str) -> str:
    return digest_bytes(token.encode())
