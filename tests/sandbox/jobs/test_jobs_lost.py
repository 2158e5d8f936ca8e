"""Workers that are lost: their jobs are taken over, end once, and give nothing back that may have been read."""

from collections.abc import Callable
from typing import Any

import pytest

from privacy.homomorphic import new_job
from sandbox import execution
from sandbox.errors import IsolationUnavailable, ProductUnusable
from sandbox.isolation.stopping import Stop, Stopped
from sandbox.jobs import worker as workers
from sandbox.jobs.consumers import Jobs
from sandbox.messages import to_base64
from sandbox.owners import this_process
from sandbox.permits import seal_permit
from tests.sandbox.builders import used
from tests.sandbox.jobs.builders import Queued
from tests.sandbox.test_sums import CLINICS, Point

ELSEWHERE = "elsewhere/1/1"


def elsewhere(monkeypatch: pytest.MonkeyPatch, name: str = ELSEWHERE) -> None:
    """From here on workers say that they run on another host, of which nobody here knows whether it lives."""
    monkeypatch.setattr(workers, "this_process", lambda: name)


def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Computing kills its worker as SIGKILL would; what comes back makes it compute again."""
    whole = execution.run_isolated

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "run_isolated", killed)
    return lambda: monkeypatch.setattr(execution, "run_isolated", whole)


def left_behind(queued: Queued, monkeypatch: pytest.MonkeyPatch, name: str = ELSEWHERE) -> str:
    """A job over which a worker of this `name` died while it computed; its run. Computing works again."""
    run = queued.submit()
    elsewhere(monkeypatch, name)
    revive = dying(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        queued.worker().step()
    revive()
    return run


@pytest.mark.parametrize("moment", ["before it ran out", "after it ran out"])
def test_a_lease_is_taken_over_when_it_has_run_out(
    queued: Queued, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    run = left_behind(queued, monkeypatch)
    queued.clock.advance(seconds=29 if moment == "before it ran out" else 30)
    other = queued.worker()
    if moment == "before it ran out":
        assert (other.reclaim(), other.step(), queued.state(run)) == (0, False, "running")
        return
    assert (other.reclaim(), other.reclaim(), other.step()) == (1, 0, True)
    assert queued.told(run) == ["queued", "running", "queued", "running", "done"]
    assert (queued.used(), queued.receipts()) == (1, 1)


def test_a_dead_process_of_this_host_is_known_at_once(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    host = this_process().partition("/")[0]
    run = left_behind(queued, monkeypatch, f"{host}/1/never")
    worker = queued.worker()
    assert (worker.reclaim(), worker.step(), queued.state(run)) == (1, True, "done")


def test_a_worker_that_comes_back_too_late_changes_nothing(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole = queued.submit(), execution.run_isolated
    elsewhere(monkeypatch)

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(execution, "run_isolated", whole)
        queued.clock.advance(seconds=31)
        other = queued.worker()
        assert (other.reclaim(), other.step()) == (1, True)
        return whole(*args, **options)

    monkeypatch.setattr(execution, "run_isolated", overtaken)
    assert queued.worker().step()
    assert queued.told(run) == ["queued", "running", "queued", "running", "done"]
    assert (queued.used(), queued.receipts()) == (1, 1)


def test_heartbeats_hold_a_lease_and_a_lost_one_stops_the_computation(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, worker = queued.submit(), queued.worker()
    elsewhere(monkeypatch)
    noticed = []

    def slow(*_: Any, stop: Stop, **__: Any) -> None:
        import select

        for _beat in range(5):
            queued.clock.advance(seconds=20)
            worker.beat()
            assert queued.worker().reclaim() == 0
        queued.clock.advance(seconds=31)  # no beat came through for longer than the lease
        assert queued.worker().reclaim() == 1
        worker.beat()
        noticed.append(bool(select.select([stop], [], [], 0)[0]))
        raise Stopped

    monkeypatch.setattr(execution, "run_isolated", slow)
    worker.step()
    assert (noticed, queued.state(run)) == ([True], "queued")


def test_a_job_that_takes_every_worker_down_is_given_up_with_a_receipt(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued.submit()
    elsewhere(monkeypatch)
    dying(monkeypatch)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            queued.worker().step()
        queued.clock.advance(seconds=31)
        assert queued.worker().reclaim() == 1
    assert queued.worker().step() is False
    job = queued.jobs.job(run, queued.did())
    assert (job.state, job.attempts, job.reason) == ("failed", 3, workers.GIVEN_UP)
    answer = queued.clinic.sandbox.answer(run, queued.did())
    assert [reason.code for reason in answer.reasons] == ["sandbox.given-up"]
    assert (queued.used(), queued.receipts()) == (1, 1)


@pytest.mark.parametrize("error", [IsolationUnavailable("there is no bubblewrap"), ProductUnusable("no such table")])
def test_what_an_earlier_attempt_may_have_read_is_not_given_back(
    queued: Queued, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run = left_behind(queued, monkeypatch)
    queued.clock.advance(seconds=31)

    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(execution, "run_isolated", failing)
    worker = queued.worker()
    assert worker.reclaim() == 1
    for _ in range(2):
        worker.step()
        queued.clock.advance(seconds=4)
    assert queued.state(run) == "failed"
    assert (queued.used(), queued.receipts()) == (1, 1)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_number_that_may_have_been_sent_arrives_unless_its_permit_is_taken_back(
    queued: Queued, monkeypatch: pytest.MonkeyPatch, revoked: bool
) -> None:
    point, key = Point(), new_job()
    clinic, point.answers = queued.clinic, False
    clinic.contribute = point
    queued.jobs = Jobs(queued.database, queue := queued.queue, clinic.again(), queued.clock)
    permit = seal_permit(clinic.permit(), clinic.identity.key, clinic.identity.kid)
    request = clinic.sum_request("SELECT sum(cost) FROM visits", CLINICS, key.public_context)
    run = queued.jobs.submit(permit, request, to_base64(key.public_context)).run
    for _ in range(4):  # one more than a job without a number gets
        assert queued.worker().step()
        queued.clock.advance(seconds=31)
    assert queued.state(run) == "queued"
    point.answers = True
    if revoked:
        with queued.database.transaction() as session:
            clinic.sandbox.revoke(session, "urn:uuid:permit", "the agreement was terminated")
    assert queued.worker().step()
    assert queue.lease("nobody") is None
    answer = clinic.sandbox.answer(run, queued.did())
    assert (queued.state(run), answer.verdict) == (("failed", "refused") if revoked else ("done", "released"))
    assert [reason.code for reason in answer.reasons] == ["sandbox.perhaps-sent"] * revoked
    assert (len(point.received), used(clinic), queued.receipts()) == (not revoked, 1, 1)
