"""Encrypted sums of one clinic: what leaves is a ciphertext, once, to a point that its provider trusts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest_bytes
from hexi.database import Database
from hexi.errors import DataspaceError, Unavailable
from privacy.homomorphic import add, new_job
from sandbox import store
from sandbox.errors import (
    NotAContributor,
    PointNotTrusted,
    RequestInvalid,
)
from sandbox.lanes import sums
from sandbox.messages import from_base64, to_base64
from sandbox.queries.review import SUM_MODE
from sandbox.requests import EncryptedSum, terms
from sandbox.states import State
from tests.builders import SettableClock
from tests.sandbox.builders import POINT, Clinic, codes, identity, used

SUM = "SELECT sum(cost) FROM visits"


class Point:
    """An aggregation point that takes everything, or nothing."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, bytes, str]] = []
        self.terms: list[str] = []
        self.answers = True

    def __call__(self, url: str, job: str, ciphertext: bytes, run: str, terms: str) -> None:
        if not self.answers:
            raise Unavailable("the aggregation point does not answer")
        self.terms.append(terms)
        self.received.append((url, job, ciphertext, run))


CLINICS = ["did:web:clinic.example", "did:web:b.example", "did:web:c.example"]


def test_an_encrypted_sum_leaves_as_ciphertext_only(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    point, key = Point(), new_job()
    clinic = Clinic(sqlite, tmp_path, contribute=point)
    request = clinic.sum_request(f"{SUM} WHERE county = 'Ning'", CLINICS, key.public_context)
    context = to_base64(key.public_context)
    answer = clinic.sandbox.run(clinic.permit_jws(), request, context)
    assert (answer.verdict, answer.columns, answer.rows) == ("released", (), ())
    [(url, job, ciphertext, run)] = point.received
    assert (url, job, run) == (POINT, "job-1", answer.run)
    assert point.terms == [terms("did:web:planner.example", CLINICS, digest_bytes(key.public_context))]
    assert answer.ciphertext == answer.receipt["document"]["output"]
    numbers = [n for n in range(41, 66) if n % 10]
    assert abs(key.decrypt(ciphertext, 1) - 2 * sum(n * 10 for n in numbers)) <= 1
    assert clinic.sandbox.run(clinic.permit_jws(), request, context) == answer
    assert (len(point.received), used(clinic)) == (1, 1)


@pytest.mark.parametrize("query", [f"{SUM} WHERE county = 'Zhengning'", f"{SUM} WHERE year = 1900"])
def test_a_sum_over_too_few_is_not_even_encrypted(sqlite: Database, tmp_path: Path, query: str) -> None:
    sqlite.migrate("sandbox")
    point, key = Point(), new_job()
    clinic = Clinic(sqlite, tmp_path, contribute=point)
    request = clinic.sum_request(query, CLINICS, key.public_context)
    answer = clinic.sandbox.run(clinic.permit_jws(), request, to_base64(key.public_context))
    assert codes(answer) == ["sandbox.too-few-entities"]
    assert (point.received, answer.ciphertext) == ([], None)


def test_a_point_that_does_not_answer_gets_the_same_ciphertext_later(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    point, key = Point(), new_job()
    clinic = Clinic(sqlite, tmp_path, contribute=point)
    request = clinic.sum_request(SUM, CLINICS, key.public_context)
    context = to_base64(key.public_context)
    point.answers = False
    with pytest.raises(Unavailable):
        clinic.sandbox.run(clinic.permit_jws(), request, context)
    assert clinic.evidence.entries == []
    with clinic.database.reading() as session:
        [row] = store.runs_in_state(session, State.RUNNING)
    point.answers = True
    assert clinic.again().recover() == 1
    [(_, _, ciphertext, run)] = point.received
    assert (run, to_base64(ciphertext)) == (row.id, row.ciphertext)
    assert (used(clinic), len(clinic.evidence.entries)) == (1, 1)


@dataclass
class Interrupted:
    """A sum over which its process died: `left` is what the point had got by then."""

    clinic: Clinic
    point: Point
    permit: str
    request: str
    context: str
    left: list[bytes]

    def revoke(self) -> None:
        with self.clinic.database.transaction() as session:
            self.clinic.sandbox.revoke(session, "urn:uuid:permit", "the agreement was terminated")

    def taken_up(self, by: str) -> Any:
        """The answer, once another process has asked or recovered. It stays what it is."""
        other = self.clinic.again()
        if by == "recovering":
            other.recover()
        answers = [other.run(self.permit, self.request, self.context) for _ in range(2)]
        assert (answers[0], other.recover()) == (answers[1], 0)
        return answers[0]


def interrupted(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> Interrupted:
    """At a `moment`: before its number was kept, before that was sent, or before the point's word for it came."""
    database.migrate("sandbox")
    point, key = Point(), new_job()

    def dying(*args: Any, **_: Any) -> None:
        if moment == "sent":
            point(*args)
        raise KeyboardInterrupt

    clinic = Clinic(database, folder, contribute=point if moment == "computed" else dying)
    asked = clinic.permit_jws(), clinic.sum_request(SUM, CLINICS, key.public_context), to_base64(key.public_context)
    with monkeypatch.context() as patch:
        if moment == "computed":
            patch.setattr(sums, "encrypt", dying)
        with pytest.raises(KeyboardInterrupt):
            clinic.sandbox.run(*asked)
    clinic.contribute = point
    return Interrupted(clinic, point, *asked, [ciphertext for _, _, ciphertext, _ in point.received])


MOMENTS = pytest.mark.parametrize("moment", ["computed", "kept", "sent"])
WAYS = pytest.mark.parametrize("by", ["asking again", "recovering"])


@MOMENTS
@WAYS
def test_an_interrupted_sum_is_sent_once_and_ends_released(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, by: str
) -> None:
    sum_ = interrupted(database, tmp_path, monkeypatch, moment)
    assert len(sum_.left) == (moment == "sent")
    answer = sum_.taken_up(by)
    received = [ciphertext for _, _, ciphertext, _ in sum_.point.received]
    # What was sent before is sent again, and is the same: the point takes it once.
    assert received[: len(sum_.left)] == sum_.left
    assert len({*received}) == 1
    assert (answer.verdict, answer.ciphertext) == ("released", digest_bytes(received[0]))
    assert (used(sum_.clinic), [entry[3]["units"] for entry in sum_.clinic.evidence.entries]) == (1, [1])


@MOMENTS
@WAYS
def test_an_interrupted_sum_whose_permit_was_revoked_ends_and_says_whether_its_number_may_have_left(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, by: str
) -> None:
    sum_ = interrupted(database, tmp_path, monkeypatch, moment)
    with database.reading() as session:
        [row] = store.runs_in_state(session, State.RUNNING)
    sum_.revoke()
    answer = sum_.taken_up(by)
    assert [ciphertext for _, _, ciphertext, _ in sum_.point.received] == sum_.left  # nothing is sent any more
    receipt = answer.receipt["document"]
    assert (answer.verdict, receipt["outcome"], answer.rows) == ("refused", "refused", ())
    assert answer.ciphertext == receipt["output"]
    if moment == "computed":
        assert (row.ciphertext, codes(answer), answer.ciphertext) == (None, ["sandbox.permit-revoked"], None)
    else:
        # By this digest an auditor finds it among the contributions in the point's receipt, or does not.
        assert (codes(answer), answer.ciphertext) == (
            ["sandbox.perhaps-sent"],
            digest_bytes(from_base64(row.ciphertext)),
        )
        assert all(digest_bytes(ciphertext) == answer.ciphertext for ciphertext in sum_.left)
    assert (used(sum_.clinic), [entry[3]["units"] for entry in sum_.clinic.evidence.entries]) == (1, [0])
    with database.reading() as session:
        assert store.runs_in_state(session, State.RUNNING) == []
        ended = store.run(session, row.id)
        assert (ended.state, ended.ciphertext) == (State.REFUSED, None)


def test_an_encrypted_sum_too_close_to_an_earlier_one_is_refused(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    point, key = Point(), new_job()
    clinic = Clinic(sqlite, tmp_path, contribute=point)
    verdicts = []
    for query in (SUM, SUM, f"{SUM} WHERE county <> 'Zhengning'"):
        request = clinic.sum_request(query, CLINICS, key.public_context)
        verdicts.append(clinic.sandbox.run(clinic.permit_jws(), request, to_base64(key.public_context)).verdict)
    assert (verdicts, len(point.received)) == (["released", "released", "refused"], 2)


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (PointNotTrusted, {"point": "http://planner.example"}),
        (NotAContributor, {"contributors": ("did:web:b.example", "did:web:c.example", "did:web:d.example")}),
        (RequestInvalid, {"contributors": tuple(CLINICS[:2])}),
        (RequestInvalid, {"contributors": (*CLINICS, "did:web:planner.example")}),
        (RequestInvalid, {"context": "sha256:other"}),
    ],
)
def test_an_encrypted_sum_goes_only_where_the_provider_trusts(
    sqlite: Database, tmp_path: Path, error: type[DataspaceError], changes: dict[str, Any]
) -> None:
    sqlite.migrate("sandbox")
    point, key = Point(), new_job()
    clinic = Clinic(sqlite, tmp_path, contribute=point)
    wanted = {"job": "j", "point": POINT, "contributors": CLINICS, "context": digest_bytes(key.public_context)}
    request = clinic.request_jws(SUM, mode=SUM_MODE, encrypted_sum=EncryptedSum(**{**wanted, **changes}))
    with pytest.raises(error):
        clinic.sandbox.run(clinic.permit_jws(), request, to_base64(key.public_context))
    assert point.received == []


def test_three_clinics_one_total(tmp_path: Path) -> None:
    planner, key = identity("planner"), new_job()
    parts: list[bytes] = []
    truth = 0
    for name in ("clinic", "b", "c"):
        (tmp_path / name).mkdir()
        database = Database(f"sqlite:///{tmp_path / name}/s.sqlite")
        database.migrate("sandbox")
        clinic = Clinic(
            database,
            tmp_path / name,
            SettableClock(),
            name=name,
            planner=planner,
            contribute=lambda _url, _job, ciphertext, *_: parts.append(ciphertext),
        )
        request = clinic.sum_request(SUM, CLINICS, key.public_context)
        assert clinic.sandbox.run(clinic.permit_jws(), request, to_base64(key.public_context)).verdict == "released"
        truth += 2 * sum(min(n * 10, 1000) for n in range(1, 75) if n % 10)
        database.dispose()
    assert key.decrypt(add(key.public_context, parts), 5) == truth
