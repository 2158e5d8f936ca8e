"""The management API as a whole: what it says of itself, and how it lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from connector.management.paging import MAX_LIMIT, Cursor
from tests.connector.test_cli import commands
from tests.simulator import PLANNER, Dataspace

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "delete", "patch"}


def operations(app: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every management operation."""
    for path, item in app.openapi()["paths"].items():
        if path.startswith("/management"):
            yield from ((method, path, said) for method, said in item.items() if method in METHODS)


def test_every_operation_is_described(dataspace: Dataspace) -> None:
    app = dataspace.consumer.app
    found = list(operations(app))
    ids = [said["operationId"] for _, _, said in found]
    assert len(ids) == len(set(ids)) >= 20
    for method, path, said in found:
        assert said["tags"], path
        assert any("\u4e00" <= letter <= "\u9fff" for letter in said["description"]), f"{path} says nothing in Chinese"
        assert said["security"] == [{"managementToken": []}], path
        answers = said["responses"]
        (success,) = [answers[status] for status in answers if status.startswith("2")]
        for content in success.get("content", {}).values():
            assert content["schema"], (method, path)
            assert content["schema"].get("additionalProperties") is not True, (method, path)
        for status in ("401", "422"):
            problem = answers[status]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert problem["examples"], (path, status)
    schemas = app.openapi()["components"]["schemas"]
    assert "Problem" in schemas


def test_every_operation_shows_an_example_that_is_one(dataspace: Dataspace) -> None:
    described = dataspace.consumer.app.openapi()
    for method, path, said in operations(dataspace.consumer.app):
        assert said["summary"], path
        bodies = [content["schema"] for content in said.get("requestBody", {}).get("content", {}).values()]
        answers = [
            content["schema"]
            for status, answer in said["responses"].items()
            if status.startswith("2")
            for content in answer.get("content", {}).values()
        ]
        assert answers, path
        for schema in bodies + answers:
            assert shows_example(schema, described), (method, path)
    for name, schema in described["components"]["schemas"].items():
        # A whole document of its own: its references lead into `described`.
        validator = jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}"} | described)
        for example in schema.get("examples", ()):
            validator.validate(example)


def test_the_reference_lists_every_operation_and_command(dataspace: Dataspace) -> None:
    reference = (ROOT / "docs" / "reference" / "management.md").read_text(encoding="utf-8")
    rows = [line for line in reference.splitlines() if line.startswith("| `")]
    told = [
        f"| `{method.upper()} {path}` | {' '.join(said['description'].partition(chr(10) * 2)[0].split())} |"
        for method, path, said in operations(dataspace.consumer.app)
    ]
    told += [f"| `{' '.join(words)}` | {command.help.partition(chr(10))[0]} |" for words, command in commands()]
    missing, stale = set(told) - set(rows), set(rows) - set(told)
    assert not missing, "docs/reference/management.md lacks:\n" + "\n".join(sorted(missing))
    assert not stale, "docs/reference/management.md has, and should not:\n" + "\n".join(sorted(stale))


def shows_example(schema: dict[str, Any], described: dict[str, Any]) -> bool:
    """Whether a schema, or that of its items, has an example."""
    named = described["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    items = named.get("items") or named.get("properties", {}).get("items", {}).get("items")
    return bool(named.get("examples")) or (items is not None and shows_example(items, described))


@pytest.fixture
def http(dataspace: Dataspace) -> Iterator[httpx.Client]:
    token = {"Authorization": f"Bearer {dataspace.consumer.app.state.management_token}"}
    with httpx.Client(transport=dataspace.network, base_url=f"http://{PLANNER}/management", headers=token) as client:
        yield client


def test_a_listing_is_paged_newest_first_and_new_items_disturb_no_page(
    dataspace: Dataspace, http: httpx.Client
) -> None:
    product = dataspace.publish().identifier
    client, started = dataspace.consumer.client, []
    for _ in range(5):  # the clock stands still between two of them: the cursor must not lean on it alone
        started.append(client.negotiate(product).id)
        dataspace.clock.advance(seconds=len(started) % 2)

    first = http.get("/negotiations", params={"limit": 2}).json()
    client.negotiate(product)
    second = http.get("/negotiations", params={"limit": 2, "cursor": first["next"]}).json()
    third = http.get("/negotiations", params={"limit": 2, "cursor": second["next"]}).json()

    seen = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert sorted(seen) == sorted(started)
    created = [item["created"] for page in (first, second, third) for item in page["items"]]
    assert created == sorted(created, reverse=True)
    assert third["next"] is None
    assert len(list(client.negotiations())) == 6


def test_listings_are_filtered(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    ended, open_ = dataspace.agree(product), dataspace.consumer.client.negotiate(product)
    client = dataspace.consumer.client
    assert ended.agreement
    filters: list[tuple[dict[str, str], list[str]]] = [
        ({"state": "FINALIZED"}, [ended.id]),
        ({"state": "REQUESTED"}, [open_.id]),
        ({"role": "provider"}, []),
        ({"counterparty": "did:web:nobody.example"}, []),
        ({"agreement": ended.agreement}, [ended.id]),
        ({"product": product, "role": "consumer", "state": "FINALIZED"}, [ended.id]),
    ]
    for wanted, expected in filters:
        assert [found.id for found in client.negotiations(**wanted)] == expected, wanted
    assert [held.id for held in client.agreements(role="consumer", state="CONCLUDED")] == [ended.agreement]
    assert list(client.agreements(role="provider")) == []
    assert [held.id for held in client.agreements(product=product, counterparty=dataspace.provider.did)] == [
        ended.agreement
    ]
    assert list(client.agreements(product="another")) == []
    client.end_agreement(ended.agreement, "the study is over")
    assert [held.id for held in client.agreements(product=product, state="ENDED")] == [ended.agreement]
    assert list(client.agreements(product=product, state="CONCLUDED")) == []
    assert [p.identifier for p in dataspace.provider.client.products(resource="claims")] == [product]
    assert list(dataspace.provider.client.products(resource="other")) == []
    assert [e.kind for e in dataspace.provider.client.evidence(kind="agreement-concluded")] == ["agreement-concluded"]


def test_only_the_newest_published_version_of_a_product_is_listed(dataspace: Dataspace) -> None:
    first = dataspace.publish()
    second = dataspace.publish({"permission": [{"action": "urn:hexi:compute"}]})
    assert first.identifier == second.identifier
    client = dataspace.provider.client
    assert [(found.identifier, found.version) for found in client.products()] == [(first.identifier, 2)]
    assert client.product(first.identifier).digest == second.digest
    assert client.status().products == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "hexi.malformed"),
        (f"limit={MAX_LIMIT + 1}", "hexi.malformed"),
        ("state=LOST", "hexi.malformed"),
        ("stat=FINALIZED", "hexi.malformed"),
        ("cursor=x", "connector.cursor-invalid"),
        ("cursor=%FF", "connector.cursor-invalid"),
        ("cursor=", "connector.cursor-invalid"),
        (f"cursor={Cursor('2026', chr(0))}", "connector.cursor-invalid"),
    ],
)
def test_what_cannot_be_listed_is_said(http: httpx.Client, query: str, code: str) -> None:
    answer = http.get(f"/negotiations?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.headers["content-type"] == "application/problem+json"
