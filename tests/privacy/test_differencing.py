"""A new cell may equal an earlier one or differ by ten or more, and nothing in between."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.differencing import EntitySet, leaves_few, sizes_to_compare, too_close

EARLIER = EntitySet.of(range(100))


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        (range(100), False),
        (range(99), True),
        (range(91), True),
        (range(90), False),
        (range(101), True),
        (range(109), True),
        (range(110), False),
        ([*range(1, 100), 100], True),
        ([*range(5, 100), *range(200, 204)], True),
        ([*range(5, 100), *range(200, 205)], False),
        (range(200, 300), False),
    ],
    ids=[
        "same",
        "without one",
        "without nine",
        "without ten",
        "and one",
        "and nine",
        "and ten",
        "one for another",
        "five out, four in",
        "five out, five in",
        "others altogether",
    ],
)
def test_the_symmetric_difference_decides(new: range | list[int], refused: bool) -> None:
    assert too_close(EntitySet.of(new), [EARLIER], 10) is refused
    assert too_close(EARLIER, [EntitySet.of(new)], 10) is refused


def test_records_count_not_only_entities() -> None:
    persons = range(40)
    first_year, second_year = EntitySet.of(persons, [1] * 40), EntitySet.of(range(38), [2] * 38)
    assert not too_close(second_year, [first_year], 10), "other records of the same persons are another cell"
    both, but_bobs_last = EntitySet.of(persons, [3] * 40), EntitySet.of(persons, [1, *[3] * 39])
    assert both.distance(but_bobs_last) == 1
    assert too_close(but_bobs_last, [both], 10), "the same persons, less one year of one of them"


def test_nothing_released_before_means_nothing_is_close() -> None:
    assert not too_close(EARLIER, [], 10)


@given(st.sets(st.integers(0, 500)), st.sets(st.integers(0, 500)))
def test_entity_sets_behave_as_sets(one: set[int], other: set[int]) -> None:
    a, b = EntitySet.of(one), EntitySet.of(other)
    assert (a.size, a.distance(b)) == (len(one), len(one ^ other))
    assert EntitySet.from_text(a.to_text()) == a
    assert (a.digest == b.digest) is (one == other)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(0, 400), st.integers(1, 20))
def test_sizes_outside_of_the_ranges_are_never_too_close(sizes: list[int], size: int, minimum: int) -> None:
    ranges = sizes_to_compare([EntitySet.of(range(n)) for n in sizes], minimum)
    inside = any(low <= size <= high for low, high in ranges)
    assert inside or all(abs(size - n) >= minimum for n in sizes)
    assert all(first[1] < second[0] for first, second in pairwise(ranges))


@given(st.lists(st.integers(10, 40), min_size=2, max_size=5), st.integers(0, 30), st.integers(0, 5))
def test_parts_side_by_side_leave_none_or_enough_of_a_whole(sizes: list[int], left: int, newest: int) -> None:
    """However the whole and its parts come, the last to come is seen to leave too few."""
    places = iter(range(sum(sizes) + left))
    parts = [EntitySet.of([next(places) for _ in range(size)]) for size in sizes]
    crossing = EntitySet.of(range(0, sum(sizes) + left, 2))
    cells = [EntitySet.of(range(sum(sizes) + left)), *parts]
    new = cells.pop(newest % len(cells))
    assert leaves_few([new], [*cells, crossing], 10) or not 0 < left < 10
    assert not leaves_few([new], cells, 10) or 0 < left < 10
    # Two of one answer are as good as two that came one by one.
    assert leaves_few([new, *cells], [], 10) == (0 < left < 10)
