"""How services of the space know who calls: a signed, short-lived presentation in the Authorization header.

    Authorization: Bearer <JWS of type hexi-presentation+jws: iss sub aud iat exp jti vc>

The caller signs for one audience and one minute, and encloses its membership credential. Nothing secret crosses the
wire: who steals a presentation holds something that was used already.
"""

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from hexi.canonical import Clock, Json, digest, digest_bytes
from hexi.errors import DataspaceError
from hexi.keys import read_header, verify
from registry.credentials import CLOCK_LEEWAY_SECONDS, verify_membership
from registry.errors import (
    CallerUnknown,
    ParticipantRevoked,
    ParticipantUnknown,
    PresentationInvalid,
    PresentationReplayed,
    PresentationsSaturated,
)
from registry.identity import Identity, did_of, key_from_document
from registry.participants import Participant
from registry.trust import TRUST_SECONDS, Trust

TYP = "hexi-presentation+jws"
SCHEME = "Bearer "

# How long a presentation is good for, in seconds: enough for a slow network, too short to be worth stealing.
PRESENTATION_SECONDS = 60
# How long a presentation must be remembered so that none is taken twice, in seconds.
MEMORY_SECONDS = PRESENTATION_SECONDS + 2 * CLOCK_LEEWAY_SECONDS
# Presentations remembered at once (about 200 bytes each): 2,800 calls a second to one process.
MAX_REMEMBERED = 200_000


# How long a membership credential that held is believed, in seconds: as long as an answer of the registry.
MEMBERSHIP_SECONDS = TRUST_SECONDS
# Credentials believed at once (about 200 bytes each).
MAX_MEMBERSHIPS = 10_000


@dataclass(frozen=True)
class Caller:
    """Somebody who proved to be an active participant, or the operator."""

    did: str
    participant: Participant
    operator: str

    @property
    def is_operator(self) -> bool:
        """Whether the caller runs the space."""
        return self.did == self.operator


def present(identity: Identity, audience: str, credential: str | None, clock: Clock) -> str:
    """A fresh ``Authorization`` value for one call to the service whose DID is `audience`."""
    now = int(clock().timestamp())
    payload: dict[str, Json] = {
        "iss": identity.did,
        "sub": identity.did,
        "aud": audience,
        "iat": now,
        "exp": now + PRESENTATION_SECONDS,
        "jti": f"urn:uuid:{uuid.uuid4()}",
    }
    if credential:
        payload["vc"] = credential
    return SCHEME + identity.key.sign(payload, typ=TYP, kid=identity.kid)


