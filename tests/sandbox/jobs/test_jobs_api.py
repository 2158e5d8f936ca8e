"""The queue over HTTP in memory: what is sent, shown, cancelled and told as it happens."""

from pathlib import Path

import httpx
import pytest

from hexi.database import Database
from hexi.errors import Malformed, RemoteProblem
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from sandbox.client import SandboxClient
from sandbox.jobs import api
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
