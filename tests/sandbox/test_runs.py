"""Runs: exactly once, charged once, one receipt, and nothing too close to what was released before."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest
from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Kind
from sandbox import execution, owners, runs
from sandbox.errors import (
    CountExhausted,
    DataChanged,
    IsolationUnavailable,
    JobFailed,
    PermitExpired,
    PermitInvalid,
    PermitRevoked,
    QueryOutsidePermit,
    RequestInvalid,
    RunConflict,
    RunInProgress,
    RunUnknown,
)
from sandbox.permits import seal_permit
from sandbox.queries.review import SUM_MODE
from sandbox.requests import seal_request
from sandbox.states import TRANSITIONS, State, next_state
from tests.sandbox.builders import Clinic, codes, identity, used, write_visits

BY_COUNTY = "SELECT county, count(*) AS n FROM visits GROUP BY county"
SUM = "SELECT sum(cost) FROM visits"


@pytest.fixture
def clinic(sqlite: Database, tmp_path: Path) -> Clinic:
    sqlite.migrate("sandbox")
    return Clinic(sqlite, tmp_path)


def crash(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Callable[[], None]:
    """Make one call die as a killed process would; what comes back brings it to life again."""
    whole = getattr(module, name)

    def dying(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, dying)
    return lambda: monkeypatch.setattr(module, name, whole)


def test_a_release_its_receipt_and_its_evidence(database: Database, tmp_path: Path) -> None:
    database.migrate("sandbox")
    clinic = Clinic(database, tmp_path)
    request = clinic.request(BY_COUNTY)
    answer = clinic.sandbox.run(clinic.permit_jws(), seal_request(request, clinic.planner.key, clinic.planner.kid))
    assert (answer.verdict, answer.columns) == ("released", ("county", "n"))
    assert answer.rows == (("Huan", 80), ("Ning", 50))
    clinic.people.add(clinic.identity)
    signed = SignedDocument.from_json(answer.receipt)
    receipt = verify_document(signed, clinic.people.resolve, of_type="run-receipt")
    assert receipt["output"] == digest({"columns": ["county", "n"], "rows": [["Huan", 80], ["Ning", 50]]})
    assert receipt["request"] == request.digest
    assert receipt["isolation"]["level"] in {0, 1, 2, 3}
    assert receipt["disclosure"] == {"minimumEntities": 10, "rounding": 5}
    assert receipt["requestedAt"] == "2026-11-23T08:00:00.000Z"
    [(kind, subject, document, facts)] = clinic.evidence.entries
    assert (kind, subject, document) == (Kind.RUN_COMPLETED, request.run, signed.digest)
    assert facts == {
        "order": "urn:uuid:order",
        "agreement": "urn:uuid:agreement",
        "permit": "urn:uuid:permit",
        "product": "p",
        "units": 1,
        "outcome": "released",
        "request": request.digest,
    }
    assert used(clinic) == 1


def test_a_query_that_may_not_be_asked_is_refused_uncounted_and_unpaid(clinic: Clinic) -> None:
    answer = clinic.ask("SELECT person, count(*) FROM visits GROUP BY person")
    assert (answer.verdict, answer.columns, answer.rows) == ("refused", (), ())
    assert "sandbox.singling-out" in codes(answer)
    document = answer.receipt["document"]
    assert (document["outcome"], document["output"], document["dataDigest"]) == ("refused", None, None)
    assert used(clinic) == 0
    assert clinic.evidence.entries[0][3]["units"] == 0


def test_the_same_run_again_is_the_same_answer_charged_once(clinic: Clinic) -> None:
    request = clinic.request_jws(BY_COUNTY)
    first = clinic.sandbox.run(clinic.permit_jws(), request)
    assert clinic.sandbox.run(clinic.permit_jws(), request) == first
    assert clinic.again().run(clinic.permit_jws(), request) == first
    assert (used(clinic), len(clinic.evidence.entries)) == (1, 1)


def test_the_same_run_id_with_another_query_is_a_conflict(clinic: Clinic) -> None:
    run = "urn:uuid:00000000-0000-4000-8000-000000000001"
    clinic.ask(BY_COUNTY, run=run)
    with pytest.raises(RunConflict):
        clinic.ask("SELECT count(*) FROM visits", run=run)
    assert used(clinic) == 1


def test_a_count_that_is_exhausted_changes_nothing(clinic: Clinic) -> None:
    permit = clinic.permit_jws(runs=2)
    for query in (BY_COUNTY, "SELECT smoker, count(*) FROM visits GROUP BY smoker"):
        assert clinic.sandbox.run(permit, clinic.request_jws(query)).verdict == "released"
    refused = clinic.request(BY_COUNTY)
    with pytest.raises(CountExhausted):
        clinic.sandbox.run(permit, seal_request(refused, clinic.planner.key, clinic.planner.kid))
    assert (used(clinic), len(clinic.evidence.entries)) == (2, 2)
    with pytest.raises(RunUnknown):
        clinic.sandbox.answer(refused.run, clinic.planner.did)


def test_a_revoked_permit_runs_nothing(clinic: Clinic) -> None:
    with clinic.database.transaction() as session:
        clinic.sandbox.revoke(session, "urn:uuid:permit", "the agreement was terminated")
    for query in (BY_COUNTY, "SELECT * FROM visits"):
        with pytest.raises(PermitRevoked):
            clinic.ask(query)
    assert clinic.evidence.entries == []


PERMITS: list[tuple[type[DataspaceError], dict[str, Any]]] = [
    (PermitExpired, {"expires": "2026-11-23T08:00:00.000Z"}),
    (PermitExpired, {"not_before": "2026-11-24T00:00:00.000Z"}),
    (PermitInvalid, {"product_digest": "sha256:other"}),
    (RequestInvalid, {"holder": "did:web:somebody.example"}),
    (RequestInvalid, {"id": "urn:uuid:another"}),
    (QueryOutsidePermit, {"operations": ()}),
    (QueryOutsidePermit, {"operations": (SUM_MODE,)}),
    (QueryOutsidePermit, {"purpose": "research"}),
    (CountExhausted, {"runs": 0}),
]


@pytest.mark.parametrize(("error", "changes"), PERMITS)
def test_a_permit_that_does_not_fit_is_refused(
    clinic: Clinic, error: type[DataspaceError], changes: dict[str, Any]
) -> None:
    with pytest.raises(error):
        clinic.sandbox.run(clinic.permit_jws(**changes), clinic.request_jws(BY_COUNTY))
    assert clinic.evidence.entries == []


def test_a_permit_by_anybody_else_is_refused(clinic: Clinic) -> None:
    stranger = identity("stranger")
    clinic.people.add(stranger)
    permit = clinic.permit().payload()
    for jws in (
        stranger.key.sign(permit, typ="hexi-permit+jws", kid=stranger.kid),
        stranger.key.sign(permit, typ="hexi-permit+jws", kid=clinic.identity.kid),
        clinic.identity.key.sign(permit, typ="hexi-order+jws", kid=clinic.identity.kid),
        clinic.identity.key.sign({**permit, "extra": 1}, typ="hexi-permit+jws", kid=clinic.identity.kid),
        "junk",
        "a.b.c",
    ):
        with pytest.raises(PermitInvalid):
            clinic.sandbox.run(jws, clinic.request_jws(BY_COUNTY))
    with pytest.raises(PermitInvalid):
        seal_permit(clinic.permit(), stranger.key, stranger.kid)


def test_a_request_by_anybody_else_is_refused(clinic: Clinic) -> None:
    payload = clinic.request(BY_COUNTY).payload()
    planner, stranger = clinic.planner, identity("stranger")
    clinic.people.add(stranger)
    for jws in (
        stranger.key.sign(payload, typ="hexi-run-request+jws", kid=stranger.kid),
        stranger.key.sign(payload, typ="hexi-run-request+jws", kid=planner.kid),
        planner.key.sign(payload, typ="hexi-permit+jws", kid=planner.kid),
        planner.key.sign({**payload, "run": "1"}, typ="hexi-run-request+jws", kid=planner.kid),
        planner.key.sign({**payload, "at": "now"}, typ="hexi-run-request+jws", kid=planner.kid),
        "junk",
    ):
        with pytest.raises(RequestInvalid):
            clinic.sandbox.run(clinic.permit_jws(), jws)


# Exactly once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before the job", "before the answer is written"])
@pytest.mark.parametrize("by", ["asking again", "recovering"])
def test_an_orphan_is_executed_again_with_one_charge_and_one_receipt(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, by: str
) -> None:
    database.migrate("sandbox")
    clinic = Clinic(database, tmp_path)
    request = clinic.request(BY_COUNTY)
    jws = seal_request(request, clinic.planner.key, clinic.planner.kid)
    revive = crash(monkeypatch, *((execution, "run_isolated") if moment == "before the job" else (runs, "run_receipt")))
    with pytest.raises(KeyboardInterrupt):
        clinic.sandbox.run(clinic.permit_jws(), jws)
    revive()
    with pytest.raises(RunInProgress):
        clinic.sandbox.answer(request.run, clinic.planner.did)
    other = clinic.again()
    if by == "recovering":
        assert (other.recover(), other.recover()) == (1, 0)
    answer = other.run(clinic.permit_jws(), jws)
    assert answer.rows == (("Huan", 80), ("Ning", 50))
    assert other.answer(request.run, clinic.planner.did) == answer
    assert (used(clinic), len(clinic.evidence.entries)) == (1, 1)


def test_the_run_of_a_living_process_is_not_taken_over(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    jws = clinic.request_jws(BY_COUNTY)
    revive = crash(monkeypatch, execution, "run_isolated")
    monkeypatch.setattr(runs, "this_process", lambda: f"{os.uname().nodename}/1/{owners.is_alive.__module__}")
    with pytest.raises(KeyboardInterrupt):
        clinic.sandbox.run(clinic.permit_jws(), jws)
    revive()
    monkeypatch.undo()
    monkeypatch.setattr(owners, "is_alive", lambda _: True)
    with pytest.raises(RunInProgress):
        clinic.again().run(clinic.permit_jws(), jws)
    assert clinic.again().recover() == 0
    monkeypatch.undo()
    assert clinic.again().recover() == 1


def test_two_threads_with_one_run_execute_it_once(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    jws, inside, goes_on = clinic.request_jws(BY_COUNTY), threading.Event(), threading.Event()
    really = execution.run_isolated

    def slow(*args: Any, **kwargs: Any) -> Any:
        inside.set()
        assert goes_on.wait(20)
        return really(*args, **kwargs)

    monkeypatch.setattr(execution, "run_isolated", slow)
    thread = threading.Thread(target=clinic.sandbox.run, args=(clinic.permit_jws(), jws))
    thread.start()
    assert inside.wait(20)
    with pytest.raises(RunInProgress):
        clinic.sandbox.run(clinic.permit_jws(), jws)
    assert clinic.sandbox.recover() == 0
    goes_on.set()
    thread.join(20)
    assert clinic.sandbox.run(clinic.permit_jws(), jws).verdict == "released"
    assert len(clinic.evidence.entries) == 1


def test_what_fails_before_data_are_touched_is_undone(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    jws = clinic.request_jws(BY_COUNTY)

    def unavailable(*_: Any, **__: Any) -> None:
        raise IsolationUnavailable("there is no bubblewrap")

    with monkeypatch.context() as patch:
        patch.setattr(execution, "run_isolated", unavailable)
        with pytest.raises(IsolationUnavailable):
            clinic.sandbox.run(clinic.permit_jws(), jws)
    assert (used(clinic), clinic.evidence.entries) == (0, [])
    assert clinic.sandbox.run(clinic.permit_jws(), jws).verdict == "released"
    assert used(clinic) == 1


def test_isolation_that_nobody_has_is_refused_before_the_data(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    clinic = Clinic(sqlite, tmp_path, minimumIsolation=3)
    with pytest.raises(IsolationUnavailable):
        clinic.ask(BY_COUNTY)
    assert used(clinic) == 0


def test_a_job_that_fails_is_one_reason_without_data_and_counts(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise JobFailed("Could not convert string 'Alice Lone' to INT32")

    monkeypatch.setattr(execution, "run_isolated", failing)
    answer = clinic.ask(BY_COUNTY)
    assert (answer.verdict, codes(answer)) == ("refused", ["sandbox.job-failed"])
    assert "Alice" not in str(answer.to_json())
    assert (used(clinic), clinic.evidence.entries[0][3]["units"]) == (1, 0)


def test_a_file_that_is_no_table_fails_like_any_other_job(clinic: Clinic) -> None:
    clinic.file.write_bytes(b"\x00\xff\n" * 100)
    assert codes(clinic.ask(BY_COUNTY)) == ["sandbox.job-failed"]


@pytest.mark.parametrize("state", State)
def test_a_run_ends_once(state: State) -> None:
    for wanted in State:
        if wanted in TRANSITIONS[state]:
            assert next_state(state, wanted) is wanted
        else:
            with pytest.raises(RunConflict):
                next_state(state, wanted)


def test_only_the_holder_reads_the_answer(clinic: Clinic) -> None:
    answer = clinic.ask(BY_COUNTY)
    assert clinic.sandbox.answer(answer.run, clinic.planner.did) == answer
    with pytest.raises(RunUnknown):
        clinic.sandbox.answer(answer.run, "did:web:somebody.example")


# Differencing --------------------------------------------------------------------------------------------------------


def test_an_answer_that_differs_by_nine_persons_from_an_earlier_one_is_refused_and_counts(clinic: Clinic) -> None:
    everybody, without_nine = "SELECT count(*) FROM visits", "SELECT count(*) FROM visits WHERE county <> 'Zhengning'"
    assert clinic.ask(everybody).verdict == "released"
    answer = clinic.ask(without_nine)
    assert codes(answer) == ["sandbox.too-close-to-earlier"]
    assert answer.rows == ()
    assert (used(clinic), clinic.evidence.entries[1][3]["units"]) == (2, 0)
    assert clinic.ask("SELECT count(*) FROM visits WHERE county = 'Huan'").verdict == "released"


def test_what_another_consumer_learned_counts_too(clinic: Clinic) -> None:
    assert clinic.ask("SELECT count(*) FROM visits").verdict == "released"
    other = identity("other")
    clinic.people.add(other)
    permit = clinic.permit_jws(id="urn:uuid:theirs", holder=other.did)
    request = clinic.request("SELECT count(*) FROM visits WHERE county <> 'Zhengning'", permit="urn:uuid:theirs")
    answer = clinic.again().run(permit, seal_request(request, other.key, other.kid))
    assert codes(answer) == ["sandbox.too-close-to-earlier"]


def test_the_same_question_is_answered_from_the_stored_release(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    first = clinic.ask(BY_COUNTY)
    crash(monkeypatch, execution, "run_isolated")
    again = clinic.ask("select county , COUNT(*) n from visits v group by v.county")
    assert again.rows == first.rows
    assert again.run != first.run
    assert again.receipt["document"]["output"] == first.receipt["document"]["output"]
    assert (used(clinic), [entry[3]["units"] for entry in clinic.evidence.entries]) == (2, [1, 1])


def test_sums_are_compared_with_sums_and_counts_with_counts(clinic: Clinic) -> None:
    # Seven persons have no cost: the sum's persons differ by seven from the count's, which is no difference of answers.
    assert clinic.ask("SELECT count(*), sum(cost) FROM visits").verdict == "released"
    assert clinic.ask("SELECT sum(cost), avg(cost) FROM visits").verdict == "released"


def test_data_that_change_under_a_version_are_refused(clinic: Clinic) -> None:
    assert clinic.ask(BY_COUNTY).verdict == "released"
    write_visits(clinic.file, [("Huan", 41), ("Ning", 25)])
    with pytest.raises(DataChanged):
        clinic.ask("SELECT smoker, count(*) FROM visits GROUP BY smoker")
    assert used(clinic) == 1


# What was interrupted is checked again ------------------------------------------------------------------------------


def interrupted(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The run and the request of a process that died when it was about to read data, or later."""
    request = clinic.request(BY_COUNTY)
    jws = seal_request(request, clinic.planner.key, clinic.planner.kid)
    revive = crash(monkeypatch, execution, "run_isolated")
    with pytest.raises(KeyboardInterrupt):
        clinic.sandbox.run(clinic.permit_jws(), jws)
    revive()
    return request.run, jws


