"""Tiles: the tree cut into files that anybody can cache, mirror and check (C2SP tlog-tiles).

A tile of level L holds up to 256 hashes: at level 0 of entries, above of full tiles one level below. A partial tile
is the beginning of the full one it grows into, so a stored tile answers for every width it ever had. Entry bundles
hold the entries themselves. Pure: paths, bytes, and how tiles grow.

    >>> Tile(0, 1234067).path
    'tile/0/x001/x234/067'
    >>> Tile(ENTRIES, 0, 5).path
    'tile/entries/000.p/5'
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.errors import TileInvalid, TileUnknown
from ledger.merkle import HASH_BYTES, Nodes, fold

# Fixed by C2SP tlog-tiles: a tile spans 8 levels of the tree, so it is 256 hashes wide.
HEIGHT = 8
WIDTH = 1 << HEIGHT
# The level we give to entry bundles; their path says "entries" in its place.
ENTRIES = -1
# A bundle gives each entry's length in two bytes.
MAX_ENTRY_BYTES = 0xFFFF
# C2SP tlog-tiles: levels are 0 to 63.
_MAX_LEVEL = 63

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)

# Which tile: (level, index).
Place = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """The name of a tile or entry bundle; `width` below 256 means a partial one."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is found below the log's address: groups of three digits, all but the last with an x."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + (f".p/{self.width}" if self.width < WIDTH else "")


def parse_path(path: str) -> Tile:
    """The tile at `path`. Raises `TileUnknown` for any other spelling, so that a tile has one address."""
    if found := _PATH.fullmatch(path):
        level, name, width = found.groups()
        index = int(name.replace("x", "").replace("/", ""))
        tile = Tile(ENTRIES if level == "entries" else int(level), index, int(width or WIDTH))
        if tile.level <= _MAX_LEVEL and tile.path == path:
            return tile
    raise TileUnknown(f"{path!r} is not the path of a tile, which looks like tile/0/x001/234 or tile/entries/000.p/7")


def hash_tiles(size: int) -> Iterator[Tile]:
    """Every hash tile of a log of `size` entries, level by level."""
    level = 0
    while count := size >> (HEIGHT * level):
        yield from _row(level, count)
        level += 1


def entry_bundles(size: int) -> Iterator[Tile]:
    """Every entry bundle of a log of `size` entries."""
    yield from _row(ENTRIES, size)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Each entry with its length before it, two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries in `data`. Raises `TileInvalid` if there are fewer, more, or half ones."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            raise TileInvalid("the entry bundle ends in the middle of an entry")
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width:
        raise TileInvalid(f"the entry bundle holds {len(entries)} entries, not {width}")
    return entries


def edge(size: int) -> list[Place]:
    """The partial tiles of a log of `size` entries: what must be known to append to it."""
    return [(tile.level, tile.index) for tile in hash_tiles(size) if tile.width < WIDTH]


def extend(tiles: Mapping[Place, bytes], size: int, leaves: Sequence[bytes]) -> dict[Place, bytes]:
    """The tiles that are new or longer once `leaves` follow the first `size` entries, given those of its `edge`."""
    changed: dict[Place, bytes] = {}
    level, start, row = 0, size, list(leaves)
    while row:
        full: list[bytes] = []
        position = start
        while position < start + len(row):
            end = (position | (WIDTH - 1)) + 1
            key = (level, position >> HEIGHT)
            data = changed[key] = tiles.get(key, b"") + b"".join(row[position - start : end - start])
            if len(data) == WIDTH * HASH_BYTES:
                full.append(fold(split(data)))
            position = end
        level, start, row = level + 1, start >> HEIGHT, full
    return changed


def split(data: bytes) -> list[bytes]:
    """The hashes in a tile."""
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def nodes_in(read: Callable[[int, int], bytes]) -> Nodes:
    """`Nodes` over tiles; ``read(level, index)`` gives at least the hashes that the wanted size has there."""

    def node(level: int, index: int) -> bytes:
        tile_level, inside = divmod(level, HEIGHT)
        first = index << inside
        tile, offset = first >> HEIGHT, first & (WIDTH - 1)
        data = read(tile_level, tile)
        wanted = data[offset * HASH_BYTES : (offset + (1 << inside)) * HASH_BYTES]
        if len(wanted) != HASH_BYTES << inside:
            raise TileInvalid(f"the tile {Tile(tile_level, tile).path} is too short")
        return fold(split(wanted))

    return node


def _row(level: int, count: int) -> Iterator[Tile]:
    full, rest = divmod(count, WIDTH)
    for index in range(full):
        yield Tile(level, index)
    if rest:
        yield Tile(level, full, rest)
