"""Paths, bundles, and tiles that grow the same whichever way the entries come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import TileInvalid, TileUnknown
from ledger.merkle import leaf_hash, nodes_over, root
from ledger.tiles import (
    ENTRIES,
    Tile,
    decode_bundle,
    edge,
    encode_bundle,
    entry_bundles,
    extend,
    hash_tiles,
    nodes_in,
    parse_path,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(1, 1234067), "tile/1/x001/x234/067"),
        (Tile(0, 3, 232), "tile/0/003.p/232"),
        (Tile(ENTRIES, 0), "tile/entries/000"),
        (Tile(ENTRIES, 1000, 1), "tile/entries/x001/000.p/1"),
        (Tile(63, 0, 255), "tile/63/000.p/255"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/8/0/000",
        "tile/0/x000/001",
        "tile/0/001/x001",
        "tile/0/x1/001",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/../000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
    ],
)
def test_no_other_spelling_is_a_path(path: str) -> None:
    with pytest.raises(TileUnknown):
        parse_path(path)


def test_which_tiles_a_size_needs() -> None:
    assert list(hash_tiles(0)) == list(entry_bundles(0)) == edge(0) == []
    assert list(hash_tiles(1)) == [Tile(0, 0, 1)]
    assert list(hash_tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(hash_tiles(513)) == [Tile(0, 0), Tile(0, 1), Tile(0, 2, 1), Tile(1, 0, 2)]
    assert list(entry_bundles(300)) == [Tile(ENTRIES, 0), Tile(ENTRIES, 1, 44)]
    assert edge(256 * 256) == [(2, 0)]


def test_bundles_carry_any_entry_the_format_allows() -> None:
    entries = [b"", b"a", bytes(65535)]
    assert decode_bundle(encode_bundle(entries), 3) == entries


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"\x00\x01a", 2), (b"\x00\x01a\x00\x01b", 1), (b"\x00\x02a", 1), (b"\x00", 1), (b"\x01\x00a", 1), (b"", 1)],
    ids=["too few", "too many", "half an entry", "half a length", "little-endian", "empty"],
)
def test_no_half_bundle(data: bytes, width: int) -> None:
    with pytest.raises(TileInvalid):
        decode_bundle(data, width)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_tiles_grow_alike_in_steps_of_any_size(steps: list[int]) -> None:
    leaves = [leaf_hash(b"%d" % n) for n in range(sum(steps))]
    grown: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:
        known = {place: grown[place] for place in edge(size)}
        grown |= extend(known, size, leaves[size : size + step])
        size += step
    assert grown == extend({}, 0, leaves)
    assert {(t.level, t.index): t.width * 32 for t in hash_tiles(size)} == {k: len(v) for k, v in grown.items()}
    nodes = nodes_in(lambda level, index: grown.get((level, index), b""))
    for some in {1, size // 2 + 1, size}:
        assert root(some, nodes) == root(some, nodes_over(leaves))


def test_a_tile_that_is_too_short_is_said_so() -> None:
    with pytest.raises(TileInvalid, match="too short"):
        root(5, nodes_in(lambda level, index: bytes(64)))
