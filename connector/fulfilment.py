"""Fulfilment: what an agreement entitles to, once a transfer is asked for under it.

A sandbox format gets a permit, every other format a grant and the data plane that serves it. Only a provider has
anything to decide. Called by `connector.decisions` inside the engine's transaction, after every state entry; so each
step may be taken again for a state it has seen, and changes nothing then.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlmodel import Session

from connector.contracts import product_store, store
from connector.contracts.agreements import ORDER, Agreement, AgreementState
from connector.contracts.entitlements import Ask, Order, entitle, payment_needed, verify_order
from connector.contracts.errors import AgreementEnded, AgreementUnknown, OrderInvalid, ProductUnknown
from connector.contracts.evidence import Evidence
from connector.contracts.store import HeldAgreement
from connector.formats import COMPUTED, MODES
from connector.planes import DataPlane, Refused
from connector.policies.evaluation import Party, Verdict
from connector.policies.parties import party_of
from connector.protocol.processes import Process, Role
from connector.protocol.transfer import Start, State, TerminateTransfer, TransferAction
from connector.settings import ConnectorSettings
from connector.usage import counting as usage
from connector.usage import store as usage_store
from connector.usage.grants import Grant, Paid, delivery_record
from hexi.canonical import Clock, Json, digest, instant
from ledger.entries import Kind
from registry.errors import ParticipantRevoked, ParticipantUnknown
from registry.identity import Identity
from registry.trust import Trust
from sandbox.permits import Permit, seal_permit

SANDBOX = "urn:hexi:sandbox"
# Where the sandbox of a connector stands, below its address.
SANDBOX_PATH = "/sandbox"
PERMIT = "permit"

# Ends a permit in the sandbox and says how many of its runs were made; the rest is not lost to the agreement.
Revoke = Callable[[Session, str, str], int]


class Fulfilment:
    """The transfer's half of `connector.decisions.BusinessDecisions`. `planes` are the data planes by format."""

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        evidence: Evidence,
        revoke: Revoke,
        settings: ConnectorSettings,
        clock: Clock,
        planes: Mapping[str, DataPlane],
    ) -> None:
        self._identity = identity
        self._trust = trust
        self._evidence = evidence
        self._revoke = revoke
        self._settings = settings
        self._clock = clock
        self._planes = planes

    def after(self, session: Session, process: Process) -> TransferAction | None:
        """What follows from the state just entered; a refusal becomes a termination that carries its reasons."""
        step = self._STEPS.get((process.role, process.state))
        try:
            return step(self, session, process) if step else None
        except (AgreementEnded, AgreementUnknown, OrderInvalid, ProductUnknown) as error:
            return TerminateTransfer(error.code, [error.detail])

    def _answer_transfer_request(self, session: Session, process: Process) -> TransferAction:
        format_ = str(process.format)
        plane = self._planes.get(format_)
        mode = MODES.get(format_)
        if mode is None or (plane is None and format_ not in COMPUTED):
            known = ", ".join(sorted({*COMPUTED, *self._planes}))
            return TerminateTransfer("connector.format-unknown", [f"formats delivered here: {known}"])
        held = self._agreement_for(session, process)
        published = product_store.product(session, held.agreement.product, held.agreement.version)
        if mode not in published.product.modes:
            return TerminateTransfer("connector.format-unknown", [f"this product is not delivered as {process.format}"])
        order = self._order(session, process, held.agreement)
        if plane is not None:
            return self._deliver(session, process, held, plane, order)
        ask = Ask(
            permit=f"urn:uuid:{uuid.uuid4()}",
            mode=mode,
            minimum_isolation=published.product.disclosure.minimum_isolation,
            order=order,
            used=usage_store.used(session, held.agreement.id, order.id if order else None),
            party=self._party(process.counterparty),
        )
        entitlement = entitle(held.agreement, ask, self._clock())
        if isinstance(entitlement, Verdict):
            return TerminateTransfer(entitlement.reasons[0].code, entitlement.messages())
        return Start(self._issue(session, process, entitlement))

    def _deliver(
        self, session: Session, process: Process, held: HeldAgreement, plane: DataPlane, order: Order | None
    ) -> TransferAction:
        grant = Grant(
            process.pid,
            held.agreement.id,
            held.agreement.product,
            held.agreement.version,
            plane.format,
            party=self._party(process.counterparty),
            paid=Paid(order.id, order.runs, instant(order.expires)) if order else None,
        )
        verdict = usage.open_grant(session, grant, held.agreement, self._clock())
        if not verdict.allowed:
            return TerminateTransfer(verdict.reasons[0].code, verdict.messages())
        return self._started(session, process, grant, plane)

    def _started(self, session: Session, process: Process, grant: Grant, plane: DataPlane) -> TransferAction:
        try:
            return Start(plane.start(session, process, grant))
        except Refused as refused:
            usage.end_grant(session, grant.transfer, refused.detail, self._clock())
            return TerminateTransfer(refused.code, [refused.detail])

    def _party(self, did: str) -> Party | None:
        """What the registry says about the consumer; None, which every term that asks for it refuses, if it is gone."""
        try:
            return party_of(self._trust.participant(did))
        except (ParticipantRevoked, ParticipantUnknown):
            return None

    def cut_off(self, session: Session, process: Process, code: str, reasons: Sequence[str], *, for_good: bool) -> None:
        """Stop serving the transfer at once, whatever becomes of the message that tells the consumer."""
        if for_good:
            self._end(session, process, code, reasons)
        else:
            self._suspend(session, process, code)

    def go_on(self, session: Session, process: Process) -> TransferAction | None:
        """What resumes a suspended delivery at its provider, or ends it where it cannot be; None for a computation."""
        plane, grant = self._planes.get(process.format or ""), usage.grant(session, process.pid)
        if plane is None or grant is None:
            return None
        usage.resume_grant(session, process.pid, self._clock())
        return self._started(session, process, grant, plane)

    def _agreement_for(self, session: Session, process: Process) -> HeldAgreement:
        """The agreement the transfer names, locked. Raises `AgreementUnknown`, alike for none and for another's."""
        held = store.agreement(session, str(process.agreement_id), lock=True)
        ours = (held.role, held.counterparty, held.state)
        if ours == (Role.PROVIDER, process.counterparty, AgreementState.ENDED):
            raise AgreementEnded("this agreement was ended; nothing is delivered under it any more")
        if ours != (Role.PROVIDER, process.counterparty, AgreementState.CONCLUDED):
            raise AgreementUnknown(f"there is no concluded agreement {process.agreement_id} with you")
        return held

    def _order(self, session: Session, process: Process, agreement: Agreement) -> Order | None:
        shown = process.properties.get(ORDER)
        if shown is None or (shown == "" and not payment_needed(agreement)):
            return None
        return verify_order(
            shown,
            agreement,
            operator=self._trust.operator,
            resolve=self._trust.resolve,
            now=self._clock(),
            withdrawn=product_store.withdrawn_since(session, agreement.product),
        )

    def _issue(self, session: Session, process: Process, permit: Permit) -> dict[str, Json]:
        jws = seal_permit(permit, self._identity.key, self._identity.kid)
        now = instant(self._clock())
        store.add_permit(session, permit, process.pid, jws, now)
        facts = {"agreement": permit.agreement, "product": permit.product, "expires": permit.expires}
        self._evidence.record(session, Kind.PERMIT_ISSUED, permit.id, digest(jws), facts)
        return {
            "@type": "DataAddress",
            "endpointType": SANDBOX,
            "endpoint": self._settings.url + SANDBOX_PATH,
            "endpointProperties": [{"@type": "EndpointProperty", "name": PERMIT, "value": jws}],
        }

    def _end_permit(self, session: Session, process: Process, reason: str) -> None:
        permit = store.permit_of(session, process.pid)
        if permit is not None and permit.ended is None:
            store.end_permit(session, permit.id, reason, self._revoke(session, permit.id, reason))

    def _ended(self, session: Session, process: Process) -> None:
        code, *reasons = process.reason or [process.state.lower()]
        self._end(session, process, code, reasons)

    def _end(self, session: Session, process: Process, code: str, reasons: Sequence[str]) -> None:
        self._end_permit(session, process, "; ".join([code, *reasons]))
        grant = usage.end_grant(session, process.pid, "; ".join(reasons) or code, self._clock())
        if grant is not None:
            self._evidence.record(session, Kind.DELIVERY_ENDED, grant.transfer, *delivery_record(grant, code))
        if (plane := self._planes.get(process.format or "")) is not None:
            plane.stop(session, process)

    def _suspended(self, session: Session, process: Process) -> None:
        self._suspend(session, process, "the transfer is SUSPENDED")

    def _suspend(self, session: Session, process: Process, reason: str) -> None:
        self._end_permit(session, process, reason)
        if (plane := self._planes.get(process.format or "")) is not None:
            usage.suspend_grant(session, process.pid, self._clock())
            plane.stop(session, process)

    def _resumed(self, session: Session, process: Process) -> TransferAction | None:
        if process.format in self._planes:
            usage.resume_grant(session, process.pid, self._clock())
            return None
        permit = store.permit_of(session, process.pid)
        if permit is None or permit.ended is None:
            return None
        return TerminateTransfer(
            "connector.permit-ended", ["a suspension ends the permit; request a new transfer under the agreement"]
        )

    _STEPS: Mapping[tuple[Role, str], Callable[[Any, Session, Process], TransferAction | None]] = {
        (Role.PROVIDER, State.REQUESTED): _answer_transfer_request,
        (Role.PROVIDER, State.STARTED): _resumed,
        (Role.PROVIDER, State.SUSPENDED): _suspended,
        (Role.PROVIDER, State.COMPLETED): _ended,
        (Role.PROVIDER, State.TERMINATED): _ended,
    }


def permit_in(data_address: Json) -> str | None:
    """The permit that a data address of ours carries, or None if it carries none."""
    if not isinstance(data_address, dict) or data_address.get("endpointType") != SANDBOX:
        return None
    for item in data_address.get("endpointProperties") or []:
        if isinstance(item, dict) and item.get("name") == PERMIT and isinstance(item.get("value"), str):
            return str(item["value"])
    return None
