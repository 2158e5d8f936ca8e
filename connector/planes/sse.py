"""Server-sent events on the wire. Pure. Source: WHATWG HTML, section 9.2 (server-sent events).

`data` is one line of JSON, so nothing in it can end an event or begin another; names are checked where they come in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connector.deliveries.errors import LastEventIdInvalid, StreamUnreadable
from connector.streams import Event
from hexi.canonical import Json, encode, parse
from hexi.errors import Malformed

MEDIA_TYPE = "text/event-stream"
# A comment: it keeps the connection known to be alive and is no event.
HEARTBEAT = b": \n\n"
# How long a reader waits before it connects again, in milliseconds.
RETRY = b"retry: 2000\n\n"
# More digits are no position.
MAX_DIGITS = 18
# A longer event, in bytes, is not read: ours have 64 KiB, and whoever sends without an end must not fill memory.
MAX_EVENT_BYTES = 1024 * 1024
END = "end"


@dataclass(frozen=True)
class Received:
    """An event as its reader has it. `id` None: it does not move the reader on. `data`: JSON, or text that is none."""

    id: str | None
    kind: str
    data: Json

    def line(self) -> bytes:
        """As a line of NDJSON."""
        return encode({"id": self.id, "event": self.kind, "data": self.data}) + b"\n"


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


def received(chunks: Iterable[bytes]) -> Iterator[Received]:
    """The events in what arrives, however it is cut; one that is not ended is none. Raises `StreamUnreadable`."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if "data" in fields:
                yield Received(fields.get("id"), fields.get("event", "message"), _json_or_text(fields["data"]))
            fields = {}
        elif name == "data" and "data" in fields:
            fields["data"] += f"\n{value}"
            if len(fields["data"]) > MAX_EVENT_BYTES:
                raise StreamUnreadable(f"an event has more than {MAX_EVENT_BYTES} bytes")
        elif name:  # a line that begins with a colon is a comment
            fields[name] = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        *lines, held = held.split(b"\n")
        if len(held) > MAX_EVENT_BYTES:
            raise StreamUnreadable(f"an event has more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")


def _json_or_text(data: str) -> Json:
    try:
        return parse(data)
    except Malformed:
        return data


def read_position(last_event_id: str | None) -> int | None:
    """The position in a Last-Event-ID header, None if there is none. Raises `LastEventIdInvalid`."""
    if not last_event_id:
        return None
    if len(last_event_id) > MAX_DIGITS or not (last_event_id.isascii() and last_event_id.isdigit()):
        raise LastEventIdInvalid("Last-Event-ID is the id of an event of this stream, a whole number")
    return int(last_event_id)
