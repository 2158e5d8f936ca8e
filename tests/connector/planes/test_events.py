"""Streams over real sockets: order, resuming, what the terms let through, and the last word."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hexi.canonical import Json, parse
from hexi.errors import RemoteProblem
from tests.connector.planes.serving import Delivery, served
from tests.simulator import Dataspace


def limited(operand: str, most: str, operator: str = "lteq") -> dict[str, Any]:
    limit = {"leftOperand": operand, "operator": operator, "rightOperand": most}
    return {"permission": [{"action": "use", "constraint": [limit]}]}


class Events:
    """A reader of server-sent events, after the letter of the specification."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, Any]:
        event: dict[str, str] = {}
        for line in self._lines:
            if not line:
                if "data" in event:
                    return {**event, "data": parse(event["data"])}
                event = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                event[name] = value.removeprefix(" ")
        raise AssertionError("the stream ended")

    def take(self, count: int) -> list[Json]:
        return [self.next()["data"] for _ in range(count)]


class Stream(Delivery):
    @contextmanager
    def read(self, last: int | None = None, **headers: str) -> Iterator[Events]:
        shown = {"Authorization": self.token, **headers} | ({} if last is None else {"Last-Event-ID": str(last)})
        with self.http.stream("GET", self.endpoint, headers=shown) as answer:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            yield Events(answer)

    def refused(self, **headers: str) -> tuple[int, str]:
        answer = self.http.get(self.endpoint, headers={"Authorization": self.token, **headers})
        return answer.status_code, answer.json()["code"]

    def append(self, *data: Json, **members: Any) -> list[int]:
        events = [{"data": item, **members} for item in data]
        return list(self.space.provider.client.append_events("delivered", events).positions)

    def manage(self, body: Json, name: str = "delivered") -> httpx.Response:
        token = self.space.provider.app.state.management_token
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.post(f"{self.url}/management/streams/{name}/events", json=body, headers=headers)


def streaming(space: Dataspace, *policy: Any, **source: Any) -> Iterator[Stream]:
    with served(space.provider.app) as url:
        described = {"type": "stream", **source}
        stream = Stream(space, url, described, "stream", "ServerSentEvents-PULL", *policy)
        with stream.http:
            yield stream


@pytest.fixture
def stream(dataspace: Dataspace) -> Iterator[Stream]:
    yield from streaming(dataspace)


@pytest.fixture
def three_records(dataspace: Dataspace) -> Iterator[Stream]:
    yield from streaming(dataspace, limited("urn:hexi:records", "3"))


@pytest.fixture
def forgetful(dataspace: Dataspace) -> Iterator[Stream]:
    yield from streaming(dataspace, retention={"events": 2})


@pytest.fixture
def once(dataspace: Dataspace) -> Iterator[Stream]:
    yield from streaming(dataspace, limited("count", "1"))


@pytest.fixture
def until_nine(dataspace: Dataspace) -> Iterator[Stream]:
    yield from streaming(dataspace, limited("dateTime", "2026-11-23T09:00:00Z", "lt"))


@pytest.fixture
def tailed(dataspace: Dataspace, tmp_path: Path) -> Iterator[Stream]:
    path = tmp_path / "events.ndjson"
    path.write_text('{"n":1}\n{"n":2}\n', encoding="utf-8")
    with served(dataspace.provider.app) as url:
        described = {"type": "ndjson", "path": str(path)}
        stream = Stream(dataspace, url, described, "stream", "ServerSentEvents-PULL")
        with stream.http:
            yield stream


def test_events_come_in_order_as_they_are_appended_and_are_counted(stream: Stream) -> None:
    assert stream.append({"n": 1}, {"n": 2}) == [1, 2]
    with stream.read() as events:
        assert events.take(2) == [{"n": 1}, {"n": 2}]
        stream.append("三", kind="admitted")
        assert events.next() == {"id": "3", "event": "admitted", "data": "三"}
    grant = stream._grant()
    assert (grant.count, grant.records, grant.volume) == (1, 3, 19)


def test_a_reader_goes_on_where_it_was_and_that_is_no_new_use(once: Stream) -> None:
    once.append(*range(250))
    with once.read() as events:
        assert events.take(120) == list(range(120))
    with once.read(last=120) as events:
        assert events.take(130) == list(range(120, 250))
    assert once._grant().count == 1


