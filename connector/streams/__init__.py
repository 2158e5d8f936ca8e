"""Streams: events in an order that never changes, each with a position, kept for a while.

Two kinds: events appended through the management API, kept in the database, and the lines of a file that something else
writes (NDJSON). A reader asks for what comes after a position, so it can go on where it was; what was forgotten in
between is said to be missing, never passed over in silence.
"""

from dataclasses import dataclass
from typing import Protocol

# How much is read at once: events, and bytes of their data (one more event may go beyond).
BATCH_EVENTS = 100
BATCH_BYTES = 256 * 1024
# An event is a message, not a file: its JSON has at most so many bytes.
MAX_EVENT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Event:
    """One event. `position` grows along the stream; `data` is JSON on one line; `kind` a name, or empty."""

    position: int
    data: str
    kind: str = ""

    @property
    def size(self) -> int:
        """Bytes of data."""
        return len(self.data.encode())


@dataclass(frozen=True)
class Extent:
    """What a stream holds now: the position before its oldest event, and that of its newest. Equal: nothing."""

    before_oldest: int = 0
    newest: int = 0


class EventSource(Protocol):
    """A stream that can be read. Raises `connector.sources.SourceUnavailable`."""

    def extent(self) -> Extent:
        """What there is now; cheap enough to be asked several times a second."""

    def after(self, position: int) -> list[Event]:
        """The next events after `position`, oldest first, at most a batch."""
