"""Webhooks of a running connector: who is told what, how often it is tried, and where it is never sent."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from connector.protocol.callbacks import peer_transport
from connector.protocol.errors import CallbackRefused
from connector.protocol.outbox_items import WEBHOOK, OutboxState
from connector.protocol.store import count_items
from connector.settings import ConnectorSettings
from connector.webhooks.events import TYPES
from connector.webhooks.sender import LEASE_SECONDS, PATIENCE, WebhookSender
from connector.webhooks.signing import verify
from connector.webhooks.subscriptions import MAX_SUBSCRIPTIONS, Subscriptions
from hexi.database import Database
from hexi.errors import RemoteProblem
from tests.builders import SettableClock
from tests.connector.pair import Crash
from tests.simulator import Dataspace

HOST, URL = "127.0.0.1:9300", "http://127.0.0.1:9300/events"


class Receiver:
    """A program that takes events. `status` says what it answers, `then` what it does before."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.then: Callable[[], None] = lambda: None
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        if scope["method"] == "POST":
            self.requests.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
            self.then()
        redirect = [(b"location", b"http://127.0.0.1:9301/")] if self.status == 302 else []
        await send({"type": "http.response.start", "status": self.status, "headers": redirect})
        await send({"type": "http.response.body", "body": b""})

    def events(self, secret: str, clock: SettableClock) -> list[dict[str, Any]]:
        return [verify(secret, headers, body, clock()) for headers, body in self.requests]


@pytest.fixture
def receiver(dataspace: Dataspace) -> Receiver:
    receiver = Receiver()
    dataspace.network.join(HOST, receiver)
    receiver.requests.clear()
    return receiver


def deliver(dataspace: Dataspace) -> int:
    return int(dataspace.provider.app.state.webhook_sender.deliver_due(limit=100))


def test_every_state_is_told_signed_and_once(dataspace: Dataspace, receiver: Receiver) -> None:
    hook = dataspace.provider.client.subscribe(URL)
    product = dataspace.publish().identifier
    agreed = dataspace.agree(product)
    dataspace.transfer(agreed.agreement)
    deliver(dataspace)

    events = receiver.events(hook.secret, dataspace.clock)
    assert [event["type"] for event in events] == [
        "hexi.product.published",
        *(f"hexi.negotiation.{state}" for state in ("requested", "agreed", "verified", "finalized")),
        *(f"hexi.transfer.{state}" for state in ("requested", "started")),
    ]
    assert len({event["id"] for event in events}) == len(events)
    last = events[-1]
    (transfer,) = dataspace.provider.client.transfers()
    assert last["data"] == transfer.to_json()
    assert (last["source"], last["subject"], last["specversion"]) == (dataspace.provider.did, transfer.id, "1.0")
    assert b"permit" not in receiver.requests[-1][1]
    ordered = [event["sequence"] for event in events if event["subject"] == transfer.id]
    assert ordered == sorted(ordered)
    headers = receiver.requests[-1][0]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == last["id"]
    assert "authorization" not in headers
    assert deliver(dataspace) == 0
    assert dataspace.provider.client.webhook(hook.id).waiting == 0


def test_a_subscription_is_about_its_types_only(dataspace: Dataspace, receiver: Receiver) -> None:
    hook = dataspace.provider.client.subscribe(URL, ["hexi.transfer.*", "hexi.negotiation.finalized"])
    dataspace.transfer(dataspace.agree(dataspace.publish().identifier).agreement)
    deliver(dataspace)
    events = receiver.events(hook.secret, dataspace.clock)
    assert [event["type"] for event in events] == [
        "hexi.negotiation.finalized",
        "hexi.transfer.requested",
        "hexi.transfer.started",
    ]
    assert {event["type"] for event in events} <= TYPES


