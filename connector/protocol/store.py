"""Reading and writing processes, inbox and outbox. Values in, values out; the transaction is the caller's.

Locks are always taken in the order processes (by pid), then items (by id); leasing takes items only and skips locked
ones. So nothing here can deadlock.

Every message costs a handful of these statements, so they are built once, here, and take parameters: building one, or
mapping an entity, costs several times what PostgreSQL needs to answer it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Row, Select, bindparam, case, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, func

from connector.protocol.outbox_items import OutboxItem, OutboxState
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.tables import InboxRow, OutboxRow, ProcessRow, SubscriptionRow
from hexi.canonical import Json, encode, parse
from hexi.database import insert_if_new

# The most processes a listing gives out at once.
MAX_LISTED = 1_000

_JSON_COLUMNS = ("offer", "agreement", "data_address", "properties", "reason")
# What is settled when a process begins.
_FIXED_COLUMNS = ("pid", "kind", "role", "counterparty", "opening_id", "created")

_TABLES = SQLModel.metadata.tables
_PROCESS, _INBOX, _OUTBOX, _SUBSCRIPTION = (
    _TABLES[str(row.__tablename__)] for row in (ProcessRow, InboxRow, OutboxRow, SubscriptionRow)
)
_PROCESS_FIELDS = tuple(field.name for field in fields(Process))
_ITEM_FIELDS = tuple(field.name for field in fields(OutboxItem))
PROCESSES = select(*(_PROCESS.c[name] for name in _PROCESS_FIELDS))
_ITEMS = select(*(_OUTBOX.c[name] for name in _ITEM_FIELDS))

_READ_PROCESS = PROCESSES.where(_PROCESS.c.pid == bindparam("pid"))
_LOCK_PROCESS = _READ_PROCESS.with_for_update()
_LOCK_PROCESSES = (
    PROCESSES.where(_PROCESS.c.pid.in_(bindparam("pids", expanding=True))).order_by(_PROCESS.c.pid).with_for_update()
)
_OF_PEER = PROCESSES.where(
    _PROCESS.c.kind == bindparam("kind"),
    _PROCESS.c.role == bindparam("role"),
    _PROCESS.c.counterparty == bindparam("counterparty"),
    _PROCESS.c.peer_pid == bindparam("peer_pid"),
)
_LOCK_NEGOTIATION_OF = (
    PROCESSES.where(
        _PROCESS.c.agreement_id == bindparam("agreement_id"),
        _PROCESS.c.kind == Kind.NEGOTIATION,
        _PROCESS.c.role == bindparam("role"),
        _PROCESS.c.counterparty == bindparam("counterparty"),
    )
    .order_by(_PROCESS.c.created.desc())
    .limit(1)
    .with_for_update()
)
# Whether anybody wants to be told of events, asked on the way: a question of its own would cost every message one.
_HEARD = exists(select(_SUBSCRIPTION.c.id).where(_SUBSCRIPTION.c.ended.is_(None)))
_SAVE_PROCESS = (
    update(_PROCESS)
    .where(_PROCESS.c.pid == bindparam("of_pid"))
    .values({name: bindparam(name) for name in _PROCESS_FIELDS if name not in _FIXED_COLUMNS})
    .returning(_HEARD)
)
# As `hexi.database.insert_if_new` writes it, with the question.
_ADMIT_PROCESS = {
    name: dialect.insert(_PROCESS).on_conflict_do_nothing().returning(_HEARD)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
_PID_OF_MESSAGE = select(_INBOX.c.pid).where(
    _INBOX.c.counterparty == bindparam("counterparty"), _INBOX.c.message_key == bindparam("message_key")
)
_ADD_ITEM = insert(_OUTBOX).returning(_OUTBOX.c.id)
_LOCK_PENDING = _ITEMS.where(
    _OUTBOX.c.process_pid == bindparam("pid"), _OUTBOX.c.state == OutboxState.PENDING
).with_for_update()
_LOCK_ITEMS = _ITEMS.where(_OUTBOX.c.id.in_(bindparam("ids", expanding=True))).order_by(_OUTBOX.c.id).with_for_update()
_CLOSE_ITEM = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id == bindparam("of_id"))
    .values(state=bindparam("state"), settled=bindparam("settled"), last_error=bindparam("last_error"))
)
_SETTLE_PENDING = (
    update(_OUTBOX)
    .where(_OUTBOX.c.process_pid == bindparam("pid"), _OUTBOX.c.state == OutboxState.PENDING)
    .values(
        state=case(
            (_OUTBOX.c.attempts > 0, bindparam("tried", type_=_OUTBOX.c.state.type)),
            else_=bindparam("untried", type_=_OUTBOX.c.state.type),
        ),
        settled=bindparam("settled"),
        last_error=None,
    )
    .returning(*(_OUTBOX.c[name] for name in _ITEM_FIELDS))
)
_REOPEN_ITEM = update(_OUTBOX).where(_OUTBOX.c.id == bindparam("of_id")).values(state=OutboxState.PENDING, settled=None)
_POSTPONE_ITEM = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id == bindparam("of_id"))
    .values(due=bindparam("due"), holder=None, last_error=bindparam("last_error"))
)
_DUE = (
    _OUTBOX.c.state == OutboxState.PENDING,
    _OUTBOX.c.due <= bindparam("now"),
    _OUTBOX.c.destination.in_(bindparam("destinations", expanding=True)),
)
_IS_ANYTHING_DUE = select(_OUTBOX.c.id).where(*_DUE).limit(1)
_DUE_ITEMS = (
    _ITEMS.where(*_DUE)
    .order_by(_OUTBOX.c.due, _OUTBOX.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_LEASE_ITEMS = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id.in_(bindparam("ids", expanding=True)))
    .values(due=bindparam("until"), holder=bindparam("of_holder"), attempts=_OUTBOX.c.attempts + 1)
)


def insert_process(session: Session, process: Process) -> bool:
    """Add `process`; False, and nothing done, if the counterparty's process id is known already."""
    return admit_process(session, process)[0]


