"""What the management API is asked and answers about webhooks."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from connector.management.answers import INSTANT, PROVIDER, TRANSFER, Answer, Page
from connector.protocol.history import Outcome
from hexi.canonical import Wire

WEBHOOK = "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000004"
EVENT = "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000005"
URL = "https://apps.hospital.example/hexi-events"
# The most patterns one subscription names.
MAX_PATTERNS = 20


class Subscribe(Wire):
    """Tell an address of events."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": URL, "types": ["hexi.transfer.*"]}]})

    url: Annotated[str, Field(min_length=1, max_length=2_048)] = Field(
        description="Where events are posted to: https, without user, query or fragment. 接收地址。"
    )
    types: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(),
        max_length=MAX_PATTERNS,
        description="Which: hexi.transfer.started, hexi.transfer.*; none means all. 事件类型。",
    )


def _shown(**more: Any) -> ConfigDict:
    example = {
        "id": WEBHOOK,
        "url": URL,
        "types": ["hexi.transfer.*"],
        "created": INSTANT,
        "ended": None,
        "waiting": 0,
        "failed": 0,
        **more,
    }
    return ConfigDict(extra="ignore", json_schema_extra={"examples": [example]})


class Webhook(Answer):
    """Somebody who is told of events. 事件订阅。"""

    model_config = _shown()

    id: str
    url: str
    types: tuple[str, ...]
    created: str
    ended: str | None = Field(description="Why no more is sent; null while it is. Subscribe again to go on.")
    waiting: int = Field(description="Events still to be delivered. 待投递。")
    failed: int = Field(description="Events given up. 投递失败。")


class NewWebhook(Webhook):
    """A subscription with its secret, which only this answer tells. 新订阅及其密钥。"""

    model_config = _shown(secret="whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")  # noqa: S106 - an example

    secret: str = Field(description="What the receiver checks signatures with (Standard Webhooks). 签名密钥。")


class EventDelivery(Answer):
    """One event on its way to one webhook. 事件投递。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "id": EVENT,
                    "type": "hexi.transfer.started",
                    "subject": TRANSFER,
                    "outcome": "waiting",
                    "attempts": 3,
                    "queued": INSTANT,
                    "next": "2026-11-23T08:00:20.000Z",
                    "settled": None,
                    "error": "answered 503",
                    "event": {"specversion": "1.0", "id": EVENT, "source": PROVIDER, "type": "hexi.transfer.started"},
                }
            ]
        },
    )

    id: str = Field(description="The event's id, the same for every attempt.")
    type: str
    subject: str
    outcome: Outcome = Field(description="taken, waiting, failed (given up), or cancelled (the webhook was removed).")
    attempts: int
    queued: str
    next: str | None = Field(description="When it is tried next.")
    settled: str | None = Field(description="When it was taken or given up.")
    error: str | None = Field(description="What the last attempt that failed met.")
    event: dict[str, Any] = Field(description="The CloudEvent as it travels.")


class EventDeliveries(Page[EventDelivery]):
    """A page of deliveries."""
