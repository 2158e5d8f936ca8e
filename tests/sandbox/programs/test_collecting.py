"""What is taken of a program's outputs, and how: shapes, texts, numbers, counts, keys."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexi.canonical import encode
from registry.catalogue import Disclosure, Product, Table
from sandbox.programs.capacity import DIGITS, LARGEST, points
from sandbox.programs.collecting import Expected, Inadmissible, check_counts, collect
from sandbox.programs.rules import report

WORDS = frozenset({"t", "m", "n", "v", "s", "w", "county", "year", "day", "a", "b", "over 60"})


def product(**disclosure: Any) -> Product:
    columns: list[dict[str, Any]] = [
        {"name": "person", "datatype": "string", "role": "entity-key"},
        {"name": "county", "datatype": "string", "role": "dimension", "domain": ["Huan", "Ning"]},
        {"name": "year", "datatype": "integer", "role": "dimension"},
        {"name": "day", "datatype": "date", "role": "dimension"},
        {"name": "cost", "datatype": "number", "role": "measure", "range": [0, 1000]},
    ]
    titled = [{"title": {"zh": "x", "en": "x"}, **column} for column in columns]
    table = Table.model_validate(
        {"name": "visits", "title": {"zh": "x", "en": "x"}, "entityKey": "person", "columns": titled}
    )
    return Product.model_construct(identifier="p", version=1, tables=(table,), disclosure=Disclosure(**disclosure))


def expected(entities: int = 1_000) -> Expected:
    return Expected(product(), WORDS, entities)


def table(rows: list[list[Any]], **types: str) -> bytes:
    columns = [{"name": name, "type": type_} for name, type_ in types.items()]
    return encode([{"kind": "table", "name": "t", "columns": columns, "rows": rows}])


def taken(data: bytes, entities: int = 1_000) -> list[list[Any]]:
    (output,) = collect(data, expected(entities)).outputs
    rows: list[list[Any]] = output["rows"]
    return rows


def test_rows_are_dropped_rounded_cut_and_sorted() -> None:
    rows = [["Ning", 23, 1.23456789, 0.12345], ["Huan", 9, 5.0, 0.5], [None, 12, 123456.7, 1 / 3]]
    collected = collect(table(rows, county="dimension", n="count", v="number", s="share"), expected())
    assert collected.outputs[0]["rows"] == [[None, 10, 123500, 0.33], ["Ning", 25, 1.235, 0.12]]
    assert (collected.dropped, collected.numbers) == (1, 6)


def test_outputs_come_by_name_whatever_their_order() -> None:
    one = {"kind": "table", "columns": [{"name": "n", "type": "count"}], "rows": [[100]]}
    both = [{**one, "name": name} for name in ("t", "a")]
    assert [output["name"] for output in collect(encode(both), expected()).outputs] == ["a", "t"]


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (["Atlantis", 20], {"county": "dimension"}),
        (["Huan", 20], {"person": "dimension"}),
        ([1, 20], {"cost": "dimension"}),
        ([10_000, 20], {"year": "dimension"}),
        (["2024-13-01", 20], {"day": "dimension"}),
        (["under 60", 20], {"w": "label"}),
        ([60, 20], {"w": "label"}),
        ([True, 20], {"v": "number"}),
        (["1", 20], {"v": "number"}),
        ([1e12, 20], {"v": "number"}),
        ([10**400, 20], {"v": "number"}),
        ([1.01, 20], {"s": "share"}),
        ([-0.1, 20], {"s": "share"}),
    ],
)
def test_values_that_are_not_what_their_column_says(value: list[Any], types: dict[str, str]) -> None:
    large = value[0] == 10**400
    given = table([[0 if large else value[0], value[1]]], **types, n="count")
    if large:  # canonical JSON has no such number; a program may write one all the same
        given = given.replace(b"[0,", b"[1" + b"0" * 400 + b",")
    with pytest.raises(Inadmissible):
        collect(given, Expected(product(), WORDS | {"person", "cost"}, 1_000))


@pytest.mark.parametrize("n", [1_001, -1, 20.5, "20", None, True])
def test_counts_that_are_none(n: Any) -> None:
    with pytest.raises(Inadmissible):
        taken(table([[n]], n="count"))


def test_a_day_a_year_and_a_missing_value_are_dimensions() -> None:
    assert taken(table([["2024-02-29", 20]], day="dimension", n="count")) == [["2024-02-29", 20]]
    assert taken(table([[2024, 20], [None, 30]], year="dimension", n="count")) == [[None, 30], [2024, 20]]


def test_no_more_rows_than_groups_there_could_be_and_one_for_every_key() -> None:
    rows = [[year, 10] for year in range(1_900, 1_902)]
    assert len(taken(table(rows, year="dimension", n="count"), entities=20)) == 2
    with pytest.raises(Inadmissible, match="more rows"):
        taken(table([*rows, [2000, 10]], year="dimension", n="count"), entities=20)
    with pytest.raises(Inadmissible, match="same key"):
        taken(table([[2000, 10], [2000, 20]], year="dimension", n="count"))


def test_a_model_keeps_its_degrees_of_freedom() -> None:
    def model(**changes: Any) -> bytes:
        terms = [{"name": name, "coefficient": 1.23456, "error": 0.5} for name in ("Intercept", "county[T.Huan]")]
        given = {
            "kind": "model",
            "name": "m",
            "family": "linear",
            "outcome": "cost",
            "n": 103,
            "terms": terms,
            "r2": 0.5,
        }
        return encode([{**given, **changes}])

    (found,) = collect(model(), expected()).outputs
    assert (found["n"], found["terms"][0]["coefficient"]) == (105, 1.235)
    for changes in ({"n": 11}, {"r2": 0.999}, {"terms": []}, {"outcome": "secret"}, {"family": "tree"}, {"n": 2_000}):
        with pytest.raises(Inadmissible):
            collect(model(**changes), expected())
    with pytest.raises(Inadmissible):
        collect(model(terms=[{"name": "county[T.P0001]", "coefficient": 1, "error": 1}]), expected())


def test_counts_are_held_against_the_product() -> None:
    there = {("Huan",): 40, ("Ning",): 20}
    rows = [["Huan", 40], ["Ning", 20]]
    outputs = collect(table(rows, county="dimension", n="count"), expected()).outputs
    assert check_counts(outputs, lambda _, key: there[tuple(key)], 5) == []
    assert check_counts(outputs, lambda *_: None, 5) == ["t"]
    with pytest.raises(Inadmissible, match="more entities"):
        check_counts(outputs, lambda *_: 30, 5)
    labelled = collect(table([["over 60", 40]], w="label", n="count"), expected()).outputs
    assert check_counts(labelled, lambda *_: 1_000, 5) == ["t"]


@given(st.floats(allow_nan=False, allow_infinity=False, width=64) | st.integers(-(10**15), 10**15))
def test_a_number_that_leaves_has_its_digits_and_no_more(value: float) -> None:
    if abs(value) >= LARGEST:
        with pytest.raises(Inadmissible):
            taken(table([[value, 100]], v="number", n="count"))
        return
    ((number, _),) = taken(table([[value, 100]], v="number", n="count"))
    assert float(f"{float(number):.{DIGITS - 1}e}") == number
    assert math.copysign(1, number) == 1 or number != 0


def test_the_points_of_a_capacity_are_those_of_rate_distortion() -> None:
    assert points(0, 1_000) == pytest.approx(0, abs=1e-6)
    assert points(1_000, 1_000) == 50
    assert points(10, 0) == 50
    # 1 - H(0.55) = 0.00722...: the bits by which a fair coin is guessed right 55 times of a hundred.
    assert points(7.2262, 1_000) == pytest.approx(5.0, abs=0.01)


def test_small_outputs_over_many_people_pass_every_rule() -> None:
    collected = collect(table([["Huan", 40_000, 5.5]], county="dimension", n="count", v="number"), expected(1_000_000))
    said = report(collected, expected(1_000_000), (), ())
    assert [one["rule"] for one in said if not one["passed"]] == []
    assert {one["rule"] for one in said} == {
        "minimum-entities",
        "digits",
        "counts",
        "capacity",
        "classes",
        "differences",
    }
