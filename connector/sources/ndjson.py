"""A file of JSON lines as a stream: what is appended to it is an event, whose position is the byte after its line.

Only complete lines count, so a line that is being written waits. A file that became shorter was replaced: its lines are
new events, but their positions would repeat, so reading it stops and says so.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connector.sources import SourceUnavailable
from connector.streams import BATCH_BYTES, BATCH_EVENTS, MAX_EVENT_BYTES, Event, Extent
from hexi.canonical import encode, parse
from hexi.errors import DataspaceError


@dataclass(frozen=True)
class NdjsonStream:
    """Implements `connector.streams.EventSource`."""

    path: Path

    def extent(self) -> Extent:
        """From the file's beginning to its end; the last line may still be incomplete."""
        try:
            found = self.path.stat(follow_symlinks=False)
        except OSError as error:
            raise SourceUnavailable(f"the file of events cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(found.st_mode):
            raise SourceUnavailable("the file of events is no regular file")
        return Extent(0, found.st_size)

    def after(self, position: int) -> list[Event]:
        if self.extent().newest < position:
            raise SourceUnavailable("the file of events was replaced; begin again without a last event id")
        return list(self._complete_lines(position))

    def _complete_lines(self, position: int) -> Iterator[Event]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SourceUnavailable(f"the file of events cannot be read ({error.strerror})") from error
        with os.fdopen(descriptor, "rb") as file:
            # A position that is no end of a line would make an event of a part of one.
            file.seek(max(0, position - 1))
            if position and file.read(1) != b"\n":
                raise SourceUnavailable("this stream has no event at that place; begin again without a last event id")
            budget, found = BATCH_BYTES, 0
            while budget > 0 and found < BATCH_EVENTS:
                line = file.readline(MAX_EVENT_BYTES + 2)
                if not line.endswith(b"\n"):
                    if len(line) > MAX_EVENT_BYTES:
                        raise SourceUnavailable(f"the event at byte {position} has more than {MAX_EVENT_BYTES} bytes")
                    return
                position += len(line)
                if line.strip():
                    yield Event(position, _one_line(line, position))
                    budget, found = budget - len(line), found + 1


def _one_line(line: bytes, position: int) -> str:
    try:
        return encode(parse(line)).decode()
    except DataspaceError as error:
        # Not quoted: it is data.
        raise SourceUnavailable(f"the line before byte {position} is not JSON") from error
