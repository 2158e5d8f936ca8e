"""Ready: messages that this process has leased and that wait, in memory, for a thread to send them.

A message due at once is written into the outbox as leased by this very process, and handed over here once its
transaction has committed: nobody has to look for it. That is a short cut and no more. What is here is in the outbox
too; a process that dies loses only the short cut, and its leases are taken up as ever.

It also knows what has been handed over and not recorded yet, so that a reply which settles a message makes recording
the answer to it needless (`settle`, `is_settled`).
"""

import threading
import time
from collections import Counter, OrderedDict, deque
from datetime import datetime, timedelta

from connector.protocol.outbox_items import OutboxItem
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
    """The hand-over from whoever queues messages to whoever sends them. Closed until a worker opens it.

    Participants take turns, so that a burst to one does not hold up the others. To one that did not answer last time,
    only one message is under way at a time: it must not hold every sender for as long as one waits for an answer.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # By participant, in the order of their turns: (since when it waits, item).
        self._waiting: OrderedDict[str, deque[tuple[float, OutboxItem]]] = OrderedDict()
        self._count = 0
        self._under_way: Counter[str] = Counter()
        self._silent: set[str] = set()
        self._unrecorded: set[int] = set()
        self._settled: dict[int, str | None] = {}
        self._holder: str | None = None

    def open(self) -> None:
        """Somebody sends from now on what is handed over."""
        self._holder = owners.this_process()

    def close(self) -> None:
        """Nothing more is handed over; whoever would wait in `get` is told that there will be no more."""
        with self._changed:
            self._holder = None
            self._changed.notify_all()

    def lease(self, now: datetime) -> tuple[str, str] | None:
        """(holder, until) for a message due now, or None: then it waits in the outbox to be found."""
        holder = self._holder
        if holder is None or self._count >= MAX_WAITING:
            return None
        return holder, instant(now + timedelta(seconds=LEASE_SECONDS))

    def has_room(self) -> bool:
        """Whether more may be leased and put here."""
        return self._holder is not None and self._count < MAX_WAITING // 2

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._count == 0

    def put(self, item: OutboxItem) -> None:
        """Hand over an item that is leased and committed."""
        with self._changed:
            self._unrecorded.add(item.id)
            self._waiting.setdefault(_whose(item), deque()).append((time.monotonic(), item))
            self._count += 1
            self._changed.notify()

    def get(self) -> OutboxItem | None:
        """The next item to send; waits for one. None when there will be no more. `sent` is owed for it."""
        with self._changed:
            while (item := self._next()) is None and self._holder is not None:
                self._changed.wait()
            return item

    def sent(self, item: OutboxItem, *, answered: bool) -> None:
        """An attempt with an item that `get` gave is over."""
        whose = _whose(item)
        with self._changed:
            self._under_way -= Counter({whose: 1})
            if whose in self._silent:  # the next one to it may go
                self._changed.notify_all()
            if answered:
                self._silent.discard(whose)
            else:
                self._silent.add(whose)

    def settle(self, item_id: int, peer_pid: str | None) -> None:
        """A committed reply has settled this item, sent by the other end's process `peer_pid`."""
        with self._changed:
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
        with self._changed:
            self._unrecorded.discard(item.id)
            self._settled.pop(item.id, None)

    def _next(self) -> OutboxItem | None:
        for whose in list(self._waiting):
            if whose in self._silent and self._under_way[whose]:
                continue
            if (item := self._first(whose)) is not None:
                self._under_way[whose] += 1
                return item
        return None

    def _first(self, whose: str) -> OutboxItem | None:
        """The first that has not waited for too long; it is the others' turn then."""
        items, found = self._waiting[whose], None
        while items and found is None:
            since, item = items.popleft()
            self._count -= 1
            if time.monotonic() - since < MAX_WAIT_SECONDS:
                found = item
            else:
                self.forget(item)
        if items:
            self._waiting.move_to_end(whose)
        else:
            del self._waiting[whose]
        return found


def _whose(item: OutboxItem) -> str:
    return item.audience or ""
