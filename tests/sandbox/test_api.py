"""The sandbox over HTTP in memory, and the documentation's example held against the program."""

import json
from pathlib import Path

import httpx
import pytest

from hexi.canonical import encode
from hexi.database import Database
from hexi.errors import RemoteProblem
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from sandbox.api import create_router
from sandbox.bench import read_bench_product
from sandbox.client import SandboxClient
from sandbox.queries.review import Reviewed, review
from tests.asgi import ASGITransport
from tests.sandbox.builders import Clinic
from tests.sandbox.test_aggregation import NamedCallers

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md"


@pytest.fixture
def clinic(sqlite: Database, tmp_path: Path) -> Clinic:
    sqlite.migrate("sandbox")
    return Clinic(sqlite, tmp_path)


def transport(clinic: Clinic, caller: str) -> httpx.BaseTransport:
    app = create_shell("clinic", ServiceSettings(), clinic.database, create_router(clinic.sandbox))
    app.state.presentations = NamedCallers(caller)
    return ASGITransport(app)


def test_a_run_and_its_answer_again(clinic: Clinic) -> None:
    client = SandboxClient("http://clinic.example", transport(clinic, clinic.planner.did))
    answer = client.run(clinic.permit_jws(), clinic.request_jws("SELECT county, count(*) FROM visits GROUP BY county"))
    assert answer.rows == (("Huan", 80), ("Ning", 50))
    assert client.answer(answer.run) == answer
    with pytest.raises(RemoteProblem) as stranger:
        SandboxClient("http://clinic.example", transport(clinic, "did:web:x")).answer(answer.run)
    assert (stranger.value.status, stranger.value.code) == (404, "sandbox.run-unknown")


def test_errors_come_as_problems_with_their_code(clinic: Clinic) -> None:
    client = SandboxClient("http://clinic.example", transport(clinic, clinic.planner.did))
    for permit, status, code in (
        ("junk", 400, "sandbox.permit-invalid"),
        (clinic.permit_jws(runs=0), 403, "sandbox.count-exhausted"),
        (clinic.permit_jws(expires="2026-11-02T00:00:00Z"), 403, "sandbox.permit-expired"),
    ):
        with pytest.raises(RemoteProblem) as problem:
            client.run(permit, clinic.request_jws("SELECT count(*) FROM visits"))
        assert (problem.value.status, problem.value.code) == (status, code)


def test_the_product_file_and_the_query_in_the_documentation_work(tmp_path: Path) -> None:
    blocks = DOCUMENTATION.read_text().split("```")
    [example] = [json.loads(block.removeprefix("json")) for block in blocks if '"tables": [' in block]
    (tmp_path / "p.json").write_bytes(encode(example))
    product = read_bench_product(tmp_path / "p.json")
    [query] = [block.removeprefix("sql").replace(" AND NOT sex IS NULL", "") for block in blocks if block[:3] == "sql"]
    assert isinstance(review(query, product), Reviewed)
