"""Reading and writing subscriptions and their deliveries. Values in, values out; the transaction is the caller's."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select, update

from connector.management.errors import DeliveryUnknown, WebhookUnknown
from connector.management.paging import Cursor, Page
from connector.protocol.outbox_items import WEBHOOK, OutboxItem, OutboxState
from connector.protocol.tables import OutboxRow, SubscriptionRow
from hexi.canonical import Json, encode, parse


@dataclass(frozen=True)
class Subscription:
    """Somebody who is told of events. `ended`: why no more is sent; None while it is."""

    id: str
    url: str
    patterns: tuple[str, ...]
    created: str
    ended: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one subscription. `due`: when it is tried next, if it is."""

    event: dict[str, Json]
    state: OutboxState
    attempts: int
    queued: str
    due: str | None
    settled: str | None
    error: str | None


def add_subscription(session: Session, subscription: Subscription) -> None:
    """Keep a new subscription."""
    patterns = encode(list(subscription.patterns)).decode()
    row = SubscriptionRow(id=subscription.id, url=subscription.url, patterns=patterns, created=subscription.created)
    session.add(row)
    session.flush()


def subscriptions(session: Session) -> list[Subscription]:
    """All of them, the oldest first."""
    rows = session.exec(select(SubscriptionRow).order_by(col(SubscriptionRow.created), col(SubscriptionRow.id)))
    return [_subscription(row) for row in rows]


def subscription(session: Session, id_: str) -> Subscription:
    """One of them. Raises `WebhookUnknown`."""
    row = session.get(SubscriptionRow, id_)
    if row is None:
        raise WebhookUnknown(f"there is no webhook {id_}")
    return _subscription(row)


def end_subscription(session: Session, id_: str, why: str | None) -> None:
    """Send no more, or (None) send again."""
    session.connection().execute(update(SubscriptionRow).where(col(SubscriptionRow.id) == id_).values(ended=why))


def remove_subscription(session: Session, id_: str, now: str) -> None:
    """Forget a subscription; what was on its way to it is cancelled."""
    session.connection().execute(
        update(OutboxRow)
        .where(*_of(id_), col(OutboxRow.state) == OutboxState.PENDING)
        .values(state=OutboxState.CANCELLED, settled=now)
    )
    if (row := session.get(SubscriptionRow, id_)) is not None:
        session.delete(row)
        session.flush()


def deliveries(
    session: Session, id_: str, state: OutboxState | None, cursor: Cursor | None, limit: int
) -> Page[Delivery]:
    """What was queued for a subscription, newest first."""
    query = select(OutboxRow).where(*_of(id_))
    if state is not None:
        query = query.where(OutboxRow.state == state)
    if cursor is not None:
        query = query.where(col(OutboxRow.id) < int(cursor.id) if cursor.id.isdigit() else col(OutboxRow.id) < 0)
    rows = session.exec(query.order_by(col(OutboxRow.id).desc()).limit(limit + 1)).all()
    return Page.of(rows, limit, _delivery, lambda row: Cursor(row.not_before, str(row.id)))


def retry(session: Session, id_: str, event: str, now: str) -> Delivery:
    """Try a delivery anew that was given up, or at once one that waits. Raises `DeliveryUnknown`."""
    query = select(OutboxRow).where(*_of(id_), OutboxRow.message_id == event).with_for_update()
    row = session.exec(query).first()
    if row is None:
        raise DeliveryUnknown(f"no event {event} was queued for this webhook")
    if row.state != OutboxState.DELIVERED:
        row.state, row.not_before, row.due, row.settled = OutboxState.PENDING, now, now, None
        session.add(row)
        session.flush()
    return _delivery(row)


def leave_alone(session: Session, leased: OutboxItem, until: str) -> None:
    """Put an event that was leased back, untried, until its receiver is asked again."""
    why = "the receiver did not answer; it is asked again later"
    values = {"due": until, "holder": None, "attempts": leased.attempts - 1, "last_error": why}
    still = (col(OutboxRow.state) == OutboxState.PENDING, col(OutboxRow.attempts) == leased.attempts)
    session.connection().execute(update(OutboxRow).where(col(OutboxRow.id) == leased.id, *still).values(values))


def counts(session: Session) -> dict[tuple[str, OutboxState], int]:
    """How many deliveries of each subscription are in each state, delivered ones left out."""
    query = (
        select(OutboxRow.reference, OutboxRow.state, func.count())
        .where(OutboxRow.destination == WEBHOOK, col(OutboxRow.state).in_([OutboxState.PENDING, OutboxState.FAILED]))
        .group_by(col(OutboxRow.reference), col(OutboxRow.state))
    )
    return {(str(reference), OutboxState(state)): count for reference, state, count in session.exec(query)}


def _of(id_: str) -> tuple[ColumnElement[bool], ...]:
    return col(OutboxRow.destination) == WEBHOOK, col(OutboxRow.reference) == id_


def _subscription(row: SubscriptionRow) -> Subscription:
    return Subscription(row.id, row.url, tuple(parse(row.patterns)), row.created, row.ended)


def _delivery(row: OutboxRow) -> Delivery:
    waiting = row.state == OutboxState.PENDING
    return Delivery(
        parse(row.body),
        OutboxState(row.state),
        row.attempts,
        row.not_before,
        row.due if waiting else None,
        row.settled,
        row.last_error,
    )