class PresentationVerifier:
    """Reads ``Authorization`` headers for the service whose DID is `audience`. Safe to share between threads.

    The memory of used presentations is this process's own; behind several processes a replay within the minute could
    reach another one, and there repeats at most what idempotent operations allow.
    """

    def __init__(self, audience: str, trust: Trust, clock: Clock) -> None:
        self._audience = audience
        self._trust = trust
        self._clock = clock
        self._used = _Used()
        # (holder, digest of the credential) -> until when it need not be verified again.
        self._memberships: dict[tuple[str, str], float] = {}

    def verify(self, authorization_header: str | None) -> Caller:
        """Who calls. Raises `PresentationInvalid`, `CallerUnknown`, `ParticipantRevoked`, `CredentialInvalid`,
        `PresentationReplayed`, `PresentationsSaturated`, `TrustUnavailable`.

        (1) There is a presentation. (2) The DID in its key's name is that of an active participant or the operator.
        (3) The signature holds, by that key, for a presentation. (4) It speaks for that DID and to us. (5) It is fresh
        and short-lived. (6) Who is not the operator shows a membership credential of its own that holds. (7) It was
        never used before; last, so that a forgery cannot use up somebody's presentation. The caller still owes: whether
        this participant may do what it asks.
        """
        token = self._token(authorization_header)  # (1)
        participant = self._participant(token)  # (2)
        claims = self._claims(token, participant)  # (3)
        self._check_parties(claims, participant.did)  # (4)
        now = self._clock().timestamp()
        self._check_fresh(claims, now)  # (5)
        if participant.did != self._trust.operator:  # (6)
            self._check_membership(str(claims.get("vc", "")), participant.did, now)
        self._used.check_and_remember(participant.did, claims["jti"], now)  # (7)
        return Caller(participant.did, participant, self._trust.operator)

    def _check_membership(self, credential: str, did: str, now: float) -> None:
        """Step (6). A credential that held is believed for `MEMBERSHIP_SECONDS`, as the registry's answers are.

        Revocation does not wait for it: it is asked of the trust each time, in (2).
        """
        mark = (did, digest_bytes(credential.encode()))
        if now < self._memberships.get(mark, 0.0):
            return
        membership = verify_membership(credential, did, self._trust, self._clock)
        if len(self._memberships) >= MAX_MEMBERSHIPS:
            self._memberships.clear()
        self._memberships[mark] = min(now + MEMBERSHIP_SECONDS, float(membership.expires))

    def _token(self, header: str | None) -> str:
        if not header or not header.startswith(SCHEME):
            raise PresentationInvalid("send a presentation: 'Authorization: Bearer <hexi-presentation+jws>'")
        return header.removeprefix(SCHEME)

    def _participant(self, token: str) -> Participant:
        try:
            return self._trust.participant(did_of(str(read_header(token).get("kid"))))
        except ParticipantUnknown as error:
            raise CallerUnknown(error.detail) from error
        except ParticipantRevoked:
            raise
        except DataspaceError as error:
            raise _translated(error) from error

    def _claims(self, token: str, participant: Participant) -> dict[str, Json]:
        try:
            claims = verify(token, typ=TYP, resolve=lambda kid: key_from_document(participant.document, kid))
        except DataspaceError as error:
            raise _translated(error) from error
        if not isinstance(claims, dict):
            raise PresentationInvalid("a presentation is an object of claims")
        return claims

    def _check_parties(self, claims: dict[str, Json], did: str) -> None:
        if claims.get("iss") != did or claims.get("sub") != did:
            raise PresentationInvalid("a presentation speaks for the one who signs it")
        if claims.get("aud") != self._audience:
            raise PresentationInvalid(f"this presentation is for somebody else; here is {self._audience}")

    def _check_fresh(self, claims: dict[str, Json], now: float) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        if not (isinstance(issued, int) and isinstance(expires, int) and isinstance(claims.get("jti"), str)):
            raise PresentationInvalid("a presentation needs iat, exp (whole seconds) and jti")
        if issued > now + CLOCK_LEEWAY_SECONDS:
            raise PresentationInvalid("this presentation is from the future; compare the clocks")
        if now >= expires + CLOCK_LEEWAY_SECONDS:
            raise PresentationInvalid("this presentation has expired; make a fresh one for each call")
        if expires - issued > PRESENTATION_SECONDS:
            raise PresentationInvalid(f"presentations may be good for {PRESENTATION_SECONDS} seconds at most")


class _Used:
    """The presentations of the last `MEMORY_SECONDS`, as digests, oldest first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def check_and_remember(self, did: str, jti: str, now: float) -> None:
        mark = digest([did, jti])
        with self._lock:
            while self._seen and next(iter(self._seen.values())) <= now:
                self._seen.popitem(last=False)
            if mark in self._seen:
                raise PresentationReplayed("this presentation was used before; make a fresh one for each call")
            if len(self._seen) >= MAX_REMEMBERED:
                raise PresentationsSaturated("too many calls in one minute; try again in a moment")
            self._seen[mark] = now + MEMORY_SECONDS


def _translated(error: DataspaceError) -> DataspaceError:
    # What is wrong on our side (the registry does not answer) stays as it is; what is wrong with the token is a 401.
    if error.status >= 500 or isinstance(error, ParticipantRevoked):
        return error
    return PresentationInvalid(f"the presentation does not hold: {error.detail}")
