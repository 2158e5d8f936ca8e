"""Events: their types, which of them a subscription is about, and the CloudEvent that travels.

Source: CloudEvents 1.0.2, structured content mode with the JSON format; ``sequence`` is its registered extension.

    >>> matches("hexi.transfer.*", "hexi.transfer.started")
    True
"""

from collections.abc import Iterable

from connector.management.errors import EventTypeUnknown
from connector.protocol import negotiation, transfer
from hexi.canonical import Json

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
PRODUCT_PUBLISHED = "hexi.product.published"
PRODUCT_WITHDRAWN = "hexi.product.withdrawn"
AGREEMENT_ENDED = "hexi.agreement.ended"
DELIVERY_DONE = "hexi.delivery.done"
DELIVERY_FAILED = "hexi.delivery.failed"
# What a peer offers us is another now, as the crawler found it.
CATALOGUE_CHANGED = "hexi.catalogue.changed"
# Sent on request only, to see whether a webhook works.
PING = "hexi.webhook.ping"
EVERYTHING = "*"


def type_of(kind: str, state: str) -> str:
    """The type of the event that a process of `kind` has entered `state`."""
    return f"hexi.{kind}.{state.lower()}"


TYPES = frozenset(
    {
        *(type_of("negotiation", state) for state in negotiation.State),
        *(type_of("transfer", state) for state in transfer.State),
        PRODUCT_PUBLISHED,
        PRODUCT_WITHDRAWN,
        AGREEMENT_ENDED,
        DELIVERY_DONE,
        DELIVERY_FAILED,
        CATALOGUE_CHANGED,
    }
)


def matches(pattern: str, type_: str) -> bool:
    """Whether a subscription to `pattern` is about `type_`: the type itself, ``hexi.transfer.*``, or ``*``."""
    return pattern == type_ or (pattern.endswith("*") and type_.startswith(pattern[:-1]))


def check_patterns(patterns: Iterable[str]) -> None:
    """Raise `EventTypeUnknown` for a pattern that no event would ever match: it was mistyped."""
    for pattern in patterns:
        well_formed = pattern == EVERYTHING or pattern.endswith(".*") or "*" not in pattern
        if not well_formed or not any(matches(pattern, type_) for type_ in TYPES):
            raise EventTypeUnknown(f"no event is of type {pattern!r}; there are: {', '.join(sorted(TYPES))}")


def cloud_event(
    type_: str, *, id_: str, source: str, subject: str, time: str, data: Json, sequence: int | None = None
) -> dict[str, Json]:
    """The event in the JSON format. `sequence` orders the events of one subject."""
    event: dict[str, Json] = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": type_,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    return event if sequence is None else event | {"sequence": f"{sequence:010d}"}
