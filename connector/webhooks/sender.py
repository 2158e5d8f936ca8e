"""Delivering events: passes over the outbox of their own, so that a slow receiver never holds up the protocol.

Lease (transaction), send (none), record (transaction), as in `connector.protocol.dispatch`; a crash between any two is
made good by a later pass, which sends the same event with the same id again.
"""

import threading
from datetime import datetime, timedelta

import httpx
import structlog
from sqlmodel import Session

from connector.protocol import outbox
from connector.protocol import store as messages
from connector.protocol.callbacks import peer_transport
from connector.protocol.deadlines import Deadline
from connector.protocol.errors import CallbackRefused
from connector.protocol.outbox import Answer, Verdict
from connector.protocol.outbox_items import WEBHOOK, OutboxItem, OutboxState
from connector.webhooks import store
from connector.webhooks.events import CONTENT_TYPE
from connector.webhooks.signing import secret_of, sign
from connector.webhooks.subscriptions import Subscriptions
from hexi.canonical import encode, instant, parse_instant
from hexi.database import Database
from sandbox import owners

log = structlog.get_logger("connector.webhooks")

# How long a receiver may take to connect, and to answer, in seconds: it should take the event and work on it later.
# Together they are a deadline, however slowly it sends.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# Events one pass takes at once, and how long they are its own, in seconds. The lease outlasts the slowest batch.
LEASE_ITEMS = 4
LEASE_SECONDS = 90.0
# The wait before the second attempt, in seconds; it doubles each time, up to an hour.
BACKOFF_SECONDS, BACKOFF_CAP_SECONDS = 5.0, 3_600.0
# How long a receiver may be away before an event is given up: a long weekend.
PATIENCE = timedelta(days=3)
# How often the thread looks for what came due again, in seconds, and how long stopping waits for an attempt.
IDLE_SECONDS = 1.0
STOP_SECONDS = 20.0
# The receiver will have no more events, ever. (RFC 9110, 15.5.11; Standard Webhooks, "Disabling endpoints")
_GONE = 410


class WebhookSender:
    """Delivers what `subscriptions` queued in `database`. `transport` replaces the network."""

    def __init__(
        self, database: Database, subscriptions: Subscriptions, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self.work = subscriptions.work
        self._deadline = Deadline()
        guarded = transport or peer_transport(
            unsafe_allow_loopback=subscriptions.unsafe_allow_private, through=self._deadline.over
        )
        # No proxies or credentials from the environment, and no redirects: a checked address, or none.
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connector-webhooks", daemon=True)
        self._http = httpx.Client(transport=guarded, timeout=timeout, trust_env=False, follow_redirects=False)

    def start(self) -> None:
        """Begin to deliver, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way and end. Nothing is lost by it."""
        self._stopping.set()
        self.work.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.work.clear()  # before looking: what is queued from here on sets it again and is not missed
            try:
                idle = not self.deliver_due()
            except Exception as error:
                log.error("webhook pass failed", exc_info=error)
                idle = True
            if idle and not self._stopping.is_set():
                self.work.wait(IDLE_SECONDS)

    def deliver_due(self, limit: int = LEASE_ITEMS) -> int:
        """One pass; returns how many events were tried. Any number of threads and processes may run passes at once."""
        items = self._lease(limit)
        for item in items:
            until = self._subscriptions.silence.until(str(item.reference), self._subscriptions.clock())
            answer = self._attempt(item) if until is None else None
            with self._database.transaction() as session:
                if answer is not None:
                    self._record(session, item, answer)
                elif until is not None:
                    store.leave_alone(session, item, instant(until))
        return len(items)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _lease(self, limit: int) -> list[OutboxItem]:
        now = self._subscriptions.clock()
        with self._database.reading() as session:  # an idle pass must not take SQLite's only write lock
            if not messages.is_anything_due(session, instant(now), (WEBHOOK,)):
                return []
        with self._database.transaction() as session:
            until = instant(now + timedelta(seconds=LEASE_SECONDS))
            return messages.lease_items(session, instant(now), until, limit, owners.this_process(), (WEBHOOK,))

    def _attempt(self, item: OutboxItem) -> Answer:
        """Post the event once. Raises nothing that the network or the receiver could cause."""
        body = encode(item.body)
        secret = secret_of(self._subscriptions.key, str(item.reference))
        headers = sign(secret, item.message_id, body, self._subscriptions.clock())
        headers["Content-Type"] = CONTENT_TYPE
        self._deadline.begin(CONNECT_SECONDS + ANSWER_SECONDS)
        try:
            with self._http.stream("POST", item.url, content=body, headers=headers) as answer:
                return Answer(answer.status_code)  # what else it says is not read: nobody here would look at it
        except CallbackRefused as error:
            return Answer(error=error.detail, refused_here=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(error=f"nobody answered ({type(error).__name__})")

    def _record(self, session: Session, sent: OutboxItem, answer: Answer) -> None:
        item = messages.lock_items(session, [sent.id]).get(sent.id)
        if item is None or item.state is not OutboxState.PENDING:
            return  # its subscription was removed meanwhile
        now, silence = self._subscriptions.clock(), self._subscriptions.silence
        silence.note(str(sent.reference), now) if answer.status is None else silence.end(str(sent.reference))
        error = answer.error or f"answered {answer.status}"
        match judge(item, answer, now):
            case Verdict.TAKEN:
                messages.close_item(session, item.id, OutboxState.DELIVERED, instant(now))
            case Verdict.AGAIN:
                if item.attempts == sent.attempts:
                    wait = outbox.backoff(item.attempts, BACKOFF_SECONDS, BACKOFF_CAP_SECONDS)
                    messages.postpone_item(session, item.id, instant(now + wait), error)
            case _:
                log.warning("event given up", webhook=item.reference, id=item.message_id, why=error)
                messages.close_item(session, item.id, OutboxState.FAILED, instant(now), error)
                if answer.status == _GONE:
                    store.end_subscription(session, str(item.reference), f"answered {_GONE} at {instant(now)}")


def judge(item: OutboxItem, answer: Answer, now: datetime) -> Verdict:
    """What `answer` means for an event: anything but a success is tried again, until patience ends."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Verdict.TAKEN
    if answer.refused_here or answer.status == _GONE:
        return Verdict.REFUSED
    return Verdict.GIVEN_UP if now - parse_instant(item.not_before) > PATIENCE else Verdict.AGAIN
