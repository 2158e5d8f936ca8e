"""What of a call goes through to a provider's API: truth tables, with the attack beside what is allowed."""

from typing import Any

import pytest
from pydantic import ValidationError

from connector.deliveries.errors import CallRefused
from connector.planes.api_rules import answer_headers, request_headers, target
from connector.sources.services import ApiDescription

LAB = {
    "type": "api",
    "url": "http://10.0.0.5:9000/v1/",
    "operations": [
        {"methods": ["GET"], "path": "/patients/{id}"},
        {"methods": ["GET", "POST"], "path": "/search"},
        {"methods": ["GET"], "path": "/files/**"},
    ],
}


def api(**changes: Any) -> ApiDescription:
    return ApiDescription.model_validate({**LAB, **changes})


@pytest.mark.parametrize(
    ("method", "path", "query", "url"),
    [
        ("GET", "/patients/7", "", "/patients/7"),
        ("GET", "/patients/%37", "", "/patients/7"),
        ("GET", "/patients/a%20b", "x=1&y=%2F", "/patients/a%20b?x=1&y=%2F"),
        ("GET", "/patients/%E8%82%83", "", "/patients/%E8%82%83"),
        ("POST", "/search", "", "/search"),
        ("GET", "/search/", "", "/search/"),
        ("GET", "/files/2026/11/a.csv", "", "/files/2026/11/a.csv"),
        ("GET", "/patients/..%2e", "", "/patients/..."),
    ],
)
def test_operations_of_the_product_are_passed_on(method: str, path: str, query: str, url: str) -> None:
    assert target(api(), method, path, query).url == f"http://10.0.0.5:9000/v1{url}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/patients/7"),
        ("POST", "/patients/7"),
        ("GET", "/patients"),
        ("GET", "/patients/7/notes"),
        ("GET", "/admin"),
        ("GET", "/files"),
        ("GET", ""),
        ("GET", "/"),
    ],
)
def test_what_is_no_operation_is_refused(method: str, path: str) -> None:
    with pytest.raises(CallRefused, match="none of the operations"):
        target(api(), method, path, "")


@pytest.mark.parametrize(
    "path",
    [
        "/files/../admin",
        "/files/./a",
        "/files/%2e%2e/admin",
        "/files/%2E./admin",
        "/files/..%2fadmin",
        "/files/a%2fb",
        "/files/a%5cb",
        "/files/a\\b",
        "/files/%252e%252e/admin",
        "/files/%252fadmin",
        "/files/..;x=1/admin",
        "/files/;/admin",
        "/files//admin",
        "/files/a%00.csv",
        "/files/a%0d%0aHost:evil",
        "/files/%ff",
        "/files/" + "a" * 2_100,
        "//evil.example/files/a",
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(CallRefused):
        target(api(operations=[{"methods": ["GET"], "path": "/**"}]), "GET", path, "")


@pytest.mark.parametrize("query", ["a b", "a\r\nX: 1", "a\x00", "x" * 9_000, "<", '"'])
def test_a_query_that_could_end_the_request_line_is_refused(query: str) -> None:
    with pytest.raises(CallRefused, match="query"):
        target(api(), "GET", "/search", query)


def test_only_headers_about_the_content_go_on_and_the_provider_s_own_win() -> None:
    described = api(headers={"X-Tenant": "lab", "Host": "evil"}, requestHeaders=["X-Trace", "Cookie"])
    given = [
        ("Accept", "text/csv"),
        ("Authorization", "Bearer consumer"),
        ("Cookie", "session=1"),
        ("X-Tenant", "somebody else"),
        ("X-Trace", "7"),
        ("Connection", "close, Accept-Language"),
        ("Accept-Language", "zh"),
        ("Host", "evil.example"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "9"),
        ("Content-Type", "application/json"),
        ("X-Other", "1"),
    ]
    secret = {"Authorization": "Bearer inside"}
    assert request_headers(described, given, secret) == [
        ("accept-encoding", "identity"),
        ("x-tenant", "lab"),
        ("authorization", "Bearer inside"),
        ("accept", "text/csv"),
        ("x-trace", "7"),
        ("content-type", "application/json"),
    ]


def test_an_answer_s_cookies_redirections_and_inner_names_stay_inside() -> None:
    described = api(answerHeaders=["X-Total", "Set-Cookie", "Location"])
    given = [
        ("Content-Type", "text/csv"),
        ("Content-Length", "3"),
        ("ETag", '"1"'),
        ("Set-Cookie", "inside=1"),
        ("Location", "http://10.0.0.5:9000/v1/elsewhere"),
        ("Server", "inner/1.0"),
        ("X-Total", "12"),
        ("Connection", "X-Total"),
        ("Transfer-Encoding", "chunked"),
    ]
    assert answer_headers(described, given[:-2]) == [
        ("content-type", "text/csv"),
        ("content-length", "3"),
        ("etag", '"1"'),
        ("x-total", "12"),
    ]
    assert ("x-total", "12") not in answer_headers(described, given)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ftp://10.0.0.5/"},
        {"url": "http://user:password@10.0.0.5/"},
        {"url": "http://10.0.0.5/?x=1"},
        {"operations": []},
        {"operations": [{"methods": ["TRACE"], "path": "/a"}]},
        {"operations": [{"methods": ["GET"], "path": "/**/a"}]},
        {"operations": [{"methods": ["GET"], "path": "/a%2fb"}]},
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"secret": "../key"},
        {"unknown": 1},
    ],
)
def test_a_description_that_says_too_much_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        api(**changes)