def test_what_was_forgotten_is_said_to_be_missing(forgetful: Stream) -> None:
    forgetful.append(*range(5))
    with forgetful.read(last=1) as events:
        assert events.next() == {"id": "3", "event": "gap", "data": {"after": 1, "forgottenUpTo": 3}}
        assert events.take(2) == [3, 4]
    with forgetful.read() as events:
        assert events.take(2) == [3, 4]


def test_the_terms_hold_for_every_event_and_the_last_word_says_so(three_records: Stream) -> None:
    three_records.append(*range(5))
    with three_records.read() as events:
        assert events.take(3) == [0, 1, 2]
        last = events.next()
    assert (last["event"], "id" in last) == ("end", False)
    assert last["data"]["reasons"][0]["code"] == "policy.records"
    assert three_records.grant().records == 3


@pytest.mark.parametrize("suspend", [True, False])
def test_a_stop_ends_an_idle_reader_at_once(stream: Stream, suspend: bool) -> None:
    with stream.read() as events:
        stopping = threading.Timer(0.1, stream.end, kwargs={"suspend": suspend})
        stopping.start()
        last = events.next()
        stopping.join()
    assert (last["event"], last["data"]["code"]) == ("end", "connector.handover-refused")
    assert stream.refused() == (403, "connector.handover-refused")


def test_the_end_of_the_terms_ends_an_idle_reader(until_nine: Stream) -> None:
    until_nine.append(1)
    with until_nine.read() as events:
        assert events.take(1) == [1]
        until_nine.space.clock.advance(hours=1)
        until_nine.space.provider.app.state.monitor.look()
        last = events.next()
    assert (last["event"], last["data"]["code"]) == ("end", "connector.handover-refused")
    assert until_nine.grant().state == "ENDED"


def test_the_lines_of_a_file_are_a_stream(tailed: Stream, tmp_path: Path) -> None:
    with tailed.read() as events:
        assert events.take(2) == [{"n": 1}, {"n": 2}]
        with (tmp_path / "events.ndjson").open("a", encoding="utf-8") as file:
            file.write('{"n":3}\n')
        assert events.next() == {"id": "24", "data": {"n": 3}}
    with tailed.read(last=16) as events:
        assert events.next()["id"] == "24"
    with tailed.read(last=20) as events:
        assert events.next()["data"]["code"] == "connector.source-unavailable"


def test_only_the_token_of_this_transfer_reads(stream: Stream) -> None:
    old = stream.token
    assert stream.refused(Authorization="Bearer x.y.z") == (401, "connector.data-token-invalid")
    assert stream.refused(Authorization="") == (401, "connector.data-token-invalid")
    stream.transfer = stream.start()
    assert stream.refused(Authorization=old) == (401, "connector.data-token-invalid")
    stream.space.clock.advance(minutes=11)
    assert stream.refused() == (401, "connector.data-token-invalid")
    assert stream._grant().count == 0


@pytest.mark.parametrize("last", ["-1", "x", "1" * 30, "1 2", "7"])
def test_an_id_that_is_none_of_this_stream_is_refused(stream: Stream, last: str) -> None:
    assert stream.refused(**{"Last-Event-ID": last}) == (422, "connector.last-event-id-invalid")


def test_a_transfer_has_a_few_readers_at_once(stream: Stream) -> None:
    with stream.read(), stream.read(), stream.read(), stream.read():
        assert stream.refused() == (429, "connector.too-many-downloads")


def test_appending_says_what_is_wrong_and_adds_nothing_twice(stream: Stream) -> None:
    assert stream.append("a", key="1") == [1]
    assert stream.append("a", key="1") == [1]
    for body, status in [
        ({"events": []}, 422),
        ({"events": [{"data": 1, "kind": "end"}]}, 422),
        ({"events": [{"data": 1, "kind": "a\nb"}]}, 422),
        ({"events": [{"data": "x" * 70_000}]}, 413),
    ]:
        assert stream.manage(body).status_code == status
    unknown = stream.manage({"events": [{"data": 1}]}, name="claims")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "connector.stream-unknown")
    assert stream.space.provider.client.stream("delivered").newest == 1
    with stream.read() as events:
        assert events.take(1) == ["a"]


def test_a_stream_cannot_be_offered_as_a_file(dataspace: Dataspace) -> None:
    with pytest.raises(RemoteProblem, match="needs another kind of source"):
        Stream(dataspace, "", {"type": "stream"}, "file", "HttpData-PULL")
