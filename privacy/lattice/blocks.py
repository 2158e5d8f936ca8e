"""Blocks: each attribute's tree as orthogonal parts, the total and one part per level.

A question about a table is a product of one vector per attribute over its finest domain. Block 0 is its mean; block b
is what level b adds to level b-1. On the cells of level b such a part has, in every group of siblings, a sum of nought
when weighted by how many values of the domain each cell holds. So what is published for block b is a table over the
cells of level b with those weighted sibling sums taken out: nothing of it is known from a coarser level.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from privacy.lattice.policy import Attribute

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """What level `depth` (1 is the coarsest) of an attribute adds to the level above it.

    `size[c]` says how many values of the domain cell c holds, `group[c]` which cell is above it, and `group_size` how
    many values those hold.
    """

    depth: int
    of: Integers
    size: Integers
    group: Integers
    group_size: Integers

    @cached_property
    def cells(self) -> int:
        """How many cells the level has."""
        return len(self.size)

    @cached_property
    def dimension(self) -> int:
        """How many independent numbers the block holds."""
        return self.cells - len(self.group_size)

    @cached_property
    def weight(self) -> Integers:
        """`size` within each group, without common factors: integers, so that projecting them is exact."""
        common = np.array([gcd(*map(int, self.size[self.group == g])) for g in range(len(self.group_size))])
        return np.asarray(self.size // common[self.group], dtype=np.int64)

    @cached_property
    def norm(self) -> Integers:
        """The sum of squared weights of each cell's group: what integer projections are still to be divided by."""
        return np.bincount(self.group, weights=self.weight**2).astype(np.int64)[self.group]

    @cached_property
    def cost(self) -> Fraction:
        """What one person pays at most for this block with noise of deviation 1: the square of its projection."""
        pairs = {(int(norm - weight**2), int(norm)) for weight, norm in zip(self.weight, self.norm, strict=True)}
        return max(Fraction(*pair) for pair in pairs)

    def project(self, table: Integers, axis: int) -> Integers:
        """`table` along `axis` with its weighted sibling sums taken out, times `norm`: exact integers."""
        moved = np.moveaxis(table, axis, 0)
        shape = (len(self.weight),) + (1,) * (moved.ndim - 1)
        sums = np.zeros((len(self.group_size), *moved.shape[1:]), dtype=np.int64)
        np.add.at(sums, self.group, self.weight.reshape(shape) * moved)
        taken = self.norm.reshape(shape) * moved - self.weight.reshape(shape) * sums[self.group]
        return np.moveaxis(taken, 0, axis)

    def parts(self, questions: Floats) -> Floats:
        """The part of each question (a row over the finest domain) in this block, as a row over the level's cells."""
        at_level = self._by_cell(questions)
        above = self._by_group(questions)
        return at_level - above[:, self.group]

    @cached_property
    def _by_cell(self) -> "_Means":
        return _Means(self.of, self.size)

    @cached_property
    def _by_group(self) -> "_Means":
        return _Means(self.group[self.of], self.group_size)


class _Means:
    """The mean of each row over the values that fall under each cell."""

    def __init__(self, of: Integers, size: Integers) -> None:
        self._size, self._order = size, np.argsort(of, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(size)[:-1]])

    def __call__(self, questions: Floats) -> Floats:
        return np.asarray(np.add.reduceat(questions[:, self._order], self._starts, axis=1) / self._size)


def blocks(attribute: Attribute) -> tuple[Block, ...]:
    """The blocks of `attribute`, one per level, coarse to fine. A level that adds nothing has dimension 0."""
    found = []
    above = np.zeros(len(attribute.domain), dtype=np.int64)
    for depth, level in enumerate(attribute.levels, start=1):
        of = np.array(level.of, dtype=np.int64)
        group = np.zeros(len(level.labels), dtype=np.int64)
        group[of] = above
        found.append(Block(depth, of, np.bincount(of), group, np.bincount(above)))
        above = of
    return tuple(found)
