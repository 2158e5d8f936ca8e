"""The worker: threads that run the engine's outbox until told to stop.

    with Worker(engine):
        ...

A thread wakes when something was queued in this process, and looks by itself every `idle_seconds` for what came due
again or was queued by another process. More threads mean more messages on their way at once; the outbox's leases keep
them, and those of other processes, from doing the same work.
"""

import threading
from types import TracebackType
from typing import Self

import structlog

from connector.engine import Engine

log = structlog.get_logger("connector.worker")

# How often a thread looks by itself, in seconds. The first back-off is as long.
IDLE_SECONDS = 0.25
# Two threads: one slow peer does not hold up the others, and SQLite gains nothing from more.
THREADS = 2
# How long stopping waits for attempts under way, in seconds; what is not recorded by then is sent again after the
# restart.
STOP_SECONDS = 20.0


class Worker:
    """Threads over `engine`. They begin with `start` and end with `stop`."""

    def __init__(self, engine: Engine, *, threads: int = THREADS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._engine = engine
        self._idle_seconds = idle_seconds
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"connector-worker-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is under way and end. Nothing is lost by it."""
        self._stopping.set()
        self._engine.work.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Cleared before looking: what is queued from here on sets it again and is not missed.
            self._engine.work.clear()
            if not self._pass() and not self._stopping.is_set():
                self._engine.work.wait(self._idle_seconds)

    def _pass(self) -> int:
        try:
            return self._engine.deliver_due()
        except Exception as error:
            log.error("outbox pass failed", exc_info=error)
            self._stopping.wait(self._idle_seconds)
            return 0
