"""Canonical forms: the one byte string, digest, instant and shape of message that everybody has alike.

Bytes to be signed, hashed or compared are RFC 8785 canonical JSON. Digests name their algorithm
(``sha256:<hex>``), so that another one can be chosen without ambiguity. Instants are UTC, ISO 8601, whole
milliseconds, and sort as text.

    >>> encode({"b": 1, "a": "肃"})
    b'{"a":"\\xe8\\x82\\x83","b":1}'
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from hexi.errors import Malformed

# Any JSON value. Kept open on purpose: wire models give shape, canonical form does not care.
Json = Any

Clock = Callable[[], datetime]

# Deeper documents than this are not data but an attack on recursive parsers.
MAX_DEPTH = 64

# Whole numbers up to here are exact for every reader of JSON (RFC 8785, section 3.2.2.3).
_MAX_INTEGER = 2**53 - 1
# Fractions from here on are written without an exponent by Python as by ECMAScript (RFC 8785, section 3.2.2.3).
_MIN_FRACTION = 1e-4

_HASHES: Mapping[str, Callable[[bytes], Any]] = {
    "sha256": hashlib.sha256,
    # SM3 (GB/T 32905) comes from the machine's OpenSSL, which may lack it; then asking for it is an error.
    "sm3": lambda data: hashlib.new("sm3", data),
}


class Wire(BaseModel):
    """A message or document of ours: camelCase JSON outside, frozen values inside, unknown members refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def encode(value: Json) -> bytes:
    """The RFC 8785 bytes of `value`. Raises `Malformed` for what canonical JSON cannot carry (NaN, bytes)."""
    try:
        # Where no number needs RFC 8785's care and no key its order, the standard library writes the same bytes, ten
        # times as fast; and that is nearly always. A property test holds the two together.
        return _write(value).encode() if _is_plain(value) else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise Malformed(f"this value has no canonical JSON form: {error}") from error


def pretty(value: Json) -> str:
    """JSON for people: indented, Chinese as it is, keys in the order given. Never sign or hash it."""
    return json.dumps(value, ensure_ascii=False, indent=2)  # noqa: TID251 - this is the place for people's JSON


def parse(data: bytes | str) -> Json:
    """Strict JSON: UTF-8, no key twice, no NaN, no half of a surrogate pair, at most `MAX_DEPTH` deep.

    Raises `Malformed`. (RFC 7493, section 2.1: what is no text in Unicode could be neither stored nor answered.)
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"this is not strict JSON: {error}") from error
    _check_depth(value)
    if "\\u" in text:  # UTF-8 has no surrogates; only an escape can write one
        _check_writable(value)
    return value


def digest(value: Json, algorithm: str = "sha256") -> str:
    """``algorithm:hex`` of the canonical bytes of `value`."""
    return digest_bytes(encode(value), algorithm)


def digest_bytes(data: bytes, algorithm: str = "sha256") -> str:
    """``algorithm:hex`` of `data`. Raises `Malformed` for an algorithm this machine does not have."""
    try:
        return f"{algorithm}:{_HASHES[algorithm](data).hexdigest()}"
    except (KeyError, ValueError) as error:
        raise Malformed(f"the hash algorithm {algorithm!r} is not available; known: {', '.join(_HASHES)}") from error


def system_clock() -> datetime:
    """The machine's clock, in UTC. Everything else takes a `Clock`, so that tests can set the time."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads the machine's clock


def instant(moment: datetime) -> str:
    """`moment` as ``2026-11-23T12:00:00.000Z``. Refuses a moment without a zone: it would be a guess."""
    if moment.tzinfo is None:
        raise Malformed("an instant needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """The moment written in `text` (ISO 8601 with a zone). Raises `Malformed`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not an ISO 8601 instant such as 2026-11-23T12:00:00Z") from error
    if moment.tzinfo is None:
        raise Malformed(f"{text!r} has no time zone; write it as 2026-11-23T12:00:00Z")
    return moment.astimezone(UTC)


_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _is_plain(value: Json) -> bool:
    """Whether `value` has only numbers that Python writes as ECMAScript does, and no keys that UTF-16 would sort
    otherwise. (Fractions below a ten-thousandth have an exponent in Python, whole ones a point.)
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is dict:
        return all(type(key) is str and (key.isascii() or max(key) < "\ud800") for key in value) and all(
            map(_is_plain, value.values())
        )
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    if kind is float:
        return _MIN_FRACTION <= abs(value) <= _MAX_INTEGER and not value.is_integer()
    return kind is int and -_MAX_INTEGER <= value <= _MAX_INTEGER


def _check_writable(value: Json) -> None:
    try:
        _write(value).encode()
    except UnicodeEncodeError as error:
        raise Malformed("this is not strict JSON: it has half of a surrogate pair") from error


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} appears twice")
    return value


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: Json) -> None:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [child for item in level for child in _children(item) if type(child) in _CONTAINERS]
    if level:
        raise Malformed(f"this JSON is nested more than {MAX_DEPTH} deep")


# What the parser makes of objects and arrays; there are many more of the others.
_CONTAINERS = frozenset({dict, list})


def _children(item: Json) -> Iterable[Json]:
    children: Iterable[Json] = item.values() if isinstance(item, dict) else item
    return children
