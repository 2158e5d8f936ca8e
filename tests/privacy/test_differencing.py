"""A new cell may equal an earlier one or differ by ten or more, and so may all that can be added up from cells."""

from itertools import pairwise
from random import Random  # noqa: TID251 - seeded

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.differencing import Combinations, Sketch, sizes_to_compare, too_close, too_close_across
from tests.privacy.sketches import sketch

EARLIER = sketch(range(100))
LEAST = 10


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        (range(100), False),
        (range(99), True),
        (range(91), True),
        (range(88), False),
        (range(101), True),
        (range(109), True),
        (range(112), False),
        ([*range(1, 100), 100], True),
        ([*range(5, 100), *range(200, 204)], True),
        ([*range(6, 100), *range(200, 206)], False),
        (range(200, 300), False),
    ],
    ids=[
        "same",
        "without one",
        "without nine",
        "without twelve",
        "and one",
        "and nine",
        "and twelve",
        "one for another",
        "five out, four in",
        "six out, six in",
        "others altogether",
    ],
)
def test_the_symmetric_difference_decides(new: range | list[int], refused: bool) -> None:
    assert too_close(sketch(new), [EARLIER], LEAST) is refused
    assert too_close(EARLIER, [sketch(new)], LEAST) is refused


def test_records_count_not_only_entities() -> None:
    persons = range(40)
    first_year, second_year = sketch(persons, [1] * 40), sketch(range(38), [2] * 38)
    assert not too_close(second_year, [first_year], LEAST), "other records of the same persons are another cell"
    assert too_close_across(second_year, [first_year], LEAST), "in another version marks say less"
    both, but_bobs_last = sketch(persons, [3] * 40), sketch(persons, [1, *[3] * 39])
    assert too_close(but_bobs_last, [both], LEAST), "the same persons, less one year of one of them"
    assert not too_close(but_bobs_last.without_records(), [both.without_records()], LEAST)


@given(st.sets(st.integers(0, 400)), st.sets(st.integers(0, 400)), st.integers(1, 40))
def test_no_difference_of_fewer_is_overlooked(one: set[int], other: set[int], minimum: int) -> None:
    a, b, by = sketch(one), sketch(other), len(one ^ other)
    if 0 < by < minimum:
        assert too_close(a, [b], minimum)
    if by == 0 or by >= 2 * minimum:
        assert not too_close(a, [b], minimum)


@pytest.mark.parametrize("minimum", [100, 1_000, 5_000])
def test_more_than_there_are_buckets_are_told_from_fewer(minimum: int) -> None:
    assert too_close(sketch(range(minimum - 1)), [sketch([])], minimum)
    assert not too_close(sketch(range(5 * minimum)), [sketch(range(3 * minimum))], minimum) or minimum > 1_000


@given(st.sets(st.integers(0, 500)), st.sets(st.integers(0, 500)))
def test_a_sketch_is_kept_and_named(one: set[int], other: set[int]) -> None:
    a, b = sketch(one), sketch(other)
    assert Sketch.from_text(a.to_text()) == a
    assert (a.digest == b.digest) is (one == other)
    assert a.entities ^ b.entities == sketch(one ^ other).entities


@pytest.mark.parametrize("wrong", ["0", "xy" * 18, "00" * 17, "ffff" + "00" * 16])
def test_what_a_job_must_not_write_is_no_sketch(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Sketch.read(1, wrong)


@given(st.lists(st.integers(10, 400), min_size=1, max_size=8), st.integers(0, 500), st.integers(1, 20))
def test_sizes_outside_of_the_ranges_are_never_too_close(sizes: list[int], size: int, minimum: int) -> None:
    ranges = sizes_to_compare([sketch(range(n)) for n in sizes], minimum)
    inside = any(low <= size <= high for low, high in ranges)
    assert inside or all(abs(size - n) >= minimum for n in sizes)
    assert all(first[1] < second[0] for first, second in pairwise(ranges))


# Several cells together ----------------------------------------------------------------------------------------------


def known(*cells: Sketch) -> Combinations:
    combinations = Combinations(LEAST)
    for cell in cells:
        combinations.add(cell)
    return combinations


@given(st.lists(st.integers(12, 40), min_size=2, max_size=5), st.integers(0, 30), st.integers(0, 5))
def test_parts_side_by_side_leave_none_or_enough_of_a_whole(sizes: list[int], left: int, newest: int) -> None:
    """However the whole and its parts come, the last to come is seen to leave too few."""
    places = iter(range(sum(sizes) + left))
    cells = [sketch([next(places) for _ in range(size)]) for size in sizes]
    cells.append(sketch(range(sum(sizes) + left)))
    new = cells.pop(newest % len(cells))
    crossing = sketch(range(0, sum(sizes) + left, 2))
    if 0 < left < LEAST:
        assert known(*cells, crossing).single_out(new)
    if left == 0 or left >= 2 * LEAST:
        assert not known(*cells).single_out(new)


def test_parts_that_overlap_are_put_together() -> None:
    """Nobody asks for somebody: A, B, what they share, and all but Bob of what they are together."""
    a, b, both = range(200), range(150, 350), range(150, 200)
    union = [one for one in range(350) if one != 77]
    assert not known(sketch(a), sketch(b)).single_out(sketch(both))
    assert not known(sketch(a), sketch(b), sketch(both)).single_out(sketch(range(350)))
    assert known(sketch(a), sketch(b), sketch(both)).single_out(sketch(union))


def test_every_small_cell_of_a_grid_that_totals_would_give_away_is_seen() -> None:
    """A table of two columns with four cells left out, and then the totals of two of its lines."""
    grid = {
        (i, j): range(1_000 * i + 100 * j, 1_000 * i + 100 * j + (4 if (i, j) == (0, 0) else 60))
        for i in range(5)
        for j in range(5)
    }
    shown = [sketch(cell) for place, cell in grid.items() if place not in {(0, 0), (0, 1), (1, 0), (1, 1)}]
    row = sketch([one for (i, _), cell in grid.items() if i == 0 for one in cell])
    column = sketch([one for (_, j), cell in grid.items() if j == 1 for one in cell])
    combinations = known(*shown, row, column)
    other_row = sketch([one for (i, _), cell in grid.items() if i == 1 for one in cell])
    assert not combinations.single_out(other_row)
    combinations.add(other_row)
    # Row 0 less column 1 is now (0, 0) less (1, 1), row 1 less column 1 is (1, 0) less (0, 1): nothing small yet.
    assert combinations.single_out(sketch(grid[1, 1]))


def test_a_hundred_random_cells_say_nothing_and_the_one_that_completes_a_person_is_seen() -> None:
    draw = Random(5)
    persons = range(400)
    cells = [{one for one in persons if draw.random() < 0.4} for _ in range(100)]
    combinations = Combinations(LEAST)
    for cell in cells:
        assert not combinations.single_out(sketch(cell))
        combinations.add(sketch(cell))
    last = {7}
    for cell in draw.sample(cells, 9):
        last ^= cell
    assert combinations.single_out(sketch(last))
