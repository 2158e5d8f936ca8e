"""A file of events, one line of JSON each, which is its own record of how far its stream was followed.

Events are appended in the order they arrive. Whoever opens the file again cuts off what was not written to its end and
goes on behind the last line: the stream's provider gives those events again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from connector.deliveries.parts import DeliveryBusy, PlaceTaken
from connector.planes.sse import MAX_EVENT_BYTES, Received
from hexi.canonical import parse
from hexi.errors import DataspaceError

# The most that is read of the end of a file, in bytes: its last line, and one that was not written to its end.
TAIL_BYTES = 4 * MAX_EVENT_BYTES
# How each of our lines begins: the members in the order of canonical JSON.
_BEGINNING = b'{"data":'


@dataclass
class EventFile:
    """An open file, positioned at its end. `last` is the id of the last event that moved its reader on."""

    last: str | None
    _file: FileIO

    def append(self, event: Received) -> None:
        """Write one event. Not forced to the disk: what a power cut takes away comes again."""
        line = memoryview(event.line())
        while line:
            line = line[self._file.write(line) :]
        self.last = event.id or self.last

    @property
    def size(self) -> int:
        """In bytes."""
        return self._file.tell()


@contextmanager
def open_events(path: Path) -> Iterator[EventFile]:
    """The file at `path` for this writer alone, made if it is not there. Raises `DeliveryBusy`, `PlaceTaken`."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise PlaceTaken(f"events cannot be written to {path} ({error.strerror})") from error
    with FileIO(descriptor, "r+") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeliveryBusy(f"events are being written to {path} by somebody else") from error
        yield EventFile(_taken_up(file, path), file)


def _taken_up(file: FileIO, path: Path) -> str | None:
    """The id to go on behind, once the file ends with a whole line."""
    begin = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
    file.seek(begin)
    tail = bytearray()
    while piece := file.read(TAIL_BYTES):
        tail += piece
    *lines, torn = tail.split(b"\n")
    if torn[: len(_BEGINNING)] != _BEGINNING[: len(torn)]:  # nothing that we began to write, so not ours to cut off
        raise _foreign(path)
    last = next((found for line in reversed(lines) if (found := _id_in(line, path)) is not None), None)
    file.truncate(begin + len(tail) - len(torn))
    file.seek(0, os.SEEK_END)
    return last


def _foreign(path: Path) -> PlaceTaken:
    return PlaceTaken(f"{path} holds something else than events of a stream; name another file")


def _id_in(line: bytearray, path: Path) -> str | None:
    try:
        event = parse(bytes(line))
    except DataspaceError:
        event = None
    if not isinstance(event, dict) or set(event) != {"id", "event", "data"}:
        raise _foreign(path)
    return event["id"] if isinstance(event["id"], str) else None
