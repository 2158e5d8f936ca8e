"""The operator's hand: it signs documents and writes entries into the log, in the caller's transaction."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session

from hexi.canonical import Clock, Json, instant
from ledger.documents import SignedDocument, sign_document
from ledger.entries import Kind, open_entry, seal
from ledger.log import Log, Logged
from ledger.receipts import Receipt
from registry.identity import Identity

# How the desks read a published product: the newest version, or the one asked for. Raises the registry's NotFound.
Products = Callable[[Session, str, int | None], SignedDocument]


@dataclass(frozen=True)
class Notary:
    """Signs and records as the operator."""

    identity: Identity
    log: Log
    clock: Clock

    @property
    def now(self) -> str:
        """This instant."""
        return instant(self.clock())

    def sign(self, document: Json) -> SignedDocument:
        """`document` with the operator's signature; the operator has to be its only party."""
        identity = self.identity
        return SignedDocument(document, {identity.did: sign_document(document, identity.key, identity.kid)})

    def record(self, session: Session, kind: Kind, subject: str, digest: str, facts: dict[str, str | int]) -> Receipt:
        """Put an entry into the log. It is there when the transaction commits, or not at all."""
        identity = self.identity
        jws = seal(kind, subject, digest, key=identity.key, kid=identity.kid, at=self.now, facts=facts)
        return self.log.append(session, jws, open_entry(jws, lambda _kid: identity.key.public))

    def evidence(self, session: Session, kind: Kind, subject: str, digest: str, facts: dict[str, str | int]) -> None:
        """As `record`, for those who want no receipt."""
        self.record(session, kind, subject, digest, facts)

    def logged(self, session: Session, kind: Kind, subject: str, issuer: str) -> Logged | None:
        """What `issuer` said of `subject`, if it did: anybody may log an entry about somebody else's subject."""
        return self.log.find(session, kind, subject, issuer)
