"""The queue over HTTP in memory: what is sent, shown, cancelled and told as it happens."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from hexi.client import Unreachable
from hexi.database import Database
from hexi.errors import Malformed, RemoteProblem, Unavailable
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from sandbox.client import SandboxClient
from sandbox.jobs import api
from sandbox.jobs.states import JobState
from tests.asgi import ASGITransport
from tests.sandbox.jobs.builders import Queued
from tests.sandbox.test_aggregation import NamedCallers


@pytest.fixture
def queued(sqlite: Database, tmp_path: Path) -> Queued:
    return Queued(sqlite, tmp_path)


def transport(queued: Queued, caller: str) -> httpx.BaseTransport:
    app = create_shell("clinic", ServiceSettings(), queued.database, api.create_router(queued.jobs))
    app.state.presentations = NamedCallers(caller)
    return ASGITransport(app)


def client(queued: Queued, caller: str = "planner") -> SandboxClient:
    return SandboxClient("http://clinic.example", transport(queued, queued.did(caller)))


def test_a_job_is_sent_seen_and_followed(queued: Queued) -> None:
    run, permit, request = queued.documents()
    ours = client(queued)
    sent = ours.submit(permit, request)
    assert (sent.run, sent.state, sent.attempts, ours.job(run), ours.jobs().jobs) == (run, "queued", 0, sent, (sent,))
    queued.worker().step()
    assert (ours.job(run).state, ours.submit(permit, request).state) == ("done", "done")
    told = list(ours.events(run))
    assert [(event.number, event.state, event.attempt) for event in told] == [
        (1, "queued", 0),
        (2, "running", 1),
        (3, "done", 1),
    ]
    assert all(event.at.endswith(":00.000Z") for event in told)
    assert [event.number for event in ours.events(run, after=2)] == [3]  # resumed with Last-Event-ID
    assert list(ours.events(run, after=3)) == []
    with pytest.raises(RemoteProblem) as ended:
        ours.cancel(run)
    assert (ended.value.status, ended.value.code) == (409, "sandbox.job-ended")


def test_a_job_is_accepted_with_202_and_events_are_a_stream(queued: Queued) -> None:
    run, permit, request = queued.documents("SELECT person, count(*) FROM visits GROUP BY person")
    with httpx.Client(transport=transport(queued, queued.did()), base_url="http://clinic.example") as http:
        sent = http.post("/sandbox/jobs", json={"permit": permit, "request": request})
        assert (sent.status_code, sent.json()["state"]) == (202, "done")
        stream = http.get(f"/sandbox/jobs/{run}/events")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.text.startswith("retry: 2000\n\nid: 1\nevent: done\ndata: {")
        refused = http.get(f"/sandbox/jobs/{run}/events", headers={"Last-Event-ID": "-1"})
        assert (refused.status_code, refused.json()["code"]) == (422, "hexi.malformed")


@contextmanager
def listening(queued: Queued) -> Iterator[int]:
    """The port of the clinic on a real socket, where streams flow."""
    app = create_shell("clinic", ServiceSettings(), queued.database, api.create_router(queued.jobs))
    app.state.presentations = NamedCallers(queued.did())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def served(queued: Queued) -> Iterator[SandboxClient]:
    """A consumer of the clinic on a real socket."""
    with listening(queued) as port, closing(SandboxClient(f"http://127.0.0.1:{port}")) as ours:
        yield ours


def test_events_come_as_they_happen_and_a_reader_goes_on_where_it_was(queued: Queued) -> None:
    with served(queued) as ours:
        run = queued.submit()
        events = ours.events(run)
        assert next(events).state == "queued"
        lease = queued.queue.lease("worker")  # while the stream is open
        assert lease is not None
        assert next(events).state == "running"
        events.close()  # the connection is lost
        with queued.database.transaction() as session:
            queued.queue.end(session, lease, JobState.DONE)
        assert [(event.number, event.state) for event in ours.events(run, after=2)] == [(3, "done")]


def told_when_there_is_room(ours: SandboxClient, run: str) -> list[str]:
    """The states of an ended job, as soon as a stream is to be had: the server notices in its own time who has gone."""
    for _ in range(100):
        try:
            return [event.state for event in ours.events(run)]
        except RemoteProblem as full:
            if full.code != "sandbox.too-many-readers":
                raise
            time.sleep(0.05)
    pytest.fail("a stream that nobody reads still counts")


def test_streams_are_few_and_a_closed_one_makes_room(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_STREAMS_EACH", 1)
    with served(queued) as ours:
        run = queued.submit()
        events = ours.events(run)
        assert next(events).state == "queued"
        with pytest.raises(RemoteProblem) as refused:
            next(ours.events(run))
        assert (refused.value.status, refused.value.code) == (429, "sandbox.too-many-readers")
        events.close()
        queued.jobs.cancel(run, queued.did())
        assert told_when_there_is_room(ours, run) == ["queued", "cancelled"]


def test_a_burst_of_readers_does_not_pass_the_limit(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are looked up before any is answered, so that whoever is counted only when its answer begins comes too late
    to be counted."""
    readers, limit = 12, 2
    monkeypatch.setattr(api, "MAX_STREAMS_EACH", limit)
    look, calls, gate = queued.jobs.job, count(), threading.Barrier(readers)

    def together(run: str, consumer: str) -> Any:
        if next(calls) < readers:
            gate.wait(20)
        return look(run, consumer)

    with served(queued) as ours:
        run = queued.submit()
        monkeypatch.setattr(queued.jobs, "job", together)

        def begin(_: int) -> tuple[str, Iterator[Any]]:
            events = ours.events(run)
            try:
                return next(events).state, events
            except RemoteProblem as refused:
                return refused.code, events

        with ThreadPoolExecutor(readers) as threads:
            begun = list(threads.map(begin, range(readers)))
        queued.jobs.cancel(run, queued.did())
        told = sorted([first, *(event.state for event in events)] for first, events in begun)
        assert told == [["queued", "cancelled"]] * limit + [["sandbox.too-many-readers"]] * (readers - limit)
        assert told_when_there_is_room(ours, run) == ["queued", "cancelled"]


