"""Which process executes a run, and whether it still lives: what tells an orphan from a run under way."""

import os
import socket
from pathlib import Path

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


def _started(pid: int) -> str:
    try:
        # Field 22 of stat, counted behind the program's name, which may contain anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
