"""Permits: what a connector lets its sandbox do, for whom, how often and until when. Signed by the provider.

The sandbox knows neither contracts nor policies. It trusts this one document, so it can run on another host.

    >>> from datetime import UTC, datetime
    >>> from hexi.keys import SigningKey
    >>> key, kid = SigningKey.generate(), "did:web:clinic.example#key-1"
    >>> permit = Permit(id="urn:uuid:1", issuer="did:web:clinic.example", holder="did:web:planner.example",
    ...     product="p", version=1, product_digest="sha256:0", agreement="a", operations=("sandbox-sql",), runs=3,
    ...     not_before="2026-11-23T00:00:00.000Z", expires="2026-12-23T00:00:00.000Z")
    >>> jws = seal_permit(permit, key, kid)
    >>> read = verify_permit(jws, issuer=permit.issuer, resolve=lambda _: key.public,
    ...     clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))
    >>> read == permit
    True
"""

from typing import Literal

from pydantic import Field, ValidationError

from hexi.canonical import Clock, Json, Wire, parse_instant
from hexi.errors import Malformed
from hexi.keys import KeyResolver, SignatureInvalid, SigningKey, read_header, read_unverified, verify
from registry.identity import did_of
from sandbox.errors import PermitExpired, PermitInvalid

TYP = "hexi-permit+jws"


class Permit(Wire):
    """What is permitted. `runs` is how often; `operations` are modes such as ``sandbox-sql``; empty means none."""

    type: Literal["permit"] = "permit"
    id: str = Field(min_length=1, max_length=200)
    issuer: str
    holder: str
    product: str
    version: int = Field(ge=0)
    product_digest: str
    agreement: str
    order: str | None = None
    operations: tuple[str, ...]
    runs: int = Field(ge=0)
    purpose: str | None = None
    not_before: str
    expires: str
    minimum_isolation: int = Field(default=2, ge=0, le=3)

    def payload(self) -> dict[str, Json]:
        """What is signed."""
        return self.model_dump(mode="json", by_alias=True)


def seal_permit(permit: Permit, key: SigningKey, kid: str) -> str:
    """The permit as a compact JWS. Raises `PermitInvalid` unless the key is the issuer's."""
    if did_of(kid) != permit.issuer:
        raise PermitInvalid("a permit is signed by a key of its issuer")
    return key.sign(permit.payload(), typ=TYP, kid=kid)


def verify_permit(jws: str, *, issuer: str, resolve: KeyResolver, clock: Clock) -> Permit:
    """The permit, once it holds. Raises `PermitInvalid`, `PermitExpired`, and what `resolve` raises.

    (1) It is signed, as a permit, by a key of `issuer`. (2) It says what a permit says, and (3) in the issuer's name.
    (4) It is valid now. The caller still owes: that it was not revoked, has runs left, and fits the request.
    """
    try:
        if did_of(str(read_header(jws).get("kid"))) != issuer:  # (1)
            raise PermitInvalid(f"the permit is not signed by {issuer}")
        permit = _read(verify(jws, typ=TYP, resolve=resolve))  # (1) (2)
    except (SignatureInvalid, Malformed) as error:
        raise PermitInvalid(f"the permit does not hold: {error.detail}") from error
    if permit.issuer != issuer:  # (3)
        raise PermitInvalid("the permit is issued in somebody else's name")
    if not parse_instant(permit.not_before) <= clock() < parse_instant(permit.expires):  # (4)
        raise PermitExpired(f"the permit is valid from {permit.not_before} until {permit.expires}; ask for another one")
    return permit


def read_permit(jws: str) -> Permit:
    """The permit in `jws`, NOT verified: for one that was verified when its run was taken on."""
    return _read(read_unverified(jws))


def _read(payload: Json) -> Permit:
    try:
        permit = Permit.model_validate(payload)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise PermitInvalid(f"the permit cannot be read: {where}") from error
    parse_instant(permit.not_before), parse_instant(permit.expires)
    return permit
