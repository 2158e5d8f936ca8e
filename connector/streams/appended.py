"""Events appended by the provider's own programs, kept in the database for a while.

    streams.append("visits", [NewEvent(data={"person": "p1"}, kind="admitted", key="visit-7")], Retention())

Appending is one transaction. An event with a key that the stream has had is not appended again and answered with its
position, so a program that is unsure may repeat itself.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from sqlmodel import Session

from connector.streams import MAX_EVENT_BYTES, Event, Extent, store
from hexi.canonical import Clock, Wire, encode, instant
from hexi.database import Database
from hexi.errors import TooLarge

# How long, and how many, events are kept unless the resource says otherwise.
DEFAULT_HOURS, MAX_HOURS = 7 * 24, 366 * 24
DEFAULT_EVENTS, MAX_EVENTS = 100_000, 10_000_000
# How many events one call may append.
MAX_APPENDED = 1_000


# What only the connector itself says on a stream (`connector.planes.sse`).
_OURS = frozenset({"end", "gap"})


def _not_ours(kind: str) -> str:
    if kind in _OURS:
        raise ValueError(f"{', '.join(sorted(_OURS))} are the connector's own")
    return kind


class Retention(Wire):
    """How long events are kept: by age and by number, whichever is reached first."""

    hours: int = Field(default=DEFAULT_HOURS, ge=1, le=MAX_HOURS)
    events: int = Field(default=DEFAULT_EVENTS, ge=1, le=MAX_EVENTS)


class NewEvent(Wire):
    """An event to be appended. `kind` is what readers know it by; `end` and `gap` are the connector's own words."""

    data: Any
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$"), AfterValidator(_not_ours)] | None = None
    key: Annotated[str, Field(min_length=1, max_length=128)] | None = None


@dataclass(frozen=True)
class Appended:
    """What came of appending: where each event stands, and how many of them are new."""

    positions: list[int]
    new: int


@dataclass(frozen=True)
class Streams:
    """The appended streams of this connector."""

    database: Database
    clock: Clock

    def append(self, session: Session, name: str, events: list[NewEvent], retention: Retention) -> Appended:
        """Append `events` in their order, in the caller's transaction. Raises `TooLarge`."""
        now = self.clock()
        newest = store.lock_stream(session, name).newest
        known = store.positions_of(session, name, [event.key for event in events if event.key])
        positions, added = [], []
        for event in events:
            if event.key is None or event.key not in known:
                newest += 1
                added.append((Event(newest, _one_line(event.data), event.kind or ""), event.key))
                known |= {event.key: newest} if event.key else {}
            positions.append(known[event.key] if event.key else newest)
        if added:
            store.add_events(session, name, added, instant(now))
        before = instant(now - timedelta(hours=retention.hours))
        store.forget(session, name, keep=retention.events, appended_before=before)
        return Appended(positions, len(added))

    def source(self, name: str) -> "AppendedStream":
        """The stream `name`, to be read."""
        return AppendedStream(self.database, name)


@dataclass(frozen=True)
class AppendedStream:
    """Implements `connector.streams.EventSource`."""

    database: Database
    name: str

    def extent(self) -> Extent:
        """What the database holds of it."""
        with self.database.reading() as session:
            return store.extents(session, [self.name]).get(self.name, Extent())

    def after(self, position: int) -> list[Event]:
        """The next events."""
        with self.database.reading() as session:
            return store.events_after(session, self.name, position)


def _one_line(data: Any) -> str:
    text = encode(data)
    if len(text) > MAX_EVENT_BYTES:
        raise TooLarge(f"an event has at most {MAX_EVENT_BYTES} bytes; deliver larger things as files")
    return text.decode()
