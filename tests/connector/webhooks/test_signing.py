"""Signatures of deliveries: what a receiver takes, and the attacks it refuses."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.management.errors import WebhookSignatureInvalid
from connector.webhooks.signing import ID, SIGNATURE, TIMESTAMP, TOLERANCE, secret_of, sign, verify
from hexi.canonical import encode

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SECRET = secret_of(b"k" * 32, "urn:uuid:1")
BODY = encode({"id": "event-1", "type": "hexi.transfer.started"})
HEADERS = sign(SECRET, "event-1", BODY, NOW)


def test_the_example_that_the_libraries_of_standard_webhooks_are_tested_with() -> None:
    secret, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at)
    assert signed[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_the_connector_signed_is_taken() -> None:
    assert verify(SECRET, HEADERS, BODY, NOW)["type"] == "hexi.transfer.started"
    shouted = {name.upper(): value for name, value in HEADERS.items()}
    assert verify(SECRET, shouted, BODY, NOW + TOLERANCE) == verify(SECRET, HEADERS, BODY, NOW - TOLERANCE)
    rotated = HEADERS | {SIGNATURE: f"v1,AAAA v2,xyz {HEADERS[SIGNATURE]}"}
    assert verify(SECRET, rotated, BODY, NOW)


@pytest.mark.parametrize(
    ("headers", "body", "later"),
    [
        pytest.param(HEADERS, BODY, TOLERANCE + timedelta(seconds=1), id="replayed later"),
        pytest.param(HEADERS, BODY, -TOLERANCE - timedelta(seconds=1), id="signed for the future"),
        pytest.param(HEADERS | {TIMESTAMP: "1795420900"}, BODY, timedelta(minutes=15), id="replayed with a newer time"),
        pytest.param(HEADERS | {TIMESTAMP: "soon"}, BODY, timedelta(), id="no time"),
        pytest.param(HEADERS | {TIMESTAMP: "²"}, BODY, timedelta(), id="a digit that is none"),
        pytest.param(HEADERS | {ID: "event-2"}, BODY, timedelta(), id="under another id, to be taken twice"),
        pytest.param(HEADERS, BODY.replace(b"started", b"stopped"), timedelta(), id="another body"),
        pytest.param(HEADERS | {SIGNATURE: ""}, BODY, timedelta(), id="no signature"),
        pytest.param(HEADERS | {SIGNATURE: "v1,"}, BODY, timedelta(), id="an empty signature"),
        pytest.param(HEADERS | {SIGNATURE: "v1,é"}, BODY, timedelta(), id="no ASCII"),
        pytest.param({SIGNATURE: HEADERS[SIGNATURE]}, BODY, timedelta(), id="headers stripped"),
        pytest.param(sign(SECRET, "event-2", BODY, NOW), BODY, timedelta(), id="an event with another's id"),
        pytest.param(sign(secret_of(b"k" * 32, "2"), "event-1", BODY, NOW), BODY, timedelta(), id="another's secret"),
    ],
)
def test_anything_else_is_refused(headers: dict[str, str], body: bytes, later: timedelta) -> None:
    with pytest.raises(WebhookSignatureInvalid):
        verify(SECRET, headers, body, NOW + later)


def test_secrets_are_of_one_subscription_of_one_connector() -> None:
    secrets = {secret_of(key * 32, name) for key in (b"a", b"b") for name in ("1", "2")}
    assert len(secrets) == 4
    assert all(len(secret) == len("whsec_") + 44 for secret in secrets)
