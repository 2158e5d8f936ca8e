"""Applying for membership: the applicant signs what it says about itself with the key its DID document vouches for.

jws = seal_application(identity, Application(did=identity.did, name=..., ...))
RegistryClient(url).apply(jws)
"""

from dataclasses import dataclass

from pydantic import ValidationError

from hexi.canonical import Json, digest
from hexi.errors import DataspaceError
from hexi.keys import SignatureInvalid, read_header, verify
from registry import identifiers
from registry.errors import ApplicationInvalid
from registry.identity import Identity, did_of, did_web_url, key_from_document
from registry.messages import Application
from registry.resolution import Fetch

TYP = "hexi-application+jws"


@dataclass(frozen=True)
class VerifiedApplication:
    """An application that is really by the one whose DID it names, with the DID document as it was then."""

    application: Application
    document: dict[str, Json]
    jws: str
    digest: str


def seal_application(identity: Identity, application: Application) -> str:
    """The application, signed by the applicant."""
    return identity.key.sign(application.to_json(), typ=TYP, kid=identity.kid)


def verify_application(
    jws: str, fetch: Fetch, *, insecure_http_did_web: bool = False, strict_owner_codes: bool = False
) -> VerifiedApplication:
    """The application in `jws`, once it holds. Raises `ApplicationInvalid`, `DidInvalid`, `OwnerCodeInvalid`,
    `DidDocumentInvalid`, `DidHostForbidden`, `DidUnreachable`, `SignatureInvalid`.

    (1) The signature names a key of a did:web. (2) That DID's document is fetched, now and not from a cache. (3) It
    vouches for the key, and the signature holds, as an application. (4) It says what applications say. (5) The signer
    applies for itself. (6) The owner code can be one. The caller still owes: whether to admit this organisation.
    """
    try:
        kid = str(read_header(jws).get("kid"))  # (1)
    except DataspaceError as error:
        raise SignatureInvalid(f"an application is a JWS of type {TYP}") from error
    document = fetch(did_web_url(did_of(kid), insecure_http=insecure_http_did_web))  # (2)
    payload = verify(jws, typ=TYP, resolve=lambda name: key_from_document(document, name))  # (3)
    try:
        application = Application.model_validate(payload)  # (4)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise ApplicationInvalid(f"the application cannot be read: {wrong}") from error
    if application.did != did_of(kid):  # (5)
        raise ApplicationInvalid(f"{did_of(kid)} cannot apply for {application.did}")
    identifiers.check_owner_code(application.owner_code, strict=strict_owner_codes)  # (6)
    return VerifiedApplication(application, document, jws, digest(payload))
