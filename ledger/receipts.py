"""Receipts: an entry, and the proof that the log has it. Checked with the log's key alone, without asking anybody.

verify_receipt(Receipt.from_json(parse(text)), vkey, resolve).kind
"""

import base64
from dataclasses import dataclass

from hexi.canonical import Json
from hexi.keys import KeyResolver
from ledger.checkpoint import open_checkpoint
from ledger.entries import MAX_ENTRY_BYTES, Entry, open_entry
from ledger.errors import ReceiptInvalid
from ledger.merkle import leaf_hash, verify_inclusion

TYPE = "ledger-receipt"
# A tree of 2**63 entries is 63 high, so no inclusion proof has more steps.
MAX_STEPS = 63

_MEMBERS = frozenset({"type", "index", "entry", "inclusion", "checkpoint"})


@dataclass(frozen=True)
class Receipt:
    """The entry (its JWS) at `index`, and the hashes that lead from it to the root in `checkpoint`."""

    index: int
    entry: str
    inclusion: tuple[bytes, ...]
    checkpoint: str

    def to_json(self) -> dict[str, Json]:
        """As it travels and is kept."""
        return {
            "type": TYPE,
            "index": self.index,
            "entry": self.entry,
            "inclusion": [base64.b64encode(step).decode("ascii") for step in self.inclusion],
            "checkpoint": self.checkpoint,
        }

    @classmethod
    def from_json(cls, value: Json) -> "Receipt":
        """Read what `to_json` wrote, in no other spelling. Raises `ReceiptInvalid`."""
        if not isinstance(value, dict) or value.keys() != _MEMBERS or value["type"] != TYPE:
            raise ReceiptInvalid(
                f"a receipt has exactly the members {', '.join(sorted(_MEMBERS))}, and the type {TYPE!r}"
            )
        index, entry, inclusion, checkpoint = (value[k] for k in ("index", "entry", "inclusion", "checkpoint"))
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise ReceiptInvalid("the index of a receipt is a number from 0")
        if not isinstance(entry, str) or len(entry) > MAX_ENTRY_BYTES or not isinstance(checkpoint, str):
            raise ReceiptInvalid("the entry and the checkpoint of a receipt are texts")
        return cls(index, entry, _steps(inclusion), checkpoint)


def verify_receipt(receipt: Receipt, vkey: str, resolve: KeyResolver) -> Entry:
    """The entry, once the receipt holds.

    (1) The checkpoint is signed by the log whose key is `vkey`. (2) The inclusion proof leads from the entry to its
    root. (3) The entry is signed by its issuer. Raises `CheckpointInvalid`, `ProofInvalid`, `EntryInvalid`,
    `SignatureInvalid` and what `resolve` raises. The caller still owes: that `vkey` is the right log's, that what the
    entry says is what was to be proved, and, for evidence against the log itself, that the checkpoint is consistent
    with a later one.
    """
    checkpoint = open_checkpoint(receipt.checkpoint, vkey)  # (1)
    leaf = leaf_hash(receipt.entry.encode())
    verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.inclusion, checkpoint.root)  # (2)
    return open_entry(receipt.entry, resolve)  # (3)


def _steps(value: Json) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_STEPS:
        raise ReceiptInvalid(f"the inclusion proof of a receipt is a list of at most {MAX_STEPS} hashes")
    try:
        steps = tuple(base64.b64decode(step, validate=True) for step in value)
    except (ValueError, TypeError) as error:
        raise ReceiptInvalid("the hashes in a receipt are base64") from error
    if [base64.b64encode(step).decode("ascii") for step in steps] != value:
        raise ReceiptInvalid("the hashes in a receipt are canonical base64")
    return steps
