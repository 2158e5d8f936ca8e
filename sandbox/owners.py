"""Which process executes a run, and whether it still lives: what tells an orphan from a run under way."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sandbox.errors import RunInProgress

# Of a run that waits in a queue: its lease tells who executes it (`sandbox.jobs`). No host is called that, so it is
# nobody's orphan.
QUEUE = "(queue)"


def this_process() -> str:
    """Names a process for good: process numbers come again, with another starting time."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether the process still runs. One on another host is believed to: only its own host can know."""
    host, _, process = owner.partition("/")
    pid, _, started = process.partition("/")
    return host != socket.gethostname() or (pid.isdigit() and _started(int(pid)) == started != "")


class UnderWay:
    """The runs that threads of this process execute, one thread each."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._lock = Lock()

    @contextmanager
    def alone(self, run: str) -> Iterator[None]:
        """No other thread executes the run while the block lasts. Raises `RunInProgress`."""
        with self._lock:
            if run in self._runs:
                raise RunInProgress("the run is being executed; ask again in a moment")
            self._runs.add(run)
        try:
            yield
        finally:
            with self._lock:
                self._runs.discard(run)

    def is_orphan(self, run: str, owner: str, *, mine: bool = False) -> bool:
        """Whether nobody executes the run any more. With `mine` the caller holds it itself (`alone`)."""
        if owner == this_process():
            return mine or run not in self._runs
        return not is_alive(owner)


def _started(pid: int) -> str:
    try:
        # Field 22 of stat, counted behind the program's name, which may contain anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
