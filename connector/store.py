"""Reading and writing processes, inbox and outbox. Values in, values out; the transaction is the caller's.

Locks are always taken in the order process, then item; leasing takes items only and skips locked ones. So nothing
here can deadlock.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import event, insert, literal, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from connector.outbox_items import OutboxItem, OutboxState
from connector.processes import Kind, Process, Role
from connector.tables import InboxRow, OutboxRow, ProcessRow
from hexi.canonical import Json, encode, parse

# The most processes a listing gives out at once.
MAX_LISTED = 1_000

_JSON_COLUMNS = ("offer", "agreement", "data_address", "properties", "reason")


def insert_process(session: Session, process: Process) -> bool:
    """Add `process`; False, and nothing done, if the counterparty's process id is known already."""
    return _insert_if_new(session, ProcessRow, _columns(process))


def lock_process(session: Session, pid: str) -> Process | None:
    """The process, held by this transaction until it ends."""
    return _process(session, select(ProcessRow).where(ProcessRow.pid == pid).with_for_update())


def read_process(session: Session, pid: str) -> Process | None:
    """The process as it is now."""
    return _process(session, select(ProcessRow).where(ProcessRow.pid == pid))


def process_of_peer(session: Session, kind: Kind, role: Role, counterparty: str, peer_pid: str) -> Process | None:
    """The process that `counterparty` knows as `peer_pid`."""
    query = select(ProcessRow).where(
        ProcessRow.kind == kind,
        ProcessRow.role == role,
        ProcessRow.counterparty == counterparty,
        ProcessRow.peer_pid == peer_pid,
    )
    return _process(session, query)


def lock_negotiation_of(session: Session, role: Role, counterparty: str, agreement_id: str) -> Process | None:
    """The newest negotiation with `counterparty` that led to the agreement, held by this transaction."""
    query = (
        select(ProcessRow)
        .where(
            ProcessRow.agreement_id == agreement_id,
            ProcessRow.kind == Kind.NEGOTIATION,
            ProcessRow.role == role,
            ProcessRow.counterparty == counterparty,
        )
        .order_by(col(ProcessRow.created).desc())
        .limit(1)
        .with_for_update()
    )
    return _process(session, query)


def list_processes(session: Session, kind: Kind, *, role: Role | None = None, limit: int = MAX_LISTED) -> list[Process]:
    """Processes of a kind, newest first."""
    query = select(ProcessRow).where(ProcessRow.kind == kind)
    if role is not None:
        query = query.where(ProcessRow.role == role)
    rows = session.exec(query.order_by(col(ProcessRow.created).desc()).limit(min(limit, MAX_LISTED)))
    return [_value(row) for row in rows]


def save_process(session: Session, process: Process, now: str) -> Process:
    """Write `process` over its row; the caller holds it. Returns it with its new version."""
    saved = replace(process, version=process.version + 1, updated=now)
    session.exec(
        update(ProcessRow)
        .where(col(ProcessRow.pid) == process.pid)
        .values(**_columns(saved))
        .execution_options(synchronize_session=False)
    )
    return saved


def remember_message(session: Session, counterparty: str, key: str, pid: str, now: str) -> bool:
    """Note that this message was taken; False if it had been before."""
    row = {"counterparty": counterparty, "message_key": key, "pid": pid, "received": now}
    return _insert_if_new(session, InboxRow, row)


def process_of_message(session: Session, counterparty: str, key: str) -> str | None:
    """The process id that a message taken before was for."""
    query = select(InboxRow.pid).where(InboxRow.counterparty == counterparty, InboxRow.message_key == key)
    return session.exec(query).one_or_none()


def add_item(session: Session, *, body: Json, not_before: str, **columns: str | None) -> None:
    """Put a item into the outbox."""
    row = {
        **columns,
        "body": encode(body).decode(),
        "state": OutboxState.PENDING,
        "attempts": 0,
        "not_before": not_before,
        "due": not_before,
    }
    session.exec(insert(OutboxRow).values(**row))


def lock_pending(session: Session, pid: str) -> OutboxItem | None:
    """The item of process `pid` that is still on its way. The lock waits for a leasing in progress, so that its
    count of attempts is the true one."""
    query = select(OutboxRow).where(OutboxRow.process_pid == pid, OutboxRow.state == OutboxState.PENDING)
    return _item(session, query.with_for_update())


def lock_item(session: Session, item_id: int) -> OutboxItem:
    """One item, held by this transaction."""
    item = _item(session, select(OutboxRow).where(OutboxRow.id == item_id).with_for_update())
    assert item is not None, "items are never deleted"  # noqa: S101
    return item


