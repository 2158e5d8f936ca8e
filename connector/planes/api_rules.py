"""What a consumer may ask of a provider's HTTP API, and what of it goes through: decided before anything is sent.

Pure. Everything is an allow-list: methods, paths, headers in both directions. A path is taken as it stood on the wire,
decoded once, checked segment by segment, and written anew; so what is checked is what the provider's server gets,
whatever that server would have decoded a second time.
Sources: RFC 9110 (7.6.1 hop-by-hop headers), RFC 3986 (3.3 paths, 6.2.2 normalisation), OWASP on path traversal.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from connector.deliveries.errors import CallRefused
from connector.sources.services import ApiDescription

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
# What belongs to one connection and its framing: never passed on, and not the provider's to set either.
_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What says who somebody is, or where something inside is: never passes, even if a description names it.
_IDENTIFYING = frozenset(
    {
        "authorization",
        "cookie",
        "forwarded",
        "location",
        "set-cookie",
        "via",
        "www-authenticate",
        "x-real-ip",
    }
)
_NEVER_PREFIXES = ("proxy-", "sec-", "x-forwarded-")

Headers = Iterable[tuple[str, str]]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")
_ENCODED_AGAIN = re.compile(r"%[0-9A-Fa-f]{2}")
_SEGMENT_SAFE = "!$&'()*+,=:@~"
_QUERY = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x7e]*")


@dataclass(frozen=True)
class Target:
    """Where a call goes at the provider's API, and the operation it is, as the product writes it."""

    url: str
    operation: str


def target(description: ApiDescription, method: str, raw_path: str, query: str) -> Target:
    """Where this call goes. Raises `CallRefused`.

    `raw_path` is what followed the connector's own address, as it stood on the wire. (1) It can be read in one way
    only. (2) An operation allows the method on it. (3) The query has no character that could end the request line.
    """
    segments = _segments(raw_path)  # (1)
    allowed = (o.path for o in description.operations if method in o.methods and _fits(o.path, segments))
    if (pattern := next(allowed, None)) is None:  # (2)
        raise CallRefused(f"{method} {_shown(segments)} is none of the operations of this product")
    if len(query) > MAX_QUERY_CHARACTERS or not _QUERY.fullmatch(query):  # (3)
        raise CallRefused("the query is too long, or has characters that must be percent-encoded")
    ending = "/" if raw_path.endswith("/") and segments else ""
    path = _shown(segments).removesuffix("/") + ending
    url = description.url.rstrip("/") + path + (f"?{query}" if query else "")
    return Target(url, f"{method} {pattern}")


def request_headers(description: ApiDescription, given: Headers, secret: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that go on to the provider's API: those that pass, and above them the provider's own."""
    given = list(given)
    fixed = {name.lower(): value for name, value in {**description.headers, **secret}.items()}
    own = [(name, value) for name, value in fixed.items() if name not in _CONNECTION]
    named = {name for name in description.request_headers if _may_pass(name)}
    passing = (REQUEST_HEADERS | named) - fixed.keys() - _named_hops(given)
    return [("accept-encoding", "identity"), *own, *_passing(given, passing)]


def answer_headers(description: ApiDescription, given: Headers) -> list[tuple[str, str]]:
    """The headers of the provider's answer that reach the consumer."""
    given = list(given)
    named = {name for name in description.answer_headers if _may_pass(name)}
    return _passing(given, (ANSWER_HEADERS | named) - _named_hops(given))


def _passing(given: Headers, names: AbstractSet[str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in given if name.lower() in names]


def _may_pass(name: str) -> bool:
    return name not in _CONNECTION | _IDENTIFYING and not name.startswith(_NEVER_PREFIXES)


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
