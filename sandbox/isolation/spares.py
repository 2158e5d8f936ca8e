"""Workers started before their job is known: isolated, measured, waiting, and good for one job like any other.

Starting a worker is most of what isolation costs. What its isolation is made of does not depend on the query, only on
the files it may read; so after a job another worker is started for the same files, by a thread that does nothing else
(a worker dies with the thread that started it). Whoever finds none ready, or a dead one, starts one itself.

    >>> spares = Spares()
    >>> spares.take(Surroundings(())) is None
    True
    >>> spares.close()
"""

import contextlib
import queue
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

from hexi.errors import DataspaceError

# Workers kept at a time: each takes some 100 MB, and a provider has few products that are asked at one time.
MOST = 4
# How long a worker waits for a job, in seconds.
PATIENCE = 60.0


@dataclass(frozen=True)
class Surroundings:
    """What a worker's isolation is made of: two jobs with equal ones may have the same worker."""

    parts: tuple[Any, ...]


@dataclass
class Ready:
    """A worker that waits. `held` ends it; `worker` is what the start gave."""

    worker: Any
    held: ExitStack
    since: float


Start = Callable[[], AbstractContextManager[Any]]


@dataclass
class _Pool:
    """What the thread shares with its owner, who may be gone before it."""

    ready: "OrderedDict[Surroundings, Ready]" = field(default_factory=OrderedDict)
    wanted: "queue.SimpleQueue[tuple[Surroundings, Start] | None]" = field(default_factory=queue.SimpleQueue)
    # Taken again by the thread that has it: the owner may be collected, and closed, at any point of any thread.
    lock: "threading.RLock" = field(default_factory=threading.RLock)
    closed: bool = False

    def close(self) -> None:
        """End every worker, and take no more."""
        with self.lock:
            self.closed, left = True, list(self.ready.values())
            self.ready.clear()
        for one in left:
            one.held.close()
        self.wanted.put(None)


class Spares:
    """Workers that wait, by their surroundings. Closed when nobody has it any more, or by `close`."""

    def __init__(self) -> None:
        self._pool = _Pool()
        self._thread: threading.Thread | None = None
        self._close = weakref.finalize(self, self._pool.close)

    def take(self, surroundings: Surroundings) -> Ready | None:
        """A worker that waits, which is the caller's from now on; it may have died meanwhile."""
        with self._pool.lock:
            return self._pool.ready.pop(surroundings, None)

    def refill(self, surroundings: Surroundings, start: Start) -> None:
        """Have a worker started for the next job with these surroundings; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=_starting, args=(self._pool,), name="sandbox-spares", daemon=True)
            self._thread.start()
        self._pool.wanted.put((surroundings, start))

    def close(self) -> None:
        """End what waits."""
        self._close()
        if self._thread is not None:
            self._thread.join()


def _starting(pool: _Pool) -> None:
    """The thread: starts workers, and ends those that waited too long."""
    while not pool.closed:
        with contextlib.suppress(queue.Empty):
            if (wanted := pool.wanted.get(timeout=PATIENCE)) is None:
                return
            _start(pool, *wanted)
        _end_old(pool, time.monotonic() - PATIENCE)


def _start(pool: _Pool, surroundings: Surroundings, start: Start) -> None:
    with pool.lock:
        if pool.closed or surroundings in pool.ready:
            return
    held = ExitStack()
    try:
        worker = held.enter_context(start())
    except (DataspaceError, OSError):
        return  # whoever asks next is told why
    with pool.lock:
        late = [held] if pool.closed else []
        if not pool.closed:
            pool.ready[surroundings] = Ready(worker, held, time.monotonic())
            late = [pool.ready.popitem(last=False)[1].held for _ in range(len(pool.ready) - MOST)]
    for one in late:
        one.close()
    if pool.closed:
        pool.close()


def _end_old(pool: _Pool, before: float) -> None:
    with pool.lock:
        old = [surroundings for surroundings, one in pool.ready.items() if one.since < before]
        ended = [pool.ready.pop(surroundings).held for surroundings in old]
    for one in ended:
        one.close()
