"""What may leave: thresholds on persons, rounding, dominance. The refusal stands next to the permission."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.disclosure import (
    Average,
    Cell,
    Count,
    Entities,
    Released,
    Rules,
    Statistic,
    Sum,
    dominated,
    may_show,
    order,
    release,
    round_to,
)

RULES = Rules()


def cost(**given: object) -> Statistic:
    values: dict[str, object] = {"clipped": 1234.0, "present": 20, "entities": 15}
    return Statistic(**{**values, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0, 0),
        (2, 0),
        (2.4999, 0),
        (2.5, 5),
        (7, 5),
        (7.5, 10),
        (12, 10),
        (13, 15),
        (-2.5, -5),
        (-2, 0),
        (1e15 + 3, 1e15 + 5),
    ],
)
def test_rounding_is_to_the_nearest_five_half_away_from_zero(value: float, rounded: int) -> None:
    assert round_to(value, 5) == rounded


@pytest.mark.parametrize(("entities", "shown"), [(0, False), (1, False), (9, False), (10, True), (11, True)])
def test_a_cell_of_fewer_than_ten_entities_is_suppressed_however_many_rows_it_has(entities: int, shown: bool) -> None:
    released = release([Cell(("A",), entities, rows=1000)], [Count()], RULES)
    assert bool(released.rows) is shown
    assert bool(released.kept) is shown


def test_counts_and_sums_are_rounded_and_averages_are_exact_to_two_decimals() -> None:
    cell = Cell(("A",), 13, 22, {"cost": cost()})
    released = release([cell], [Count(), Entities(), Sum("cost"), Average("cost")], RULES)
    assert released.rows == ((("A",), (20, 15, 1235, 61.7)),)


@pytest.mark.parametrize(
    ("statistic", "total", "average"),
    [
        (cost(), 1235, 61.7),
        (cost(entities=9), None, None),
        (cost(entities=10), 1235, 61.7),
        (cost(present=0, entities=0), None, None),
        (cost(clipped=float("inf")), None, None),
        (cost(clipped=1e300), None, None),
        (cost(clipped=-7.5, present=4000), -10, 0.0),
    ],
    ids=[
        "many",
        "nine have a value",
        "ten have a value",
        "nobody has a value",
        "not a number",
        "too large to say",
        "below zero",
    ],
)
def test_a_measure_is_withheld_when_fewer_than_ten_entities_have_a_value(
    statistic: Statistic, total: int | None, average: float | None
) -> None:
    released = release([Cell((), 40, 50, {"cost": statistic})], [Count(), Sum("cost"), Average("cost")], RULES)
    assert released.rows == (((), (50, total, average)),)


def test_a_cell_nobody_is_in_looks_like_one_of_nine() -> None:
    assert release([Cell((), 0, 0)], [Count()], RULES).rows == release([Cell((), 9, 9)], [Count()], RULES).rows == ()


def test_nothing_is_said_of_how_many_cells_were_suppressed() -> None:
    assert release([Cell((n,), 3, 3) for n in range(7)], [Count()], RULES) == Released((), ())


def test_rows_come_in_the_order_of_their_keys_missing_first() -> None:
    cells = [Cell((key,), 10, 10) for key in ("b", 2, None, "a", 10, True)]
    assert [key for (key,), _ in release(cells, [Count()], RULES).rows] == [None, True, 2, 10, "a", "b"]
    assert order((None,)) < order((0,)) < order(("",))


@pytest.mark.parametrize(
    ("largest", "total", "is_dominated"),
    [
        ((50.0, 10.0), 100.0, False),
        ((51.0, 10.0), 100.0, True),
        ((40.0, 27.0), 100.0, False),
        ((40.0, 28.0), 100.0, True),
        ((0.0, 0.0), 0.0, False),
        ((5.0, 5.0), 0.0, True),
        ((), 0.0, False),
    ],
    ids=["50 %", "51 %", "67 % of two", "68 % of two", "all zero", "cancelling out", "nobody"],
)
def test_dominance(largest: tuple[float, ...], total: float, is_dominated: bool) -> None:
    statistic = cost(clipped=total, largest=largest)
    assert dominated(statistic) is is_dominated
    assert may_show(statistic, Rules(dominance=True)) is not is_dominated
    assert may_show(statistic, RULES)


@given(st.floats(-1e12, 1e12), st.integers(1, 100))
def test_rounding_gives_a_multiple_that_is_near(value: float, base: int) -> None:
    rounded = round_to(value, base)
    assert rounded % base == 0
    assert abs(rounded - value) <= base / 2 + 1e-3


@given(st.lists(st.integers(0, 40), max_size=30))
def test_exactly_the_cells_under_ten_entities_are_missing(sizes: list[int]) -> None:
    released = release([Cell((n,), size, size) for n, size in enumerate(sizes)], [Count()], RULES)
    assert set(released.kept) == {n for n, size in enumerate(sizes) if size >= 10}
