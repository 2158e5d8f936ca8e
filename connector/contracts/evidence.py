"""Evidence: an event becomes a sealed ledger entry in the transaction of the event itself.

Nothing is sent here. The entry goes to the outbox in the same transaction and the worker delivers it; what comes back
is the ledger's receipt, which `Evidence.received` keeps. So no state changes without its evidence, and no outage of the
ledger keeps a state from changing.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session

from connector.contracts import store
from connector.contracts.errors import EvidenceConflict
from connector.protocol import outbox
from connector.protocol.outbox_items import LEDGER
from hexi.canonical import Clock, Json, instant
from ledger.entries import Kind, seal
from registry.identity import Identity


@dataclass(frozen=True)
class Evidence:
    """Seals this connector's entries for the ledger at `entries_url`, which `operator` runs."""

    identity: Identity
    operator: str
    entries_url: str
    clock: Clock

    def record(self, session: Session, kind: Kind, subject: str, digest: str, facts: Mapping[str, str | int]) -> None:
        """Seal and queue one entry. The same again does nothing; another digest raises `EvidenceConflict`."""
        at = instant(self.clock())
        entry = seal(kind, subject, digest, key=self.identity.key, kid=self.identity.kid, at=at, facts=dict(facts))
        if not store.add_evidence(session, kind, subject, digest, entry, at):
            known = store.evidence(session, kind, subject)
            if known is None or known.digest != digest:
                raise EvidenceConflict(f"{kind} about {subject} is on record with another digest")
            return
        outbox.enqueue(
            session,
            LEDGER,
            None,
            f"urn:uuid:{uuid.uuid4()}",
            self.entries_url,
            {"entry": entry},
            audience=self.operator,
            reference=f"{kind} {subject}",
        )

    def received(self, session: Session, reference: str, receipt: Json) -> None:
        """Keep the `receipt` that the ledger gave for the entry queued under `reference`."""
        kind, _, subject = reference.partition(" ")
        store.set_receipt(session, kind, subject, receipt)
