"""The sampler is exact: its distribution, its variance, and that the same key gives the same noise."""

import math
from collections import Counter

import pytest

from privacy.lattice.noise import Stream, discrete_gaussian

DRAWS = 20_000


@pytest.mark.parametrize("variance", [1, 3, 40])
def test_the_distribution_is_that_of_the_formula(variance: int) -> None:
    stream = Stream(b"key", f"distribution {variance}".encode())
    found = Counter(discrete_gaussian(stream, variance) for _ in range(DRAWS))
    weights = {x: math.exp(-x * x / (2 * variance)) for x in range(-80, 81)}
    whole = sum(weights.values())
    # Pearson's statistic over the cells that are expected at least ten times, the tails as one cell more.
    expected = {x: DRAWS * w / whole for x, w in weights.items() if DRAWS * w / whole >= 10}
    rest = DRAWS - sum(expected.values())
    statistic = sum((found[x] - e) ** 2 / e for x, e in expected.items())
    statistic += (DRAWS - sum(found[x] for x in expected) - rest) ** 2 / max(rest, 1)
    freedom = len(expected)
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


def test_large_noise_has_the_planned_variance_and_no_bias() -> None:
    stream, variance = Stream(b"key", b"large"), (9 * 1024) ** 2 + 17
    drawn = [discrete_gaussian(stream, variance) for _ in range(DRAWS)]
    assert abs(sum(drawn) / DRAWS) < 5 * math.sqrt(variance / DRAWS)
    assert sum(x * x for x in drawn) / DRAWS == pytest.approx(variance, rel=5 * math.sqrt(2 / DRAWS))


def test_the_same_key_and_label_give_the_same_noise_and_others_do_not() -> None:
    def draw(key: bytes, label: bytes) -> list[int]:
        stream = Stream(key, label)
        return [discrete_gaussian(stream, 10**6) for _ in range(50)]

    assert draw(b"a", b"x") == draw(b"a", b"x")
    assert draw(b"a", b"x") != draw(b"a", b"y")
    assert draw(b"a", b"x") != draw(b"b", b"x")


def test_uniform_integers_are_uniform_also_where_the_limit_divides_nothing() -> None:
    stream = Stream(b"key", b"uniform")
    found = Counter(stream.below(7) for _ in range(DRAWS))
    assert sum((found[i] - DRAWS / 7) ** 2 / (DRAWS / 7) for i in range(7)) < 6 + 5 * math.sqrt(12)
