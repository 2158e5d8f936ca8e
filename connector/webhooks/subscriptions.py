"""Subscriptions: who is told of what, and queueing an event for them in the transaction of the change it tells."""

import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from connector.management.errors import TooManyWebhooks
from connector.protocol import outbox
from connector.protocol.callbacks import check_callback
from connector.protocol.outbox_items import WEBHOOK
from connector.webhooks import store
from connector.webhooks.events import EVERYTHING, PING, check_patterns, cloud_event, matches
from connector.webhooks.signing import secret_of
from connector.webhooks.store import Delivery, Subscription
from hexi.canonical import Clock, Json, instant
from hexi.database import after_commit

# The wait before a receiver that did not answer is asked again, in seconds; it doubles each time, up to the cap.
SILENCE_SECONDS, SILENCE_CAP_SECONDS = 5.0, 300.0
# Each state change is queued once for every subscription that wants it, so there are not many.
MAX_SUBSCRIPTIONS = 50


@dataclass(frozen=True)
class Silence:
    """Receivers that did not answer, and until when this process leaves them alone: one that is away must not hold up
    what the others are to be told, however much waits for it."""

    _known: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def until(self, subscription: str, now: datetime) -> datetime | None:
        """Until when it is left alone; None: it may be asked."""
        _, until = self._known.get(subscription, (0, now))
        return until if until > now else None

    def note(self, subscription: str, now: datetime) -> None:
        """It did not answer, once more."""
        times = self._known.get(subscription, (0, now))[0] + 1
        self._known[subscription] = times, now + outbox.backoff(times, SILENCE_SECONDS, SILENCE_CAP_SECONDS)

    def end(self, subscription: str) -> None:
        """It has answered, or its owner wants it to be asked."""
        self._known.pop(subscription, None)


@dataclass(frozen=True)
class Subscriptions:
    """Those of the connector with the DID `source`. `work` is set once an event that was queued is committed."""

    source: str
    key: bytes
    clock: Clock
    # Deliver to http, loopback and private addresses: these are the owner's own words, but the owner's browser or a
    # stolen token may speak them too.
    unsafe_allow_private: bool
    silence: Silence = field(default_factory=Silence)
    work: threading.Event = field(default_factory=threading.Event)

    def subscribe(self, session: Session, url: str, patterns: tuple[str, ...]) -> Subscription:
        """Tell `url` of the events that match; the same again is the same subscription, taken up again if it ended.

        Raises `CallbackRefused`, `EventTypeUnknown`, `TooManyWebhooks`.
        """
        address = check_callback(url, unsafe_allow_loopback=self.unsafe_allow_private)
        wanted = tuple(sorted(set(patterns) or {EVERYTHING}))
        check_patterns(wanted)
        known = store.subscriptions(session)
        for subscription in known:
            if (subscription.url, subscription.patterns) == (address, wanted):
                store.end_subscription(session, subscription.id, None)
                return store.subscription(session, subscription.id)
        if len(known) >= MAX_SUBSCRIPTIONS:
            raise TooManyWebhooks(f"there are {len(known)} webhooks already; remove one that is not needed")
        subscription = Subscription(f"urn:uuid:{uuid.uuid4()}", address, wanted, instant(self.clock()))
        store.add_subscription(session, subscription)
        return subscription

    def secret(self, subscription: Subscription) -> str:
        """What its receiver checks signatures with."""
        return secret_of(self.key, subscription.id)

    def announce(
        self, session: Session, type_: str, subject: str, data: dict[str, Json], sequence: int | None = None
    ) -> None:
        """Queue an event for everybody who wants it."""
        told = [s for s in store.subscriptions(session) if not s.ended and any(matches(p, type_) for p in s.patterns)]
        if told:
            event = self._event(type_, subject, data, sequence)
            for subscription in told:
                self._queue(session, subscription, event)

    def ping(self, session: Session, id_: str) -> None:
        """Queue an event for one subscription that says nothing, to see whether it arrives. Raises `WebhookUnknown`."""
        subscription = store.subscription(session, id_)
        self.silence.end(id_)
        self._queue(session, subscription, self._event(PING, subscription.id, {"webhook": subscription.id}, None))

    def retry(self, session: Session, id_: str, event: str) -> Delivery:
        """Try a delivery anew. Raises `WebhookUnknown`, `DeliveryUnknown`."""
        store.subscription(session, id_)
        delivery = store.retry(session, id_, event, instant(self.clock()))
        self.silence.end(id_)
        after_commit(session, self.work.set)
        return delivery

    def _event(self, type_: str, subject: str, data: dict[str, Json], sequence: int | None) -> dict[str, Json]:
        return cloud_event(
            type_,
            id_=f"urn:uuid:{uuid.uuid4()}",
            source=self.source,
            subject=subject,
            time=instant(self.clock()),
            data=data,
            sequence=sequence,
        )

    def _queue(self, session: Session, subscription: Subscription, event: dict[str, Json]) -> None:
        outbox.enqueue(
            session,
            WEBHOOK,
            None,
            event["id"],
            subscription.url,
            event,
            reference=subscription.id,
            not_before=instant(self.clock()),
        )
        after_commit(session, self.work.set)
