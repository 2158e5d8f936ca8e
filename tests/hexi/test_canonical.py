"""Canonical forms: one byte string, one digest, one instant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from hexi.canonical import MAX_DEPTH, digest, encode, instant, parse, parse_instant
from hexi.errors import Malformed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_is_encoded_is_read_back(value: object) -> None:
    assert parse(encode(value)) == value


@given(st.dictionaries(st.text(), st.integers(0, 9)))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=2),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(0, 3), inner),
    max_leaves=10,
)


@given(ANYTHING)
def test_the_fast_way_writes_what_the_library_writes_or_refuses_with_it(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(Malformed):
            encode(value)
    else:
        assert encode(value) == expected


@given(st.floats(-(2.0**54), 2.0**54) | st.floats(-1e-3, 1e-3))
def test_fractions_are_written_as_the_library_writes_them(value: float) -> None:
    # The fast way takes most of them: the two languages differ in where an exponent begins, and in whole ones.
    assert encode(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("key", ["\U0001f600", "\ue000", "é", "\ud7ff"])
def test_keys_are_sorted_as_utf_16(key: str) -> None:
    value = {key: 1, "\ufb33": 2, "a": 3}
    assert encode(value) == rfc8785.dumps(value)


def test_the_example_of_rfc_8785() -> None:
    # Section 3.2.2: numbers as ECMAScript writes them, keys sorted by UTF-16 code units.
    assert encode({"numbers": [333333333.33333329, 1e30, 4.50, 2e-3], "\u20ac": "$", "\r": None}) == (
        '{"\\r":null,"numbers":[333333333.3333333,1e+30,4.5,0.002],"€":"$"}'.encode()
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("key_twice", b'{"a":1,"a":2}'),
        ("nan", b"[NaN]"),
        ("infinity", b"[Infinity]"),
        ("not_utf8", b'"\xff"'),
        ("cut_short", b'{"a":'),
        ("too_deep", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)),
        ("absurdly_deep", b"[" * 100_000),
        ("half_a_surrogate_pair", rb'["\ud83d"]'),
        ("half_a_surrogate_pair_as_key", rb'{"\uDE00":1}'),
    ],
)
def test_loose_json_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


def test_what_has_no_canonical_form_is_refused() -> None:
    for value in (float("nan"), {"a": b"bytes"}, 2**60):
        with pytest.raises(Malformed):
            encode(value)


def test_a_digest_names_its_algorithm_and_unknown_ones_are_refused() -> None:
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(Malformed, match="md5"):
        digest({}, "md5")


def test_instants_are_utc_whole_milliseconds_and_sort_as_text() -> None:
    beijing = datetime(2026, 11, 23, 20, 0, 0, 123456, timezone(timedelta(hours=8)))
    assert instant(beijing) == "2026-11-23T12:00:00.123Z"
    assert parse_instant("2026-11-23T20:00:00+08:00") == datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-23T12:00:00", "yesterday", ""])
def test_an_instant_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_instant(text)


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(Malformed):
        instant(datetime(2026, 11, 23))  # noqa: DTZ001
