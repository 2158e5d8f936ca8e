"""Gathering: everything a bundle needs, from the public answers of a space.

Identities are recognised by their digest, which their registration put into the log: wherever they come from, only the
right bytes count, so nobody needs to be trusted for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hexi.canonical import Json, digest
from hexi.errors import RemoteProblem
from ledger.audit import ENTRY_KINDS
from ledger.client import LedgerClient
from ledger.documents import SignedDocument
from ledger.entries import Kind
from ledger.errors import EntryUnknown
from ledger.messages import LoggedEntry
from ledger.receipts import Receipt

# Where a space shows DID documents: its own, and those of its participants.
_PLACES = ("/.well-known/did.json", "/registry/participants")


@dataclass(frozen=True)
class Gathered:
    """What `bundle.write_bundle` wants to be given."""

    log_files: list[tuple[str, bytes]]
    receipts: list[Receipt]
    identities: list[Json]
    chain_record: Json | None


def gather(client: LedgerClient, documents: Sequence[SignedDocument], identities: Sequence[Json] = ()) -> Gathered:
    """The log, the receipts of `documents`, who signed, and the chain record.

    The log is taken at its newest anchored size if that covers the documents, else as it is now and without a chain
    record. Raises `EntryUnknown` if a document is not in the log, `RemoteProblem`, `Unreachable`.
    """
    entries = list(client.entries())
    indexes = [_index_of(document, entries) for document in documents]
    anchor = next((anchor for anchor in client.anchors() if anchor.size > max(indexes, default=0)), None)
    size = anchor.size if anchor else len(entries)
    registered = {entry.facts.get("document") for entry in entries[:size] if entry.kind is Kind.PARTICIPANT_REGISTERED}
    shown = [value for source in (identities, *_public(client)) for value in _objects(source)]
    return Gathered(
        log_files=list(client.files(size)),
        receipts=[client.receipt_at(index, size) for index in sorted(set(indexes))],
        identities=list({d: value for value in shown if (d := digest(value)) in registered}.values()),
        chain_record=anchor.record if anchor else None,
    )


def _index_of(document: SignedDocument, entries: Sequence[LoggedEntry]) -> int:
    kind = ENTRY_KINDS.get(str(document.document.get("type")))
    for entry in entries:
        if entry.kind is kind and entry.digest == document.digest:
            return entry.index
    raise EntryUnknown(f"the log has no entry for the {document.document.get('type')} {document.digest}")


def _public(client: LedgerClient) -> Iterator[Json]:
    for path in _PLACES:
        try:
            yield client.public(path)
        except RemoteProblem:  # a ledger without a registry beside it; the identities then come from the caller
            continue


def _objects(value: Json) -> Iterator[Json]:
    """Every object in `value` that could be a DID document."""
    if isinstance(value, dict):
        if "verificationMethod" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for child in value:
            yield from _objects(child)
