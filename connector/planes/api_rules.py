"""What a consumer may ask of a provider's HTTP API, and what of it goes through: decided before anything is sent.

    {"type": "api", "url": "http://10.0.0.5:9000/v1", "secret": "lab-key",
     "operations": [{"methods": ["GET"], "path": "/patients/{id}"}, {"methods": ["POST"], "path": "/search"}]}

Pure. Everything is an allow-list: methods, paths, headers in both directions. A path is taken as it stood on the wire,
decoded once, checked segment by segment, and written anew; so what is checked is what the provider's server gets,
whatever that server would have decoded a second time.
Sources: RFC 9110 (7.6.1 hop-by-hop headers), RFC 3986 (3.3 paths, 6.2.2 normalisation), OWASP on path traversal.
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Literal
from urllib.parse import quote, unquote_to_bytes

from pydantic import Field, StringConstraints

from connector.delivery_errors import CallRefused
from hexi.canonical import Wire

# Defaults a description may lower or raise within these bounds: seconds to the answer's first byte, and bytes.
DEFAULT_SECONDS, MAX_SECONDS = 30.0, 300.0
DEFAULT_ANSWER_BYTES, MAX_ANSWER_BYTES = 64 * 1024**2, 1024**4
MAX_OPERATIONS = 100
# A longer path or query is nothing an API asks for, in characters.
MAX_PATH_CHARACTERS = 2_048
MAX_QUERY_CHARACTERS = 8_192

# What passes without being named. All of it describes the content asked for or answered; none of it says who asks.
REQUEST_HEADERS = frozenset(
    {"accept", "accept-language", "content-type", "if-match", "if-modified-since", "if-none-match", "range"}
)
ANSWER_HEADERS = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
    }
)
# What never passes, even if a description names it: the connection's own, and whatever says who somebody is.
_NEVER = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "location",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
        "x-real-ip",
    }
)
_NEVER_PREFIXES = ("proxy-", "sec-", "x-forwarded-")

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=1_024)]
# Literal segments, {name} for any one segment, and ** at the end for anything below.
PathPattern = Annotated[str, Field(pattern=r"^(/([A-Za-z0-9._~:@!$&'()+,=-]+|\{[A-Za-z0-9_]+\}))*(/\*\*)?/?$")]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")
_ENCODED_AGAIN = re.compile(r"%[0-9A-Fa-f]{2}")
_SEGMENT_SAFE = "!$&'()*+,=:@~"
_QUERY = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x7e]*")


class Operation(Wire):
    """Something the API is asked to do: any of `methods` on a path that fits."""

    methods: tuple[Method, ...] = Field(min_length=1)
    path: PathPattern


class ApiDescription(Wire):
    """An API behind a contract. `secret` names a file of the provider that holds one header line."""

    type: Literal["api"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=2_048)]
    operations: tuple[Operation, ...] = Field(min_length=1, max_length=MAX_OPERATIONS)
    secret: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=50)
    request_headers: tuple[HeaderName, ...] = Field(default=(), max_length=50)
    answer_headers: tuple[HeaderName, ...] = Field(default=(), max_length=50)
    timeout_seconds: float = Field(default=DEFAULT_SECONDS, gt=0, le=MAX_SECONDS)
    maximum_answer_bytes: int = Field(default=DEFAULT_ANSWER_BYTES, ge=1, le=MAX_ANSWER_BYTES)


Headers = Iterable[tuple[str, str]]


def target(description: ApiDescription, method: str, raw_path: str, query: str) -> str:
    """The address at the provider's API that this call is for. Raises `CallRefused`.

    `raw_path` is what followed the connector's own address, as it stood on the wire. (1) It can be read in one way
    only. (2) An operation allows the method on it. (3) The query has no character that could end the request line.
    """
    segments = _segments(raw_path)  # (1)
    if not any(method in operation.methods and _fits(operation.path, segments) for operation in description.operations):
        raise CallRefused(f"{method} {_shown(segments)} is none of the operations of this product")  # (2)
    if len(query) > MAX_QUERY_CHARACTERS or not _QUERY.fullmatch(query):
        raise CallRefused("the query is too long, or has characters that must be percent-encoded")  # (3)
    path = "".join(f"/{quote(segment, safe=_SEGMENT_SAFE)}" for segment in segments)
    ending = "/" if raw_path.endswith("/") and segments else ""
    return description.url.rstrip("/") + path + ending + (f"?{query}" if query else "")


def request_headers(description: ApiDescription, given: Headers) -> list[tuple[str, str]]:
    """The headers that go on to the provider's API: those that pass, and above them the provider's own."""
    given = list(given)
    fixed = [(name, value) for name, value in description.headers.items() if _may_pass(name) or name == "authorization"]
    named = {name for name in description.request_headers if _may_pass(name)}
    passing = (REQUEST_HEADERS | named) - {name for name, _ in fixed} - _named_hops(given)
    return [("accept-encoding", "identity"), *fixed, *_passing(given, passing)]


def answer_headers(description: ApiDescription, given: Headers) -> list[tuple[str, str]]:
    """The headers of the provider's answer that reach the consumer."""
    given = list(given)
    named = {name for name in description.answer_headers if _may_pass(name)}
    return _passing(given, (ANSWER_HEADERS | named) - _named_hops(given))


def _passing(given: Headers, names: AbstractSet[str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in given if name.lower() in names]


def _may_pass(name: str) -> bool:
    return name not in _NEVER and not name.startswith(_NEVER_PREFIXES)


def _named_hops(given: Sequence[tuple[str, str]]) -> set[str]:
    """What a Connection header declares to be of this connection only (RFC 9110, 7.6.1)."""
    listed = (value for name, value in given if name.lower() == "connection")
    return {token.strip().lower() for value in listed for token in value.split(",")}


def _segments(raw_path: str) -> list[str]:
    if len(raw_path) > MAX_PATH_CHARACTERS:
        raise CallRefused(f"paths have at most {MAX_PATH_CHARACTERS} characters")
    parts = raw_path.removeprefix("/").removesuffix("/").split("/") if raw_path.strip("/") else []
    return [_decoded(part) for part in parts]


def _decoded(part: str) -> str:
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CallRefused("the path is not UTF-8") from error
    # Some servers cut a segment at a semicolon before they look for dots.
    if _UNSAFE.search(text) or _ENCODED_AGAIN.search(text) or text.partition(";")[0] in {"", ".", ".."}:
        raise CallRefused("a segment of the path is empty, a dot, or hides a slash")
    return text


def _fits(pattern: str, segments: list[str]) -> bool:
    wanted = [part for part in pattern.split("/") if part]
    if wanted[-1:] == ["**"]:
        wanted.pop()
        if wanted and len(segments) == len(wanted):  # below it, not itself
            return False
        segments = segments[: len(wanted)]
    return len(wanted) == len(segments) and all(
        part.startswith("{") or part == segment for part, segment in zip(wanted, segments, strict=True)
    )


def _shown(segments: list[str]) -> str:
    return "/" + "/".join(quote(segment, safe=_SEGMENT_SAFE) for segment in segments)
