"""Complementary suppression, class disclosure, numbers that agree: properties over random tables, and the attacks."""

from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.disclosure import Cell, Rules, Statistic, round_to
from privacy.suppression import average, shown, totals

RULES = Rules(minimum_entities=10, rounding=5)


@st.composite
def tables(draw: st.DrawFn) -> list[Cell]:
    """A table of up to three keys, some of its cells empty, that is, absent."""
    width = draw(st.integers(1, 3))
    keys = draw(st.sets(st.tuples(*[st.sampled_from("abcd")] * width), max_size=20))
    return [Cell(key, count, count + 3) for key in sorted(keys) for count in [draw(st.integers(1, 40))]]


def lines(cells: Sequence[Cell]) -> list[list[int]]:
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        for place in range(len(cell.key)):
            found[place, cell.key[:place] + cell.key[place + 1 :]].append(index)
    return list(found.values())


@given(tables())
def test_what_is_missing_of_a_line_is_two_cells_and_k_entities_or_the_whole_line(cells: list[Cell]) -> None:
    kept = set(shown(cells, RULES).kept)
    assert all(cells[index].entities >= 10 for index in kept)
    for line in lines(cells):
        out = [index for index in line if index not in kept]
        if out and len(out) < len(line):
            assert len(out) > 1
            assert max(cells[index].entities for index in out) >= 10


@given(tables())
def test_nothing_is_left_out_of_a_table_of_large_cells(cells: list[Cell]) -> None:
    large = [Cell(cell.key, cell.entities + 10, cell.rows) for cell in cells]
    assert len(shown(large, RULES).kept) == len(large)


@given(tables(), st.integers(0, 2))
def test_a_sensitive_line_shows_two_classes_or_none(cells: list[Cell], place: int) -> None:
    if not cells or place >= len(cells[0].key):
        return
    kept = shown(cells, RULES, sensitive=[place]).kept
    found: dict[tuple[object, ...], int] = defaultdict(int)
    for index in kept:
        found[cells[index].key[:place] + cells[index].key[place + 1 :]] += 1
    assert 1 not in found.values()


@given(tables())
def test_the_order_of_the_cells_decides_nothing(cells: list[Cell]) -> None:
    there = {cells[index].key for index in shown(cells, RULES).kept}
    backwards = cells[::-1]
    assert {backwards[index].key for index in shown(backwards, RULES).kept} == there


def test_the_attack_a_total_less_what_is_shown() -> None:
    cells = [Cell(("a",), 40, 40), Cell(("b",), 30, 30), Cell(("c",), 3, 3)]
    # Without rule 3, the total of 75 less 40 and 30 would leave the three.
    assert shown(cells, RULES).kept == (0,)
    assert shown(cells, RULES).fallen == {"threshold": 1, "complementary": 1}


@pytest.mark.parametrize(("clipped", "kept"), [(0, 0), (20, 0), (19, 1), (1, 1)])
def test_the_attack_everybody_has_it_or_nobody(clipped: float, kept: int) -> None:
    cell = Cell((), 20, 20, {"ill": Statistic(clipped, 20, 20)})
    assert len(shown([cell], RULES, ends={"ill": (0, 1)}).kept) == kept


@given(st.integers(10, 500), st.integers(0, 100_000))
def test_a_mean_says_no_more_than_the_rounded_numbers(present: int, total: int) -> None:
    rounded = Statistic(round_to(total, 5), round_to(present, 5), present)
    assert average(Statistic(total, present, present), RULES) == average(rounded, RULES)


def test_totals_are_sums_of_what_is_shown_and_withheld_where_a_part_is() -> None:
    rows = [(("a", "x"), (10, 100)), (("a", "y"), (15, None)), (("b", "x"), (20, 5))]
    assert totals(rows, 1) == {("a",): (25, None), ("b",): (20, 5)}
    assert totals(rows, 0) == {(): (45, None)}
    assert totals([], 0) == {}
