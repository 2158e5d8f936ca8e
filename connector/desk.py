"""The desk: everything the management API reaches, put together once by `connector.app`."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from connector import business_store as store
from connector.business_store import HeldAgreement
from connector.computations import Computations
from connector.dealings import Dealings
from connector.engine import Engine
from connector.membership import Membership
from connector.publishing import Publisher
from connector.settings import ConnectorSettings
from hexi import __version__
from hexi.canonical import Clock, Json
from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.client import LedgerClient
from ledger.entries import Kind, read_entry
from registry.client import RegistryClient


@dataclass(frozen=True)
class Desk:
    """What a participant's own people work with."""

    settings: ConnectorSettings
    did: str
    clock: Clock
    database: Database
    engine: Engine
    membership: Membership
    publisher: Publisher
    dealings: Dealings
    computations: Computations
    registry: RegistryClient
    ledger: LedgerClient

    def status(self) -> dict[str, Any]:
        """Who this connector is, where it stands with the space, and what waits."""
        try:
            membership = self.membership.status()
        except DataspaceError as error:
            membership = {"state": "unknown", "why": error.detail}
        with self.database.reading() as session:
            return {
                "did": self.did,
                "url": self.settings.url,
                "version": __version__,
                "space": self.settings.space_url,
                "operator": self.settings.operator,
                "membership": membership,
                **_counts(session),
            }

    def search(self, q: str, offset: int, limit: int) -> Json:
        """The space's catalogue, searched there. Raises `RemoteProblem`, `Unreachable`."""
        return self.registry.search(q, offset=offset, limit=limit).to_json()

    def agreement(self, agreement_id: str) -> tuple[HeldAgreement, Json]:
        """An agreement, and the ledger's receipt for it, or None while there is none. Raises `AgreementUnknown`.

        The provider records an agreement, so a consumer asks the ledger for the receipt; an answer about another
        document than the one held here is not passed on.
        """
        with self.database.reading() as session:
            held = store.agreement(session, agreement_id)
            own = store.evidence(session, Kind.AGREEMENT_CONCLUDED, agreement_id)
        return held, own.receipt if own else self._receipt(held)

    def _receipt(self, held: HeldAgreement) -> Json:
        try:
            receipt = self.ledger.receipt(Kind.AGREEMENT_CONCLUDED, held.agreement.id, held.agreement.provider)
        except DataspaceError:
            return None
        if receipt is None or read_entry(receipt.entry).digest != held.signed.digest:
            return None
        return receipt.to_json()


def _counts(session: Session) -> dict[str, Any]:
    evidence = store.all_evidence(session)
    return {
        "resources": len(store.resources(session)),
        "products": len(store.products(session)),
        "agreements": len(store.agreements(session)),
        "evidence": {"total": len(evidence), "waiting": sum(1 for entry in evidence if entry.receipt is None)},
    }
