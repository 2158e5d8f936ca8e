"""The airlock's SQL. Sessions come in as arguments; nothing here commits."""

from collections.abc import Collection, Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from hexi.canonical import Json, parse
from sandbox.airlock.decisions import Decision, Review, Reviewer, Vote
from sandbox.airlock.states import OPEN, Event, ReviewState
from sandbox.airlock.tables import ReviewerRow, ReviewEventRow, ReviewRow, VoteRow
from sandbox.tables import RunRow


def add_reviewer(session: Session, row: ReviewerRow) -> None:
    """Write a reviewer, new or changed."""
    session.merge(row)
    session.flush()


def reviewer(session: Session, name: str) -> ReviewerRow | None:
    """The reviewer of this name, also one who was removed."""
    return session.get(ReviewerRow, name)


def reviewers(session: Session) -> Sequence[ReviewerRow]:
    """All reviewers by name, removed ones too."""
    return session.exec(select(ReviewerRow).order_by(ReviewerRow.name)).all()


def reviewer_by_token(session: Session, token_digest: str) -> ReviewerRow | None:
    """Who shows the token with this digest, and was not removed."""
    asked = select(ReviewerRow).where(ReviewerRow.token_digest == token_digest, col(ReviewerRow.removed).is_(None))
    return session.exec(asked).first()


def add_review(session: Session, row: ReviewRow) -> None:
    """Open a review."""
    session.add(row)
    session.flush()


def review(session: Session, run: str) -> ReviewRow | None:
    """The review of a run, locked."""
    return session.exec(select(ReviewRow).where(ReviewRow.run == run).with_for_update()).first()


def save(session: Session, row: ReviewRow) -> None:
    """Write changes to a review that was read in this session."""
    session.add(row)
    session.flush()


def reviews(
    session: Session, *, only_open: bool, limit: int, products: Collection[str] | None = None
) -> Sequence[ReviewRow]:
    """Reviews, oldest first where only the open ones are asked for, else newest first; of `products`, or of all."""
    asked = select(ReviewRow)
    if products is not None:
        asked = asked.where(col(ReviewRow.product).in_(products))
    if only_open:
        asked = asked.where(col(ReviewRow.state).in_(OPEN)).order_by(ReviewRow.opened, ReviewRow.run)
    else:
        asked = asked.order_by(col(ReviewRow.opened).desc(), ReviewRow.run)
    return session.exec(asked.limit(limit)).all()


def overdue(session: Session, now: str) -> Sequence[str]:
    """The runs whose open reviews' time is over."""
    asked = select(ReviewRow.run).where(col(ReviewRow.state).in_(OPEN), ReviewRow.expires <= now)
    return session.exec(asked).all()


def released_earlier(session: Session, product: str, limit: int) -> Sequence[tuple[ReviewRow, str | None]]:
    """The newest outputs of `product` that passed a review, with their answers."""
    asked = (
        select(ReviewRow, RunRow.answer)
        .join(RunRow, col(RunRow.id) == ReviewRow.run)
        .where(ReviewRow.product == product, ReviewRow.state == ReviewState.APPROVED)
        .order_by(col(ReviewRow.ended).desc(), ReviewRow.run)
    )
    return session.exec(asked.limit(limit)).all()


def outputs_released(session: Session, product: str, limit: int) -> list[Json]:
    """What programs over `product` gave out, newest first."""
    answers = (answer for _, answer in released_earlier(session, product, limit))
    return [parse(answer or "{}").get("outputs", []) for answer in answers]


def add_vote(session: Session, run: str, vote: Vote) -> None:
    """Keep a vote."""
    session.add(
        VoteRow(
            run=run,
            reviewer=vote.reviewer.name,
            organisation=vote.reviewer.organisation,
            decision=vote.decision,
            reason=vote.reason,
            at=vote.at,
        )
    )
    session.flush()


def votes(session: Session, run: str) -> tuple[Vote, ...]:
    """The votes on an output, in the order they were cast."""
    rows = session.exec(select(VoteRow).where(VoteRow.run == run).order_by(VoteRow.at, VoteRow.reviewer)).all()
    return tuple(
        Vote(Reviewer(row.reviewer, row.organisation), Decision(row.decision), row.reason, row.at) for row in rows
    )


def add_event(session: Session, run: str, event: Event, who: str, at: str) -> None:
    """One more line of the audit. The review's row must be locked: it numbers the lines."""
    last = session.exec(select(func.max(ReviewEventRow.number)).where(ReviewEventRow.run == run)).one()
    session.add(ReviewEventRow(run=run, number=(last or 0) + 1, event=event, who=who, at=at))
    session.flush()


def events(session: Session, run: str) -> Sequence[ReviewEventRow]:
    """The audit of a review, oldest first."""
    return session.exec(
        select(ReviewEventRow).where(ReviewEventRow.run == run).order_by(col(ReviewEventRow.number))
    ).all()


def value_of(session: Session, row: ReviewRow) -> Review:
    """A row and its votes, as decisions take them."""
    return Review(row.run, row.holder, ReviewState(row.state), row.required, row.expires, votes(session, row.run))
