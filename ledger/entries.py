"""Entries: what the log holds. One signed statement each that something happened, in digests and public facts.

The bytes in the log are the compact JWS itself, so that an auditor who has the log can check who said it. Facts are
flat and public; nothing personal and no data ever enters, for nothing ever leaves a log again.

    >>> from hexi.keys import SigningKey
    >>> key, kid = SigningKey.generate(), "did:web:a.example#key-1"
    >>> at, digest = "2026-11-23T08:00:00.000Z", "sha256:" + 64 * "0"
    >>> jws = seal(Kind.PRODUCT_LISTED, "listing-1", digest, key=key, kid=kid, at=at)
    >>> open_entry(jws, lambda _: key.public).subject
    'listing-1'
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hexi.canonical import Json, instant, parse_instant
from hexi.errors import Malformed
from hexi.keys import KeyResolver, SigningKey, read_header, read_unverified, verify
from ledger.errors import EntryInvalid, EntryTooLarge, IssuerNotEntitled

TYP = "hexi-entry+jws"

# An entry is digests and a few facts. A longer one is somebody using the log as a store. The format allows 65,535.
MAX_ENTRY_BYTES = 16_384
# Subjects, kinds of facts and their values are names, numbers and digests, in characters.
MAX_SUBJECT_CHARACTERS = 512
MAX_FACT_CHARACTERS = 1_024
MAX_FACTS = 16
# The largest whole number that every JSON reader reads alike (RFC 8785 section 3.2.2.3).
MAX_NUMBER = 2**53 - 1

_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{64}", re.ASCII)
_MEMBERS = frozenset({"type", "kind", "subject", "digest", "issuer", "at", "facts"})


class Kind(StrEnum):
    """What happened."""

    PARTICIPANT_REGISTERED = "participant-registered"
    PARTICIPANT_REVOKED = "participant-revoked"
    PRODUCT_PUBLISHED = "product-published"
    PRODUCT_WITHDRAWN = "product-withdrawn"
    RIGHTS_REGISTERED = "rights-registered"
    PRODUCT_LISTED = "product-listed"
    AGREEMENT_CONCLUDED = "agreement-concluded"
    AGREEMENT_ENDED = "agreement-ended"
    DUTY_PERFORMED = "duty-performed"
    PERMIT_ISSUED = "permit-issued"
    DELIVERY_ENDED = "delivery-ended"
    ALGORITHM_ACCEPTED = "algorithm-accepted"
    RUN_HELD = "run-held"
    RUN_REVIEWED = "run-reviewed"
    RUN_COMPLETED = "run-completed"
    AGGREGATION_COMPLETED = "aggregation-completed"
    STATEMENT_ISSUED = "statement-issued"
    SETTLEMENT_MADE = "settlement-made"


# What only the operator can say. The operator is who issued the log's first entry: its own registration.
OPERATOR_KINDS = frozenset(
    {
        Kind.PARTICIPANT_REGISTERED,
        Kind.PARTICIPANT_REVOKED,
        Kind.RIGHTS_REGISTERED,
        Kind.PRODUCT_LISTED,
        Kind.AGGREGATION_COMPLETED,
        Kind.STATEMENT_ISSUED,
        Kind.SETTLEMENT_MADE,
    }
)


@dataclass(frozen=True)
class Entry:
    """One statement: `issuer` says that `kind` happened to `subject`, and `digest` is of the document about it."""

    kind: Kind
    subject: str
    digest: str
    issuer: str
    at: str
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def payload(self) -> dict[str, Json]:
        """What is signed."""
        return {
            "type": "entry",
            "kind": self.kind.value,
            "subject": self.subject,
            "digest": self.digest,
            "issuer": self.issuer,
            "at": self.at,
            "facts": dict(self.facts),
        }


def seal(
    kind: Kind,
    subject: str,
    digest: str,
    *,
    key: SigningKey,
    kid: str,
    at: str,
    facts: Mapping[str, str | int] | None = None,
) -> str:
    """The signed entry: exactly these characters go into the log. Raises `EntryInvalid`, `EntryTooLarge`."""
    entry = Entry(kind, subject, digest, signer_of(kid), at, dict(facts or {}))
    jws = key.sign(read_payload(entry.payload()).payload(), typ=TYP, kid=kid)
    _check_size(jws)
    return jws


def open_entry(jws: str, resolve: KeyResolver) -> Entry:
    """The entry in `jws`, once it holds. Raises `EntryInvalid`, `EntryTooLarge`, `SignatureInvalid`, as `resolve` does.

    (1) It is short enough for the log. (2) The signature holds and is of the type for entries. (3) It says what entries
    say. (4) The issuer is who signed. The caller still owes: whether this issuer may say this (`check_issuer`).
    """
    _check_size(jws)  # (1)
    payload = verify(jws, typ=TYP, resolve=resolve)  # (2)
    entry = read_payload(payload)  # (3)
    if entry.issuer != signer_of(str(read_header(jws)["kid"])):  # (4)
        raise EntryInvalid(f"the entry is issued in the name of {entry.issuer}, which did not sign it")
    return entry


def read_entry(jws: str) -> Entry:
    """The entry in `jws`, its signature NOT verified: for entries that the log has taken. Raises `EntryInvalid`."""
    return read_payload(read_unverified(jws))


def check_issuer(entry: Entry, operator: str | None) -> None:
    """Raise `IssuerNotEntitled` if `entry` is of a kind for the operator alone and somebody else issued it.

    Without an operator (a log whose first entry is still to come) nobody is entitled.
    """
    if entry.kind in OPERATOR_KINDS and entry.issuer != operator:
        raise IssuerNotEntitled(f"only the operator of the space issues {entry.kind} entries, not {entry.issuer}")


def signer_of(kid: str) -> str:
    """The DID in front of the fragment of a key identifier."""
    return kid.partition("#")[0]


def read_payload(payload: Json) -> Entry:
    """The entry that `payload` says. Raises `EntryInvalid` for anything but exactly the members of an entry."""
    if not isinstance(payload, dict) or payload.keys() != _MEMBERS or payload["type"] != "entry":
        raise EntryInvalid(f"an entry has exactly the members {', '.join(sorted(_MEMBERS))}, and the type 'entry'")
    try:
        kind = Kind(payload["kind"])
    except ValueError as error:
        raise EntryInvalid(f"{payload['kind']!r} is not a kind of entry; known: {', '.join(Kind)}") from error
    return Entry(
        kind,
        _text(payload["subject"], "subject", MAX_SUBJECT_CHARACTERS),
        _digest(payload["digest"]),
        _text(payload["issuer"], "issuer", MAX_SUBJECT_CHARACTERS),
        _instant(payload["at"]),
        _facts(payload["facts"]),
    )


def _check_size(jws: str) -> None:
    if len(jws) > MAX_ENTRY_BYTES:
        raise EntryTooLarge(f"an entry has at most {MAX_ENTRY_BYTES} bytes, this one {len(jws)}; log a digest instead")
    if not jws.isascii():
        raise EntryInvalid("an entry is a compact JWS, in ASCII")


def _text(value: Json, member: str, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise EntryInvalid(f"the {member} of an entry is 1 to {limit} printable characters")
    return value


def _digest(value: Json) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise EntryInvalid("the digest of an entry looks like sha256:<64 hexadecimal digits>")
    return value


def _instant(value: Json) -> str:
    try:
        if isinstance(value, str) and instant(parse_instant(value)) == value:
            return value
    except Malformed as error:
        raise EntryInvalid(f"the time of an entry: {error.detail}") from error
    raise EntryInvalid("the time of an entry is written like 2026-11-23T08:00:00.000Z")


def _facts(value: Json) -> dict[str, str | int]:
    if not isinstance(value, dict) or len(value) > MAX_FACTS:
        raise EntryInvalid(f"the facts of an entry are at most {MAX_FACTS} names with a value each")
    return {_text(name, "name of a fact", MAX_SUBJECT_CHARACTERS): _fact(name, fact) for name, fact in value.items()}


def _fact(name: str, value: Json) -> str | int:
    # A bool is an int to Python, but not to the reader of a log.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return value
    if isinstance(value, str) and len(value) <= MAX_FACT_CHARACTERS:
        return value
    raise EntryInvalid(
        f"the fact {name!r} is neither a text of at most {MAX_FACT_CHARACTERS} characters nor a whole number"
    )
