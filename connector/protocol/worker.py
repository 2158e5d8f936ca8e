"""The worker: the threads that carry messages out of the outbox until told to stop.

    with Worker(engine):
        ...

*Senders* take what is ready (`connector.protocol.ready`) and post it. The *recorder* writes down what came of it,
several outcomes in one transaction. The *finder* looks every `idle_seconds` for what came due again, was delayed, or
was left by another process. The *reporter* takes entries to the ledger, many at a time. The outbox's leases keep them,
and other processes, from doing the same work.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from connector.protocol.dispatch import Outcome
from connector.protocol.engine import Engine
from connector.protocol.outbox import Answer
from connector.protocol.outbox_items import PEER, OutboxItem

log = structlog.get_logger("connector.protocol.worker")

# How often the finder and the reporter look, in seconds. The first back-off is as long.
IDLE_SECONDS = 0.25
# Messages on their way at once. A sender waits for the other end, so there are more of them than processors.
SENDERS = 8
# How long stopping waits for attempts under way, in seconds; what is not recorded by then is sent again after the
# restart.
STOP_SECONDS = 20.0
# How long the recorder waits for the reply that makes recording needless, in seconds; and how often it looks, so that
# our own end may show the state before for twice as long. A busy peer of ours replies within a quarter of a second.
REPLY_SECONDS = 0.5
# Outcomes recorded in one transaction, and messages leased by one look, at most.
GROUP = 64

# What the other end usually replies to at once; the reply settles it.
_REPLIED_TO = frozenset(
    {
        "ContractRequestMessage",
        "ContractAgreementMessage",
        "ContractAgreementVerificationMessage",
        "TransferRequestMessage",
    }
)


class Worker:
    """Threads over `engine`. They begin with `start` and end with `stop`."""

    def __init__(self, engine: Engine, *, senders: int = SENDERS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._engine = engine
        self._idle_seconds = idle_seconds
        self._stopping = threading.Event()
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        # Outcomes that a reply may settle, and until when it is waited for; oldest first.
        self._expecting: deque[tuple[float, Outcome]] = deque()
        self._senders = [self._thread(f"send-{number}", self._send) for number in range(senders)]
        self._recorder = self._thread("record", self._record)
        self._lookers = [self._thread("find", self._find), self._thread("report", self._report)]

    def start(self) -> None:
        """Begin."""
        self._engine.ready.open()
        for thread in (*self._senders, self._recorder, *self._lookers):
            thread.start()

    def stop(self) -> None:
        """Finish what is under way and end. Nothing is lost by it."""
        deadline = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        self._engine.work.set()
        self._engine.ready.close()
        for thread in (*self._lookers, *self._senders):
            _join(thread, deadline)
        self._outcomes.put(None)
        _join(self._recorder, deadline)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _thread(self, name: str, run: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=run, name=f"connector-worker-{name}", daemon=True)

    def _send(self) -> None:
        ready = self._engine.ready
        while (item := ready.get()) is not None:
            answered = False
            try:
                answer = self._engine.dispatcher.attempt(item)
                answered = answer.status is not None
                if _expects_reply(item, answer):
                    self._expecting.append((time.monotonic() + REPLY_SECONDS, (item, answer)))
                else:
                    self._outcomes.put((item, answer))
            except Exception as error:
                log.error("message not sent", message=item.message_id, exc_info=error)
                ready.forget(item)  # its lease runs out, and it is tried again
            finally:
                ready.sent(item, answered=answered)

    def _record(self) -> None:
        ended = False
        while not ended:
            ripe, ended = self._collect()
            while self._expecting and (ended or self._expecting[0][0] <= time.monotonic()):
                ripe.append(self._expecting.popleft()[1])
            self._record_all(ripe)

    def _collect(self) -> tuple[list[Outcome], bool]:
        """The outcomes there are that expect no reply, waiting a little for one; True when there will be no more."""
        found: list[Outcome] = []
        timeout = REPLY_SECONDS
        try:
            while (outcome := self._outcomes.get(timeout=timeout)) is not None:
                found.append(outcome)
                timeout = 0.0
        except queue.Empty:
            return found, False
        return found, True

    def _record_all(self, outcomes: list[Outcome]) -> None:
        while outcomes:
            group: dict[str, Outcome] = {}
            later: list[Outcome] = []
            for outcome in outcomes:
                item, _ = outcome
                process = item.process_pid or str(item.id)
                if self._is_settled(outcome):
                    self._engine.ready.forget(item)
                elif process in group or len(group) == GROUP:
                    later.append(outcome)
                else:
                    group[process] = outcome
            if group:
                self._record_group(list(group.values()))
            outcomes = later

    def _is_settled(self, outcome: Outcome) -> bool:
        """Whether a reply has settled it, and the answer says nothing that the reply did not."""
        item, answer = outcome
        if not self._engine.ready.is_settled(item):
            return False
        if "callbackAddress" not in item.body or answer.status is None or answer.status >= 300:
            return True
        # The answer to an opening message names the other end's process, which must be the one that replied.
        theirs = "providerPid" if "consumerPid" in item.body else "consumerPid"
        named = answer.body.get(theirs) if isinstance(answer.body, dict) else None
        return not isinstance(named, str) or named == self._engine.ready.settled_by(item)

    def _record_group(self, outcomes: list[Outcome]) -> None:
        try:
            self._engine.dispatcher.record(outcomes)
        except Exception as error:
            log.error("outcome not recorded", exc_info=error)
        for item, _ in outcomes:
            self._engine.ready.forget(item)

    def _find(self) -> None:
        while not self._stopping.is_set():
            # Cleared before looking: what is queued from here on sets it again and is not missed.
            self._engine.work.clear()
            found = self._look(self._find_due)
            if not found and not self._stopping.is_set():
                self._engine.work.wait(self._idle_seconds)

    def _find_due(self) -> int:
        if not self._engine.ready.has_room():
            return 0
        items = self._engine.dispatcher.lease(GROUP, (PEER,))
        for item in items:
            self._engine.ready.put(item)
        return len(items)

    def _report(self) -> None:
        while not self._stopping.is_set():
            self._look(self._engine.dispatcher.deliver_entries)
            self._stopping.wait(self._idle_seconds)

    def _look(self, look: Callable[[], int]) -> int:
        try:
            return look()
        except Exception as error:
            log.error("outbox pass failed", exc_info=error)
            self._stopping.wait(self._idle_seconds)
            return 0


def _expects_reply(item: OutboxItem, answer: Answer) -> bool:
    taken = answer.status is not None and answer.status < 300
    return taken and item.body.get("@type") in _REPLIED_TO


def _join(thread: threading.Thread, deadline: float) -> None:
    if thread.is_alive():
        thread.join(max(0.0, deadline - time.monotonic()))
