"""Differencing: two harmless answers whose difference is about one person.

``visits of Qingyang`` and ``visits of Qingyang without Bob`` both pass any threshold. So we remember what stood behind
every cell ever released, to whomever, and refuse a new cell if the records by which it differs from an earlier one
belong to 1 to k-1 entities. The same records again are no difference, and those of k entities or more are a cell of
their own right.

What is remembered is not who is in a cell but a *sketch* of it, of one size for ten persons and for ten million. Its
entities are dealt into `WIDTH` buckets by their numbers; a bucket is the exclusive or of what is in it: of the numbers
of its entities, and of marks that name an entity with its records in the cell. So the exclusive or of two sketches is
the sketch of what is in one of the two cells only, and the buckets of it that are not nought are at most as many as
the entities by which they differ: no difference of fewer than k is overlooked. Two entities of one bucket count as one,
so that k or a few more than k are sometimes refused too.

An entity may have several records (a person, its years): two cells of the same persons, one without the last year of
Bob, differ by Bob; two cells of the same persons in different years differ by all of them. Between versions of a
product, and products about the same, the entities are compared alone as well: who is in only one of two cells is seen
whatever became of everybody's records (`too_close_across`). A correction of single records is seen where a record that
was not corrected has the same mark in both.

A difference may take more than two cells: a total less its parts, parts that overlap. `Combinations` sees whatever can
be made of cells by adding and subtracting each at most once. A refusal is itself an answer, though: there is somebody
in the difference; only the planned cube excludes that.
Source: Google Ads Data Hub, difference checks; finding 2 of the privacy survey; linear sketches for set reconciliation
(Eppstein, Goodrich, Uyeda, Varghese, SIGCOMM 2011).
"""

import base64
import math
import struct
import zlib
from array import array
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hexi.canonical import digest_bytes

# The buckets of a sketch, and the bits of each: 8 KiB for the entities and as much for their records.
WIDTH, BITS = 1024, 64
# One bucket as a job writes it: its number, then what entities and records come to, all in hexadecimal digits.
_BUCKET = struct.Struct(">HQQ")
_LOWEST_BITS = sum(1 << (BITS * bucket) for bucket in range(WIDTH))
# The parts that combinations are looked for in. Fewer than as many entities leave one of them untouched.
PARTS = 16
_PART_BITS = WIDTH * BITS // PARTS
_PART = (1 << _PART_BITS) - 1