@pytest.mark.parametrize("by", ["asking again", "recovering"])
def test_a_run_whose_permit_was_revoked_meanwhile_is_not_taken_up_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    database.migrate("sandbox")
    clinic = Clinic(database, tmp_path)
    run, jws = interrupted(clinic, monkeypatch)
    with database.transaction() as session:
        clinic.sandbox.revoke(session, "urn:uuid:permit", "the agreement was terminated")
    crash(monkeypatch, execution, "run_isolated")  # nothing may be computed any more
    other = clinic.again()
    answer = other.run(clinic.permit_jws(), jws) if by == "asking again" else None
    assert other.recover() == 0
    again = other.answer(run, clinic.planner.did)
    assert (again.verdict, codes(again), again.rows) == ("refused", ["sandbox.permit-revoked"], ())
    assert answer is None or answer == again
    assert (used(clinic), len(clinic.evidence.entries)) == (1, 1)


def test_a_run_that_may_have_read_data_is_not_given_back(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    run, jws = interrupted(clinic, monkeypatch)

    def unavailable(*_: Any, **__: Any) -> None:
        raise IsolationUnavailable("there is no bubblewrap")

    with monkeypatch.context() as patch:
        patch.setattr(execution, "run_isolated", unavailable)
        other = clinic.again()
        assert other.recover() == 0
        with pytest.raises(IsolationUnavailable):
            other.run(clinic.permit_jws(), jws)
        assert used(clinic) == 1
    assert other.recover() == 1
    assert (other.answer(run, clinic.planner.did).verdict, used(clinic)) == ("released", 1)


def test_a_run_whose_data_changed_while_they_were_read_counts(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = execution.run_isolated

    def changing(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        write_visits(clinic.file, [("Huan", 41), ("Ning", 25)])
        return found

    monkeypatch.setattr(execution, "run_isolated", changing)
    answer = clinic.ask(BY_COUNTY)
    assert (codes(answer), used(clinic)) == (["sandbox.data-changed"], 1)
