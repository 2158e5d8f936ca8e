"""Jobs on either database: each ends once, with one receipt and one charge, whatever happens to workers."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hexi.database import Database
from sandbox import execution
from sandbox.errors import (
    CountExhausted,
    DataChanged,
    IsolationUnavailable,
    JobEnded,
    JobUnknown,
    PermitInvalid,
    QueueFull,
    RunConflict,
    RunInProgress,
    RunUnknown,
)
from sandbox.isolation.stopping import Stop, Stopped
from sandbox.jobs import worker as workers
from sandbox.jobs.consumers import CANCELLED
from sandbox.jobs.scheduling import Limits
from sandbox.owners import this_process
from tests.databases import fresh_postgresql
from tests.sandbox.builders import write_visits
from tests.sandbox.jobs.builders import BY_COUNTY, Queued


def test_a_job_waits_is_executed_and_has_its_answer(queued: Queued) -> None:
    run, permit, request = queued.documents()
    job = queued.jobs.submit(permit, request)
    assert (job.run, job.state, job.consumer, queued.used()) == (run, "queued", queued.did(), 1)
    with pytest.raises(RunInProgress):
        queued.clinic.sandbox.answer(run, queued.did())
    assert (queued.worker().step(), queued.worker().step()) == (True, False)
    answer = queued.clinic.sandbox.answer(run, queued.did())
    assert answer.rows == (("Huan", 80), ("Ning", 50))
    assert queued.told(run) == ["queued", "running", "done"]
    assert (queued.used(), queued.receipts()) == (1, 1)
    assert queued.clinic.sandbox.run(permit, request) == answer  # asked for directly, it is the same run


def test_the_same_request_is_the_same_job(queued: Queued) -> None:
    run, permit, request = queued.documents()
    first = queued.jobs.submit(permit, request)
    assert queued.jobs.submit(permit, request) == first
    queued.worker().step()
    assert queued.jobs.submit(permit, request).state == "done"
    assert (queued.used(), queued.receipts(), len(queued.jobs.jobs(queued.did()))) == (1, 1, 1)
    _, permit, other = queued.documents("SELECT count(*) FROM visits", run=run)
    with pytest.raises(RunConflict):
        queued.jobs.submit(permit, other)


def test_a_run_that_was_answered_directly_becomes_a_job_that_is_done(on_sqlite: Queued) -> None:
    run, permit, request = on_sqlite.documents()
    on_sqlite.clinic.sandbox.run(permit, request)
    assert on_sqlite.jobs.submit(permit, request).state == "done"
    assert (on_sqlite.told(run), on_sqlite.used()) == (["done"], 1)


def test_what_is_known_before_data_are_touched_is_said_at_once(on_sqlite: Queued) -> None:
    run = on_sqlite.submit("SELECT person, count(*) FROM visits GROUP BY person")
    assert (on_sqlite.state(run), on_sqlite.used()) == ("done", 0)
    assert on_sqlite.clinic.sandbox.answer(run, on_sqlite.did()).verdict == "refused"
    _, _, request = on_sqlite.documents()
    with pytest.raises(PermitInvalid):
        on_sqlite.jobs.submit("junk", request)
    permit = on_sqlite.clinic.permit_jws(id="urn:uuid:permit-of-planner", runs=0)
    with pytest.raises(CountExhausted):
        on_sqlite.jobs.submit(permit, request)
    assert len(on_sqlite.jobs.jobs(on_sqlite.did())) == 1


def test_a_full_queue_refuses_and_takes_nothing(sqlite: Database, tmp_path: Path) -> None:
    queued = Queued(sqlite, tmp_path, Limits(waiting=2))
    runs = [queued.submit() for _ in range(2)]
    with pytest.raises(QueueFull):
        queued.submit()
    assert (queued.used(), [job.run for job in queued.jobs.jobs(queued.did())]) == (2, sorted(runs))
    queued.submit(consumer="other")  # the queue is full for one consumer only
    worker = queued.worker()
    assert (worker.step(), worker.step()) == (True, True)
    queued.submit()


def test_only_its_consumer_sees_a_job(on_sqlite: Queued) -> None:
    run = on_sqlite.submit()
    on_sqlite.documents(consumer="other")
    for look in (on_sqlite.jobs.job, on_sqlite.jobs.events, on_sqlite.jobs.cancel):
        with pytest.raises(JobUnknown):
            look(run, on_sqlite.did("other"))
    assert on_sqlite.jobs.jobs(on_sqlite.did("other")) == []


def test_consumers_take_turns(queued: Queued) -> None:
    for consumer in ("a", "a", "a", "a", "b", "c", "b"):
        queued.submit(consumer=consumer)
    order = []
    for _ in range(7):
        lease = queued.queue.lease(this_process())
        assert lease is not None
        order.append(
            next(job.consumer for name in "abc" for job in queued.jobs.jobs(queued.did(name)) if job.run == lease.run)
        )
        with queued.database.transaction() as session:
            queued.queue.end(session, lease, workers.JobState.DONE)
    assert [did.removeprefix("did:web:")[0] for did in order] == list("abcabaa")


def test_no_consumer_has_more_under_way_than_its_share(database: Database, tmp_path: Path) -> None:
    queued = Queued(database, tmp_path, Limits(under_way=2))
    for _ in range(4):
        queued.submit()
    leases = [queued.queue.lease(this_process()) for _ in range(3)]
    assert [lease is None for lease in leases] == [False, False, True]
    assert leases[0] is not None
    with queued.database.transaction() as session:
        queued.queue.end(session, leases[0], workers.JobState.DONE)
    assert queued.queue.lease(this_process()) is not None


def test_many_workers_lease_each_job_once(database: Database, tmp_path: Path) -> None:
    queued = Queued(database, tmp_path, Limits(under_way=1_000))
    runs = {queued.submit(consumer=consumer) for consumer in ("a", "b") for _ in range(15)}
    leased: list[str] = []

    def lease_all() -> None:
        while lease := queued.queue.lease(this_process()):
            leased.append(lease.run)

    threads = [threading.Thread(target=lease_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(leased), set(leased)) == (30, runs)


# Cancelling ----------------------------------------------------------------------------------------------------------


def test_a_job_cancelled_while_it_waits_costs_nothing(queued: Queued) -> None:
    run = queued.submit()
    job = queued.jobs.cancel(run, queued.did())
    assert (job.state, job.reason, queued.jobs.cancel(run, queued.did())) == ("cancelled", CANCELLED, job)
    assert (queued.used(), queued.receipts(), queued.worker().step()) == (0, 0, False)
    with pytest.raises(RunUnknown):
        queued.clinic.sandbox.answer(run, queued.did())


def test_a_job_cancelled_while_it_computes_is_killed_counts_and_has_a_receipt(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, worker, computing = queued.submit(), queued.worker(), threading.Event()

    def slow(*_: Any, stop: Stop, **__: Any) -> None:
        import select

        computing.set()
        assert select.select([stop], [], [], 20)[0]
        raise Stopped

    monkeypatch.setattr(execution, "run_isolated", slow)
    thread = threading.Thread(target=worker.step)
    thread.start()
    assert computing.wait(20)
    assert queued.jobs.cancel(run, queued.did()).state == "cancelled"
    worker.beat()
    thread.join(20)
    answer = queued.clinic.sandbox.answer(run, queued.did())
    assert (answer.verdict, [reason.code for reason in answer.reasons]) == ("refused", ["sandbox.cancelled"])
    assert (queued.used(), queued.receipts(), queued.told(run)) == (1, 1, ["queued", "running", "cancelled"])


def test_a_job_cancelled_at_the_last_moment_releases_nothing(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole = queued.submit(), execution.run_isolated

    def cancelled_meanwhile(*args: Any, **options: Any) -> Any:
        computed = whole(*args, **options)
        queued.jobs.cancel(run, queued.did())
        return computed

    monkeypatch.setattr(execution, "run_isolated", cancelled_meanwhile)
    queued.worker().step()
    assert queued.clinic.sandbox.answer(run, queued.did()).rows == ()
    assert (queued.state(run), queued.receipts(), queued.used()) == ("cancelled", 1, 1)


def test_a_job_that_has_its_answer_keeps_it(queued: Queued) -> None:
    run = queued.submit()
    queued.worker().step()
    with pytest.raises(JobEnded):
        queued.jobs.cancel(run, queued.did())
    assert (queued.state(run), queued.receipts()) == ("done", 1)


def test_cancelling_and_leasing_at_once_end_in_one_of_two_ways(database: Database, tmp_path: Path) -> None:
    queued = Queued(database, tmp_path)
    runs = [queued.submit() for _ in range(6)]

    def cancel_all() -> None:
        for run in runs:
            with contextlib.suppress(JobEnded):
                queued.jobs.cancel(run, queued.did())

    worker = queued.worker()

    def execute_all() -> None:
        while worker.step():
            pass

    threads = [threading.Thread(target=step) for step in (cancel_all, execute_all, execute_all)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = 0
    for run in runs:
        told = queued.told(run)
        assert told in (["queued", "running", "done"], ["queued", "running", "cancelled"], ["queued", "cancelled"])
        counted += "running" in told
    assert (queued.used(), queued.receipts()) == (counted, counted)


# What cannot be executed ---------------------------------------------------------------------------------------------


def test_what_a_host_cannot_do_is_tried_again_later_and_then_undone(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued.submit()

    def unavailable(*_: Any, **__: Any) -> None:
        raise IsolationUnavailable("there is no bubblewrap")

    monkeypatch.setattr(execution, "run_isolated", unavailable)
    worker = queued.worker()
    assert (worker.step(), worker.step()) == (True, False)  # not at once
    for seconds in (2, 4):
        queued.clock.advance(seconds=seconds)
        assert worker.step()
    job = queued.jobs.job(run, queued.did())
    assert (job.state, job.attempts) == ("failed", 3)
    assert job.reason is not None
    assert job.reason.code == "sandbox.isolation-unavailable"
    assert (queued.used(), queued.receipts()) == (0, 0)


def test_what_cannot_be_done_anywhere_fails_at_once_and_is_undone(queued: Queued) -> None:
    first, second = queued.submit(), queued.submit("SELECT count(*) FROM visits")
    queued.worker().step()
    write_visits(queued.clinic.file, [("Huan", 41), ("Ning", 25)])
    queued.worker().step()
    states = {queued.state(first), queued.state(second)}
    assert states <= {"done", "failed"}
    _, permit, request = queued.documents("SELECT smoker, count(*) FROM visits GROUP BY smoker")
    with pytest.raises(DataChanged):
        queued.jobs.submit(permit, request)


def test_a_revoked_permit_is_not_executed_any_more(on_sqlite: Queued) -> None:
    run = on_sqlite.submit()
    with on_sqlite.database.transaction() as session:
        on_sqlite.clinic.sandbox.revoke(session, "urn:uuid:permit-of-planner", "the agreement was terminated")
    on_sqlite.worker().step()
    job = on_sqlite.jobs.job(run, on_sqlite.did())
    assert (job.state, job.reason and job.reason.code) == ("failed", "sandbox.permit-revoked")
    assert (on_sqlite.used(), on_sqlite.receipts()) == (0, 0)


def test_a_started_worker_is_woken_and_gives_back_what_it_cannot_end(
    on_sqlite: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing = threading.Event()

    def slow(*_: Any, stop: Stop, **__: Any) -> None:
        import select

        computing.set()
        assert select.select([stop], [], [], 20)[0]
        raise Stopped

    monkeypatch.setattr(execution, "run_isolated", slow)
    worker = on_sqlite.worker(jobs=1)
    worker.start()
    run = on_sqlite.submit(BY_COUNTY)
    worker.wake()
    assert computing.wait(20)
    worker.stop()
    assert (on_sqlite.state(run), on_sqlite.told(run)) == ("queued", ["queued", "running", "queued"])


def test_whoever_looks_for_a_turn_holds_no_other(postgresql_url: str, tmp_path: Path) -> None:
    """A past fault: two workers, each holding a turn with nothing due, waited for each other's; one was thrown out."""
    with fresh_postgresql(postgresql_url) as url:
        database = Database(url)
        queued = Queued(database, tmp_path)
        for consumer in ("a", "b"):
            queued.submit(consumer=consumer)
            lease = queued.queue.lease(this_process())
            assert lease is not None
            with database.transaction() as session:
                queued.queue.put_back(session, lease, workers.LEASE_LOST, timedelta(hours=1))
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(queued.queue.lease, [this_process()] * 200))
        assert found == [None] * 200
        database.dispose()
