"""Ready: messages that this process has leased and that wait, in memory, for a thread to send them.

A message due at once is written into the outbox as leased by this very process, and handed over here once its
transaction has committed: nobody has to look for it. That is a short cut and no more. What is here is in the outbox
too; a process that dies loses only the short cut, and its leases are taken up as ever.

It also knows what has been handed over and not recorded yet, so that a reply which settles a message makes recording
the answer to it needless (`settle`, `is_settled`).
"""

import queue
import threading
import time
from datetime import datetime, timedelta

from connector.outbox_items import OutboxItem
from hexi.canonical import instant
from sandbox import owners

# How long a leased message is its holder's alone, in seconds. It outlasts the wait in memory and one attempt.
LEASE_SECONDS = 90.0
# A message that has waited here longer than this, in seconds, is let go: its lease might run out while it is sent, and
# another process would send it too.
MAX_WAIT_SECONDS = 60.0
# More than these do not wait in memory but in the outbox alone: a peer that does not answer must not fill the memory.
MAX_WAITING = 1_000


class Ready:
    """The hand-over from whoever queues messages to whoever sends them. Closed until a worker opens it."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[float, OutboxItem] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unrecorded: set[int] = set()
        self._settled: dict[int, str | None] = {}
        self._holder: str | None = None

    def open(self) -> None:
        """Somebody sends from now on what is handed over."""
        self._holder = owners.this_process()

    def close(self, threads: int) -> None:
        """Nothing more is handed over; each of `threads` that `get` is told so behind what still waits."""
        self._holder = None
        for _ in range(threads):
            self._waiting.put(None)

    def lease(self, now: datetime) -> tuple[str, str] | None:
        """(holder, until) for a message due now, or None: then it waits in the outbox to be found."""
        if self._holder is None or self._waiting.qsize() >= MAX_WAITING:
            return None
        return self._holder, instant(now + timedelta(seconds=LEASE_SECONDS))

    def has_room(self) -> bool:
        """Whether more may be leased and put here."""
        return self._holder is not None and self._waiting.qsize() < MAX_WAITING // 2

    def put(self, item: OutboxItem) -> None:
        """Hand over an item that is leased and committed."""
        with self._lock:
            self._unrecorded.add(item.id)
        self._waiting.put((time.monotonic(), item))

    def get(self) -> OutboxItem | None:
        """The next item to send; waits for one. None when there will be no more."""
        while (waiting := self._waiting.get()) is not None:
            since, item = waiting
            if time.monotonic() - since < MAX_WAIT_SECONDS:
                return item
            self.forget(item)
        return None

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._waiting.empty()

    def settle(self, item_id: int, peer_pid: str | None) -> None:
        """A committed reply has settled this item, sent by the other end's process `peer_pid`."""
        with self._lock:
            if item_id in self._unrecorded:
                self._settled[item_id] = peer_pid

    def is_settled(self, item: OutboxItem) -> bool:
        """Whether a reply has settled it since it was handed over."""
        return item.id in self._settled

    def settled_by(self, item: OutboxItem) -> str | None:
        """The other end's process id that the settling reply named."""
        return self._settled.get(item.id)

    def forget(self, item: OutboxItem) -> None:
        """What came of it is recorded, or it was let go."""
        with self._lock:
            self._unrecorded.discard(item.id)
            self._settled.pop(item.id, None)
