"""The auditor's bundle of a space: everything the space itself holds, and what participants hand in.

Agreements and run receipts belong to those who made them; the space has their digests only, so the participants give
the documents, and the bundle's verification ties each of them to its entry in the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from hexi.canonical import parse
from ledger import anchors
from ledger.audit import ENTRY_KINDS
from ledger.bundle import write_bundle
from ledger.documents import SignedDocument
from ledger.entries import Kind
from ledger.errors import BundleUnreadable
from ledger.log import Logged
from marketplace import books_store, store
from marketplace.space import Space


@dataclass(frozen=True)
class Written:
    """What went into a bundle. `anchored` is whether it proves that the chain knows its checkpoint."""

    entries: int
    documents: int
    anchored: bool


def write(space: Space, folder: Path, handed_in: Sequence[SignedDocument]) -> Written:
    """Write the bundle into `folder`, which is empty or does not exist. Raises `BundleUnreadable`.

    It covers the log as it is. The chain record is in it if the newest checkpoint was anchored.
    """
    with space.database.reading() as session:
        size = space.log.size(session)
        anchor = next((found for found in anchors.listed(session) if found.size == size), None)
        logged = list(_entries(space, session))
        documents = [*_held(space, session, logged), *handed_in]
        digests = {document.digest for document in documents}
        write_bundle(
            folder,
            log_files=space.log.files(session, size),
            receipts=[space.log.receipt(session, found.index) for found in logged if found.entry.digest in digests],
            documents=documents,
            identities=[
                participant.document
                for participant in space.registry.registrar.participants(session)
                if participant.identifier
            ],
            chain_record=anchor.record if anchor else None,
            key=space.log_key,
        )
    return Written(size, len(documents), anchor is not None)


def read_documents(files: Iterable[Path]) -> list[SignedDocument]:
    """The signed documents in `files`, one or a list in each. Raises `BundleUnreadable`, `DocumentInvalid`."""
    found = []
    for file in files:
        try:
            value = parse(file.read_bytes())
        except OSError as error:
            raise BundleUnreadable(f"{file} cannot be read: {error.strerror}") from error
        documents = [SignedDocument.from_json(item) for item in (value if isinstance(value, list) else [value])]
        for document in documents:
            if document.document.get("type") not in ENTRY_KINDS:
                raise BundleUnreadable(f"{file}: evidence is one of {', '.join(ENTRY_KINDS)}")
        found += documents
    return found


def _entries(space: Space, session: Session) -> Iterator[Logged]:
    after = -1
    while batch := space.log.entries(session, after=after):
        yield from batch
        after = batch[-1].index


def _held(space: Space, session: Session, logged: Sequence[Logged]) -> Iterator[SignedDocument]:
    """Products, certificates and statements; settlements are the operator's own books and stay there."""
    for found in logged:
        if found.entry.kind is Kind.PRODUCT_PUBLISHED:
            identifier, _, version = found.entry.subject.partition("#v")
            yield space.registry.registrar.product(session, identifier, int(version))
    yield from (certificate.signed for certificate in store.certificates(session))
    yield from books_store.statements(session)
