"""Run receipts: the provider's signed word about what was run, on what, how isolated, and what left. No data in it.

Times are coarse: how long a run took may depend on the data. The requested time is cut to the minute, the end to the
second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hexi.canonical import Json, instant, parse_instant
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


def run_receipt(
    permit: Permit, request: RunRequest, disclosure: Disclosure, happened: Happened, finished: datetime
) -> dict[str, Json]:
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
        "outcome": happened.outcome,
        "reasons": [reason.to_json() for reason in happened.reasons],
        "isolation": happened.isolation,
        "disclosure": happened.disclosure
        or {"minimumEntities": disclosure.minimum_entities, "rounding": disclosure.rounding},
        "output": happened.output,
        "requestedAt": instant(parse_instant(request.at).replace(second=0, microsecond=0)),
        "finishedAt": instant(finished.replace(microsecond=0)),
    }


def sign_receipt(document: dict[str, Json], identity: Identity) -> SignedDocument:
    """The receipt, signed by its provider."""
    return SignedDocument(document, {identity.did: sign_document(document, identity.key, identity.kid)})
