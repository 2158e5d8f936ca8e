"""Anchors: the log's newest checkpoint, and its registered rights, put on the chain.

The log is the truth, the chain is the witness: whatever a chain has forgotten or not seen yet is written to it again
from the log. Doing so is idempotent, so it happens at start, whenever the operator asks, and as often as anybody
likes.
"""

from dataclasses import dataclass

from sqlmodel import Session

from hexi.canonical import Json, encode, instant, parse
from hexi.database import Database
from ledger import store
from ledger.chain import Chain, Contracts
from ledger.checkpoint import open_checkpoint
from ledger.entries import Kind
from ledger.errors import AnchorUnknown, NothingToAnchor
from ledger.log import Log
from ledger.tables import AnchorRow

# Anchors listed at once, at most.
MAX_ANCHORS = 100


@dataclass(frozen=True)
class Anchor:
    """A checkpoint (the signed note) that stands on a chain, and the chain record that shows it."""

    size: int
    checkpoint: str
    record: Json
    rights_contract: str
    at: str


def catch_up(database: Database, log: Log, chain: Chain) -> Anchor:
    """Put the newest checkpoint on `chain`, then the rights it has not seen; return the anchor.

    It takes a database and not a session: a node may need minutes, and no transaction is held open for that long. If
    this process dies half way, the next call finds what the chain has and goes on. Raises `NothingToAnchor`,
    `ChainUnavailable`, `ChainRefused`.
    """
    with database.reading() as session:
        note = log.checkpoint(session)
        last = next(iter(listed(session)), None)
    checkpoint = open_checkpoint(note, log.vkey)
    if checkpoint.size == 0:
        raise NothingToAnchor("the log has no entries yet")
    if last:
        chain.attach(Contracts(last.record["contract"], last.rights_contract))
    record = chain.publish_checkpoint(checkpoint.size, checkpoint.root)
    if last is None or last.record != record:
        last = Anchor(checkpoint.size, note, record, chain.contracts.rights, instant(log.clock()))
        with database.transaction() as session:
            store.add_anchor(session, _row(last))
    _register_rights(database, log, chain)
    return last


def listed(session: Session) -> list[Anchor]:
    """The newest anchors, newest first."""
    return [_anchor(row) for row in store.anchors(session, MAX_ANCHORS)]


def find(session: Session, size: int) -> Anchor:
    """The anchor of the checkpoint over `size` entries. Raises `AnchorUnknown`."""
    if row := store.anchor(session, size):
        return _anchor(row)
    raise AnchorUnknown(f"no checkpoint over {size} entries was anchored")


def _register_rights(database: Database, log: Log, chain: Chain) -> None:
    while True:
        with database.reading() as session:
            found = log.entries(session, kind=Kind.RIGHTS_REGISTERED, after=chain.rights_seen)
        if not found:
            return
        for logged in found:
            entry = logged.entry
            rights = str(entry.facts.get("rights", "")).split(",")
            chain.register_right(entry.subject, str(entry.facts.get("product", "")), entry.digest, rights)
            chain.rights_seen = logged.index


def _row(anchor: Anchor) -> AnchorRow:
    return AnchorRow(
        size=anchor.size,
        checkpoint=anchor.checkpoint,
        rights_contract=anchor.rights_contract,
        record=encode(anchor.record).decode(),
        at=anchor.at,
    )


def _anchor(row: AnchorRow) -> Anchor:
    return Anchor(row.size, row.checkpoint, parse(row.record), row.rights_contract, row.at)
