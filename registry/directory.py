"""Trust inside the space: its own database says who is a participant. Connectors ask over HTTP (`registry.trust`)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from sqlmodel import Session

from hexi.keys import VerifyingKey
from registry import store
from registry.identity import did_of, key_from_document
from registry.participants import Participant
from registry.trust import check_active


class DirectoryTrust:
    """Trust from the space's own database: a revocation bites at once.

    `sessions` opens a session for one look, e.g. ``database.reading``.
    """

    def __init__(self, sessions: Callable[[], AbstractContextManager[Session]], operator: str) -> None:
        self._sessions = sessions
        self.operator = operator

    def within(self, session: Session) -> "DirectoryTrust":
        """The same inside a transaction under way: sees its changes, and takes no second connection from the pool."""
        return DirectoryTrust(lambda: nullcontext(session), self.operator)

    def participant(self, did: str) -> Participant:
        """The active participant `did`, or the operator. Raises `ParticipantUnknown`, `ParticipantRevoked`."""
        return check_active(self._ever(did))

    def resolve(self, kid: str) -> VerifyingKey:
        """The key `kid` of an active participant. Raises as `participant` does, and `DidDocumentInvalid`."""
        return key_from_document(self.participant(did_of(kid)).document, kid)

    def resolve_ever(self, kid: str) -> VerifyingKey:
        """The key `kid` of whoever was a participant once: for evidence made in time, never for letting anybody in."""
        return key_from_document(self._ever(did_of(kid)).document, kid)

    def _ever(self, did: str) -> Participant:
        with self._sessions() as session:
            return store.participant(session, did)