def test_the_same_subscription_again_is_the_same(dataspace: Dataspace) -> None:
    client = dataspace.provider.client
    first = client.subscribe(URL + "/", ["hexi.transfer.*", "hexi.product.published"])
    assert client.subscribe(URL, ["hexi.product.published", "hexi.transfer.*"]) == first
    assert client.subscribe(URL).secret != first.secret
    assert [set(hook.to_json()) & {"secret"} for hook in client.webhooks()] == [set(), set()]
    client.unsubscribe(first.id)
    with pytest.raises(RemoteProblem) as unknown:
        client.webhook(first.id)
    assert unknown.value.code == "connector.webhook-unknown"


def test_the_secret_stands_in_no_database(dataspace: Dataspace) -> None:
    secret = dataspace.provider.client.subscribe(URL).secret.removeprefix("whsec_")
    home = dataspace.home / "hospital"
    assert all(secret.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert (home / "webhook.key").stat().st_mode & 0o077 == 0


def test_an_event_is_tried_until_it_is_taken_always_under_one_id(dataspace: Dataspace, receiver: Receiver) -> None:
    hook = dataspace.provider.client.subscribe(URL, ["hexi.product.published"])
    dataspace.publish()
    receiver.status = 503
    waits = []
    for _ in range(5):
        assert deliver(dataspace) == 1
        assert deliver(dataspace) == 0  # not before its time
        (waiting,) = dataspace.provider.client.event_deliveries(hook.id, outcome="waiting")
        assert (waiting.error, waiting.attempts) == ("answered 503", len(waits) + 1)
        waits.append(waiting.next)
        dataspace.clock.advance(seconds=5.0 * 2 ** len(waits))
    receiver.status = 200
    assert deliver(dataspace) == 1
    ids = {headers["webhook-id"] for headers, _ in receiver.requests}
    times = [headers["webhook-timestamp"] for headers, _ in receiver.requests]
    assert len(ids) == 1
    assert len(set(times)) == len(times) == 6  # every attempt is signed anew
    assert verify(hook.secret, *receiver.requests[-1], dataspace.clock())["id"] in ids
    (taken,) = dataspace.provider.client.event_deliveries(hook.id)
    assert (taken.outcome, taken.attempts, taken.next) == ("taken", 6, None)


def test_a_receiver_that_is_away_holds_up_nobody_else(dataspace: Dataspace, receiver: Receiver) -> None:
    asked = 0

    async def away(scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal asked
        asked += scope["method"] == "POST"
        raise httpx.ConnectTimeout("nobody is there")

    client = dataspace.provider.client
    dataspace.network.join("127.0.0.1:9302", receiver)
    dead = client.subscribe("http://127.0.0.1:9302/events")
    dataspace.network.join("127.0.0.1:9302", away)
    asked = 0
    alive = client.subscribe(URL)
    receiver.requests.clear()
    dataspace.transfer(dataspace.agree(dataspace.publish().identifier).agreement)
    while deliver(dataspace):
        pass
    assert asked == 1  # and not once for each of seven events
    assert len(receiver.requests) == 7
    assert (client.webhook(dead.id).waiting, client.webhook(alive.id).waiting) == (7, 0)
    waiting = list(client.event_deliveries(dead.id, outcome="waiting"))
    assert sorted(one.attempts for one in waiting) == [0] * 6 + [1]

    client.ping_webhook(dead.id)  # its owner wants to know now
    while deliver(dataspace):
        pass
    assert asked == 2
    dataspace.network.join("127.0.0.1:9302", receiver)
    dataspace.clock.advance(minutes=1)
    while deliver(dataspace):
        pass
    assert client.webhook(dead.id).waiting == 0


def test_a_crash_after_sending_sends_the_same_event_again(dataspace: Dataspace, receiver: Receiver) -> None:
    dataspace.provider.client.subscribe(URL, ["hexi.product.published"])
    dataspace.publish()

    def crash() -> None:
        raise Crash

    receiver.then = crash
    with pytest.raises(Crash):
        deliver(dataspace)
    receiver.then = lambda: None
    assert deliver(dataspace) == 0  # leased by who is gone
    dataspace.clock.advance(seconds=LEASE_SECONDS + 1)
    assert deliver(dataspace) == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.requests)
    assert first == second


def test_what_is_rolled_back_is_not_told(dataspace: Dataspace, receiver: Receiver) -> None:
    dataspace.provider.client.subscribe(URL, ["hexi.transfer.*"])
    dataspace.transfer(dataspace.agree(dataspace.publish().identifier).agreement)
    deliver(dataspace)
    before = len(receiver.requests)
    engine = dataspace.provider.app.state.engine
    with engine.database.reading() as session:  # thrown away at its end, like a transaction that fails
        (transfer,) = engine.processes(session, "transfer")
        engine._steps.end(session, transfer, ["a change that is not committed"])
        assert count_items(session, WEBHOOK, OutboxState.PENDING) == 1
    assert deliver(dataspace) == 0
    assert len(receiver.requests) == before


def test_an_event_that_nobody_takes_is_given_up_shown_and_sent_again_on_request(
    dataspace: Dataspace, receiver: Receiver
) -> None:
    client = dataspace.provider.client
    hook = client.subscribe(URL, ["hexi.product.published"])
    dataspace.publish()
    dataspace.network.leave(HOST)
    deliver(dataspace)
    dataspace.clock.advance(seconds=PATIENCE.total_seconds() + 1)
    deliver(dataspace)
    shown = client.webhook(hook.id)
    assert (shown.waiting, shown.failed, shown.ended) == (0, 1, None)
    (failed,) = client.event_deliveries(hook.id, outcome="failed")
    assert failed.error == "nobody answered (ConnectError)"

    dataspace.network.join(HOST, receiver)
    receiver.requests.clear()
    assert client.retry_event(hook.id, failed.id).outcome == "waiting"
    deliver(dataspace)
    assert [headers["webhook-id"] for headers, _ in receiver.requests] == [failed.id]
    assert client.retry_event(hook.id, failed.id).outcome == "taken"  # and is not sent once more
    assert deliver(dataspace) == 0


def test_a_receiver_that_is_gone_for_good_hears_no_more_until_it_subscribes_again(
    dataspace: Dataspace, receiver: Receiver
) -> None:
    client = dataspace.provider.client
    hook = client.subscribe(URL)
    receiver.status = 410
    client.ping_webhook(hook.id)
    deliver(dataspace)
    assert str(client.webhook(hook.id).ended).startswith("answered 410")
    dataspace.publish()
    assert deliver(dataspace) == 0
    receiver.status = 200
    assert client.subscribe(URL).ended is None
    dataspace.publish({"permission": [{"action": "urn:hexi:compute"}]})
    assert deliver(dataspace) == 1


def test_what_waits_for_a_removed_webhook_is_cancelled(dataspace: Dataspace, receiver: Receiver) -> None:
    hook = dataspace.provider.client.subscribe(URL)
    dataspace.publish()
    assert dataspace.provider.client.unsubscribe(hook.id).waiting == 1
    assert deliver(dataspace) == 0
    assert receiver.requests == []


def test_redirects_are_not_followed(dataspace: Dataspace, receiver: Receiver) -> None:
    inside = Receiver()
    dataspace.network.join("127.0.0.1:9301", inside)
    inside.requests.clear()
    hook = dataspace.provider.client.subscribe(URL)
    receiver.status = 302
    dataspace.provider.client.ping_webhook(hook.id)
    deliver(dataspace)
    assert inside.requests == []
    (waiting,) = dataspace.provider.client.event_deliveries(hook.id)
    assert waiting.error == "answered 302"


@pytest.mark.parametrize(
    "url",
    [
        "http://apps.example/events",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.5/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:password@apps.example/",
        "https://apps.example/?next=http://10.0.0.5/",
        "file:///etc/passwd",
        "gopher://apps.example/",
    ],
)
def test_a_connector_in_public_is_not_made_to_call_inwards(sqlite: Database, clock: SettableClock, url: str) -> None:
    sqlite.migrate("connector")
    subscriptions = Subscriptions("did:web:clinic.example", b"k" * 32, clock, unsafe_allow_private=False)
    with sqlite.transaction() as session, pytest.raises(CallbackRefused):
        subscriptions.subscribe(session, url, ())
    public = ConnectorSettings(public_url="https://clinic.example")
    assert (public.allows_private_webhooks, public.allows_loopback) == (False, False)


def test_a_name_that_leads_inwards_is_not_connected_to(
    database: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name was harmless when it was subscribed; now it answers with an address of our own network.
    database.migrate("connector")
    subscriptions = Subscriptions("did:web:clinic.example", b"k" * 32, clock, unsafe_allow_private=False)
    with database.transaction() as session:
        hook = subscriptions.subscribe(session, "https://apps.example/events", ())
        subscriptions.ping(session, hook.id)
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        address = inside.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", address)])
        webhook_sender = WebhookSender(database, subscriptions, peer_transport(unsafe_allow_loopback=False))
        assert webhook_sender.deliver_due() == 1
        webhook_sender.close()
        with pytest.raises(BlockingIOError):
            inside.accept()
    with database.reading() as session:
        assert count_items(session, WEBHOOK, OutboxState.FAILED) == 1


def test_mistyped_types_and_too_many_webhooks_are_said(dataspace: Dataspace) -> None:
    client = dataspace.provider.client
    for mistyped in ("hexi.transfers.*", "hexi.transfer.started.*", "transfer", "hexi*", "**", "hexi.transfer.STARTED"):
        with pytest.raises(RemoteProblem, match=r"hexi\.transfer\.started") as refused:
            client.subscribe(URL, [mistyped])
        assert refused.value.code == "connector.event-type-unknown"
    for number in range(MAX_SUBSCRIPTIONS):
        client.subscribe(f"{URL}/{number}")
    with pytest.raises(RemoteProblem) as too_many:
        client.subscribe(URL)
    assert too_many.value.code == "connector.too-many-webhooks"
    assert client.subscribe(f"{URL}/0")


def test_deliveries_are_paged(dataspace: Dataspace) -> None:
    client = dataspace.provider.client
    hook = client.subscribe(URL)
    for _ in range(5):
        client.ping_webhook(hook.id)
    token = {"Authorization": f"Bearer {dataspace.provider.app.state.management_token}"}
    with httpx.Client(transport=dataspace.network, base_url="http://127.0.0.1:8081/management", headers=token) as http:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = http.get(f"/webhooks/{hook.id}/deliveries", params=params).json()
            seen += [item["id"] for item in page["items"]]
            if (cursor := page["next"]) is None:
                break
    assert len(seen) == len(set(seen)) == 5
    assert seen == [delivery.id for delivery in client.event_deliveries(hook.id)]


def test_the_end_of_an_agreement_is_told_once_at_either_end(dataspace: Dataspace) -> None:
    agreed = dataspace.agree(dataspace.publish().identifier)
    client = dataspace.provider.client
    hook = client.subscribe(URL, ["hexi.agreement.*"])
    (held,) = client.agreements()
    client.end_agreement(held.id, "the study is over")
    client.end_agreement(held.id, "again")
    there = dataspace.consumer.client.subscribe(URL, ["hexi.agreement.*"])
    dataspace.settle()
    (told,) = client.event_deliveries(hook.id)
    (heard,) = dataspace.consumer.client.event_deliveries(there.id)
    assert heard.event["data"] == {
        **told.event["data"],
        "role": "consumer",
        "counterparty": dataspace.provider.did,
        "negotiation": agreed.id,
    }
    assert (told.event["type"], told.event["subject"]) == ("hexi.agreement.ended", agreed.agreement)
    assert told.event["data"] == {
        "agreement": agreed.agreement,
        "role": "provider",
        "counterparty": dataspace.consumer.did,
        "product": held.product,
        "negotiation": held.negotiation,
        "endedBy": dataspace.provider.did,
        "reason": "the study is over",
    }
