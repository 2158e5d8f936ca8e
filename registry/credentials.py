"""Membership credentials: what a participant shows to prove that the operator admitted it.

A W3C Verifiable Credential 1.1 as a JWT of type ``vc+jwt``: claims ``iss sub nbf exp jti vc``. It says what was true
when it was issued; whether it still is (revocation) is asked of the registry each time.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from hexi.canonical import Clock, Json
from hexi.errors import DataspaceError
from hexi.keys import VerifyingKey, verify
from registry.errors import CredentialInvalid
from registry.identity import Identity, did_of
from registry.participants import Participant, Role
from registry.trust import Trust

TYP = "vc+jwt"
MEMBERSHIP = "MembershipCredential"

# How long a membership lasts unless said otherwise, in days.
MEMBERSHIP_DAYS = 365
# How far two honest clocks may be apart, in seconds. NTP keeps them within one; DCP's kit demands little.
CLOCK_LEEWAY_SECONDS = 5


@dataclass(frozen=True)
class Membership:
    """What a credential that holds says."""

    holder: str
    issuer: str
    identifier: str
    owner_code: str
    roles: frozenset[Role]
    expires: int


def issue_membership(identity: Identity, participant: Participant, clock: Clock, days: int = MEMBERSHIP_DAYS) -> str:
    """The credential of `participant`, signed by the operator's `identity`, in force from now for `days`."""
    now = clock()
    payload = {
        "iss": identity.did,
        "sub": participant.did,
        "nbf": int(now.timestamp()),
        "exp": int((now + timedelta(days=days)).timestamp()),
        "jti": f"urn:uuid:{uuid.uuid4()}",
        "vc": {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiableCredential", MEMBERSHIP],
            "credentialSubject": {
                "id": participant.did,
                "identifier": participant.identifier,
                "name": participant.name,
                "ownerCode": participant.owner_code,
                "roles": sorted(participant.roles),
            },
        },
    }
    return identity.key.sign(payload, typ=TYP, kid=identity.kid)


def verify_membership(jwt: str, holder_did: str, trust: Trust, clock: Clock) -> Membership:
    """What `jwt` says about its holder, once it holds. Raises `CredentialInvalid`, `TrustUnavailable`.

    (1) It is signed, as a credential, by a key of the operator and nobody else. (2) The claims name the operator as
    issuer and `holder_did` as subject, outside and inside. (3) It is a membership. (4) It is in force now, give or take
    `CLOCK_LEEWAY_SECONDS`. The caller still owes: that the one who shows it is the holder, and is not revoked.
    """

    def operators_key(kid: str) -> VerifyingKey:
        if did_of(kid) != trust.operator:
            raise CredentialInvalid("memberships are issued by the operator of the space, nobody else")
        return trust.resolve(kid)

    try:
        claims = verify(jwt, typ=TYP, resolve=operators_key)  # (1)
    except DataspaceError as error:
        if isinstance(error, CredentialInvalid) or error.status >= 500:
            raise
        raise CredentialInvalid(f"the membership credential does not hold: {error.detail}") from error
    membership = _read(claims, trust.operator, holder_did)  # (2) (3)
    now = clock().timestamp()
    if not claims["nbf"] - CLOCK_LEEWAY_SECONDS <= now < membership.expires + CLOCK_LEEWAY_SECONDS:  # (4)
        raise CredentialInvalid("the membership credential is not in force now; ask the operator for a new one")
    return membership


def _read(claims: Json, issuer: str, holder: str) -> Membership:
    try:
        subject = claims["vc"]["credentialSubject"]
        if claims["iss"] != issuer or claims["sub"] != holder or subject["id"] != holder:
            raise CredentialInvalid(f"the membership credential is not one of {holder}")
        if MEMBERSHIP not in claims["vc"]["type"]:
            raise CredentialInvalid(f"a {MEMBERSHIP} was expected")
        if not (isinstance(claims["nbf"], int) and isinstance(claims["exp"], int)):
            raise CredentialInvalid("nbf and exp of a credential are whole seconds")
        return Membership(
            holder=holder,
            issuer=issuer,
            identifier=str(subject["identifier"]),
            owner_code=str(subject["ownerCode"]),
            roles=frozenset(Role(role) for role in subject["roles"]),
            expires=claims["exp"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CredentialInvalid("the membership credential lacks something it must say") from error