def admit_process(session: Session, process: Process) -> tuple[bool, bool]:
    """Like `insert_process`; and whether there is anybody who wants to be told of events."""
    connection = session.connection()
    found = connection.execute(_ADMIT_PROCESS[connection.dialect.name], _columns(process)).first()
    return found is not None, found is not None and bool(found[0])


def lock_process(session: Session, pid: str) -> Process | None:
    """The process, held by this transaction until it ends."""
    return _process(session, _LOCK_PROCESS, pid=pid)


def lock_processes(session: Session, pids: Iterable[str]) -> dict[str, Process]:
    """Processes by pid, held by this transaction."""
    rows = session.connection().execute(_LOCK_PROCESSES, {"pids": sorted(set(pids))})
    return {process.pid: process for process in map(process_of_row, rows)}


def read_process(session: Session, pid: str) -> Process | None:
    """The process as it is now."""
    return _process(session, _READ_PROCESS, pid=pid)


def process_of_peer(session: Session, kind: Kind, role: Role, counterparty: str, peer_pid: str) -> Process | None:
    """The process that `counterparty` knows as `peer_pid`."""
    return _process(session, _OF_PEER, kind=kind, role=role, counterparty=counterparty, peer_pid=peer_pid)


def lock_negotiation_of(session: Session, role: Role, counterparty: str, agreement_id: str) -> Process | None:
    """The newest negotiation with `counterparty` that led to the agreement, held by this transaction."""
    return _process(session, _LOCK_NEGOTIATION_OF, role=role, counterparty=counterparty, agreement_id=agreement_id)


