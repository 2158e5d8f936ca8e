"""The shell: every error is problem+json with a stable code, nothing leaks, nothing acknowledged is lost."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from sqlalchemy import text

from hexi.client import ServiceClient, Unreachable
from hexi.database import Database
from hexi.errors import Conflict, RemoteProblem
from hexi.settings import ServiceSettings
from hexi.web import Read, SessionRoute, Write, create_shell
from tests.asgi import ASGITransport

LIMIT = 1_000
router = APIRouter(route_class=SessionRoute)


class Coin(BaseModel):
    """A body."""

    value: int


@router.post("/coins", status_code=201)
def put_in(coin: Coin, session: Write) -> dict[str, int]:
    session.execute(text("INSERT INTO coins VALUES (:value)"), {"value": coin.value})
    if coin.value < 0:
        raise Conflict("a coin is worth something", value=coin.value)
    if coin.value == 13:
        raise RuntimeError("the secret is swordfish")
    return {"value": coin.value}


@router.get("/coins")
def count(session: Read) -> dict[str, int]:
    return {"count": int(session.execute(text("SELECT count(*) FROM coins")).scalar() or 0)}


@pytest.fixture
def app(database: Database) -> FastAPI:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE coins (value INTEGER CHECK (value < 1000))"))
    return create_shell("coins", ServiceSettings(max_body_bytes=LIMIT), database, router)


@pytest.fixture
def http(app: FastAPI) -> Iterator[httpx.Client]:
    with httpx.Client(transport=ASGITransport(app), base_url="http://coins") as client:
        yield client


def coins(http: httpx.Client) -> int:
    return int(http.get("/coins").json()["count"])


def test_what_is_acknowledged_is_there(http: httpx.Client) -> None:
    answer = http.post("/coins", json={"value": 5})
    assert (answer.status_code, answer.json()) == (201, {"value": 5})
    assert answer.headers["x-request-id"]
    assert coins(http) == 1


def test_more_requests_at_once_than_threads_and_connections_do_not_wait_for_each_other(app: FastAPI) -> None:
    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://coins") as client:
            answers = await asyncio.gather(*(client.get("/coins") for _ in range(120)))
        return [answer.status_code for answer in answers]

    assert set(asyncio.run(all_at_once())) == {200}


def test_what_is_refused_changes_nothing(http: httpx.Client) -> None:
    answer = http.post("/coins", json={"value": -1})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "hexi.conflict"
    assert answer.json()["value"] == -1
    assert coins(http) == 0


def test_a_failure_is_opaque_and_changes_nothing(http: httpx.Client) -> None:
    answer = http.post("/coins", json={"value": 13})
    assert answer.status_code == 500
    assert answer.json()["code"] == "hexi.internal"
    assert "swordfish" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert coins(http) == 0


def test_a_failing_write_is_never_acknowledged(http: httpx.Client) -> None:
    assert http.post("/coins", json={"value": 5_000}).status_code == 500
    assert coins(http) == 0


def test_a_malformed_body_is_named_but_not_repeated(http: httpx.Client) -> None:
    answer = http.post("/coins", json={"value": "my password"})
    assert (answer.status_code, answer.json()["code"]) == (422, "hexi.malformed")
    assert "body.value" in answer.json()["detail"]
    assert "my password" not in answer.text


def test_a_body_over_the_limit_is_refused_by_its_declared_length(http: httpx.Client) -> None:
    answer = http.post("/coins", content=b"x" * (LIMIT + 1), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "hexi.too-large")


def test_a_body_that_grows_past_the_limit_is_refused(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * LIMIT

    answer = http.post("/coins", content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "hexi.too-large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "hexi.not-found"), ("DELETE", "/coins", 405, "hexi.method-not-allowed")],
)
def test_what_is_not_served_is_a_problem_too(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_that_is_no_text_is_said_to_be_none(http: httpx.Client) -> None:
    answer = http.post("/coins", content=b"\xff\xfe", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "hexi.malformed")
    assert answer.json()["title"] == "The request is malformed"
    assert "JSON" in answer.json()["detail"]


def test_health_and_metrics_answer(http: httpx.Client) -> None:
    assert http.get("/health").json()["status"] == "ok"
    http.post("/coins", json={"value": 1})
    http.request("A-WORD-OF-THE-CALLER", "/coins")
    metrics = http.get("/metrics").text
    assert "A-WORD-OF-THE-CALLER" not in metrics
    assert 'hexi_requests_total{method="POST",route="/coins",status="201"} 1.0' in metrics


def test_a_client_gets_the_problem_back(app: FastAPI) -> None:
    client = ServiceClient("http://coins/", "coins", transport=ASGITransport(app))
    assert client.post("/coins", {"value": 1}) == {"value": 1}
    with pytest.raises(RemoteProblem) as refused:
        client.post("/coins", {"value": -1})
    assert (refused.value.code, refused.value.status) == ("hexi.conflict", 409)
    assert refused.value.context["value"] == -1


def test_a_dead_service_is_unreachable_by_name(free_port: int) -> None:
    with pytest.raises(Unreachable, match="coins"):
        ServiceClient(f"http://127.0.0.1:{free_port}", "coins").get("/coins")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:8080", "http://x:port"])
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(Unreachable, match="no address such as"):
        ServiceClient(address, "the registry").get("/operator")
