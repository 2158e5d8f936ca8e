"""Roots and proofs, against the definition, against pymerkle, and against everything that is almost right."""

from collections.abc import Sequence

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle.proof import verify_consistency as pymerkle_consistency
from pymerkle.proof import verify_inclusion as pymerkle_inclusion

from ledger.errors import ProofInvalid
from ledger.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    nodes_over,
    root,
    verify_consistency,
    verify_inclusion,
)

LARGEST = 300
ENTRIES = [b"entry %d" % n for n in range(LARGEST)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
NODES = nodes_over(LEAVES)


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


ROOTS = [by_definition(LEAVES[:size]) for size in range(LARGEST + 1)]


def test_roots_are_as_defined() -> None:
    assert [root(size, NODES) for size in range(LARGEST + 1)] == ROOTS


def test_every_entry_is_proved_in_many_sizes_and_in_no_other_place() -> None:
    for size in (*range(1, 66), 127, 128, 129, 255, 256, 257, LARGEST):
        for index in range(size):
            proof = inclusion_proof(index, size, NODES)
            verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
            with pytest.raises(ProofInvalid):
                verify_inclusion(LEAVES[index], (index + 1) % size if size > 1 else 1, size, proof, ROOTS[size])


def test_every_growth_is_proved() -> None:
    for second in (*range(1, 66), 127, 128, 129, 255, 256, 257, LARGEST):
        for first in range(1, second + 1):
            proof = consistency_proof(first, second, NODES)
            verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)
            if first < second:
                with pytest.raises(ProofInvalid):
                    verify_consistency(first, second, ROOTS[first - 1], ROOTS[second], proof)
                with pytest.raises(ProofInvalid):
                    verify_consistency(first, second, ROOTS[first], ROOTS[second - 1], proof)


def test_pymerkle_finds_the_same_roots_and_accepts_our_proofs() -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for size, entry in enumerate(ENTRIES, start=1):
        tree.append_entry(entry)
        assert tree.get_root() == ROOTS[size]
    for index in (0, 1, 17, 254, 255, 256, LARGEST - 1):
        theirs = tree.prove_inclusion(index + 1, LARGEST)
        pymerkle_inclusion(LEAVES[index], ROOTS[LARGEST], theirs)
        # Theirs begins with the entry itself.
        assert len(theirs.path) - 1 == len(inclusion_proof(index, LARGEST, NODES))
    pymerkle_consistency(ROOTS[255], ROOTS[300], tree.prove_consistency(255, 300))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_altered_proof_passes(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, NODES))
    place = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    step = bytearray(proof[place])
    step[bit // 8] ^= 1 << bit % 8
    for altered in (
        [*proof[:place], bytes(step), *proof[place + 1 :]],
        [*proof[:place], *proof[place + 1 :]],
        [*proof, proof[place]],
        [*proof[:place], proof[place][:-1], *proof[place + 1 :]],
    ):
        with pytest.raises(ProofInvalid):
            verify_inclusion(LEAVES[index], index, size, altered, ROOTS[size])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_altered_consistency_proof_passes(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, LARGEST))
    first = data.draw(st.integers(1, second - 1))
    proof = list(consistency_proof(first, second, NODES))
    place = data.draw(st.integers(0, len(proof) - 1))
    for altered in ([*proof[:place], bytes(32), *proof[place + 1 :]], proof[:place], [*proof, bytes(32)]):
        with pytest.raises(ProofInvalid):
            verify_consistency(first, second, ROOTS[first], ROOTS[second], altered)


@pytest.mark.parametrize(
    ("first", "second", "old", "new", "proof", "holds"),
    [
        (0, 5, EMPTY_ROOT, ROOTS[5], [], True),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, [], True),
        (5, 5, ROOTS[5], ROOTS[5], [], True),
        (0, 5, ROOTS[1], ROOTS[5], [], False),
        (0, 5, EMPTY_ROOT, ROOTS[5], [bytes(32)], False),
        (5, 5, ROOTS[5], ROOTS[4], [], False),
        (5, 5, ROOTS[5], ROOTS[5], [bytes(32)], False),
        (6, 5, ROOTS[6], ROOTS[5], [], False),
        (-1, 5, ROOTS[1], ROOTS[5], [], False),
        (3, 5, ROOTS[3], ROOTS[5], [], False),
        (4, 5, ROOTS[4], ROOTS[5], [], False),
    ],
)
def test_consistency_at_the_edges(
    first: int, second: int, old: bytes, new: bytes, proof: list[bytes], holds: bool
) -> None:
    if holds:
        verify_consistency(first, second, old, new, proof)
    else:
        with pytest.raises(ProofInvalid):
            verify_consistency(first, second, old, new, proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofInvalid):
        inclusion_proof(index, size, NODES)
    with pytest.raises(ProofInvalid):
        verify_inclusion(LEAVES[0], index, size, (), ROOTS[size])


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3)])
def test_no_proof_of_growth_that_is_none(first: int, second: int) -> None:
    with pytest.raises(ProofInvalid):
        consistency_proof(first, second, NODES)
