"""The queue's SQL. Sessions come in as arguments; nothing here commits.

A consumer's turn is locked before any of its jobs, so that two transactions never wait for each other. On SQLite the
locks are no-ops: its writers queue anyway.
"""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from sandbox.jobs.scheduling import Turn
from sandbox.jobs.states import JobState
from sandbox.jobs.tables import JobEventRow, JobRow, TurnRow
from sandbox.store import insert


def turns(session: Session) -> list[Turn]:
    """The consumers whose jobs wait, as they are now."""
    return [_turn(row) for row in session.exec(select(TurnRow).where(TurnRow.waiting > 0))]


def lock_turn(session: Session, consumer: str, *, patiently: bool = True) -> TurnRow | None:
    """The consumer's turn, locked; made on first use. Not `patiently`: None if another transaction holds it."""
    wanted = select(TurnRow).where(TurnRow.consumer == consumer).with_for_update(skip_locked=not patiently)
    found = session.exec(wanted.execution_options(populate_existing=True)).first()
    if found is None and patiently:
        insert(session, TurnRow(consumer=consumer))
        found = session.exec(wanted).one()
    return found


def as_turn(row: TurnRow) -> Turn:
    """What a decision is made of."""
    return _turn(row)


def waiting_of_all(session: Session) -> int:
    """How many jobs wait."""
    return session.exec(select(func.coalesce(func.sum(TurnRow.waiting), 0))).one()


def newest_lease(session: Session) -> int:
    """The number of the newest lease."""
    return session.exec(select(func.coalesce(func.max(TurnRow.last), 0))).one()


def job(session: Session, run: str) -> JobRow | None:
    """The job as it is now."""
    return session.get(JobRow, run)


def lock_job(session: Session, run: str) -> tuple[TurnRow, JobRow] | None:
    """The job and its consumer's turn, both locked."""
    consumer = session.exec(select(JobRow.consumer).where(JobRow.run == run)).first()
    turn = None if consumer is None else lock_turn(session, consumer)
    if turn is None:
        return None
    wanted = select(JobRow).where(JobRow.run == run).with_for_update().execution_options(populate_existing=True)
    return turn, session.exec(wanted).one()


def next_due(session: Session, consumer: str, now: str) -> JobRow | None:
    """The consumer's oldest job that may be leased, locked; those held by another transaction are passed by."""
    wanted = (
        select(JobRow)
        .where(JobRow.consumer == consumer, JobRow.state == JobState.QUEUED, JobRow.due <= now)
        .order_by(col(JobRow.due), col(JobRow.run))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return session.exec(wanted).first()


def under_way(session: Session) -> list[tuple[str, str, str]]:
    """(run, due, holder) of every job that is leased."""
    wanted = select(JobRow.run, JobRow.due, JobRow.holder).where(JobRow.state == JobState.RUNNING)
    return [(run, due, holder or "") for run, due, holder in session.exec(wanted)]


def renew(session: Session, leases: Sequence[tuple[str, str]], until: str) -> frozenset[str]:
    """Hold the leases (run, holder) for longer. Those that are still held."""
    held = set()
    for run, holder in sorted(leases):
        still = update(JobRow).where(
            col(JobRow.run) == run, col(JobRow.holder) == holder, col(JobRow.state) == JobState.RUNNING
        )
        if session.connection().execute(still.values(due=until)).rowcount:
            held.add(run)
    return frozenset(held)


def add(session: Session, row: JobRow | JobEventRow) -> None:
    """Keep a new row."""
    session.add(row)
    session.flush()


def save(session: Session, *rows: JobRow | TurnRow) -> None:
    """Write changes to rows that were read in this session."""
    session.add_all(rows)
    session.flush()


def events(session: Session, run: str, after: int) -> Sequence[JobEventRow]:
    """What happened to a job after event number `after`, in order."""
    wanted = select(JobEventRow).where(JobEventRow.run == run, JobEventRow.number > after)
    return session.exec(wanted.order_by(col(JobEventRow.number))).all()


def jobs_of(session: Session, consumer: str, limit: int) -> Sequence[JobRow]:
    """The consumer's newest jobs, newest first."""
    wanted = select(JobRow).where(JobRow.consumer == consumer)
    return session.exec(wanted.order_by(col(JobRow.submitted).desc(), col(JobRow.run)).limit(limit)).all()


def _turn(row: TurnRow) -> Turn:
    return Turn(row.consumer, row.waiting, row.under_way, row.last)
