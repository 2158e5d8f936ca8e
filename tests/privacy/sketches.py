"""Sketches of known entities, as a job makes them."""

import hashlib
from collections.abc import Iterable
from itertools import repeat

from privacy.differencing import WIDTH, Sketch


def sketch(entities: Iterable[int], marks: Iterable[int] | None = None) -> Sketch:
    """The sketch of entities, by any numbers; `marks` name the records of each, all alike without."""
    cell = dict(zip(entities, repeat(0) if marks is None else marks, strict=False))
    numbers = [(spread(one), mark) for one, mark in cell.items()]
    return Sketch.read(
        len(cell), "".join(f"{one % WIDTH:04x}{one:016x}{spread(one, mark):016x}" for one, mark in numbers)
    )


def spread(*known: int) -> int:
    """Numbers as evenly spread as those of entities are."""
    return int.from_bytes(hashlib.blake2b(repr(known).encode(), digest_size=8).digest()) >> 12
