"""Signing deliveries, after Standard Webhooks 1.0.0, so that receivers can use any of its libraries, or `verify`.

    event = verify(secret, request.headers, request.body, now)

An HMAC-SHA256 over id, time of the attempt and body, under a secret of the subscription's own. No secret is stored:
each is derived from the key in the connector's home folder.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from connector.management.errors import WebhookSignatureInvalid
from hexi.canonical import Json, parse
from sandbox.cubes.noise_key import secret_in

KEY_FILE = "webhook.key"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
VERSION = "v1"
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
# How far a receiver's clock may be from ours. Older deliveries are replays, or stood in a queue: they come again.
TOLERANCE = timedelta(minutes=5)


def webhook_key(home: Path) -> bytes:
    """The connector's key for webhooks, made on first use. Whoever has it can sign as this connector does."""
    return secret_in(home / KEY_FILE)


def secret_of(key: bytes, subscription: str) -> str:
    """The secret of a subscription, as its receiver is told it."""
    derived = hmac.digest(key, b"hexi-webhook\x00" + subscription.encode(), hashlib.sha256)
    return SECRET_PREFIX + base64.b64encode(derived).decode()


def sign(secret: str, event_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of one attempt to deliver `body`."""
    timestamp = str(int(now.timestamp()))
    return {ID: event_id, TIMESTAMP: timestamp, SIGNATURE: _signature(secret, event_id, timestamp, body)}


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> dict[str, Json]:
    """The CloudEvent in `body`. Raises `WebhookSignatureInvalid`, `Malformed`.

    1. The three headers are there, and the time is a number.
    2. One of the signatures is ours, compared in constant time.
    3. The time is no further away than `tolerance`.
    4. The body is an object, and its id is the one signed.

    The caller still owes: to pass over an id it has taken before. Within the tolerance a delivery can be repeated, by
    us or by somebody who overheard it.
    """
    said = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp, shown = (said.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not event_id or not timestamp.isascii() or not timestamp.isdigit():  # 1
        raise WebhookSignatureInvalid(f"a delivery has the headers {ID}, {TIMESTAMP} and {SIGNATURE}")
    expected = _signature(secret, event_id, timestamp, body).encode()
    if not any(hmac.compare_digest(expected, one.encode()) for one in shown.split(" ")):  # 2
        raise WebhookSignatureInvalid("no signature of this delivery was made with the secret of the subscription")
    if abs(now.timestamp() - int(timestamp)) > tolerance.total_seconds():  # 3
        raise WebhookSignatureInvalid("this delivery was signed too long ago; a new attempt has a new signature")
    event = parse(body)
    if not isinstance(event, dict) or event.get("id") != event_id:  # 4
        raise WebhookSignatureInvalid("the event is not the one that was signed")
    return event


def _signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"{VERSION},{base64.b64encode(mac).decode()}"
