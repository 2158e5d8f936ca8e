"""Dealings with other connectors that our own side starts or ends: negotiations and transfers.

Everything that needs the network is asked before the transaction begins; inside it the engine writes the process and
its first message. A request id of the client's makes asking twice the same as asking once.
"""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from connector.contracts import store
from connector.contracts.agreements import ORDER, AgreementState, offer_of
from connector.contracts.errors import AgreementNotConcluded, ProductUnknown
from connector.deliveries.receiving import Receiving
from connector.deliveries.store import Way
from connector.management.messages import Negotiate, RequestTransfer
from connector.monitoring import Monitor
from connector.planes.data_address import destination_address
from connector.planes.http_pull import FORMAT as PULL
from connector.planes.http_push import FORMAT as PUSH
from connector.protocol.engine import Engine
from connector.protocol.negotiation import TerminateNegotiation
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.transfer import Complete, State, Suspend, TerminateTransfer, TransferAction
from hexi.canonical import digest
from hexi.database import Database
from hexi.errors import Malformed
from ledger.documents import verify_document
from registry.catalogue import TYPE, read_product
from registry.client import RegistryClient
from registry.trust import Trust

# The codes that say an end did it of its own will.
ENDED_BY_OWNER = "connector.ended-by-owner"
SUSPENDED_BY_OWNER = "connector.suspended-by-owner"
COMPLETED_BY_OWNER = "connector.completed-by-owner"


@dataclass(frozen=True)
class Dealings:
    """What this participant asks of others."""

    database: Database
    engine: Engine
    registry: RegistryClient
    trust: Trust
    monitor: Monitor
    receiving: Receiving

    def negotiate(self, asked: Negotiate) -> Process:
        """Start a negotiation over the product's published offer.

        Raises `ProductUnknown` if the provider does not publish it, `ParticipantUnknown`, `ParticipantRevoked`,
        `RequestIdTaken`.
        """
        signed = self.registry.product(asked.product)
        product = read_product(verify_document(signed, self.trust.resolve, of_type=TYPE))
        if product.identifier != asked.product or asked.provider not in {None, product.provider}:
            raise ProductUnknown(f"{asked.provider or 'nobody'} publishes no product {asked.product}")
        provider = self.trust.participant(product.provider)
        offer = offer_of(product.identifier, product.version, signed.digest, dict(product.policy), asked.purpose)
        wanted = digest(asked.model_dump(mode="json", exclude={"id"}))
        with self.database.transaction() as session:
            if known := self._known(session, Kind.NEGOTIATION, asked.id, wanted):
                return self.engine.negotiation(session, known)
            process = self.engine.request_negotiation(session, provider.did, provider.dsp_url, offer, {})
            self._remember(session, Kind.NEGOTIATION, asked.id, process.pid)
            return process

    def transfer(self, asked: RequestTransfer) -> Process:
        """Ask the provider for a transfer under a concluded agreement, showing the order if there is one.

        Raises `AgreementUnknown`, `AgreementNotConcluded`, `ParticipantRevoked`, `RequestIdTaken`, and `Malformed` for
        a place here where nothing would arrive.
        """
        if asked.to is not None and (asked.destination is not None or asked.format not in {PULL, PUSH}):
            raise Malformed(f"only what comes to this connector, by {PULL} or {PUSH}, gets a place here (to)")
        with self.database.reading() as session:
            held = store.agreement(session, asked.agreement)
        if held.role != Role.CONSUMER or held.state is not AgreementState.CONCLUDED:
            raise AgreementNotConcluded(f"as {held.role} we hold this agreement {held.state}; transfers need CONCLUDED")
        provider = self.trust.participant(held.counterparty)
        properties: dict[str, Any] = {ORDER: asked.order} if asked.order else {}
        wanted = digest(asked.model_dump(mode="json", exclude={"id"}))
        with self.database.transaction() as session:
            if known := self._known(session, Kind.TRANSFER, asked.id, wanted):
                return self.engine.transfer(session, known)
            told, token_digest = asked.destination, None
            address = None if told is None else destination_address(told)
            if asked.format == PUSH and address is None:
                address, token_digest = self.receiving.invite()
            process = self.engine.request_transfer(
                session, held.counterparty, provider.dsp_url, asked.agreement, asked.format, properties, address
            )
            if token_digest is not None:
                self.receiving.expect(session, process.pid, Way.PUSH, asked.to, token_digest)
            elif asked.to is not None:
                self.receiving.expect(session, process.pid, Way.PULL, asked.to)
            self._remember(session, Kind.TRANSFER, asked.id, process.pid)
            return process

    def end_negotiation(self, session: Session, pid: str, reason: str) -> Process:
        """Terminate a negotiation. Raises `ProcessUnknown`, `IllegalTransition`."""
        self.engine.act_negotiation(session, pid, TerminateNegotiation(ENDED_BY_OWNER, [reason]))
        return self.engine.negotiation(session, pid)

    def suspend_transfer(self, session: Session, pid: str, reason: str) -> Process:
        """Pause a transfer; as its provider, hand nothing over meanwhile. One that is suspended stays as it is.

        Raises `ProcessUnknown`, `IllegalTransition`, `MessageInFlight`.
        """
        return self._steer(session, pid, State.SUSPENDED, Suspend(SUSPENDED_BY_OWNER, [reason]), SUSPENDED_BY_OWNER)

    def complete_transfer(self, session: Session, pid: str) -> Process:
        """End a transfer because all was delivered. Otherwise like `suspend_transfer`."""
        return self._steer(session, pid, State.COMPLETED, Complete(), COMPLETED_BY_OWNER)

    def resume_transfer(self, session: Session, pid: str) -> Process:
        """Take up a suspended transfer again; one that is started stays as it is.

        Raises what `suspend_transfer` raises, and `ComputationEnded` for one whose permit the suspension ended.
        """
        process = self.engine.transfer(session, pid)
        if process.state != State.STARTED:
            self.monitor.resume(session, pid)
        return self.engine.transfer(session, pid)

    def _steer(self, session: Session, pid: str, wanted: State, action: TransferAction, code: str) -> Process:
        process = self.engine.transfer(session, pid)
        if process.state != wanted:
            self.monitor.stop(session, pid, action, code, action.reasons if isinstance(action, Suspend) else [])
        return self.engine.transfer(session, pid)

    def end_transfer(self, session: Session, pid: str, reason: str) -> Process:
        """Terminate a transfer; as its provider, hand nothing over any more from now on.

        Raises `ProcessUnknown`, `IllegalTransition`.
        """
        action = TerminateTransfer(ENDED_BY_OWNER, [reason])
        self.monitor.stop(session, pid, action, ENDED_BY_OWNER, [reason])
        return self.engine.transfer(session, pid)

    def _known(self, session: Session, kind: Kind, request_id: str | None, wanted: str) -> str | None:
        return store.process_asked(session, kind, request_id, wanted) if request_id else None

    def _remember(self, session: Session, kind: Kind, request_id: str | None, pid: str) -> None:
        if request_id:
            store.set_process_asked(session, kind, request_id, pid)
