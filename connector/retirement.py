"""Retirement: an agreement is ended by either side; what runs under it ends with it, and the evidence stays.

The Dataspace Protocol knows no message for it: nothing follows FINALIZED. An end of our own make is told by a
termination that names the agreement (`connector.protocol.progression.AGREEMENT_ENDED`), ends it as well, and puts that
on record too. Any other is told by the termination of every transfer that runs, and by the refusal of every one it asks
for later, both with the reason. What the consumer owes after the use (delete, anonymize) nobody else can see: it says
that it was done, in an entry of its own on the ledger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session

from connector.contracts import store
from connector.contracts.agreements import AgreementState
from connector.contracts.errors import AgreementEnded, AgreementNotConcluded, DutyNotOwed
from connector.contracts.evidence import Evidence
from connector.contracts.store import HeldAgreement, RecordedEvidence
from connector.management import store as management_store
from connector.management.paging import MAX_LIMIT
from connector.monitoring import Monitor
from connector.policies.policy import PROMISES, read_policy
from connector.protocol.dispatch import MAX_REASON_CHARACTERS
from connector.protocol.engine import Engine
from connector.protocol.errors import IllegalTransition, MessageInFlight
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.progression import is_ended
from connector.protocol.transfer import TerminateTransfer
from hexi.canonical import digest
from ledger.entries import Kind as EntryKind


@dataclass(frozen=True)
class Endings:
    """The end of an agreement at our end, whichever end it was that ended it, in the caller's transaction."""

    evidence: Evidence
    # Told of each agreement that is ended, of the reason, and of the DID that ended it, in the same transaction.
    on_end: Callable[[Session, HeldAgreement, str, str], None]

    def hear(self, session: Session, process: Process, reasons: Sequence[str]) -> None:
        """The other end of a negotiation has ended its agreement, with these `reasons`, the code first.

        It is ended here too; once. Its transfers end by messages of their own, or when the monitor next looks; from now
        on nothing is handed over under them.
        """
        found = store.agreement_of(session, process.pid)
        held = None if found is None else store.agreement(session, found.agreement.id, lock=True)
        if held is not None and held.state is AgreementState.CONCLUDED:
            reason = "; ".join(reasons[1:]) or AgreementEnded.code
            self.enter(session, held, reason[:MAX_REASON_CHARACTERS], process.counterparty)

    def enter(self, session: Session, held: HeldAgreement, reason: str, ended_by: str) -> HeldAgreement:
        """End it. Both ends put the same on record, so that either can be held against the other."""
        agreement = held.agreement
        store.set_agreement_state(session, agreement.id, AgreementState.ENDED)
        said = {"agreement": agreement.id, "endedBy": ended_by, "reason": reason}
        facts: dict[str, str | int] = {"product": agreement.product, "endedBy": ended_by}
        self.evidence.record(session, EntryKind.AGREEMENT_ENDED, agreement.id, digest(said), facts)
        ended = replace(held, state=AgreementState.ENDED)
        self.on_end(session, ended, reason, ended_by)
        return ended


@dataclass(frozen=True)
class Retirement:
    """Ends agreements, and records what is done afterwards, in the caller's transaction."""

    engine: Engine
    monitor: Monitor
    endings: Endings
    did: str

    def end(self, session: Session, agreement_id: str, reason: str) -> HeldAgreement:
        """End it; ended already, it stays as it is.

        Raises `AgreementUnknown`, and `AgreementNotConcluded` for one whose negotiation is still open.
        """
        held = store.agreement(session, agreement_id, lock=True)
        if held.state is AgreementState.ENDED:
            return held
        if held.state is not AgreementState.CONCLUDED:
            raise AgreementNotConcluded("this agreement is not concluded yet; end the negotiation instead")
        ended = self.endings.enter(session, held, reason, self.did)
        ending = TerminateTransfer(AgreementEnded.code, [reason])
        for process in self._running(session, agreement_id):
            try:
                self.monitor.stop(session, process.pid, ending, AgreementEnded.code, [reason])
            except (IllegalTransition, MessageInFlight):
                continue  # it has ended meanwhile, or its end is on the way; a silent peer must not hold up ours
        if held.counterparty in held.signed.signatures:  # it is of our own make, and knows what is meant
            self.engine.tell_agreement_ended(session, held.negotiation, AgreementEnded.code, [reason])
        return ended

    def perform(self, session: Session, agreement_id: str, duty: str) -> RecordedEvidence:
        """Put on record that `duty` was done; the same again changes nothing.

        Raises `AgreementUnknown`, `PolicyInvalid`, and `DutyNotOwed` unless we are the consumer and the terms ask it.
        """
        held = store.agreement(session, agreement_id, lock=True)
        policy = read_policy(held.agreement.terms)
        owed = {rule.action for rule in policy.obligations}.union(
            due.action for permission in policy.permissions for due in permission.duties
        )
        if held.role != Role.CONSUMER or held.state is AgreementState.AGREED or duty not in owed & PROMISES:
            raise DutyNotOwed(f"as {held.role} of an agreement that is {held.state} we do not owe {duty}")
        subject = f"{agreement_id}#{duty}"
        said = {"agreement": agreement_id, "duty": duty, "performedBy": self.did}
        facts = {"agreement": agreement_id, "product": held.agreement.product, "duty": duty}
        self.endings.evidence.record(session, EntryKind.DUTY_PERFORMED, subject, digest(said), facts)
        session.flush()
        wanted = {"kind": EntryKind.DUTY_PERFORMED, "subject": subject}
        (recorded,) = management_store.evidence(session, wanted, None, None, 1).items
        return recorded

    def _running(self, session: Session, agreement_id: str) -> list[Process]:
        found, cursor = [], None
        while True:
            page = management_store.processes(session, Kind.TRANSFER, {"agreement_id": agreement_id}, cursor, MAX_LIMIT)
            found += [process for process in page.items if not is_ended(process)]
            if (cursor := page.next) is None:
                return found
