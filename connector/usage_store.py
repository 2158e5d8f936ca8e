"""Reading and writing grants. Values in, values out; the transaction is the caller's."""

from dataclasses import fields
from typing import Any

from sqlmodel import Session, col, select, update

from connector.grants import Grant, GrantState
from connector.usage_tables import GrantRow


def add_grant(session: Session, grant: Grant, at: str) -> None:
    """Keep a new grant."""
    values: dict[str, Any] = {field.name: getattr(grant, field.name) for field in fields(Grant)}
    session.add(GrantRow(**values, created=at, updated=at))
    session.flush()


def grant(session: Session, transfer: str, *, lock: bool = False) -> Grant | None:
    """The grant of a transfer, with `lock` held until the transaction ends."""
    wanted = select(GrantRow).where(GrantRow.transfer == transfer)
    row = session.exec(wanted.with_for_update() if lock else wanted).first()
    return None if row is None else _value(row)


def count_use(session: Session, transfer: str, count: int, volume: int, at: str) -> None:
    """Add to what was handed over."""
    values = {"count": GrantRow.count + count, "volume": GrantRow.volume + volume, "updated": at}
    _update(session, transfer, values)


def set_state(session: Session, transfer: str, state: GrantState, ended: str | None, at: str) -> None:
    """Record a grant's state. One that has ended stays ended, and keeps its first reason."""
    _update(session, transfer, {"state": state, "ended": ended, "updated": at})


def _update(session: Session, transfer: str, values: dict[str, Any]) -> None:
    statement = update(GrantRow).where(col(GrantRow.transfer) == transfer, col(GrantRow.state) != GrantState.ENDED)
    session.exec(statement.values(**values).execution_options(synchronize_session="fetch"))


def _value(row: GrantRow) -> Grant:
    values = {field.name: getattr(row, field.name) for field in fields(Grant)}
    return Grant(**values | {"state": GrantState(row.state)})
