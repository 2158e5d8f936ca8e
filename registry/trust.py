"""Whom to believe: the participants of one space, seen from inside it or from a connector.

`Trust` has two implementations: `registry.directory.DirectoryTrust` reads the space's own database, `RemoteTrust` asks
the registry over HTTP. Both refuse who is unknown and who was revoked, so that every signature check is a membership
check too.
"""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from hexi.canonical import Clock
from hexi.errors import RemoteProblem, Unavailable
from hexi.keys import VerifyingKey
from registry.errors import ParticipantRevoked, ParticipantUnknown, TrustUnavailable
from registry.identity import did_of, key_from_document
from registry.participants import Participant, ParticipantStatus, Role

if TYPE_CHECKING:
    from registry.client import RegistryClient

__all__ = ["Participant", "ParticipantStatus", "RemoteTrust", "Role", "Trust", "check_active"]

# How long an answer of the registry is believed, in seconds: so long a revocation may go unnoticed.
TRUST_SECONDS = 5
# Participants remembered at once; more would mean that somebody makes them up.
MAX_REMEMBERED = 10_000
# How a DID is written (W3C DID Core, section 3.1).
_DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")


class Trust(Protocol):
    """The participants of one space. `operator` is the DID of who runs it."""

    @property
    def operator(self) -> str:
        """The operator's DID."""

    def participant(self, did: str) -> Participant:
        """The active participant `did`, or the operator. Raises `ParticipantUnknown`, `ParticipantRevoked`."""

    def resolve(self, kid: str) -> VerifyingKey:
        """The key `kid` of an active participant; a `hexi.keys.KeyResolver`. Raises as `participant` does."""


def check_active(participant: Participant) -> Participant:
    """`participant`, if it may take part now. Raises `ParticipantRevoked`, `ParticipantUnknown`."""
    if participant.status is ParticipantStatus.REVOKED:
        raise ParticipantRevoked(f"the membership of {participant.did} was revoked")
    if participant.status is not ParticipantStatus.ACTIVE:
        raise ParticipantUnknown(f"{participant.did} is not a participant of this space")
    return participant


class RemoteTrust:
    """Trust by asking the registry, each answer believed for `TRUST_SECONDS`. No answer means no trust."""

    def __init__(self, client: "RegistryClient", operator: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[datetime, Participant]] = {}
        self.operator = operator

    def participant(self, did: str) -> Participant:
        """As `Trust.participant`; raises `TrustUnavailable` while the registry does not answer."""
        now = self._clock()
        known = self._known.get(did)
        if known and now - known[0] < timedelta(seconds=TRUST_SECONDS):
            return check_active(known[1])
        participant = self._ask(did)
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[did] = (now, participant)
        return check_active(participant)

    def resolve(self, kid: str) -> VerifyingKey:
        """As `Trust.resolve`; raises `TrustUnavailable` while the registry does not answer."""
        return key_from_document(self.participant(did_of(kid)).document, kid)

    def _ask(self, did: str) -> Participant:
        if not _DID.fullmatch(did):  # "/" or ".." would ask the registry for something else
            raise ParticipantUnknown(f"{did} is not a participant of this space")
        try:
            participant = self._client.participant(did)
        except RemoteProblem as problem:
            if problem.code == ParticipantUnknown.code:
                raise ParticipantUnknown(f"{did} is not a participant of this space") from problem
            raise TrustUnavailable(f"the registry cannot say whether {did} is a participant") from problem
        except Unavailable as error:
            raise TrustUnavailable(f"the registry does not answer, so {did} cannot be checked") from error
        if participant.did != did:
            raise TrustUnavailable("the registry answered about somebody else")
        return participant