def list_processes(session: Session, kind: Kind, *, role: Role | None = None, limit: int = MAX_LISTED) -> list[Process]:
    """Processes of a kind, newest first."""
    query = PROCESSES.where(_PROCESS.c.kind == kind)
    if role is not None:
        query = query.where(_PROCESS.c.role == role)
    rows = session.connection().execute(query.order_by(_PROCESS.c.created.desc()).limit(min(limit, MAX_LISTED)))
    return [process_of_row(row) for row in rows]


def save_process(session: Session, process: Process, now: str) -> Process:
    """Write `process` over its row; the caller holds it. Returns it with its new version."""
    return enter_state(session, process, now)[0]


def enter_state(session: Session, process: Process, now: str) -> tuple[Process, bool]:
    """Like `save_process`; and whether there is anybody who wants to be told of events."""
    saved = replace(process, version=process.version + 1, updated=now)
    columns = _columns(saved)
    for name in _FIXED_COLUMNS:
        del columns[name]
    heard = session.connection().execute(_SAVE_PROCESS, {**columns, "of_pid": process.pid}).scalar()
    return saved, bool(heard)


def remember_message(
    session: Session, counterparty: str, key: str, pid: str, now: str, reasons: Sequence[str] = ()
) -> bool:
    """Note that this message was taken, with the `reasons` it gave; False if it had been before."""
    reason = encode(list(reasons)).decode() if reasons else None
    row = {"counterparty": counterparty, "message_key": key, "pid": pid, "received": now, "reason": reason}
    return insert_if_new(session, _INBOX, row)


def process_of_message(session: Session, counterparty: str, key: str) -> str | None:
    """The process id that a message taken before was for."""
    sought = {"counterparty": counterparty, "message_key": key}
    return session.connection().execute(_PID_OF_MESSAGE, sought).scalar_one_or_none()


def add_item(
    session: Session,
    *,
    destination: str,
    process_pid: str | None,
    audience: str | None,
    message_id: str,
    url: str,
    body: Json,
    reference: str | None,
    not_before: str,
    leased: tuple[str, str] | None = None,
) -> OutboxItem:
    """Put an item into the outbox. `leased`, (holder, until): already that holder's, with its first attempt begun."""
    holder, due = leased or (None, not_before)
    item = OutboxItem(
        id=0,
        destination=destination,
        process_pid=process_pid,
        audience=audience,
        message_id=message_id,
        url=url,
        body=body,
        reference=reference,
        state=OutboxState.PENDING,
        attempts=1 if leased else 0,
        not_before=not_before,
    )
    columns = {name: getattr(item, name) for name in _ITEM_FIELDS if name != "id"}
    row = {**columns, "body": encode(body).decode(), "due": due, "holder": holder}
    return replace(item, id=session.connection().execute(_ADD_ITEM, row).scalar_one())


def lock_pending(session: Session, pid: str) -> OutboxItem | None:
    """The item of process `pid` that is still on its way. The lock waits for a leasing in progress, so that its
    count of attempts is the true one."""
    return _item(session, _LOCK_PENDING, pid=pid)


def settle_pending(
    session: Session, pid: str, now: str, *, tried: OutboxState, untried: OutboxState
) -> OutboxItem | None:
    """Take the item of process `pid` that is still on its way off the road, into one state or the other.

    Like `lock_pending` it waits for a leasing in progress.
    """
    given = {"pid": pid, "settled": now, "tried": tried, "untried": untried}
    row = session.connection().execute(_SETTLE_PENDING, given).one_or_none()
    return None if row is None else _item_value(row)


def reopen_item(session: Session, item_id: int) -> None:
    """Put an item that was taken off the road back onto it, as it was."""
    session.connection().execute(_REOPEN_ITEM, {"of_id": item_id})


def lock_items(session: Session, ids: Iterable[int]) -> dict[int, OutboxItem]:
    """Items by id, held by this transaction."""
    rows = session.connection().execute(_LOCK_ITEMS, {"ids": sorted(set(ids))})
    return {item.id: item for item in map(_item_value, rows)}


