"""Reading and writing streams. Values in, values out; the transaction is the caller's."""

from collections.abc import Iterable, Mapping

from sqlmodel import Session, col, delete, func, select, update

from connector.streams import BATCH_BYTES, BATCH_EVENTS, Event, Extent
from connector.streams.tables import EventRow, StreamRow


def lock_stream(session: Session, name: str) -> Extent:
    """What the stream holds, for this transaction alone to append to; a new one begins empty.

    Positions are given out under this lock, so they become visible in their order and no reader passes one over.
    """
    wanted = select(StreamRow).where(StreamRow.name == name).execution_options(populate_existing=True)
    row = session.exec(wanted.with_for_update()).first()
    if row is None:
        session.add(row := StreamRow(name=name, newest=0, before_oldest=0))
        session.flush()
    return Extent(row.before_oldest, row.newest)


def positions_of(session: Session, name: str, keys: Iterable[str]) -> dict[str, int]:
    """The positions of the events appended under `keys`, as far as there are any."""
    wanted = select(EventRow.key, EventRow.position).where(EventRow.stream == name, col(EventRow.key).in_(list(keys)))
    return {str(key): position for key, position in session.exec(wanted)}


def add_events(session: Session, name: str, events: list[tuple[Event, str | None]], at: str) -> None:
    """Keep events with their keys; their positions follow the newest. The caller holds the stream."""
    for event, key in events:
        session.add(
            EventRow(stream=name, position=event.position, key=key, kind=event.kind, data=event.data, appended=at)
        )
    session.flush()
    _set(session, name, newest=events[-1][0].position)


def forget(session: Session, name: str, *, keep: int, appended_before: str) -> None:
    """Forget all but the newest `keep` events, and those appended before. The caller holds the stream."""
    extent = lock_stream(session, name)
    wanted = select(func.max(EventRow.position)).where(EventRow.stream == name, EventRow.appended < appended_before)
    expired = session.exec(wanted).one() or 0
    until = max(extent.newest - keep, expired, extent.before_oldest)
    if until > extent.before_oldest:
        session.exec(delete(EventRow).where(col(EventRow.stream) == name, col(EventRow.position) <= until))
        _set(session, name, before_oldest=until)


def extents(session: Session, names: Iterable[str]) -> Mapping[str, Extent]:
    """What streams hold; those nothing was ever appended to are left out."""
    wanted = select(StreamRow.name, StreamRow.before_oldest, StreamRow.newest).where(
        col(StreamRow.name).in_(list(names))
    )
    return {name: Extent(before_oldest, newest) for name, before_oldest, newest in session.exec(wanted)}


def events_after(session: Session, name: str, position: int) -> list[Event]:
    """The next events, at most a batch."""
    wanted = select(EventRow.position, EventRow.data, EventRow.kind).where(
        EventRow.stream == name, EventRow.position > position
    )
    found: list[Event] = []
    budget = BATCH_BYTES
    for row in session.exec(wanted.order_by(col(EventRow.position)).limit(BATCH_EVENTS)):
        found.append(event := Event(*row))
        budget -= event.size
        if budget <= 0:
            break
    return found


def _set(session: Session, name: str, **values: int) -> None:
    session.exec(
        update(StreamRow)
        .where(col(StreamRow.name) == name)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
