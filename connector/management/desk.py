"""The desk: everything the management API reaches, put together once by `connector.app`."""

from dataclasses import dataclass

from connector.contracts import store
from connector.contracts.bargaining import Bargaining
from connector.contracts.publishing import Publisher
from connector.contracts.store import HeldAgreement
from connector.management import store as management_store
from connector.management.answers import Membership, Status
from connector.management.computations import Computations
from connector.management.dealings import Dealings
from connector.management.membership import Membership as Joining
from connector.management.previews import Previews
from connector.protocol.engine import Engine
from connector.retirement import Retirement
from connector.settings import ConnectorSettings
from hexi import __version__
from hexi.canonical import Clock, Json
from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.client import LedgerClient
from ledger.entries import Kind, read_entry
from registry.client import RegistryClient
from registry.messages import SearchAnswer


@dataclass(frozen=True)
class Desk:
    """What a participant's own people work with."""

    settings: ConnectorSettings
    did: str
    clock: Clock
    database: Database
    engine: Engine
    membership: Joining
    publisher: Publisher
    dealings: Dealings
    bargaining: Bargaining
    retirement: Retirement
    computations: Computations
    previews: Previews
    registry: RegistryClient
    ledger: LedgerClient

    def status(self) -> Status:
        """Who this connector is, where it stands with the space, and what waits."""
        try:
            membership = self.membership.status()
        except DataspaceError as error:
            membership = {"state": "unknown", "why": error.detail}
        with self.database.reading() as session:
            counts = management_store.counts(session)
        return Status(
            did=self.did,
            url=self.settings.url,
            version=__version__,
            space=self.settings.space_url,
            operator=self.settings.operator,
            membership=Membership.model_validate(membership),
            **counts,
        )

    def search(self, q: str, offset: int, limit: int) -> SearchAnswer:
        """The space's catalogue, searched there. Raises `RemoteProblem`, `Unreachable`."""
        return self.registry.search(q, offset=offset, limit=limit)

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
