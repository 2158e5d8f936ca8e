"""Signed documents: JSON that several parties put their names to, each with a detached signature of its own.

The document stays readable JSON, names its `type` and its `parties`, and is the same bytes for everybody (RFC 8785). A
signature carries that type in its header, so that it never counts for another kind of document.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hexi.canonical import Json, digest
from hexi.errors import Malformed
from hexi.keys import KeyResolver, SignatureInvalid, SigningKey, read_header, unb64url, verify_detached
from ledger.entries import signer_of
from ledger.errors import DocumentInvalid

# More parties than this is not a contract but an attack on the verifier.
MAX_PARTIES = 32

_TYPE = re.compile(r"[a-z]+(?:-[a-z]+)*", re.ASCII)


@dataclass(frozen=True)
class SignedDocument:
    """A document and who signed it: DID to detached JWS. Nothing is verified yet; see `verify_document`."""

    document: dict[str, Json]
    signatures: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """The digest of the document alone: it does not change when another party signs."""
        return digest(self.document)

    def to_json(self) -> dict[str, Json]:
        """As it travels and is kept."""
        return {"document": self.document, "signatures": dict(self.signatures)}

    @classmethod
    def from_json(cls, value: Json) -> "SignedDocument":
        """Read what `to_json` wrote. Raises `DocumentInvalid`."""
        if not isinstance(value, dict) or value.keys() != {"document", "signatures"}:
            raise DocumentInvalid("a signed document has exactly the members 'document' and 'signatures'")
        document, signatures = value["document"], value["signatures"]
        if not isinstance(document, dict) or not isinstance(signatures, dict):
            raise DocumentInvalid("'document' and 'signatures' are objects")
        if not all(isinstance(signature, str) for signature in signatures.values()):
            raise DocumentInvalid("signatures are compact JWS, by DID")
        return cls(document, signatures)


def sign_document(document: dict[str, Json], key: SigningKey, kid: str) -> str:
    """One party's detached signature over `document`. Raises `DocumentInvalid` if it has no type or not this party."""
    if signer_of(kid) not in _parties(document):
        raise DocumentInvalid(f"{signer_of(kid)} is not a party of this document")
    return key.sign_detached(document, typ=_typ(_type_of(document)), kid=kid)


def verify_document(signed: SignedDocument, resolve: KeyResolver, *, of_type: str) -> dict[str, Json]:
    """The document, once all its parties have signed. Raises `DocumentInvalid`, `SignatureInvalid`, as `resolve` does.

    (1) It is of the type expected. (2) It names its parties, each once; no party at all means no. (3) Exactly the
    parties have signed. (4) Each signature is by a key of that party, (5) is written the only way it can be, and (6)
    holds over this document. The caller still owes: that these are the right parties, and what the document says.
    """
    document = signed.document
    if _type_of(document) != of_type:  # (1)
        raise DocumentInvalid(f"a document of type {of_type!r} was expected, this one is {document['type']!r}")
    parties = _parties(document)  # (2)
    if set(signed.signatures) != set(parties):  # (3)
        raise DocumentInvalid(
            f"signed by {', '.join(signed.signatures) or 'nobody'}; the parties are {', '.join(parties)}"
        )
    for party in parties:
        signature = signed.signatures[party]
        if signer_of(_kid_of(signature)) != party:  # (4)
            raise DocumentInvalid(f"the signature in the name of {party} is by another key")
        verify_detached(signature, document, typ=_typ(of_type), resolve=resolve)  # (6)
    return document


def _kid_of(signature: str) -> str:
    """The key a signature names. It is read strictly, so that no second spelling of a signature passes: step (5)."""
    try:
        unb64url(signature.rpartition(".")[2])
        return str(read_header(signature).get("kid"))
    except Malformed as error:
        raise SignatureInvalid("this signature is not written as a detached JWS is") from error


def _type_of(document: Mapping[str, Json]) -> str:
    kind = document.get("type")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise DocumentInvalid("a document says its type, such as 'agreement'")
    return kind


def _parties(document: Mapping[str, Json]) -> list[str]:
    parties = document.get("parties")
    if not isinstance(parties, list) or not 0 < len(parties) <= MAX_PARTIES:
        raise DocumentInvalid(f"a document names 1 to {MAX_PARTIES} parties")
    if not all(isinstance(party, str) and party for party in parties) or len(set(parties)) != len(parties):
        raise DocumentInvalid("the parties of a document are DIDs, each named once")
    return parties


def _typ(document_type: str) -> str:
    return f"hexi-{document_type}+jws"
