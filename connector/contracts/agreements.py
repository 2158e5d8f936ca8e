"""Agreements: from an offer to a document that both sides signed.

What travels is the ODRL agreement of the Dataspace Protocol; what is signed is a Hexi document derived from it. Both
sides derive it with `Agreement.from_message(...).document()`, so they sign the same bytes without sending them. What
ODRL has no word for (the product's version and digest, the declared purpose, the signature) stands in members named by
IRIs, which the protocol lets through untouched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connector.contracts.errors import AgreementInvalid
from connector.policies.operands import ALGORITHM, APPLICATION, DEVICE, MODEL
from connector.policies.policy import same_terms, terms_of
from hexi.canonical import Json, parse_instant
from hexi.errors import DataspaceError, Malformed
from hexi.keys import KeyResolver, read_header, verify_detached

VERSION = "urn:hexi:version"
PRODUCT_DIGEST = "urn:hexi:productDigest"
PURPOSE = "urn:hexi:purpose"
# What else a consumer may declare: what is signed here is its word, and nobody can see whether it is true.
DECLARATIONS: Mapping[str, str] = {
    APPLICATION: "urn:hexi:application",
    ALGORITHM: "urn:hexi:algorithm",
    MODEL: "urn:hexi:model",
    DEVICE: "urn:hexi:device",
}
# The consumer's, in its verification message, and the provider's, in the message with the agreement.
SIGNATURE = "urn:hexi:signature"
PROVIDER_SIGNATURE = "urn:hexi:providerSignature"
ORDER = "urn:hexi:order"

# Our members of an agreement.
_OURS = (VERSION, PRODUCT_DIGEST, PURPOSE, *DECLARATIONS.values())

DOCUMENT_TYPE = "agreement"
SIGNATURE_TYPE = f"hexi-{DOCUMENT_TYPE}+jws"


class AgreementState(StrEnum):
    """AGREED: in the provider's words, the consumer may still refuse. CONCLUDED: signed by both and finalised.

    ENDED: nothing is delivered under it any more; the signed document and the evidence stay.
    """

    AGREED = "AGREED"
    CONCLUDED = "CONCLUDED"
    ENDED = "ENDED"


@dataclass(frozen=True)
class Agreement:
    """What two participants agree on: this product version, these terms, this purpose."""

    id: str
    product: str
    version: int
    provider: str
    consumer: str
    terms: dict[str, list[Any]]
    concluded_at: str
    product_digest: str | None = None
    purpose: str | None = None
    declared: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_odrl(cls, odrl: Json) -> "Agreement":
        """Read an agreement whose members are all in one place. Raises `AgreementInvalid`."""
        texts = {name: _text(odrl, name) for name in ("@id", "target", "assigner", "assignee", "timestamp")}
        try:
            parse_instant(texts["timestamp"])
            terms = terms_of(odrl)
        except Malformed as error:
            raise AgreementInvalid(f"the agreement cannot be read: {error.detail}") from error
        return cls(
            id=texts["@id"],
            product=texts["target"],
            version=_version(odrl.get(VERSION)),
            provider=texts["assigner"],
            consumer=texts["assignee"],
            terms=terms,
            concluded_at=texts["timestamp"],
            product_digest=_optional_text(odrl, PRODUCT_DIGEST),
            purpose=_optional_text(odrl, PURPOSE),
            declared=declared_in(odrl),
        )

    @classmethod
    def from_message(cls, odrl: Json, beside: Mapping[str, Json]) -> "Agreement":
        """Read the agreement and what stands `beside` it in its message. Raises `AgreementInvalid`."""
        ours = {name: beside[name] for name in _OURS if name in beside}
        return cls.from_odrl(ours | odrl if isinstance(odrl, dict) else odrl)

    def to_message(self, offer: Mapping[str, Json], signature: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The agreement as it travels in answer to `offer`, and what stands beside it in the message.

        Peers of other makes compare it with their offer, members that they do not know included. So it has only those
        of ours that the offer has, and the others go beside it.
        """
        whole = self.to_odrl()
        beside = {name: whole.pop(name) for name in _OURS if name in whole and name not in offer}
        return whole, beside | {PROVIDER_SIGNATURE: signature}

    def to_odrl(self) -> dict[str, Any]:
        """The whole agreement as ODRL; `from_odrl` reads the same value back."""
        extras = {PRODUCT_DIGEST: self.product_digest, PURPOSE: self.purpose}
        return {
            "@id": self.id,
            "@type": "Agreement",
            "target": self.product,
            "assigner": self.provider,
            "assignee": self.consumer,
            "timestamp": self.concluded_at,
            **self.terms,
            VERSION: str(self.version),
            **{name: value for name, value in extras.items() if value is not None},
            **{DECLARATIONS[name]: value for name, value in self.declared.items()},
        }

    def document(self) -> dict[str, Any]:
        """What both parties sign."""
        extras = {
            "productDigest": self.product_digest,
            "purpose": self.purpose,
            "declared": dict(self.declared) or None,
        }
        return {
            "type": DOCUMENT_TYPE,
            "parties": [self.provider, self.consumer],
            "id": self.id,
            "product": self.product,
            "version": self.version,
            "provider": self.provider,
            "consumer": self.consumer,
            "policy": self.terms,
            "concludedAt": self.concluded_at,
            **{name: value for name, value in extras.items() if value is not None},
        }


