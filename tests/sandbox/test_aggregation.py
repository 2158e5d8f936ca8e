"""The aggregation point, over HTTP in memory, with real TenSEAL: totals for the planner, nothing for others."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from hexi.canonical import digest_bytes
from hexi.database import Database
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Kind
from privacy.homomorphic import SumKey, encrypt, new_job
from registry.identity import Identity
from sandbox.aggregation import AggregationPoint
from sandbox.api import create_aggregation_router
from sandbox.messages import from_base64, to_base64
from sandbox.requests import terms
from tests.asgi import ASGITransport
from tests.builders import SettableClock
from tests.sandbox.builders import Recorded, identity

PLANNER, A, B, C, STRANGER = (f"did:web:{name}.example" for name in ("planner", "a", "b", "c", "stranger"))


class Named:
    """A caller of whom these tests only need the DID."""

    def __init__(self, did: str) -> None:
        self.did = did


class NamedCallers:
    """Takes callers at their word, or for `always`: presentations are tested elsewhere."""

    def __init__(self, always: str | None = None) -> None:
        self.always = always

    def verify(self, authorization_header: str | None) -> Named:
        return Named(self.always or authorization_header or "")


class Space:
    """An aggregation point in an application; callers say who they are."""

    def __init__(self, database: Database, home: Path) -> None:
        self.operator: Identity = identity("operator")
        self.evidence = Recorded()
        self.database = database
        point = AggregationPoint(self.operator, self.evidence, SettableClock())
        self.app: FastAPI = create_shell(
            "space", ServiceSettings(home=home), database, create_aggregation_router(point)
        )
        self.app.state.presentations = NamedCallers()
        self.http = httpx.Client(transport=ASGITransport(self.app), base_url="http://space.example")

    def post(self, who: str, path: str, body: dict[str, Any]) -> Any:
        return self.http.post(f"/aggregations{path}", json=body, headers={"Authorization": who})

    def get(self, who: str, job: str) -> Any:
        return self.http.get(f"/aggregations/{job}", headers={"Authorization": who})

    def open(self, key: SumKey, job: str = "j", contributors: tuple[str, ...] = (A, B, C), who: str = PLANNER) -> Any:
        body = {"job": job, "contributors": list(contributors), "context": to_base64(key.public_context)}
        return self.post(who, "", body)

    def contribute(self, who: str, ciphertext: bytes, job: str = "j") -> Any:
        return self.post(who, f"/{job}/contributions", {"ciphertext": to_base64(ciphertext), "run": f"run of {who}"})


@pytest.fixture
def space(database: Database, tmp_path: Path) -> Space:
    database.migrate("sandbox")
    return Space(database, tmp_path)


@pytest.fixture(scope="module")
def key() -> SumKey:
    return new_job()


def code(answer: Any) -> str:
    return str(answer.json()["code"])


def test_three_contributions_make_a_total_that_only_the_planner_reads(space: Space, key: SumKey) -> None:
    assert space.open(key).status_code == 201
    for who, value, missing in ((A, 120, 2), (B, 260, 1), (C, 33, 0)):
        assert space.get(PLANNER, "j").json()["total"] is None
        answer = space.contribute(who, encrypt(key.public_context, value, bound=1000))
        assert answer.status_code == 201
        assert answer.json()["missing"] == missing
        assert "total" not in answer.json()
    view = space.get(PLANNER, "j").json()
    assert (view["state"], view["contributed"]) == ("complete", [A, B, C])
    assert key.decrypt(from_base64(view["total"]), 5) == 415
    for who in (A, STRANGER, space.operator.did):
        answer = space.get(who, "j")
        assert (answer.status_code, code(answer)) == (404, "sandbox.aggregation-unknown")


def test_the_receipt_and_the_evidence(space: Space, key: SumKey) -> None:
    space.open(key)
    parts = {who: encrypt(key.public_context, 10, bound=1000) for who in (A, B, C)}
    for who, part in parts.items():
        assert space.evidence.entries == []
        space.contribute(who, part)
    signed = SignedDocument.from_json(space.get(PLANNER, "j").json()["receipt"])
    receipt = verify_document(signed, lambda _: space.operator.key.public, of_type="aggregation-receipt")
    assert receipt["contributions"] == [
        {"contributor": who, "digest": digest_bytes(part), "run": f"run of {who}"} for who, part in parts.items()
    ]
    assert [(kind, subject, document) for kind, subject, document, _ in space.evidence.entries] == [
        (Kind.AGGREGATION_COMPLETED, "j", signed.digest)
    ]


def test_single_contributions_are_forgotten_once_the_total_is_there(space: Space, key: SumKey) -> None:
    from sandbox import store

    space.open(key)
    for who in (A, B, C):
        space.contribute(who, encrypt(key.public_context, 10, bound=1000))
    with space.database.reading() as session:
        assert [one.ciphertext for one in store.contributions(session, "j")] == [None, None, None]


def test_everything_twice_changes_nothing_and_another_thing_is_a_conflict(space: Space, key: SumKey) -> None:
    first = space.open(key).json()
    assert space.open(key).json() == first
    for other in (space.open(key, contributors=(A, B, STRANGER)), space.open(key, who=STRANGER), space.open(new_job())):
        assert (other.status_code, code(other)) == (409, "sandbox.aggregation-conflict")
    part = encrypt(key.public_context, 10, bound=1000)
    assert space.contribute(A, part).json() == space.contribute(A, part).json()
    other = space.contribute(A, encrypt(key.public_context, 10, bound=1000))
    assert (other.status_code, code(other)) == (409, "sandbox.aggregation-conflict")
    for who in (B, C):
        space.contribute(who, part)
    assert space.contribute(A, part).json()["state"] == "complete"
    assert len(space.evidence.entries) == 1


def test_a_number_given_on_other_terms_than_the_jobs_is_refused(space: Space, key: SumKey) -> None:
    space.open(key, contributors=(A, STRANGER, C))
    context = digest_bytes(key.public_context)
    part = encrypt(key.public_context, 10, bound=1000)
    body = {"ciphertext": to_base64(part), "run": "r"}
    shown = (
        terms(PLANNER, (A, B, C), context),
        terms(STRANGER, (A, STRANGER, C), context),
        terms(PLANNER, (A, STRANGER, C), digest_bytes(b"another")),
    )
    for on in shown:
        answer = space.post(A, "/j/contributions", {**body, "terms": on})
        assert (answer.status_code, code(answer)) == (409, "sandbox.aggregation-conflict")
    on = terms(PLANNER, (C, A, STRANGER), context)
    assert space.post(A, "/j/contributions", {**body, "terms": on}).status_code == 201


@pytest.mark.parametrize(
    ("contributors", "status"),
    [((A, B, C), 201), ((A, B), 409), ((A, A, B), 409), ((A, B, PLANNER), 409), ((), 409)],
)
def test_fewer_than_three_others_are_refused(
    space: Space, key: SumKey, contributors: tuple[str, ...], status: int
) -> None:
    assert space.open(key, contributors=contributors).status_code == status


def test_strangers_and_unknown_jobs_are_refused(space: Space, key: SumKey) -> None:
    space.open(key)
    part = encrypt(key.public_context, 10, bound=1000)
    for who in (STRANGER, PLANNER):
        answer = space.contribute(who, part)
        assert (answer.status_code, code(answer)) == (403, "sandbox.not-a-contributor")
    answer = space.contribute(A, part, job="nothing")
    assert (answer.status_code, code(answer)) == (404, "sandbox.aggregation-unknown")


def test_what_is_no_ciphertext_or_no_context_is_refused(space: Space, key: SumKey) -> None:
    space.open(key)
    for body in (b"junk", b""):
        assert code(space.contribute(A, body)) == "privacy.encryption-unusable"
    assert code(space.post(A, "/j/contributions", {"ciphertext": "%%%", "run": "r"})) == "hexi.malformed"
    answer = space.post(PLANNER, "", {"job": "k", "contributors": [A, B, C], "context": to_base64(b"junk")})
    assert code(answer) == "privacy.encryption-unusable"
    assert space.contribute(A, encrypt(key.public_context, 10, bound=1000)).status_code == 201
