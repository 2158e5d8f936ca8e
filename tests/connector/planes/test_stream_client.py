"""Following a stream against a provider that breaks off, refuses and ends; and the file that is its own record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import stream_client
from connector.deliveries.errors import StreamEnded, StreamUnreadable
from connector.deliveries.parts import DeliveryBusy, PlaceTaken
from connector.management.answers import Transfer
from connector.management.delivery_answers import DataAccess
from connector.planes import sse
from connector.planes.event_file import open_events
from connector.planes.sse import MAX_EVENT_BYTES, Received
from connector.protocol.errors import CallbackRefused
from connector.protocol.transfer import State
from connector.stream_client import MAX_REFUSALS, Following
from connector.streams import Event
from hexi.canonical import encode
from hexi.errors import RemoteProblem

Answer = Callable[[httpx.Request], httpx.Response]


def sent(*numbers: int, last: bytes = b"") -> Answer:
    """A connection that brings these events and breaks off."""
    content = b"".join(sse.written(Event(n, f'{{"n":{n}}}')) for n in numbers) + last
    return answering(200, "text/event-stream", content)


def refused(status: int, code: str = "a.code") -> Answer:
    return answering(status, "application/problem+json", encode({"status": status, "code": code, "detail": "why"}))


def answering(status: int, kind: str, content: bytes) -> Answer:
    return lambda _: httpx.Response(status, headers={"Content-Type": kind}, stream=httpx.ByteStream(content))


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody", request=request)


class Provider:
    """Answers one connection after the other; after the last the transfer is in `state`."""

    def __init__(self, *answers: Answer, state: State = State.COMPLETED) -> None:
        self.answers, self.state = list(answers), state
        self.asked: list[tuple[str, str | None]] = []
        self.renewals: list[str | None] = []
        self.endpoint = "http://127.0.0.1:1/events"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.headers["Authorization"], request.headers.get("Last-Event-ID")))
        return self.answers.pop(0)(request)

    def access(self, refused: str | None) -> DataAccess:
        self.renewals.append(refused)
        token = f"Bearer {len([r for r in self.renewals if r])}"
        return DataAccess.model_validate(
            {
                "transfer": "urn:t",
                "providerTransfer": "urn:p",
                "format": "ServerSentEvents-PULL",
                "endpoint": self.endpoint,
                "endpointType": None,
                "authorization": token,
            }
        )

    def transfer(self) -> Transfer:
        example: Any = Transfer.model_config["json_schema_extra"]
        told = {**example["examples"][0], "reason": ["because"]}
        return Transfer.model_validate(told | {"state": State.STARTED if self.answers else self.state})

    def follow(self, after: str | None = None, *, loopback: bool = True) -> list[Any]:
        with httpx.Client(transport=httpx.MockTransport(self)) as http:
            following = Following(self.access, self.transfer, http, loopback, lambda _: None)
            return [event.data if event.kind == "message" else event for event in following.events(after)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_client.time, "sleep", lambda _: None)


def test_what_breaks_off_goes_on_behind_the_last_event() -> None:
    provider = Provider(sent(1, 2), broken, refused(503), sent(3, last=b"id: 4\ndata: {"), sent(4))
    assert provider.follow() == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert [last for _, last in provider.asked] == [None, "2", "2", "2", "3"]


def test_a_token_that_is_refused_is_replaced() -> None:
    provider = Provider(sent(7), refused(401), sent(8))
    assert provider.follow("6") == [{"n": 7}, {"n": 8}]
    assert provider.asked == [("Bearer 0", "6"), ("Bearer 0", "7"), ("Bearer 1", "7")]
    assert provider.renewals == [None, None, "Bearer 0"]


def test_the_last_word_is_no_event_and_a_termination_says_why() -> None:
    last = sse.end({"status": 403, "code": "connector.handover-refused", "detail": "a stop"})
    assert Provider(sent(1, last=last), state=State.COMPLETED).follow() == [{"n": 1}]
    with pytest.raises(StreamEnded, match="terminated: because"):
        Provider(sent(1, last=last), state=State.TERMINATED).follow()


def test_a_refusal_that_stays_is_passed_on_but_not_at_once() -> None:
    provider = Provider(*[refused(403, "policy.network")] * 20)
    with pytest.raises(RemoteProblem) as said:
        provider.follow()
    assert (said.value.code, len(provider.asked)) == ("policy.network", MAX_REFUSALS)
    for status in (404, 422):
        wrong = Provider(*[refused(status)] * 2)
        with pytest.raises(RemoteProblem):
            wrong.follow()
        assert len(wrong.asked) == 1


def test_what_is_no_stream_is_not_read_and_no_private_address_called() -> None:
    with pytest.raises(StreamUnreadable):
        Provider(answering(200, "application/json", b"{}"), sent()).follow()
    endless = Provider(sent(1, last=b"data: " + b"x" * (MAX_EVENT_BYTES + 1)), sent())
    with pytest.raises(StreamUnreadable):
        endless.follow()
    provider = Provider(sent(1))
    with pytest.raises(CallbackRefused):
        provider.follow(loopback=False)
    assert provider.asked == []


@given(st.lists(st.integers(1, 9)), st.binary(max_size=60))
def test_events_are_the_same_however_they_are_cut(cuts: list[int], noise: bytes) -> None:
    whole = (
        b": a comment\n\nretry: 1\n\n"
        + sse.written(Event(1, '"\xe4\xb8\x89"'))
        + b"event: a\r\ndata: x\r\ndata: y\r\n\r\n"
    )
    pieces, rest = [], whole
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert list(sse.received([*pieces, rest])) == [Received("1", "message", "ä¸\x89"), Received(None, "a", "x\ny")]
    list(sse.received([noise]))  # nothing that arrives is an error, as long as it has an end


def test_a_file_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    first, second = Received("1", "message", {"ward": "七"}), Received("2", "gap", {"after": 1})
    with open_events(path) as file:
        assert file.last is None
        file.append(first)
        file.append(second)
        with pytest.raises(DeliveryBusy), open_events(path):
            pass
    whole = path.read_bytes()
    assert whole == first.line() + second.line()
    for torn in (b"", b"{", b'{"data":{"ward":', Received("3", "message", 1).line()[:-1]):
        path.write_bytes(whole + torn)
        with open_events(path) as file:
            assert (file.last, file.size) == ("2", len(whole))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content",
    [b"my letters", b'{"a": 1}', b'{"a":1}\n', b'{"data": 1}\n', encode({"id": 1, "event": "", "x": 0}) + b"\n"],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letters"
    path.write_bytes(content)
    with pytest.raises(PlaceTaken), open_events(path):
        pass
    assert path.read_bytes() == content