def test_a_reader_who_goes_before_its_stream_begins_leaves_its_place(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_STREAMS_EACH", 1)
    look, looking, gone = queued.jobs.job, threading.Event(), threading.Event()

    def slowly(run: str, consumer: str) -> Any:
        looking.set()
        gone.wait(20)
        return look(run, consumer)

    with listening(queued) as port, closing(SandboxClient(f"http://127.0.0.1:{port}")) as ours:
        run = queued.submit()
        with monkeypatch.context() as patch:
            patch.setattr(queued.jobs, "job", slowly)
            with socket.create_connection(("127.0.0.1", port)) as reader:
                reader.sendall(f"GET /sandbox/jobs/{run}/events HTTP/1.1\r\nHost: clinic\r\n\r\n".encode())
                assert looking.wait(20)
            gone.set()
        queued.jobs.cancel(run, queued.did())
        assert told_when_there_is_room(ours, run) == ["queued", "cancelled"]


def test_a_stream_that_fails_leaves_its_place(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_STREAMS_EACH", 1)
    run = queued.submit()

    def failing(*_: object) -> None:
        raise Unavailable("the database is away")

    with served(queued) as ours:
        with monkeypatch.context() as patch:
            patch.setattr(queued.jobs, "events", failing)
            for _ in range(3):
                with pytest.raises(Unreachable):
                    list(ours.events(run))
        queued.jobs.cancel(run, queued.did())
        assert [event.state for event in ours.events(run)] == ["queued", "cancelled"]


def test_a_cancelled_job_says_why(queued: Queued) -> None:
    run = queued.submit()
    cancelled = client(queued).cancel(run)
    assert (cancelled.state, cancelled.reason and cancelled.reason.code) == ("cancelled", "sandbox.cancelled")
    assert [event.state for event in client(queued).events(run)] == ["queued", "cancelled"]


def test_a_stranger_sees_nothing(queued: Queued) -> None:
    run = queued.submit()
    queued.documents(consumer="other")
    stranger = client(queued, "other")
    assert stranger.jobs().jobs == ()
    for ask in (stranger.job, stranger.cancel, lambda run: list(stranger.events(run))):
        with pytest.raises(RemoteProblem) as problem:
            ask(run)
        assert (problem.value.status, problem.value.code) == (404, "sandbox.job-unknown")
    assert queued.state(run) == "queued"


@pytest.mark.parametrize("header", ["-1", "1.0", "x", "٣", "1" * 10])
def test_what_is_no_number_of_an_event_is_refused(header: str) -> None:
    with pytest.raises(Malformed):
        api.read_number(header)