def close_item(session: Session, item_id: int, state: OutboxState, error: str | None = None) -> None:
    """Take a item off the road."""
    _update_item(session, item_id, state=state, last_error=error)


def postpone_item(session: Session, item_id: int, due: str, error: str) -> None:
    """Let a item come due again later."""
    _update_item(session, item_id, due=due, holder=None, last_error=error)


def is_anything_due(session: Session, now: str) -> bool:
    """Whether `lease_items` would find something; looking takes no lock."""
    query = select(OutboxRow.id).where(OutboxRow.state == OutboxState.PENDING, OutboxRow.due <= now).limit(1)
    return session.exec(query).first() is not None


def release_leases(session: Session, now: str, is_alive: Callable[[str], bool]) -> int:
    """Let come due what dead holders had leased; returns how many items that are."""
    leased = select(OutboxRow.holder).where(OutboxRow.state == OutboxState.PENDING, col(OutboxRow.holder).is_not(None))
    dead = [holder for holder in set(session.exec(leased)) if holder and not is_alive(holder)]
    freed = (
        update(OutboxRow)
        .where(col(OutboxRow.state) == OutboxState.PENDING, col(OutboxRow.holder).in_(dead))
        .values(due=now, holder=None)
        .execution_options(synchronize_session=False)
    )
    return int(session.exec(freed).rowcount)


def lease_items(session: Session, now: str, until: str, limit: int, holder: str) -> list[OutboxItem]:
    """Items that are due, oldest first, for `holder` alone until then. An attempt is counted for each."""
    query = (
        select(OutboxRow)
        .where(OutboxRow.state == OutboxState.PENDING, OutboxRow.due <= now)
        .order_by(col(OutboxRow.due), col(OutboxRow.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    items = [_item_value(row) for row in session.exec(query)]
    if items:
        session.exec(
            update(OutboxRow)
            .where(col(OutboxRow.id).in_([item.id for item in items]))
            .values(due=until, holder=holder, attempts=OutboxRow.attempts + 1)
            .execution_options(synchronize_session=False)
        )
    return [replace(item, attempts=item.attempts + 1) for item in items]


def count_items(session: Session, destination: str, state: OutboxState) -> int:
    """How many items are in a state; pending ones are the backlog."""
    query = select(func.count()).select_from(OutboxRow)
    return session.exec(query.where(OutboxRow.destination == destination, OutboxRow.state == state)).one()


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Call `callback` once `session` has committed; never if it rolls back."""
    if callback not in (waiting := session.info.setdefault("connector.after_commit", [])):
        waiting.append(callback)
        event.listen(session, "after_commit", lambda _session: callback(), once=True)


def _insert_if_new(session: Session, table: type[SQLModel], row: dict[str, Any]) -> bool:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row).on_conflict_do_nothing()
    # What came back, not a row count: drivers do not agree on those.
    return session.exec(statement.returning(literal(1))).first() is not None


def _update_item(session: Session, item_id: int, **values: str | None) -> None:
    statement = update(OutboxRow).where(col(OutboxRow.id) == item_id).values(**values)
    session.exec(statement.execution_options(synchronize_session=False))


def _process(session: Session, query: SelectOfScalar[ProcessRow]) -> Process | None:
    row = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    return None if row is None else _value(row)


def _item(session: Session, query: SelectOfScalar[OutboxRow]) -> OutboxItem | None:
    row = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    return None if row is None else _item_value(row)


def _columns(process: Process) -> dict[str, Any]:
    columns = {field.name: getattr(process, field.name) for field in fields(process)}
    for name in _JSON_COLUMNS:
        columns[name] = None if columns[name] is None else encode(columns[name]).decode()
    return columns


def _value(row: ProcessRow) -> Process:
    columns = {field.name: getattr(row, field.name) for field in fields(Process)}
    for name in _JSON_COLUMNS:
        columns[name] = None if columns[name] is None else parse(columns[name])
    suspended_by = None if row.suspended_by is None else Role(row.suspended_by)
    return Process(**columns | {"kind": Kind(row.kind), "role": Role(row.role), "suspended_by": suspended_by})


def _item_value(row: OutboxRow) -> OutboxItem:
    columns = {field.name: getattr(row, field.name) for field in fields(OutboxItem)}
    return OutboxItem(**columns | {"body": parse(row.body), "state": OutboxState(row.state)})