def close_item(session: Session, item_id: int, state: OutboxState, now: str, error: str | None = None) -> None:
    """Take an item off the road."""
    closed = {"of_id": item_id, "state": state, "settled": now, "last_error": error}
    session.connection().execute(_CLOSE_ITEM, closed)


def postpone_item(session: Session, item_id: int, due: str, error: str) -> None:
    """Let an item come due again later."""
    session.connection().execute(_POSTPONE_ITEM, {"of_id": item_id, "due": due, "last_error": error})


def is_anything_due(session: Session, now: str, destinations: Sequence[str]) -> bool:
    """Whether `lease_items` would find something; looking takes no lock."""
    sought = {"now": now, "destinations": list(destinations)}
    return session.connection().execute(_IS_ANYTHING_DUE, sought).first() is not None


def release_leases(session: Session, now: str, is_alive: Callable[[str], bool]) -> int:
    """Let come due what dead holders had leased; returns how many items that are."""
    leased = select(_OUTBOX.c.holder).where(_OUTBOX.c.state == OutboxState.PENDING, _OUTBOX.c.holder.is_not(None))
    holders = set(session.connection().execute(leased.distinct()).scalars())
    dead = [holder for holder in holders if not is_alive(holder)]
    freed = (
        update(_OUTBOX)
        .where(_OUTBOX.c.state == OutboxState.PENDING, _OUTBOX.c.holder.in_(dead))
        .values(due=now, holder=None)
    )
    return int(session.connection().execute(freed).rowcount)


def lease_items(
    session: Session, now: str, until: str, limit: int, holder: str, destinations: Sequence[str]
) -> list[OutboxItem]:
    """Items that are due, oldest first, for `holder` alone until then. An attempt is counted for each."""
    sought = {"now": now, "limit": limit, "destinations": list(destinations)}
    items = [_item_value(row) for row in session.connection().execute(_DUE_ITEMS, sought)]
    if items:
        leased = {"ids": [item.id for item in items], "until": until, "of_holder": holder}
        session.connection().execute(_LEASE_ITEMS, leased)
    return [replace(item, attempts=item.attempts + 1) for item in items]


def count_items(session: Session, destination: str, state: OutboxState) -> int:
    """How many items are in a state; pending ones are the backlog."""
    query = select(func.count()).select_from(_OUTBOX)
    found = session.connection().execute(query.where(_OUTBOX.c.destination == destination, _OUTBOX.c.state == state))
    return int(found.scalar_one())


def _process(session: Session, query: Select[Any], **sought: str) -> Process | None:
    row = session.connection().execute(query, sought).one_or_none()
    return None if row is None else process_of_row(row)


def _item(session: Session, query: Select[Any], **sought: str | int) -> OutboxItem | None:
    row = session.connection().execute(query, sought).one_or_none()
    return None if row is None else _item_value(row)


def _columns(process: Process) -> dict[str, Any]:
    columns = {name: getattr(process, name) for name in _PROCESS_FIELDS}
    for name in _JSON_COLUMNS:
        columns[name] = None if columns[name] is None else encode(columns[name]).decode()
    return columns


def process_of_row(row: Row[Any]) -> Process:
    """The value of a row of `PROCESSES`."""
    columns = dict(zip(_PROCESS_FIELDS, row, strict=True))
    for name in _JSON_COLUMNS:
        columns[name] = None if columns[name] is None else parse(columns[name])
    suspended_by = columns["suspended_by"]
    columns["suspended_by"] = None if suspended_by is None else Role(suspended_by)
    return Process(**columns | {"kind": Kind(columns["kind"]), "role": Role(columns["role"])})


def _item_value(row: Row[Any]) -> OutboxItem:
    columns = dict(zip(_ITEM_FIELDS, row, strict=True))
    return OutboxItem(**columns | {"body": parse(columns["body"]), "state": OutboxState(columns["state"])})
