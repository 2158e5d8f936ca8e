"""Streams: order, keys, retention, and reading on from where one was."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.sources import SourceUnavailable
from connector.sources.ndjson import NdjsonStream
from connector.streams import MAX_EVENT_BYTES, Event, EventSource, Extent
from connector.streams.appended import NewEvent, Retention, Streams
from hexi.database import Database
from hexi.errors import TooLarge
from tests.builders import SettableClock


@pytest.fixture
def streams(database: Database, clock: SettableClock) -> Streams:
    database.migrate("connector")
    return Streams(database, clock)


def append(streams: Streams, *data: object, retention: Retention = Retention(), keys: bool = False) -> list[int]:
    events = [NewEvent(data=item, key=str(item) if keys else None) for item in data]
    with streams.database.transaction() as session:
        return streams.append(session, "visits", events, retention).positions


def read_all(source: EventSource, position: int = 0) -> list[Event]:
    found: list[Event] = []
    while batch := source.after(found[-1].position if found else position):
        found += batch
    return found


def test_events_are_read_in_the_order_they_were_appended(streams: Streams) -> None:
    assert streams.source("visits").extent() == Extent(0, 0)
    assert append(streams, {"n": 1}, {"n": 2}) == [1, 2]
    assert append(streams, *({"n": n} for n in range(3, 251))) == list(range(3, 251))
    source = streams.source("visits")
    assert [event.data for event in read_all(source)] == [f'{{"n":{n}}}' for n in range(1, 251)]
    assert [event.position for event in read_all(source, 248)] == [249, 250]
    assert source.extent() == Extent(0, 250)


def test_appending_again_under_a_key_adds_nothing(streams: Streams) -> None:
    assert append(streams, "a", "b", "a", keys=True) == [1, 2, 1]
    assert append(streams, "b", "c", keys=True) == [2, 3]
    assert [event.data for event in read_all(streams.source("visits"))] == ['"a"', '"b"', '"c"']


def test_what_is_too_many_or_too_old_is_forgotten_and_known_to_be(streams: Streams, clock: SettableClock) -> None:
    append(streams, *range(10), retention=Retention(events=4))
    source = streams.source("visits")
    assert source.extent() == Extent(6, 10)
    assert [event.position for event in read_all(source)] == [7, 8, 9, 10]
    clock.now += timedelta(hours=2)
    append(streams, "new", retention=Retention(hours=1))
    assert source.extent() == Extent(10, 11)
    assert [event.data for event in read_all(source)] == ['"new"']


def test_several_writers_leave_no_hole_and_take_no_position_twice(streams: Streams) -> None:
    append(streams, "first")
    seen: list[list[int]] = []

    def write() -> None:
        seen.append([append(streams, n)[0] for n in range(10)])

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(position for positions in seen for position in positions) == list(range(2, 42))
    assert all(positions == sorted(positions) for positions in seen)


def test_an_event_is_no_file(streams: Streams) -> None:
    with pytest.raises(TooLarge):
        append(streams, "x" * MAX_EVENT_BYTES)
    assert streams.source("visits").extent().newest == 0


@given(st.lists(st.recursive(st.none() | st.integers(-9, 9) | st.text(), lambda inner: st.lists(inner)), max_size=20))
def test_lines_of_a_file_are_events_wherever_one_begins(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    from hexi.canonical import encode

    assert isinstance(data, list)
    path = tmp_path_factory.mktemp("events") / "events.ndjson"
    path.write_bytes(b"".join(encode(item) + b"\n" for item in data))
    source = NdjsonStream(path)
    events = read_all(source)
    assert [event.data for event in events] == [encode(item).decode() for item in data]
    for index, event in enumerate(events):
        assert read_all(source, event.position) == events[index + 1 :]


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"n":1}\n{"n":', encoding="utf-8")
    source = NdjsonStream(path)
    assert [event.data for event in source.after(0)] == ['{"n":1}']
    assert source.after(8) == []
    with path.open("a", encoding="utf-8") as file:
        file.write("2}\n")
    assert [event.data for event in source.after(8)] == ['{"n":2}']


def test_a_replaced_file_a_link_and_what_is_no_json_are_refused_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"n":1}\nnot json secret\n', encoding="utf-8")
    with pytest.raises(SourceUnavailable, match="not JSON") as refused:
        NdjsonStream(path).after(0)
    assert "secret" not in refused.value.detail
    with pytest.raises(SourceUnavailable, match="no event"):
        NdjsonStream(path).after(3)
    with pytest.raises(SourceUnavailable, match="replaced"):
        NdjsonStream(path).after(10_000)
    path.write_text("x" * (MAX_EVENT_BYTES + 10), encoding="utf-8")
    with pytest.raises(SourceUnavailable, match="more than"):
        NdjsonStream(path).after(0)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SourceUnavailable, match="regular"):
        NdjsonStream(tmp_path / "link").extent()