def offer_id(product: str, version: int) -> str:
    """The id of the offer that a product version makes by itself. Others (`contracts.offers`) begin with it."""
    return f"{product}#v{version}"


def version_in(offer: str, product: str) -> int | None:
    """The version of `product` that an offer's id names, or None if it names none."""
    version = offer.removeprefix(f"{product}#v").partition("/")[0]
    return int(version) if offer.startswith(f"{product}#v") and version.isascii() and version.isdigit() else None


def offer_of(product: str, version: int, digest: str, policy: Json, purpose: str | None = None) -> dict[str, Any]:
    """The offer of a product version, as it stands in negotiation messages (a catalogue leaves the target away)."""
    return {
        "@id": offer_id(product, version),
        "@type": "Offer",
        "target": product,
        **terms_of(policy),
        PRODUCT_DIGEST: digest,
        **({PURPOSE: purpose} if purpose else {}),
    }


def difference(asked: Json, own: Json) -> str | None:
    """In what the offer a peer asks for differs from our own, or None. Ours is authoritative."""
    return mistaken(asked, own) or other_terms(asked, own)


def mistaken(asked: Json, own: Json) -> str | None:
    """Why a peer that asks for an offer does not mean our `own`, or None.

    Peers of other makes do not echo our extension members, so the digest is compared when it is there; the offer's id
    names the version in any case. The purpose is the asker's to declare.
    """
    if not isinstance(asked, dict) or asked.get("@id") != own["@id"]:
        return f"the offer in force is {own['@id']}"
    if asked.get("target") != own["target"]:
        return f"the offer {own['@id']} is for {own['target']}"
    if PRODUCT_DIGEST in own and asked.get(PRODUCT_DIGEST, own[PRODUCT_DIGEST]) != own[PRODUCT_DIGEST]:
        return "the product was asked for with another digest"
    return None


def other_terms(asked: Json, own: Json) -> str | None:
    """That the terms asked for are not those of our `own` offer, or None."""
    try:
        return None if same_terms(asked, own) else "the terms asked for are not the terms offered"
    except Malformed as error:
        return error.detail


def check_against_offer(agreement: Agreement, offer: Json, *, provider: str, consumer: str) -> None:
    """Raise `AgreementInvalid` unless `agreement` says what the consumer asked for with `offer`.

    (1) It is between the provider negotiated with and us. (2) It is about the product asked for, in that version.
    (3) Its terms are those asked for. (4) So are its purpose and what else was declared. The caller still owes the
    provider's signature.
    """
    if (agreement.provider, agreement.consumer) != (provider, consumer):  # (1)
        raise AgreementInvalid(f"the agreement is between others than {provider} and {consumer}")
    if agreement.product != offer.get("target"):  # (2)
        raise AgreementInvalid(f"the agreement is about another product than {offer.get('target')}")
    if PRODUCT_DIGEST in offer and agreement.product_digest is not None:
        named = version_in(str(offer["@id"]), agreement.product)
        if (agreement.version, agreement.product_digest) != (named, offer[PRODUCT_DIGEST]):
            raise AgreementInvalid(f"the agreement is about another version than {offer['@id']}")
    if not same_terms(agreement.terms, offer):  # (3)
        raise AgreementInvalid("the agreement has other terms than those asked for")
    if agreement.purpose != offer.get(PURPOSE):  # (4)
        raise AgreementInvalid(f"the agreement has another purpose than {offer.get(PURPOSE)!r}")
    if agreement.declared != declared_in(offer):
        raise AgreementInvalid("the agreement says that other things were declared than were")


def declared_in(odrl: Json) -> dict[str, str]:
    """What the consumer declares in an offer or agreement beside the purpose. Raises `AgreementInvalid`."""
    return {name: _text(odrl, member) for name, member in DECLARATIONS.items() if member in odrl}


def check_signature(agreement: Agreement, signature: Json, *, by: str, resolve: KeyResolver) -> str:
    """`signature`, once it is known to be `by`'s over the agreement's document. Raises `AgreementInvalid`.

    (1) It is a detached JWS. (2) Its key belongs to `by`. (3) It is of the type for agreements and holds.
    """
    if not isinstance(signature, str):  # (1)
        raise AgreementInvalid(f"{by} did not sign the agreement")
    try:
        kid = read_header(signature).get("kid", "")
        if not isinstance(kid, str) or kid.partition("#")[0] != by:  # (2)
            raise AgreementInvalid(f"the agreement is not signed by {by}")
        verify_detached(signature, agreement.document(), typ=SIGNATURE_TYPE, resolve=resolve)  # (3)
    except DataspaceError as error:
        if error.status >= 500:  # the registry does not answer: that says nothing about the signature
            raise
        raise AgreementInvalid(f"the signature of {by} does not hold: {error.detail}") from error
    return signature


def _text(odrl: Json, name: str) -> str:
    value = odrl.get(name) if isinstance(odrl, dict) else None
    if not isinstance(value, str) or not value:
        raise AgreementInvalid(f"the agreement needs {name}, as a string")
    return value


def _optional_text(odrl: dict[str, Any], name: str) -> str | None:
    return _text(odrl, name) if name in odrl else None


def _version(value: Json) -> int:
    # Peers of other makes know no versions; 0 stands for "whatever was offered under this id".
    if value is None:
        return 0
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise AgreementInvalid(f"{VERSION} is a whole number, as a string")
    return int(value)
