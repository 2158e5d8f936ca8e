"""Held outputs: sealed, reviewed, ended once, whatever dies in between."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest, encode
from hexi.database import Database
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Kind
from sandbox.airlock.decisions import Decision, Reviewer
from sandbox.airlock.sealing import seal, unseal
from sandbox.airlock.states import ReviewState
from sandbox.errors import (
    AirlockUnavailable,
    ReviewEnded,
    ReviewerExcluded,
    ReviewerTaken,
    ReviewerUnknown,
    ReviewUnknown,
    RunUnknown,
    VotedAlready,
)
from sandbox.lane import End, Hold, Result, Work
from sandbox.lanes.tables import TableLane
from sandbox.messages import RunAnswer
from sandbox.runs import Sandbox
from sandbox.settings import SandboxSettings
from tests.sandbox.builders import Clinic

BY_COUNTY = "SELECT county, count(*) AS n FROM visits GROUP BY county"
YES, NO = Decision.APPROVE, Decision.REJECT


class HoldingLane(TableLane):
    """The controlled lane, with people looking at every answer."""

    def finish(self, work: Work[Any], computed: Result, end: End[Any]) -> RunAnswer:
        hold = Hold(({"rule": "minimum-entities", "passed": True, "says": "10 and more"},), {"tables": ["visits"]})
        return super().finish(
            work, computed, lambda session, work, result: end(session, work, replace(result, hold=hold))
        )


class Held(Clinic):
    """A clinic whose answers are all held, and its two reviewers."""

    secret = b"k" * 32

    def again(self) -> Sandbox:
        sandbox = Sandbox(
            self.database,
            self.identity,
            self.people,
            lambda *_: self.dataset,
            self.evidence,
            self.clock,
            key=self.secret,
        )
        sandbox._lanes.__dict__["_table_lane"] = HoldingLane(self.database, SandboxSettings())
        return sandbox

    @property
    def wang(self) -> Reviewer:
        return Reviewer("wang", self.identity.did)

    @property
    def li(self) -> Reviewer:
        return Reviewer("li", "did:web:university.example", frozenset({"p"}))

    def hold(self) -> str:
        """The id of a run that is held."""
        request = self.request(BY_COUNTY)
        answer = self.send(request)
        assert (answer.verdict, answer.rows, answer.outputs, answer.receipt) == ("held", (), (), None)
        assert [reason.code for reason in answer.reasons] == ["sandbox.held-for-review"]
        return request.run

    def send(self, request: Any) -> Any:
        from sandbox.requests import seal_request

        signed = seal_request(request, self.planner.key, self.planner.kid)
        return self.sandbox.run(self.permit_jws(), signed)

    def answer(self, run: str) -> Any:
        return self.sandbox.answer(run, self.planner.did)

    def kinds(self) -> list[Kind]:
        return [kind for kind, *_ in self.evidence.entries]


@pytest.fixture
def clinic(database: Database, tmp_path: Path) -> Held:
    """On SQLite and on PostgreSQL."""
    database.migrate("sandbox")
    return Held(database, tmp_path)


@pytest.fixture
def two(database: Database, tmp_path: Path) -> Held:
    database.migrate("sandbox")
    return Held(database, tmp_path, review={"reviewers": 2, "days": 3})


def receipt_of(clinic: Held, answer: Any) -> dict[str, Any]:
    clinic.people.add(clinic.identity)
    return verify_document(SignedDocument.from_json(answer.receipt), clinic.people.resolve, of_type="run-receipt")


def test_an_approved_output_is_released_with_its_receipt(clinic: Held) -> None:
    run = clinic.hold()
    seen = clinic.sandbox.airlock.look(clinic.wang, run)
    assert seen.output == {"columns": ["county", "n"], "rows": [["Huan", 80], ["Ning", 50]], "outputs": []}
    assert seen.report[0]["rule"] == "minimum-entities"
    assert seen.lineage is not None
    assert (seen.lineage["source"], seen.lineage["tables"]) == (BY_COUNTY, ["visits"])
    clinic.sandbox.airlock.vote(clinic.wang, run, YES, "counts over 10 only")
    answer = clinic.answer(run)
    assert (answer.verdict, answer.rows, answer.reasons) == ("released", (("Huan", 80), ("Ning", 50)), ())
    receipt = receipt_of(clinic, answer)
    assert receipt["output"] == digest({"columns": ["county", "n"], "rows": [["Huan", 80], ["Ning", 50]]})
    assert receipt["disclosure"] == {"minimumEntities": 10, "rounding": 5}
    assert (receipt["review"]["outcome"], receipt["review"]["votes"]) == ("approved", 1)
    assert clinic.kinds() == [Kind.RUN_HELD, Kind.RUN_REVIEWED, Kind.RUN_COMPLETED]
    assert clinic.evidence.entries[-1][3]["units"] == 1
    again = clinic.sandbox.airlock.look(clinic.wang, run)
    assert again.output is None
    assert [one["event"] for one in again.audit] == ["held", "seen", "voted", "approved"]
    second = clinic.sandbox.airlock.look(clinic.wang, clinic.hold())
    assert second.earlier[0]["output"]["rows"] == [["Huan", 80], ["Ning", 50]]


def test_a_rejected_output_leaves_reasons_and_nothing_else(clinic: Held) -> None:
    run = clinic.hold()
    clinic.sandbox.airlock.vote(clinic.wang, run, NO, "Group by year instead.")
    answer = clinic.answer(run)
    assert (answer.verdict, answer.columns, answer.rows) == ("refused", (), ())
    assert [(r.code, r.message) for r in answer.reasons] == [("sandbox.output-rejected", "Group by year instead.")]
    receipt = receipt_of(clinic, answer)
    assert (receipt["output"], receipt["outcome"], receipt["review"]["outcome"]) == (None, "refused", "rejected")
    assert "wang" not in encode(answer.to_json()).decode()
    assert clinic.evidence.entries[-1][3]["units"] == 0


def test_two_persons_are_two_persons(two: Held) -> None:
    run = two.hold()
    airlock = two.sandbox.airlock
    assert airlock.vote(two.wang, run, YES, "fine").state is ReviewState.PARTIALLY_REVIEWED
    assert airlock.vote(two.wang, run, YES, "fine").votes == 1
    with pytest.raises(VotedAlready):
        airlock.vote(two.wang, run, YES, "fine once more")
    with pytest.raises(ReviewerExcluded):
        airlock.vote(Reviewer("zhao", two.planner.did, frozenset({"p"})), run, YES, "mine")
    assert two.answer(run).verdict == "held"
    assert airlock.look(two.li, run).votes_seen == ()
    assert airlock.vote(two.li, run, YES, "fine too").state is ReviewState.APPROVED
    assert two.answer(run).verdict == "released"
    with pytest.raises(ReviewEnded):
        airlock.vote(Reviewer("sun", two.identity.did), run, NO, "too late")
    assert [len(airlock.look(two.li, run).votes_seen), len(two.kinds())] == [2, 4]


def test_whoever_speaks_for_the_consumer_does_not_even_look(clinic: Held) -> None:
    run = clinic.hold()
    zhao = Reviewer("zhao", clinic.planner.did, frozenset({"p"}))
    with pytest.raises(ReviewerExcluded):
        clinic.sandbox.airlock.look(zhao, run)
    assert [one["event"] for one in clinic.sandbox.airlock.look(clinic.wang, run).audit] == ["held", "seen"]


@pytest.mark.parametrize("named", [(), ("another",), ("p",)])
def test_a_reviewer_of_another_organisation_sees_and_decides_where_the_provider_named_them(
    clinic: Held, named: tuple[str, ...]
) -> None:
    run, airlock = clinic.hold(), clinic.sandbox.airlock
    with clinic.database.transaction() as session:
        # Once for everything named so far: what is named later counts, and what was named before does not.
        airlock.add_reviewer(session, "cy", "did:web:institute.example", ["p"])
        told = airlock.add_reviewer(session, "cy", "did:web:institute.example", named)
    assert told.products == named
    cy = airlock.authenticate(str(told.token))
    if "p" in named:
        assert [one.run for one in airlock.reviews(cy)] == [run]
        assert airlock.look(cy, run).output is not None
        assert airlock.vote(cy, run, YES, "fine").state is ReviewState.APPROVED
        return
    assert (airlock.reviews(cy), airlock.reviews(cy, only_open=False)) == ([], [])
    for call in (lambda: airlock.look(cy, run), lambda: airlock.vote(cy, run, YES, "fine")):
        with pytest.raises(ReviewUnknown):
            call()
    assert [one.run for one in airlock.reviews(clinic.wang)] == [run]
    assert [one["event"] for one in airlock.look(clinic.wang, run).audit] == ["held", "seen"]


def test_the_consumer_withdraws_and_only_the_consumer(clinic: Held) -> None:
    run = clinic.hold()
    with pytest.raises(RunUnknown):
        clinic.sandbox.airlock.withdraw(run, "did:web:other.example")
    for _ in range(2):
        clinic.sandbox.airlock.withdraw(run, clinic.planner.did)
    assert [reason.code for reason in clinic.answer(run).reasons] == ["sandbox.output-withdrawn"]
    with pytest.raises(ReviewEnded):
        clinic.sandbox.airlock.vote(clinic.wang, run, YES, "fine")
    released = clinic.hold()
    clinic.sandbox.airlock.vote(clinic.wang, released, YES, "fine")
    with pytest.raises(ReviewEnded):
        clinic.sandbox.airlock.withdraw(released, clinic.planner.did)


def test_a_review_nobody_ends_in_time_ends_in_nothing(two: Held) -> None:
    first, second = two.hold(), two.hold()
    two.clock.advance(days=3)  # type: ignore[attr-defined]
    assert [reason.code for reason in two.answer(first).reasons] == ["sandbox.review-expired"]
    with pytest.raises(ReviewEnded):
        two.sandbox.airlock.vote(two.wang, second, YES, "late")
    assert two.sandbox.airlock.reviews() == []
    assert {one.state for one in two.sandbox.airlock.reviews(only_open=False)} == {ReviewState.EXPIRED}


def test_the_same_run_again_asks_how_it_stands_and_costs_nothing(clinic: Held) -> None:
    request = clinic.request(BY_COUNTY)
    assert [clinic.send(request).verdict for _ in range(3)] == ["held"] * 3
    clinic.sandbox = clinic.again()
    assert clinic.sandbox.recover() == 0
    assert clinic.send(request).verdict == "held"
    clinic.sandbox.airlock.vote(clinic.wang, request.run, YES, "fine")
    assert clinic.send(request).verdict == "released"
    assert clinic.kinds().count(Kind.RUN_HELD) == 1


def test_a_crash_in_the_deciding_vote_leaves_the_review_open(clinic: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox import runs

    run = clinic.hold()

    def dying(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "run_receipt", dying)
        with pytest.raises(KeyboardInterrupt):
            clinic.sandbox.airlock.vote(clinic.wang, run, YES, "fine")
    clinic.sandbox = clinic.again()
    assert clinic.answer(run).verdict == "held"
    assert clinic.sandbox.airlock.look(clinic.wang, run).votes == 0
    clinic.sandbox.airlock.vote(clinic.wang, run, YES, "fine")
    assert clinic.answer(run).verdict == "released"


def test_nothing_of_a_held_output_is_readable_at_rest_nor_in_the_evidence(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    clinic = Held(sqlite, tmp_path)
    run = clinic.hold()
    output = {"columns": ["county", "n"], "rows": [["Huan", 80], ["Ning", 50]]}
    with sqlite3.connect(str(sqlite.engine.url.database)) as file:
        [(sealed,)] = file.execute("SELECT sealed FROM sandbox_review").fetchall()
        [(answer,)] = file.execute("SELECT answer FROM sandbox_run").fetchall()
    file.close()
    assert b"Huan" not in sealed
    assert "Huan" not in answer
    assert all(digest(output) != document for _, _, document, _ in clinic.evidence.entries)
    clinic.sandbox.airlock.vote(clinic.wang, run, NO, "no")
    assert digest(output) not in encode(clinic.answer(run).to_json()).decode()


def test_a_seal_opens_with_its_secret_and_for_its_run_only() -> None:
    sealed = seal(b"a" * 32, "run", b"secret")
    assert unseal(b"a" * 32, "run", sealed) == b"secret"
    assert seal(b"a" * 32, "run", b"secret") != sealed
    for secret, run, given in ((b"b" * 32, "run", sealed), (b"a" * 32, "other", sealed), (b"a" * 32, "run", b"x" * 40)):
        with pytest.raises(AirlockUnavailable):
            unseal(secret, run, given)
    with pytest.raises(AirlockUnavailable):
        seal(b"", "run", b"secret")


def test_reviewers_show_tokens_that_are_told_once(clinic: Held) -> None:
    airlock = clinic.sandbox.airlock
    with clinic.database.transaction() as session:
        first = airlock.add_reviewer(session, "wang", None)
        second = airlock.add_reviewer(session, "wang", None)
        with pytest.raises(ReviewerTaken):
            airlock.add_reviewer(session, "wang", "did:web:university.example")
    assert airlock.authenticate(str(second.token)) == clinic.wang
    for token in (str(first.token), "", "wang"):
        with pytest.raises(ReviewerUnknown):
            airlock.authenticate(token)
    with clinic.database.transaction() as session:
        assert [one.token for one in airlock.reviewers(session)] == [None]
        assert airlock.remove_reviewer(session, "wang").removed
        with pytest.raises(ReviewUnknown):
            airlock.remove_reviewer(session, "nobody")
    with pytest.raises(ReviewerUnknown):
        airlock.authenticate(str(second.token))


def test_a_review_of_nothing_is_unknown(clinic: Held) -> None:
    for call in (
        lambda: clinic.sandbox.airlock.look(clinic.wang, "urn:uuid:none"),
        lambda: clinic.sandbox.airlock.vote(clinic.wang, "urn:uuid:none", YES, "fine"),
    ):
        with pytest.raises(ReviewUnknown):
            call()
