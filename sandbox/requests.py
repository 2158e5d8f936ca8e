"""Run requests: the consumer's signed wish for one computation under one permit.

The signature is the consumer's admission that it asked, and what it pays for is counted by it. The run id is the
consumer's choice, so that a request that got no answer can be sent again and is still one run.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, ValidationError

from hexi.canonical import Json, Wire, digest, digest_bytes, parse_instant
from hexi.errors import Malformed
from hexi.keys import KeyResolver, SignatureInvalid, SigningKey, read_header, read_unverified, verify
from privacy.aggregation import check_contributors
from privacy.errors import TooFewContributors
from registry.identity import did_of
from sandbox.errors import NotAContributor, PointNotTrusted, QueryOutsidePermit, RequestInvalid
from sandbox.permits import Permit
from sandbox.queries.query import MAX_QUERY_CHARACTERS, SUM_MODE

TYP = "hexi-run-request+jws"

_UUID = r"^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class EncryptedSum(Wire):
    """Where the encrypted number goes, with whose it is added up, and under which context (by digest)."""

    job: str = Field(min_length=1, max_length=200)
    point: str = Field(max_length=500)
    contributors: tuple[str, ...]
    context: str

    def terms(self, planner: str) -> str:
        """Names who adds up with whom, for whom."""
        return terms(planner, self.contributors, self.context)


def terms(planner: str, contributors: Iterable[str], context: str) -> str:
    """The digest by which a contributor and the aggregation point know that they mean the same sum."""
    return digest({"planner": planner, "contributors": sorted(contributors), "context": context})


class RunRequest(Wire):
    """One computation asked for."""

    type: Literal["run-request"] = "run-request"
    run: str = Field(pattern=_UUID)
    permit: str
    mode: str
    # A query over the limit is refused by review with a reason; this is only against nonsense.
    query: str = Field(max_length=8 * MAX_QUERY_CHARACTERS)
    purpose: str | None = None
    at: str
    encrypted_sum: EncryptedSum | None = None

    def payload(self) -> dict[str, Json]:
        """What is signed."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def digest(self) -> str:
        """Names the request in receipts and on the ledger."""
        return digest(self.payload())


def seal_request(request: RunRequest, key: SigningKey, kid: str) -> str:
    """The request as a compact JWS."""
    return key.sign(request.payload(), typ=TYP, kid=kid)


def verify_request(jws: str, *, permit: Permit, resolve: KeyResolver) -> RunRequest:
    """The request, once it holds. Raises `RequestInvalid`, `QueryOutsidePermit`, and what `resolve` raises.

    (1) It is signed, as a run request, by a key of the permit's holder. (2) It says what a request says. (3) It is for
    this permit. (4) The permit covers its mode and (5) its purpose. (6) An encrypted sum says where it goes, and
    nothing else does. Its age is not checked: the run id makes a replay harmless.
    """
    try:
        if did_of(str(read_header(jws).get("kid"))) != permit.holder:  # (1)
            raise RequestInvalid("the run request is not signed by the holder of the permit")
        request = _read(verify(jws, typ=TYP, resolve=resolve))  # (1) (2)
    except (SignatureInvalid, Malformed) as error:
        raise RequestInvalid(f"the run request does not hold: {error.detail}") from error
    if request.permit != permit.id:  # (3)
        raise RequestInvalid("the run request is for another permit")
    if request.mode not in permit.operations:  # (4)
        raise QueryOutsidePermit(f"the permit covers {', '.join(permit.operations) or 'nothing'}, not {request.mode}")
    if request.purpose != permit.purpose:  # (5)
        raise QueryOutsidePermit("the purpose of the request is not the one the permit was given for; state that one")
    if (request.mode == SUM_MODE) != (request.encrypted_sum is not None):  # (6)
        raise RequestInvalid("a request of the mode encrypted-sum, and only that, has the member encryptedSum")
    return request


def check_sum(wanted: EncryptedSum, context: bytes, *, provider: str, holder: str, point: str) -> None:
    """Whether this provider may contribute to this sum. Raises `PointNotTrusted`, `NotAContributor`, `RequestInvalid`.

    (1) The aggregation point is the one this provider trusts: any other could hand the single number to the holder, who
    has the key. Without a trusted point the answer is no. (2) There are enough contributors, the holder is none of
    them, and (3) this provider is. (4) The context is the one the holder signed for.
    """
    if not point or wanted.point.rstrip("/") != point.rstrip("/"):  # (1)
        raise PointNotTrusted(
            f"encrypted sums go to {point or 'no aggregation point'} from here, not to {wanted.point}"
        )
    try:
        check_contributors(holder, wanted.contributors)  # (2)
    except TooFewContributors as error:
        raise RequestInvalid(error.detail) from error
    if provider not in wanted.contributors:  # (3)
        raise NotAContributor(f"{provider} is not among the contributors of this sum")
    if digest_bytes(context) != wanted.context:  # (4)
        raise RequestInvalid("the encryption context is not the one named in the signed request")


def read_request(jws: str) -> RunRequest:
    """The request in `jws`, NOT verified: for one that was verified when its run was taken on."""
    return _read(read_unverified(jws))


def _read(payload: Json) -> RunRequest:
    try:
        request = RunRequest.model_validate(payload)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise RequestInvalid(f"the run request cannot be read: {where}") from error
    parse_instant(request.at)
    return request
