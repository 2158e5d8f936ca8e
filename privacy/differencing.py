"""Differencing: two harmless answers whose difference is about one person.

``visits of Qingyang`` and ``visits of Qingyang without Bob`` both pass any threshold. So we remember what stood behind
every cell ever released from a product version, to whomever, and refuse a new cell if the records by which it differs
from an earlier one belong to 1 to k-1 entities. The same records again are no difference, and those of k entities or
more are a cell of their own right.

An entity may have several records (a person, its years). What counts is therefore not only whether an entity is in a
cell but which of its records are: two cells of the same persons, one without the last year of Bob, differ by Bob; two
cells of the same persons in different years differ by all of them. A cell is a set of (number of the entity, mark of
its records there).

    >>> earlier, new = EntitySet.of(range(20)), EntitySet.of(range(19))
    >>> too_close(new, [earlier], minimum=10)
    True
    >>> first_year, second_year = EntitySet.of(range(20), [1] * 20), EntitySet.of(range(19), [2] * 19)
    >>> too_close(second_year, [first_year], minimum=10)
    False

`too_close` does not see a difference that takes three or more cells: a total minus all its parts but one, which two
queries can give. Rounding blurs it for counts, hardly for sums whose values are far larger than the rounding, and not
for means. `leaves_few` sees those of one cell less others that lie in it without overlapping; combinations of cells
that overlap it does not, and parts that are some records of an entity neither: only the planned cube excludes them. And
a refusal is itself an answer: there is somebody in the difference.

Between versions of a product (`too_close_across`) the entities alone are compared as well: who is in only one of two
cells is seen whatever became of everybody's records. A correction of single records is seen where a record that was not
corrected has the same mark in both versions.
Source: Google Ads Data Hub, difference checks; finding 2 of the privacy survey.
"""

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from hexi.canonical import digest_bytes, encode, parse

# Width of the bitsets of entities, in bits, a power of two: 32 KiB a set. Up to some million entities two sets that
# differ by many show it there.
_FOLD = 1 << 18


@dataclass(frozen=True)
class EntitySet:
    """The entities behind one cell, each with a mark that names which of its records are in the cell."""

    members: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, ordinals: Iterable[int], marks: Iterable[int] | None = None) -> "EntitySet":
        """The set of these entities, by their numbers. Without `marks` each is in it with all it has."""
        entities = list(ordinals)
        return cls(frozenset(zip(entities, [0] * len(entities) if marks is None else marks, strict=True)))

    @property
    def size(self) -> int:
        """How many entities."""
        return len(self.members)

    @property
    def digest(self) -> str:
        """Names the set: equal sets have equal digests."""
        return digest_bytes(self._bytes())

    def distance(self, other: "EntitySet") -> int:
        """To how many entities the records belong that are in one of the two but not in both."""
        return len({entity for entity, _ in self.members ^ other.members})

    def surely_apart(self, other: "EntitySet", minimum: int) -> bool:
        """Whether already the entities, whatever their records, differ by `minimum`. Much quicker than `distance`."""
        return (self.bits ^ other.bits).bit_count() >= minimum

    def to_text(self) -> str:
        """A compact text form, for keeping."""
        return base64.b64encode(zlib.compress(self._bytes(), 6)).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> "EntitySet":
        """What `to_text` wrote."""
        entities, marks = parse(zlib.decompress(base64.b64decode(text)))
        return cls.of(entities, marks)

    def _bytes(self) -> bytes:
        ordered = sorted(self.members)
        return encode([[entity for entity, _ in ordered], [mark for _, mark in ordered]])

    @cached_property
    def entities(self) -> frozenset[int]:
        """The entities, whatever their records."""
        return frozenset(entity for entity, _ in self.members)

    @cached_property
    def bits(self) -> int:
        """The entities as a bitset, folded: bit n is those whose number leaves n. Where two sets differ in a bit, they
        differ by an entity of that bit."""
        buffer = bytearray(_FOLD // 8)
        for entity, _ in self.members:
            buffer[entity % _FOLD >> 3] |= 1 << (entity & 7)
        return int.from_bytes(buffer, "little")


def too_close(new: EntitySet, earlier: Iterable[EntitySet], minimum: int) -> bool:
    """Whether `new` differs from one of `earlier` by records of at least one and fewer than `minimum` entities."""
    return any(
        abs(new.size - old.size) < minimum and not new.surely_apart(old, minimum) and 0 < new.distance(old) < minimum
        for old in earlier
    )


def too_close_across(new: EntitySet, earlier: Iterable[EntitySet], minimum: int) -> bool:
    """Whether `new` differs from one of `earlier`, which are of other versions of the product, by entities or by
    records of at least one and fewer than `minimum` entities.

        >>> first = EntitySet.of(range(20), range(20))
        >>> too_close_across(EntitySet.of(range(21), range(100, 121)), [first], minimum=10)
        True
        >>> corrected = EntitySet.of(range(20), [100, *range(1, 20)])
        >>> too_close_across(corrected, [first], minimum=10)
        True
    """
    return any(
        abs(new.size - old.size) < minimum
        and not new.surely_apart(old, minimum)
        and (0 < len(new.entities ^ old.entities) < minimum or 0 < new.distance(old) < minimum)
        for old in earlier
    )


def leaves_few(new: Sequence[EntitySet], earlier: Iterable[EntitySet], minimum: int) -> bool:
    """Whether some cell, less others that lie in it side by side, leaves fewer than `minimum` entities, and not none.

    At least one of them is of `new`, whose cells count as known too: a total and then its breakdown, or a breakdown,
    and then one by one what it left out.

        >>> town, others = EntitySet.of(range(130)), EntitySet.of(range(130, 260))
        >>> leaves_few([EntitySet.of(range(266))], [town, others], minimum=10)
        True
        >>> leaves_few([EntitySet.of(range(300))], [town, others], minimum=10)
        False
    """
    fresh = {cell.members for cell in new}
    known = sorted({cell.members: cell for cell in (*earlier, *new)}.values(), key=lambda cell: -cell.size)
    for whole in known:
        parts = [part for part in known if part.size < whole.size and part.members < whole.members]
        # Where nothing of it is new, it was looked at when the last of it was.
        firsts = [part for part in parts if whole.members in fresh or part.members in fresh]
        if any(0 < len(_rest(whole, first, parts)) < minimum for first in firsts):
            return True
    return False


def _rest(whole: EntitySet, first: EntitySet, parts: Iterable[EntitySet]) -> frozenset[tuple[int, int]]:
    """What is in `whole`, not in `first`, nor in others of `parts`, as many as fit beside each other, largest first."""
    rest = whole.members - first.members
    for part in parts:
        if part.members <= rest:
            rest -= part.members
    return rest


def sizes_to_compare(new: Iterable[EntitySet], minimum: int) -> list[tuple[int, int]]:
    """The ranges of sizes (both ends included) in which an earlier set could be too close to one of `new`.

    Sets whose sizes differ by `minimum` or more differ by at least as many entities, so they need not be looked at.
    """
    ranges: list[tuple[int, int]] = []
    for size in sorted({entities.size for entities in new}):
        low, high = max(size - minimum + 1, 0), size + minimum - 1
        if ranges and low <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges
