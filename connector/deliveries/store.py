"""Reading and writing what is delivered: handovers and pushes at the provider, arrivals at the consumer.

Values in, values out; the transaction is the caller's. A lease is a `due` in the future with its holder's name; where
the holder is gone it comes due by itself, or when a process on the same host starts (`release`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, and_, col, func, or_, select, update

from connector.deliveries.tables import AccessRow, ArrivalRow, HandoverRow, PushRow
from connector.protocol import transfer
from connector.protocol.tables import ProcessRow
from connector.usage.grants import GrantState
from connector.usage.tables import GrantRow
from hexi.canonical import encode, parse


class JobState(StrEnum):
    """Where a push, or an arrival, stands. Whether it is under way now is its lease."""

    WAITING = "WAITING"
    DONE = "DONE"
    FAILED = "FAILED"


class Way(StrEnum):
    """Who moves the bytes of an arrival: we fetch them, or the provider pushes them."""

    PULL = "pull"
    PUSH = "push"


@dataclass(frozen=True)
class Handover:
    """How far the present download of a transfer is, and which token counts for it. `volume` is in bytes."""

    transfer: str
    serial: int = 0
    serial_shown: bool = True
    begun: bool = False
    volume: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Push:
    """A push to carry out. `destination` may hold what its owner wants to see, so it is never shown.

    `upload` is what is known of an upload in parts (`connector.deliveries.uploads`), of the source's state `version`.
    """

    transfer: str
    destination: dict[str, str] = field(repr=False)
    state: JobState = JobState.WAITING
    attempts: int = 0
    due: str = ""
    version: str | None = None
    upload: dict[str, str] | None = None
    holder: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Arrival:
    """A delivery that comes in here. `size` is in bytes; `path` is the file, once it is complete."""

    transfer: str
    way: Way
    created: str
    updated: str
    target: str | None = None
    token_digest: str | None = None
    state: JobState = JobState.WAITING
    attempts: int = 0
    due: str = ""
    size: int | None = None
    digest: str | None = None
    version: str | None = None
    path: str | None = None
    # The inode of the part file that we made, until it is known to be gone.
    part: str | None = None
    holder: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Access:
    """The newest tokens that we fetch with, renewed from those that the provider `given` with its start.

    `tokens` are the properties of the data address. `renewing`: until when one of us is at it.
    """

    transfer: str
    given: str = field(repr=False)
    tokens: dict[str, str] = field(repr=False)
    renewing: str | None = None


def handover(session: Session, pid: str, *, lock: bool = False) -> Handover:
    """The handover of a transfer, with `lock` held until the transaction ends."""
    row = _row(session, HandoverRow, pid, lock=lock)
    return Handover(pid) if row is None else Handover(**_members(row, Handover))


def save_handover(session: Session, handover: Handover) -> None:
    """Write `handover`; the caller holds it, or it is new."""
    session.merge(HandoverRow(**_members(handover, Handover)))
    session.flush()


def push(session: Session, pid: str, *, lock: bool = False) -> Push | None:
    """The push of a transfer."""
    row = _row(session, PushRow, pid, lock=lock)
    return None if row is None else _push(row)


def save_push(session: Session, push: Push) -> None:
    """Write `push`."""
    values = _members(push, Push) | {"destination": _text(push.destination)}
    values["upload"] = None if push.upload is None else _text(push.upload)
    session.merge(PushRow(**values))
    session.flush()


def access(session: Session, pid: str) -> Access | None:
    """The renewed tokens of a transfer."""
    row = session.get(AccessRow, pid)
    return None if row is None else Access(**_members(row, Access) | {"tokens": parse(row.tokens)})


def save_access(session: Session, access: Access) -> None:
    """Write `access`."""
    session.merge(AccessRow(**_members(access, Access) | {"tokens": _text(access.tokens)}))
    session.flush()


def arrival(session: Session, pid: str, *, lock: bool = False) -> Arrival | None:
    """The arrival under a transfer."""
    row = _row(session, ArrivalRow, pid, lock=lock)
    return None if row is None else _arrival(row)


def arrival_of_token(session: Session, token_digest: str) -> Arrival | None:
    """The arrival whose pusher shows the token with this digest."""
    row = session.exec(select(ArrivalRow).where(col(ArrivalRow.token_digest) == token_digest)).first()
    return None if row is None else _arrival(row)


def arrivals(session: Session, limit: int) -> list[Arrival]:
    """The newest arrivals."""
    rows = session.exec(select(ArrivalRow).order_by(col(ArrivalRow.created).desc()).limit(limit))
    return [_arrival(row) for row in rows]


def save_arrival(session: Session, arrival: Arrival) -> None:
    """Write `arrival`."""
    session.merge(ArrivalRow(**_members(arrival, Arrival)))
    session.flush()


def lease_push(session: Session, now: str, until: str, holder: str, share: int) -> Push | None:
    """A push that is due for a transfer under way, for `holder` alone until then; none to who has `share` leased."""
    wanted = (
        select(PushRow)
        .join(ProcessRow, col(ProcessRow.pid) == col(PushRow.transfer))
        .join(GrantRow, col(GrantRow.transfer) == col(PushRow.transfer))
        .where(
            col(PushRow.state) == JobState.WAITING,
            col(PushRow.due) <= now,
            col(ProcessRow.state) == transfer.State.STARTED,
            col(GrantRow.state) == GrantState.ACTIVE,
            _has_room(PushRow, now, share),
        )
        .order_by(col(PushRow.due))
        .limit(1)
        .with_for_update(skip_locked=True, of=PushRow)
    )
    row = session.exec(wanted).first()
    return None if row is None else _push(_leased(session, row, until, holder))


def lease_abandoned(session: Session, now: str, until: str, holder: str) -> Push | None:
    """A push that failed, or whose transfer ended before it, and of which an upload is noted; leased as others are."""
    ended = or_(col(ProcessRow.state).in_(transfer.TERMINAL), col(GrantRow.state) == GrantState.ENDED)
    wanted = (
        select(PushRow)
        .join(ProcessRow, col(ProcessRow.pid) == col(PushRow.transfer))
        .join(GrantRow, col(GrantRow.transfer) == col(PushRow.transfer))
        .where(
            col(PushRow.upload).is_not(None),
            col(PushRow.due) <= now,
            or_(col(PushRow.state) == JobState.FAILED, and_(col(PushRow.state) == JobState.WAITING, ended)),
        )
        .limit(1)
        .with_for_update(skip_locked=True, of=PushRow)
    )
    row = session.exec(wanted).first()
    return None if row is None else _push(_leased(session, row, until, holder))


def lease_download(session: Session, now: str, until: str, holder: str, share: int) -> Arrival | None:
    """A download that is due for a transfer under way, for `holder` alone until then; none from who has `share`
    leased."""
    wanted = (
        select(ArrivalRow)
        .join(ProcessRow, col(ProcessRow.pid) == col(ArrivalRow.transfer))
        .where(
            col(ArrivalRow.state) == JobState.WAITING,
            col(ArrivalRow.way) == Way.PULL,
            col(ArrivalRow.due) <= now,
            col(ProcessRow.state) == transfer.State.STARTED,
            _has_room(ArrivalRow, now, share),
        )
        .order_by(col(ArrivalRow.due))
        .limit(1)
        .with_for_update(skip_locked=True, of=ArrivalRow)
    )
    row = session.exec(wanted).first()
    return None if row is None else _arrival(_leased(session, row, until, holder))


def left_part(session: Session, now: str, *, lock: bool = False) -> Arrival | None:
    """An arrival that has ended for good, and of which a part file may still lie there.

    One that FAILED may be asked for again, while its transfer goes on.
    """
    wanted = (
        select(ArrivalRow)
        .join(ProcessRow, col(ProcessRow.pid) == col(ArrivalRow.transfer))
        .where(
            col(ArrivalRow.part).is_not(None),
            col(ArrivalRow.due) <= now,
            or_(col(ArrivalRow.state) == JobState.DONE, col(ProcessRow.state).in_(transfer.TERMINAL)),
        )
        .limit(1)
    )
    row = session.exec(wanted.with_for_update(skip_locked=True, of=ArrivalRow) if lock else wanted).first()
    return None if row is None else _arrival(row)


def renew_push(session: Session, pid: str, until: str) -> None:
    """Hold the lease of a push for longer."""
    session.exec(update(PushRow).where(col(PushRow.transfer) == pid).values(due=until))


def renew_download(session: Session, pid: str, until: str) -> None:
    """Hold the lease of a download for longer."""
    session.exec(update(ArrivalRow).where(col(ArrivalRow.transfer) == pid).values(due=until))


def release(session: Session, now: str, is_alive: Callable[[str], bool]) -> None:
    """Let come due what holders that are gone had leased."""
    held: list[PushRow | ArrivalRow] = [
        *session.exec(select(PushRow).where(col(PushRow.holder).is_not(None))),
        *session.exec(select(ArrivalRow).where(col(ArrivalRow.holder).is_not(None))),
    ]
    for row in held:
        if row.holder and not is_alive(row.holder):
            row.holder, row.due = None, now
            session.add(row)


def _has_room(table: type[Any], now: str, share: int) -> ColumnElement[bool]:
    """Whether fewer than `share` deliveries of `table` to or from the process's other end are leased."""
    busy = (
        select(ProcessRow.counterparty)
        .join(table, col(table.transfer) == col(ProcessRow.pid))
        .where(col(table.state) == JobState.WAITING, col(table.holder).is_not(None), col(table.due) > now)
        .group_by(col(ProcessRow.counterparty))
        .having(func.count() >= share)
        .correlate(None)
    )
    return col(ProcessRow.counterparty).not_in(busy)


def _leased(session: Session, row: Any, until: str, holder: str) -> Any:
    row.due, row.holder, row.attempts = until, holder, row.attempts + 1
    session.add(row)
    session.flush()
    return row


def _row(session: Session, table: type[Any], pid: str, *, lock: bool) -> Any:
    wanted = select(table).where(col(table.transfer) == pid)
    return session.exec(wanted.with_for_update() if lock else wanted).first()


def _push(row: PushRow) -> Push:
    upload = None if row.upload is None else parse(row.upload)
    values = {"destination": parse(row.destination), "upload": upload, "state": JobState(row.state)}
    return Push(**_members(row, Push) | values)


def _arrival(row: ArrivalRow) -> Arrival:
    return Arrival(**_members(row, Arrival) | {"state": JobState(row.state), "way": Way(row.way)})


def _text(value: dict[str, str]) -> str:
    return encode(dict(value)).decode()


def _members(source: Any, cls: type[Any]) -> dict[str, Any]:
    return {member.name: getattr(source, member.name) for member in fields(cls)}
