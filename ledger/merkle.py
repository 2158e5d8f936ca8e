"""The Merkle tree of RFC 6962: roots, and proofs that an entry is in it and that it only grew.

Pure. Whoever stores the tree hands in `Nodes`, which knows the hash of every complete subtree; everything here is
computed from those. Sources: RFC 6962 section 2.1 (hashes, proofs), RFC 9162 sections 2.1.3.2 and 2.1.4.2
(verification).

    >>> leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")]
    >>> nodes = nodes_over(leaves)
    >>> verify_inclusion(leaves[2], 2, 3, inclusion_proof(2, 3, nodes), root(3, nodes))
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from ledger.errors import ProofInvalid

HASH_BYTES = 32
# The root of a log without entries.
EMPTY_ROOT = sha256(b"").digest()

# (level, index) -> the hash over the leaves index * 2**level ... (index + 1) * 2**level - 1, all of which exist.
Nodes = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry. The prefix keeps an entry from passing for an inner node (second preimage)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def nodes_over(leaves: Sequence[bytes]) -> Nodes:
    """`Nodes` over leaf hashes kept in memory."""
    return lambda level, index: fold(leaves[index << level : (index + 1) << level])


def root(size: int, nodes: Nodes) -> bytes:
    """The root of the tree over the first `size` entries."""
    return _span(0, size, nodes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """The hashes that lead from entry `index` to the root over `size` entries, nearest first."""
    if not 0 <= index < size:
        raise ProofInvalid(f"entry {index} is not among the first {size}")
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_span(middle, high, nodes))
            high = middle
        else:
            proof.append(_span(low, middle, nodes))
            low = middle
    return tuple(reversed(proof))


def consistency_proof(first: int, second: int, nodes: Nodes) -> tuple[bytes, ...]:
    """The hashes that show that the tree over `second` entries begins with the tree over `first`."""
    if not 0 < first <= second:
        raise ProofInvalid(f"a tree of {second} entries cannot be shown to continue one of {first}")
    proof: list[bytes] = []
    low, high, whole = 0, second, True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            proof.append(_span(middle, high, nodes))
            high = middle
        else:
            proof.append(_span(low, middle, nodes))
            low, whole = middle, False
    if not whole:
        proof.append(_span(low, high, nodes))
    return tuple(reversed(proof))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raise `ProofInvalid` unless `proof` leads from `leaf` at `index` to the root `expected` over `size` entries.

    (1) The index lies within the tree. (2) Every step is a hash, and there are exactly as many as the tree is high
    there. (3) The hashes fold to the root. The caller still owes: that the root is the log's (see `checkpoint`).
    """
    if not 0 <= index < size:  # (1)
        raise ProofInvalid(f"entry {index} is not among the first {size}")
    computed = leaf
    for step, is_left in _climb(index, size - 1, proof):  # (2)
        computed = node_hash(step, computed) if is_left else node_hash(computed, step)
    if computed != expected:  # (3)
        raise ProofInvalid(f"the inclusion proof of entry {index} does not lead to the root over {size} entries")


def verify_consistency(first: int, second: int, old: bytes, new: bytes, proof: Sequence[bytes]) -> None:
    """Raise `ProofInvalid` unless the tree `new` over `second` entries continues the tree `old` over `first`.

    (1) The sizes are in order; an empty tree is continued by any, an equal one only by itself, both without proof.
    (2) Every step is a hash, and there are exactly as many as needed. (3) They fold to the old root. (4) And to the new
    one. The caller still owes: that both roots are the log's.
    """
    if not 0 <= first <= second:  # (1)
        raise ProofInvalid(f"a tree of {second} entries cannot continue one of {first}")
    if first in (0, second):
        if proof or old != (new if first == second else EMPTY_ROOT):
            raise ProofInvalid("equal sizes have equal roots, an empty tree the empty root, and neither needs a proof")
        return
    if not proof:
        raise ProofInvalid("the consistency proof is too short")
    # (2) Where the old tree is one complete subtree, its root is the first hash and the proof leaves it out.
    seed, *steps = proof if first & (first - 1) else (old, *proof)
    level = (first & -first).bit_length() - 1
    computed_old = computed_new = seed
    for step, is_left in _climb((first - 1) >> level, (second - 1) >> level, steps):
        if is_left:
            computed_old, computed_new = node_hash(step, computed_old), node_hash(step, computed_new)
        else:
            computed_new = node_hash(computed_new, step)
    if computed_old != old:  # (3)
        raise ProofInvalid(f"the consistency proof does not lead to the root over {first} entries")
    if computed_new != new:  # (4)
        raise ProofInvalid(f"the consistency proof does not lead to the root over {second} entries")


def _split(width: int) -> int:
    """The largest power of two below `width`: where RFC 6962 parts a tree."""
    return 1 << ((width - 1).bit_length() - 1)


def _span(low: int, high: int, nodes: Nodes) -> bytes:
    """The hash over the leaves `low` ... `high` - 1, where `low` is where RFC 6962 would begin a subtree."""
    width = high - low
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return nodes(level, low >> level)
    middle = low + _split(width)
    return node_hash(_span(low, middle, nodes), _span(middle, high, nodes))


def _climb(place: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each step of `proof` with whether it stands left, on the way up from `place` in a row that ends at `last`.

    Raises `ProofInvalid` if a step is no hash, or if there are more or fewer than the way is long.
    """
    for step in proof:
        if len(step) != HASH_BYTES or last == 0:
            raise ProofInvalid(f"the proof is too long, or a step of it has not {HASH_BYTES} bytes")
        is_left = place % 2 == 1 or place == last
        yield step, is_left
        if is_left:  # a lone last node rises unpaired until it has a left neighbour
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")
