"""The rules of others, which look at single answers, under the attacker that asks for random halves of all people."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.decoding import conjugate
from privacy.lattice.blocks import Floats

# Sets unpacked at a time, and how exactly the attacker solves: to a hundredth of what is needed to tell a bit.
BLOCK, PRECISION = 1_000, 1e-4
# The variance an attacker takes an answer for: what rounding to five has, and a little more.
ROUNDING = 8.0


@dataclass(frozen=True)
class Halves:
    """So many random halves of so many people, a bit for everybody."""

    packed: NDArray[np.uint8]
    people: int

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The sets as rows of nought and one, a block at a time."""
        for start in range(0, len(self.packed), BLOCK):
            rows = slice(start, min(start + BLOCK, len(self.packed)))
            yield rows, np.unpackbits(self.packed[rows], axis=1, count=self.people).astype(np.float32)

    def of(self, weights: Floats) -> Floats:
        """For each set the sum over the people in it."""
        return np.concatenate([block @ weights.astype(np.float32) for _, block in self.blocks()]).astype(np.float64)

    def back(self, values: Floats) -> Floats:
        """For each person the sum over the sets they are in."""
        found = np.zeros(self.people)
        for rows, block in self.blocks():
            found += values[rows].astype(np.float32) @ block
        return found


# A rule: from the sets asked for and their true counts to what is shown; nan where it refuses.
Rule = Callable[[Halves, Floats], Floats]


def random_subsets(size: int, queries: int, rule: Rule, seed: int = 3) -> float:
    """Points over guessing of least squares on the answers to random half subsets, under a rule without a budget."""
    rng = np.random.default_rng(seed)
    secret = rng.integers(0, 2, size)
    packed = rng.integers(0, 256, (queries, -(-size // 8)), dtype=np.uint8)
    shown = rule(Halves(packed, size), Halves(packed, size).of(secret.astype(np.float64)))
    halves = Halves(packed[~np.isnan(shown)], size)
    left = shown[~np.isnan(shown)] - halves.of(np.full(size, 0.5))
    solved = conjugate(
        lambda x: ROUNDING * x + 0.25 * halves.of(halves.back(x)), left, np.full(len(left), 1.0), PRECISION
    )
    return 100 * float(np.mean((halves.back(solved) > 0) == (secret > 0)) - 0.5)


def opensafely(_: Halves, counts: Floats) -> Floats:
    """Suppress up to seven, round to five."""
    return np.asarray(np.where(counts <= 7, np.nan, np.round(counts / 5) * 5))


def threshold_ten(_: Halves, counts: Floats) -> Floats:
    """Suppress below ten, round to five."""
    return np.asarray(np.where(counts < 10, np.nan, np.round(counts / 5) * 5))


def pairwise(halves: Halves, counts: Floats) -> Floats:
    """The same, and refuse whatever differs from an earlier answer by one to nine people."""
    shown, sizes = threshold_ten(halves, counts), halves.of(np.ones(halves.people))
    for later, block in halves.blocks():
        for earlier, other in halves.blocks():
            if earlier.start > later.start:
                break
            differ = sizes[later, None] + sizes[None, earlier] - 2 * block @ other.T
            before = np.arange(earlier.start, earlier.stop) < np.arange(later.start, later.stop)[:, None]
            close = (differ > 0.5) & (differ < 9.5) & before
            shown[later] = np.where(close.any(axis=1), np.nan, shown[later])
    return shown


def cell_key(_: Halves, counts: Floats) -> Floats:
    """Threshold ten, and noise of deviation five that is the same for the same set."""
    noise = np.random.default_rng(4).normal(0, 5, len(counts))
    return np.asarray(np.where(counts < 10, np.nan, np.round(counts + noise)))


RULES: dict[str, Rule] = {
    "OpenSAFELY (7, round 5)": opensafely,
    "threshold 10, round 5": threshold_ten,
    "cell keys sd 5": cell_key,
    # Random halves differ in half of all people: it hardly ever fires.
    "pairwise differences of 10": pairwise,
}
