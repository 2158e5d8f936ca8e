"""Webhooks: programs that are told of what happens here."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import Paged
from connector.management.errors import (
    CursorInvalid,
    DeliveryUnknown,
    EventTypeUnknown,
    TooManyWebhooks,
    WebhookUnknown,
)
from connector.protocol.errors import CallbackRefused
from connector.protocol.history import OUTCOMES, Outcome
from connector.protocol.outbox_items import OutboxState
from connector.webhooks import store
from connector.webhooks.answers import EventDeliveries, EventDelivery, NewWebhook, Subscribe, Webhook
from connector.webhooks.store import Delivery, Subscription
from connector.webhooks.subscriptions import Subscriptions
from hexi.canonical import instant
from hexi.web import Read, SessionRoute, Write, problems


class DeliveriesAsked(Paged):
    """Which deliveries."""

    outcome: Outcome | None = Field(default=None, description="Only those: taken, waiting, failed, cancelled. 结果。")

    @property
    def state(self) -> OutboxState | None:
        """The outbox's word for it."""
        return next((state for state, outcome in OUTCOMES.items() if outcome is self.outcome), None)


def create_router(subscriptions: Subscriptions) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["webhooks"])

    @router.post("/webhooks", status_code=201, responses=problems(CallbackRefused, EventTypeUnknown, TooManyWebhooks))
    def subscribe(_: Owner, body: Subscribe, session: Write) -> NewWebhook:
        """Have events posted to an address, signed with the secret in the answer. 订阅事件。

        The same address and types again are the same webhook; one that had ended is taken up again.
        """
        subscription = subscriptions.subscribe(session, body.url, body.types)
        shown = _webhook(subscription, store.counts(session))
        return NewWebhook(**dict(shown), secret=subscriptions.secret(subscription))

    @router.get("/webhooks")
    def list_webhooks(_: Owner, session: Read) -> list[Webhook]:
        """All webhooks, with what waits and what was given up. 订阅列表。"""
        counts = store.counts(session)
        return [_webhook(subscription, counts) for subscription in store.subscriptions(session)]

    @router.get("/webhooks/{id}", responses=problems(WebhookUnknown))
    def read_webhook(_: Owner, id: str, session: Read) -> Webhook:  # noqa: A002 - the name it has in the path
        """One webhook. 查看订阅。"""
        return _webhook(store.subscription(session, id), store.counts(session))

    @router.delete("/webhooks/{id}", responses=problems(WebhookUnknown))
    def unsubscribe(_: Owner, id: str, session: Write) -> Webhook:  # noqa: A002
        """Send no more; what waits is cancelled. The answer is the webhook as it was. 取消订阅。"""
        removed = _webhook(store.subscription(session, id), store.counts(session))
        store.remove_subscription(session, id, instant(subscriptions.clock()))
        return removed

    _add_deliveries(router, subscriptions)
    return router


def _add_deliveries(router: APIRouter, subscriptions: Subscriptions) -> None:
    @router.post("/webhooks/{id}/ping", responses=problems(WebhookUnknown))
    def ping(_: Owner, id: str, session: Write) -> Webhook:  # noqa: A002
        """Send an event that says nothing, to see whether it arrives. 测试投递。"""
        subscriptions.ping(session, id)
        return _webhook(store.subscription(session, id), store.counts(session))

    @router.get("/webhooks/{id}/deliveries", responses=problems(WebhookUnknown, CursorInvalid))
    def list_event_deliveries(
        _: Owner,
        id: str,  # noqa: A002
        session: Read,
        asked: Annotated[DeliveriesAsked, Query()],
    ) -> EventDeliveries:
        """What was queued for a webhook, newest first: attempts, and what the last one met. 投递记录。"""
        store.subscription(session, id)
        found = store.deliveries(session, id, asked.state, asked.after, asked.limit)
        return EventDeliveries(**views.page(found, _delivery))

    @router.post("/webhooks/{id}/deliveries/{event}/retry", responses=problems(WebhookUnknown, DeliveryUnknown))
    def retry_event(_: Owner, id: str, event: str, session: Write) -> EventDelivery:  # noqa: A002
        """Try an event anew that was given up, or at once one that waits. 重新投递。"""
        return _delivery(subscriptions.retry(session, id, event))


def _webhook(subscription: Subscription, counts: dict[tuple[str, OutboxState], int]) -> Webhook:
    return Webhook(
        id=subscription.id,
        url=subscription.url,
        types=subscription.patterns,
        created=subscription.created,
        ended=subscription.ended,
        waiting=counts.get((subscription.id, OutboxState.PENDING), 0),
        failed=counts.get((subscription.id, OutboxState.FAILED), 0),
    )


def _delivery(delivery: Delivery) -> EventDelivery:
    event = delivery.event
    return EventDelivery(
        id=str(event["id"]),
        type=str(event["type"]),
        subject=str(event["subject"]),
        outcome=OUTCOMES[delivery.state],
        attempts=delivery.attempts,
        queued=delivery.queued,
        next=delivery.due,
        settled=delivery.settled,
        error=delivery.error,
        event=event,
    )
