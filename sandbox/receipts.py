"""Run receipts: the provider's signed word about what was run, on what, how isolated, and what left. No data in it.

Times are coarse: how long a run took may depend on the data. The requested time is cut to the minute, the end to the
second.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from hexi.canonical import Json, digest, encode, instant, parse_instant
from ledger.documents import SignedDocument, sign_document
from registry.catalogue import Disclosure
from registry.identity import Identity
from sandbox.permits import Permit
from sandbox.reasons import Reason
from sandbox.requests import RunRequest

TYPE = "run-receipt"
RELEASED, REFUSED = "released", "refused"


@dataclass(frozen=True)
class Happened:
    """What the receipt is to say about a run that ended."""

    outcome: str
    reasons: Sequence[Reason] = ()
    query: str | None = None
    data_digest: str | None = None
    isolation: Json = None
    output: str | None = None
    # What held disclosure in check, where it was not the product's rules for cells.
    disclosure: Json = None
    # Which program was run, and with which packages.
    program: Json = None
    # What people of the provider decided, where they did (`sandbox.airlock`).
    review: Json = None

    def to_json(self) -> dict[str, Json]:
        """As it is kept while the run is held."""
        return {
            "outcome": self.outcome,
            "reasons": [reason.to_json() for reason in self.reasons],
            "query": self.query,
            "data_digest": self.data_digest,
            "isolation": self.isolation,
            "output": self.output,
            "disclosure": self.disclosure,
            "program": self.program,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """What `to_json` gave."""
        reasons = tuple(Reason(one["code"], one["message"]) for one in value["reasons"])
        return cls(**{**value, "reasons": reasons})


def rules_shown(disclosure: Disclosure) -> Json:
    """The product's rules for cells, as `Happened.disclosure` says them where nothing else held."""
    return {"minimumEntities": disclosure.minimum_entities, "rounding": disclosure.rounding}


def committed(happened: Happened, key: bytes) -> Happened:
    """The same with commitments in the place of digests of files, as a receipt shows them.

    A digest by itself tells whoever knows all rows but one which of that one's possible values is the true one. Without
    a `key` there is no commitment, and a receipt says nothing of the files.
    """
    if happened.data_digest is None or not key:
        return replace(happened, data_digest=None)
    shown = happened.disclosure
    if isinstance(shown, dict) and (several := shown.get("builtFrom")):
        each: list[Json] = [commitment(key, str(one)) for one in several]
        return replace(happened, data_digest=digest(each), disclosure=shown | {"builtFrom": each})
    return replace(happened, data_digest=commitment(key, happened.data_digest))


def commitment(key: bytes, fingerprint: str) -> str:
    """What a receipt says of files with this `fingerprint`: their digest with a salt drawn from the provider's secret.

    The same files have the same one, nobody else can try out files against it, and the provider opens it to an auditor
    by showing `salt_of` and the files.
    """
    return digest({"files": fingerprint, "salt": salt_of(key, fingerprint)})


def salt_of(key: bytes, fingerprint: str) -> str:
    """The salt in a `commitment`; it opens that of these files and of no others."""
    return hmac.digest(key, encode(["files", fingerprint]), "sha256").hex()


def run_receipt(permit: Permit, request: RunRequest, happened: Happened, finished: datetime) -> dict[str, Json]:
    """The receipt document, not signed yet."""
    return {
        "type": TYPE,
        "parties": [permit.issuer],
        "run": request.run,
        "permit": permit.id,
        "agreement": permit.agreement,
        "order": permit.order,
        "product": permit.product,
        "version": permit.version,
        "productDigest": permit.product_digest,
        "dataDigest": happened.data_digest,
        "mode": request.mode,
        "request": request.digest,
        "queryCanonical": happened.query,
        "program": happened.program,
        "outcome": happened.outcome,
        "reasons": [reason.to_json() for reason in happened.reasons],
        "isolation": happened.isolation,
        "disclosure": happened.disclosure,
        "review": happened.review,
        "output": happened.output,
        "requestedAt": instant(parse_instant(request.at).replace(second=0, microsecond=0)),
        "finishedAt": instant(finished.replace(microsecond=0)),
    }


def sign_receipt(document: dict[str, Json], identity: Identity) -> SignedDocument:
    """The receipt, signed by its provider."""
    return SignedDocument(document, {identity.did: sign_document(document, identity.key, identity.kid)})


def run_facts(permit: Permit, request: RunRequest, happened: Happened) -> dict[str, str | int]:
    """The public facts that the log has of a run."""
    return {
        "order": permit.order or "",
        "agreement": permit.agreement,
        "permit": permit.id,
        "product": permit.product,
        "units": 1 if happened.outcome == RELEASED else 0,
        "outcome": happened.outcome,
        "request": request.digest,
    }
