"""The unified interface describes itself, completely and truly."""

import jsonschema
import pytest

from hexi.client import ServiceClient
from hexi.errors import RemoteProblem
from registry.interface import SCHEMAS
from tests.registry.builders import SPACE_URL, Space, product_document


@pytest.fixture
def http(space: Space) -> ServiceClient:
    return ServiceClient(SPACE_URL, "the space", transport=space.hosts)


def test_everything_listed_is_served(http: ServiceClient) -> None:
    [version] = http.get("/registry/interface")["versions"]
    contents = http.get(version["url"])
    described = http.get(contents["openapi"])
    assert described["paths"]["/registry/identifiers"]["post"]["security"] == [{"presentation": []}]
    assert "security" not in described["paths"]["/registry/products"]["get"]
    assert http.get(contents["codeLists"])["SecurityLevel"]["005"] == {"zh": "绝密", "en": "top secret"}
    assert set(contents["schemas"]) == set(SCHEMAS)
    for url in contents["schemas"].values():
        schema = http.get(url)
        assert schema["$id"] == url
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_product_schema_accepts_a_product_and_not_half_of_one(http: ServiceClient) -> None:
    validator = jsonschema.Draft202012Validator(http.get("/registry/interface/1.0/schemas/product.json"))
    assert validator.is_valid(product_document())
    assert not validator.is_valid({"type": "data-product"})
    assert not validator.is_valid(product_document(price=1))


@pytest.mark.parametrize(
    "path",
    ["/2.0", "/2.0/openapi.json", "/2.0/code-lists.json", "/1.0/schemas/permit.json", "/2.0/schemas/product.json"],
)
def test_what_is_not_there_is_said_so(http: ServiceClient, path: str) -> None:
    with pytest.raises(RemoteProblem) as refused:
        http.get("/registry/interface" + path)
    assert refused.value.code == "registry.interface-unknown"


def test_the_endpoints_without_a_caller_are_these(space: Space) -> None:
    from fastapi.routing import APIRoute

    from registry.access import member

    def needs_a_caller(route: APIRoute) -> bool:
        todo = list(route.dependant.dependencies)
        while todo:
            found = todo.pop()
            if found.call is member:
                return True
            todo += found.dependencies
        return False

    routes = [route for route in space.app.state.registry.router.routes if isinstance(route, APIRoute)]
    public = {(*route.methods, route.path) for route in routes if not needs_a_caller(route)}
    assert {path for _, path in public if "/interface" not in path} == {
        "/registry/applications",
        "/registry/applications/{application_id}",
        "/registry/operator",
        "/registry/participants",
        "/registry/participants/{did}",
        "/registry/identifiers/{identifier}",
        "/registry/products",
        "/registry/products/{identifier}",
    }
    assert ("GET", "/registry/applications") not in public
    assert ("PUT", "/registry/products/{identifier}") not in public
