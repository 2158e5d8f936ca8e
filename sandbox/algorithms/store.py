"""The repository's SQL. Sessions come in as arguments; nothing here commits."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from sandbox.algorithms.states import AlgorithmState
from sandbox.algorithms.tables import AlgorithmRow, JudgementRow, TrialRow


def algorithm(session: Session, digest: str) -> AlgorithmRow | None:
    """An algorithm, locked."""
    return session.exec(select(AlgorithmRow).where(AlgorithmRow.digest == digest).with_for_update()).first()


def versions(session: Session, name: str) -> Sequence[AlgorithmRow]:
    """All of a name, oldest first, locked."""
    asked = select(AlgorithmRow).where(AlgorithmRow.name == name).order_by(col(AlgorithmRow.version))
    return session.exec(asked.with_for_update()).all()


def algorithms(session: Session, *, author: str | None = None, every: bool = False) -> Sequence[AlgorithmRow]:
    """By name and version: the accepted ones and those of `author`, or all."""
    asked = select(AlgorithmRow).order_by(AlgorithmRow.name, col(AlgorithmRow.version))
    if not every:
        asked = asked.where((AlgorithmRow.state == AlgorithmState.ACCEPTED) | (AlgorithmRow.author == author))
    return session.exec(asked).all()


def save(session: Session, row: SQLModel) -> None:
    """Write a row, new or changed."""
    session.add(row)
    session.flush()


def trials(session: Session, digest: str) -> Sequence[TrialRow]:
    """The tries of an algorithm, oldest first."""
    return session.exec(select(TrialRow).where(TrialRow.digest == digest).order_by(col(TrialRow.number))).all()


def next_trial(session: Session, digest: str) -> int:
    """The number of the next try. The algorithm's row must be locked."""
    last = session.exec(select(func.max(TrialRow.number)).where(TrialRow.digest == digest)).one()
    return (last or 0) + 1


def judgements(session: Session, digest: str) -> Sequence[JudgementRow]:
    """What people said, in the order they said it."""
    asked = select(JudgementRow).where(JudgementRow.digest == digest)
    return session.exec(asked.order_by(JudgementRow.at, JudgementRow.reviewer)).all()