@dataclass(frozen=True)
class Sketch:
    """What is remembered of the entities behind a cell: how many, and the two rows of buckets, each as one number."""

    size: int
    entities: int = field(repr=False)
    records: int = field(repr=False)

    @classmethod
    def read(cls, size: int, buckets: str) -> "Sketch":
        """The sketch that a job wrote, a bucket after the other in any order. Raises `ValueError`."""
        entities, records = (array("Q", bytes(WIDTH * BITS // 8)) for _ in range(2))
        try:
            for bucket, entity, record in _BUCKET.iter_unpack(bytes.fromhex(buckets)):
                entities[bucket] ^= entity
                records[bucket] ^= record
        except (struct.error, IndexError) as error:
            raise ValueError("these are no buckets") from error
        return cls(size, _number(entities.tobytes()), _number(records.tobytes()))

    @property
    def digest(self) -> str:
        """Names the cell: of equal entities with equal records it is equal."""
        return digest_bytes(self._bytes())

    def without_records(self) -> "Sketch":
        """The same entities, whatever their records."""
        return replace(self, records=self.entities)

    def to_text(self) -> str:
        """A text form, for keeping."""
        return base64.b64encode(zlib.compress(self._bytes(), 1 if self.size < WIDTH else 0)).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> "Sketch":
        """What `to_text` wrote."""
        whole = zlib.decompress(base64.b64decode(text))
        size, half = int.from_bytes(whole[:8], "little"), WIDTH * BITS // 8
        return cls(size, _number(whole[8 : 8 + half]), _number(whole[8 + half :]))

    def _bytes(self) -> bytes:
        half = WIDTH * BITS // 8
        rows = (one.to_bytes(half, "little") for one in (self.entities, self.records))
        return self.size.to_bytes(8, "little") + b"".join(rows)


def too_close(new: Sketch, earlier: Iterable[Sketch], minimum: int) -> bool:
    """Whether `new` differs from one of `earlier` by records of at least one and fewer than `minimum` entities."""
    return any(abs(new.size - old.size) < minimum and _is_few(new.records ^ old.records, minimum) for old in earlier)


def too_close_across(new: Sketch, earlier: Iterable[Sketch], minimum: int) -> bool:
    """Whether `new` differs from one of `earlier`, which are of other versions or products, by entities or by
    records of at least one and fewer than `minimum` entities."""
    return any(
        abs(new.size - old.size) < minimum
        and (_is_few(new.entities ^ old.entities, minimum) or _is_few(new.records ^ old.records, minimum))
        for old in earlier
    )


class Combinations:
    """All that can be made of known cells by adding and subtracting, as far as it is about a few entities.

    A sum of some cells less the sum of others is, modulo two, the exclusive or of their sketches. If it is about a few
    entities, parts of the buckets are untouched, and there it is a linear dependency between the cells. Those are found
    by Gaussian elimination over GF(2), from each part on to the next as long as cells depend on each other: what is
    left over of a new cell is nought wherever it can be. Dependencies that hold in every bucket (a total is the sum of
    its parts) say nothing about anybody.

    Found is whatever is about fewer than `minimum` entities and leaves those parts untouched that known cells fill from
    some part on. Of `PARTS` entities less one, one part is always untouched, and one part suffices for as many cells as
    there are entities in it, at most `_PART_BITS`. More cells than that of few entities fill more parts, and then some
    combinations can be missed, as can what stands on a cell taken twice.
    """

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self._cells: list[int] = []
        # From each part on, as many as leave one untouched: the pivots of that part, and of those that follow.
        self._eliminated: list[dict[int, _Pivots]] = [{} for _ in range(min(PARTS, minimum))]

    def add(self, cell: Sketch) -> None:
        """From now on this cell is known."""
        for start, eliminated in enumerate(self._eliminated):
            made_of, left = 0, cell.records
            for step in range(PARTS):
                row, more = eliminated.get(step, _NONE).reduce(_row(left, start + step))
                made_of, left = made_of ^ more, left ^ self._sum(more)
                if row:
                    eliminated.setdefault(step, _Pivots()).add(row, made_of ^ 1 << len(self._cells))
                if row or not left:
                    break
        self._cells.append(cell.records)

    def copy(self) -> "Combinations":
        """Another, which knows the same cells until it learns more."""
        other = Combinations(self._minimum)
        other._cells = list(self._cells)
        other._eliminated = [
            {step: _Pivots(list(one.rows)) for step, one in eliminated.items()} for eliminated in self._eliminated
        ]
        return other

    def single_out(self, cell: Sketch) -> bool:
        """Whether this cell, together with some of the known ones, would be about fewer than `minimum` entities.

        How many the cell alone is about is known, and no matter here.
        """
        for start, eliminated in enumerate(self._eliminated):
            made_of, left = 0, cell.records
            for step in sorted(eliminated):
                row, more = eliminated[step].reduce(_row(left, start + step))
                made_of, left = made_of ^ more, left ^ self._sum(more)
                # With somebody left in the first part nobody is singled out; elsewhere another part is the first.
                if made_of and (step or not row) and _is_few(left, self._minimum):
                    return True
        return False

    def _sum(self, made_of: int) -> int:
        total = 0
        while made_of:
            last = made_of.bit_length() - 1
            total ^= self._cells[last]
            made_of ^= 1 << last
        return total


@dataclass
class _Pivots:
    """Rows in echelon form: the place of the leading bit, the row, and the cells it was made of."""

    rows: list[tuple[int, int, int]] = field(default_factory=list)

    def reduce(self, row: int) -> tuple[int, int]:
        """What these rows cannot take away from `row`, and the cells that took the rest."""
        taken = 0
        for place, known, cells in self.rows:
            if row >> place & 1:
                row, taken = row ^ known, taken ^ cells
        return row, taken

    def add(self, row: int, made_of: int) -> None:
        """Take in a reduced row that is not nought."""
        insort(self.rows, (row.bit_length() - 1, row, made_of), key=lambda one: -one[0])


_NONE = _Pivots()


def _row(cell: int, part: int) -> int:
    return cell >> part % PARTS * _PART_BITS & _PART


def sizes_to_compare(new: Iterable[Sketch], minimum: int) -> list[tuple[int, int]]:
    """The ranges of sizes (both ends included) in which an earlier cell could be too close to one of `new`.

    Cells whose sizes differ by `minimum` or more differ by at least as many entities, so they need not be looked at.
    """
    ranges: list[tuple[int, int]] = []
    for size in sorted({one.size for one in new}):
        low, high = max(size - minimum + 1, 0), size + minimum - 1
        if ranges and low <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges


def _is_few(difference: int, minimum: int) -> bool:
    """Whether a difference is about somebody, and about fewer than `minimum` entities, or hardly more."""
    return 0 < _buckets(difference) < _reach(minimum)


def _buckets(row: int) -> int:
    """How many buckets of a row are not nought: the bits of each are gathered in its lowest one."""
    for places in (32, 16, 8, 4, 2, 1):
        row |= row >> places
    return (row & _LOWEST_BITS).bit_count()


def _reach(minimum: int) -> float:
    """How many buckets fewer than `minimum` entities reach at most: as many, or, where buckets are filled several
    times over, what they reach by chance and four deviations."""
    expected = WIDTH * -math.expm1(minimum * math.log1p(-1 / WIDTH))
    return min(float(minimum), expected + 4 * math.sqrt(expected * (1 - expected / WIDTH)))


def _number(buckets: bytes) -> int:
    return int.from_bytes(buckets, "little")
