"""Jobs followed through the consumer's connector: over real sockets, where streams flow, and against hostile ones."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from connector.client import ConnectorClient
from connector.management import following
from connector.management.following import Following
from connector.management.token import management_token
from connector.protocol.errors import CallbackRefused
from hexi import client
from hexi.client import Unreachable
from hexi.errors import RemoteProblem
from sandbox.jobs import api as provider_api
from sandbox.messages import JobEvent
from tests.simulator import HOSPITAL, Dataspace
from tests.sockets import STREAM, Way, peer, served

BY_SEX = "SELECT sex, count(*) AS n FROM visits GROUP BY sex"
RUN, UNKNOWN = (f"urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-{n:012d}" for n in (1, 9))
QUEUED = JobEvent(number=1, state="queued", attempt=0, at="2026-11-26T08:00:00.000Z").written()


@contextmanager
def on_sockets(dataspace: Dataspace) -> Iterator[ConnectorClient]:
    """The consumer's client, with real sockets between it, its connector and the provider."""
    with ExitStack() as held:
        way = Way(held.enter_context(served(dataspace.provider.app)))
        held.callback(way.close)
        dataspace.network.lead(HOSPITAL, way)
        url = held.enter_context(served(dataspace.consumer.app))
        ours = ConnectorClient(url, management_token(dataspace.home / "planner"))
        held.callback(ours.close)
        yield ours


def queued(dataspace: Dataspace) -> str:
    """The transfer of a job that waits."""
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    transfer = dataspace.transfer(agreement).id
    dataspace.consumer.client.jobs.submit(transfer, BY_SEX, run=RUN)
    return transfer


def test_what_happens_is_told_as_it_happens(dataspace: Dataspace) -> None:
    transfer = queued(dataspace)
    with on_sockets(dataspace) as ours:
        events = ours.jobs.events(transfer, RUN)
        assert next(events).state == "queued"
        assert dataspace.provider.app.state.computing.worker.step()  # while the stream is open
        assert [(event.number, event.state, event.attempt) for event in events] == [(2, "running", 1), (3, "done", 1)]
        seen: list[JobEvent] = []
        done = ours.jobs.wait(transfer, RUN, seen.append)
        assert done.answer is not None
        assert (done.answer.rows, [event.number for event in seen]) == ((("f", 100), ("m", 100)), [1, 2, 3])
        assert [event.number for event in ours.jobs.events(transfer, RUN, after=2)] == [3]


def test_who_may_not_follow_is_told_so_and_not_by_a_broken_stream(dataspace: Dataspace) -> None:
    transfer = queued(dataspace)
    jobs = dataspace.consumer.client.jobs
    for asked, code in (
        (jobs.events(transfer, UNKNOWN), "connector.run-unknown"),
        (jobs.events(UNKNOWN, RUN), "connector.process-unknown"),
        (jobs.events(transfer, RUN, after=10**10), "hexi.malformed"),
    ):
        with pytest.raises(RemoteProblem) as problem:
            next(asked)
        assert problem.value.code == code


def test_few_are_followed_at_once_and_whoever_leaves_makes_room(
    dataspace: Dataspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_api, "HEARTBEAT_SECONDS", provider_api.LOOK_SECONDS)
    transfer = queued(dataspace)
    with on_sockets(dataspace) as ours:
        followed = [ours.jobs.events(transfer, RUN) for _ in range(8)]
        assert [next(events).state for events in followed] == ["queued"] * 8
        with pytest.raises(RemoteProblem) as refused:
            next(ours.jobs.events(transfer, RUN))
        assert (refused.value.status, refused.value.code) == (429, "sandbox.too-many-readers")
        assert ours.status().products == 0  # all that time requests are answered
        for events in followed:
            events.close()
        assert came_free(ours, transfer)
        dataspace.consumer.client.jobs.cancel(transfer, RUN)


def came_free(ours: ConnectorClient, transfer: str) -> bool:
    """Whether another one may follow: both ends notice in their own time that a reader has gone."""
    for _ in range(200):
        try:
            return next(ours.jobs.events(transfer, RUN)).state == "queued"
        except RemoteProblem:
            time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("first", "on", "every"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X", 0.02, id="a header a byte now and then"),
        pytest.param(STREAM, b": still here, said slowly", 0.02, id="a comment without an end"),
        pytest.param(STREAM, b"event: x\n", 0.02, id="lines without an event"),
        pytest.param(STREAM, b"data: {}\n\n", 0.0, id="what is no event"),
        pytest.param(STREAM, b"data: {\n\n", 0.0, id="what is no JSON"),
        pytest.param(STREAM, QUEUED, 0.0, id="events without an end"),
    ],
)
def test_a_provider_holds_nobody_who_follows(
    monkeypatch: pytest.MonkeyPatch, first: bytes, on: bytes, every: float
) -> None:
    monkeypatch.setattr(following, "LINE_SECONDS", 0.4)
    monkeypatch.setattr(client, "MAX_STREAM_BYTES", 200_000)
    reader = Following(lambda _: "Bearer x", unsafe_allow_loopback=True)
    with peer(first, on=on, every=every) as provider:
        told = reader.events("did:web:hospital.example", provider.url, RUN, 0)
        with pytest.raises(Unreachable):
            for _ in told:
                pass
    assert provider.hung_up


def test_a_provider_that_leads_elsewhere_is_not_followed() -> None:
    guarded = Following(lambda _: "Bearer x", unsafe_allow_loopback=False)
    with pytest.raises(CallbackRefused):
        next(guarded.events("did:web:hospital.example", "https://127.0.0.1:9", RUN, 0))
