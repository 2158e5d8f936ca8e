"""Server-sent events on the wire. Pure. Source: WHATWG HTML, section 9.2 (server-sent events).

`data` is one line of JSON, so nothing in it can end an event or begin another; names are checked where they come in.
"""

from connector.deliveries.errors import LastEventIdInvalid
from connector.streams import Event
from hexi.canonical import Json, encode

MEDIA_TYPE = "text/event-stream"
# A comment: it keeps the connection known to be alive and is no event.
HEARTBEAT = b": \n\n"
# How long a reader waits before it connects again, in milliseconds.
RETRY = b"retry: 2000\n\n"
# More digits are no position.
MAX_DIGITS = 18


def written(event: Event) -> bytes:
    """One event of the stream."""
    kind = f"event: {event.kind}\n" if event.kind else ""
    return f"id: {event.position}\n{kind}data: {event.data}\n\n".encode()


def gap(after: int, before_oldest: int) -> bytes:
    """What is said where events were forgotten before this reader had them. It moves the reader's last event id on."""
    data = encode({"after": after, "forgottenUpTo": before_oldest}).decode()
    return f"id: {before_oldest}\nevent: gap\ndata: {data}\n\n".encode()


def end(problem: Json) -> bytes:
    """The last word: why nothing more comes. It carries no id, so whoever reconnects goes on where it was."""
    return f"event: end\ndata: {encode(problem).decode()}\n\n".encode()


def read_position(last_event_id: str | None) -> int | None:
    """The position in a Last-Event-ID header, None if there is none. Raises `LastEventIdInvalid`."""
    if not last_event_id:
        return None
    if len(last_event_id) > MAX_DIGITS or not (last_event_id.isascii() and last_event_id.isdigit()):
        raise LastEventIdInvalid("Last-Event-ID is the id of an event of this stream, a whole number")
    return int(last_event_id)
