"""The decisions of a real connector: what it offers, whom it agrees with, and what an agreement entitles to.

The provider's own policy is authoritative: a request is compared with the offer in force, never taken over. Each side
verifies the other's signature before it takes the next step, and every refusal travels to the other side with its
reason. Called by the engine inside its transaction, after every state entry; so each method may be called again for a
state it has seen, and changes nothing then.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from connector import business_store as store
from connector.agreements import (
    DOCUMENT_TYPE,
    ORDER,
    PURPOSE,
    SIGNATURE,
    Agreement,
    AgreementState,
    check_against_offer,
    check_signature,
    difference,
)
from connector.business_errors import AgreementInvalid, AgreementUnknown, OrderInvalid, PolicyInvalid, ProductUnknown
from connector.business_store import HeldAgreement
from connector.entitlements import MODES, Ask, Order, entitle, payment_needed, verify_order
from connector.errors import DatasetUnknown
from connector.evaluation import Situation, Stage, Verdict, evaluate_terms
from connector.evidence import Evidence
from connector.negotiation import (
    Agree,
    Finalize,
    NegotiationAction,
    TerminateNegotiation,
    Verify,
)
from connector.negotiation import State as Negotiating
from connector.processes import Process, Role
from connector.products import PublishedProduct, dataset_of
from connector.settings import ConnectorSettings
from connector.transfer import Start, TerminateTransfer, TransferAction
from connector.transfer import State as Transferring
from hexi.canonical import Clock, Json, digest, instant
from ledger.documents import SignedDocument, sign_document, verify_document
from ledger.entries import Kind
from registry.identity import Identity
from registry.presentation import Caller
from registry.trust import Trust
from sandbox.permits import Permit, seal_permit

SANDBOX = "urn:hexi:sandbox"
# Where the sandbox of a connector stands, below its address.
SANDBOX_PATH = "/sandbox"
PERMIT = "permit"

# Ends a permit in the sandbox and says how many of its runs were made; the rest is not lost to the agreement.
Revoke = Callable[[Session, str, str], int]


class BusinessDecisions:
    """Implements `connector.protocol.Decisions` with policies, agreements and permits."""

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        evidence: Evidence,
        revoke: Revoke,
        settings: ConnectorSettings,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._trust = trust
        self._evidence = evidence
        self._revoke = revoke
        self._settings = settings
        self._clock = clock

    def datasets(self, session: Session, caller: Caller) -> list[dict[str, Json]]:
        """The datasets whose terms may let this caller in at all; others it does not get to see."""
        return [dataset_of(published) for published in store.products(session) if self._visible(published, caller)]

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        """One of them. Raises `DatasetUnknown`, also for those that are hidden from the caller."""
        try:
            published = store.product(session, dataset_id)
        except ProductUnknown as error:
            raise DatasetUnknown(f"there is no dataset {dataset_id} here") from error
        if not self._visible(published, caller):
            raise DatasetUnknown(f"there is no dataset {dataset_id} here")
        return dataset_of(published)

    def after_negotiation(self, session: Session, process: Process) -> NegotiationAction | None:
        """What follows from the state just entered; a refusal becomes a termination that carries its reasons."""
        step = self._NEGOTIATION.get((process.role, process.state))
        try:
            return step(self, session, process) if step else None
        except (AgreementInvalid, PolicyInvalid, ProductUnknown) as error:
            return TerminateNegotiation(error.code, [error.detail])

    def after_transfer(self, session: Session, process: Process) -> TransferAction | None:
        """What follows from the state just entered. Only a provider has anything to decide."""
        step = self._TRANSFER.get((process.role, process.state))
        try:
            return step(self, session, process) if step else None
        except (AgreementUnknown, OrderInvalid, ProductUnknown) as error:
            return TerminateTransfer(error.code, [error.detail])

    # The provider's side of a negotiation

    def _answer_request(self, session: Session, process: Process) -> NegotiationAction:
        asked = process.offer or {}
        published = store.product(session, str(asked.get("target")))
        if reason := difference(asked, published.offer):
            return TerminateNegotiation("connector.offer-changed", [f"the offer has changed: {reason}"])
        purpose = asked.get(PURPOSE)
        if purpose is not None and not isinstance(purpose, str):
            return TerminateNegotiation("connector.policy-invalid", [f"{PURPOSE} is a string"])
        verdict = evaluate_terms(
            dict(published.product.policy),
            Situation(Stage.NEGOTIATION, self._clock(), process.counterparty, purpose=purpose),
        )
        if not verdict.allowed:
            return TerminateNegotiation(verdict.reasons[0].code, _messages(verdict))
        held = store.agreement_of(session, process.pid) or self._draft(session, process, published, purpose)
        return Agree(held.agreement.to_odrl(held.signed.signatures[self._identity.did]))

    def _draft(
        self, session: Session, process: Process, published: PublishedProduct, purpose: str | None
    ) -> HeldAgreement:
        now = instant(self._clock())
        agreement = Agreement.from_odrl(
            published.offer
            | {
                "@id": f"urn:uuid:{uuid.uuid4()}",
                "assigner": self._identity.did,
                "assignee": process.counterparty,
                "timestamp": now,
                "urn:hexi:version": str(published.product.version),
            }
            | ({PURPOSE: purpose} if purpose else {})
        )
        signed = SignedDocument(agreement.document(), {self._identity.did: self._sign(agreement)})
        return self._hold(session, process, agreement, signed)

    def _conclude_as_provider(self, session: Session, process: Process) -> NegotiationAction:
        held = self._drafted(session, process)
        signed = self._signed_by_peer(held.agreement, held.signed, process, process.properties.get(SIGNATURE))
        if held.state is not AgreementState.CONCLUDED:
            store.conclude_agreement(session, held.agreement.id, signed)
            agreement = held.agreement
            facts = {"product": agreement.product, "provider": agreement.provider, "consumer": agreement.consumer}
            self._evidence.record(session, Kind.AGREEMENT_CONCLUDED, agreement.id, signed.digest, facts)
        return Finalize()

    # The consumer's side of a negotiation

    def _answer_offer(self, session: Session, process: Process) -> NegotiationAction:
        # We only ever ask for offers as they stand in the catalogue, so another offer than ours is a change of terms.
        return TerminateNegotiation("connector.offer-changed", ["only the offer in the catalogue is taken here"])

    def _verify_agreement(self, session: Session, process: Process) -> NegotiationAction:
        odrl = process.agreement or {}
        agreement = Agreement.from_odrl(odrl)
        check_against_offer(agreement, process.offer or {}, provider=process.counterparty, consumer=self._identity.did)
        unsigned = SignedDocument(agreement.document(), {})
        half = self._signed_by_peer(agreement, unsigned, process, odrl.get(SIGNATURE), complete=False)
        own = self._sign(agreement)
        signed = SignedDocument(half.document, {**half.signatures, self._identity.did: own})
        if store.agreement_of(session, process.pid) is None:
            self._hold(session, process, agreement, signed)
        return Verify({SIGNATURE: own})

    def _conclude_as_consumer(self, session: Session, process: Process) -> None:
        held = self._drafted(session, process)
        store.conclude_agreement(session, held.agreement.id, held.signed)

    # The provider's side of a transfer

    def _answer_transfer_request(self, session: Session, process: Process) -> TransferAction:
        mode = MODES.get(process.format or "")
        if mode is None:
            return TerminateTransfer("connector.format-unknown", [f"formats delivered here: {', '.join(MODES)}"])
        held = self._agreement_for(session, process)
        published = store.product(session, held.agreement.product, held.agreement.version)
        if mode not in published.product.modes:
            return TerminateTransfer("connector.format-unknown", [f"this product is not delivered as {process.format}"])
        order = self._order(process, held.agreement)
        ask = Ask(
            permit=f"urn:uuid:{uuid.uuid4()}",
            mode=mode,
            minimum_isolation=published.product.disclosure.minimum_isolation,
            order=order,
            used=store.used(session, held.agreement.id, order.id if order else None),
        )
        entitlement = entitle(held.agreement, ask, self._clock())
        if isinstance(entitlement, Verdict):
            return TerminateTransfer(entitlement.reasons[0].code, _messages(entitlement))
        return Start(self._issue(session, process, entitlement))

    def _agreement_for(self, session: Session, process: Process) -> HeldAgreement:
        """The agreement the transfer names, locked. Raises `AgreementUnknown`, alike for none and for another's."""
        held = store.agreement(session, str(process.agreement_id), lock=True)
        ours = (held.role, held.counterparty, held.state)
        if ours != (Role.PROVIDER, process.counterparty, AgreementState.CONCLUDED):
            raise AgreementUnknown(f"there is no concluded agreement {process.agreement_id} with you")
        return held

    def _order(self, process: Process, agreement: Agreement) -> Order | None:
        shown = process.properties.get(ORDER)
        if shown is None or (shown == "" and not payment_needed(agreement)):
            return None
        return verify_order(
            shown, agreement, operator=self._trust.operator, resolve=self._trust.resolve, now=self._clock()
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

    def _end_permit(self, session: Session, process: Process) -> None:
        permit = store.permit_of(session, process.pid)
        if permit is not None and permit.ended is None:
            reason = f"the transfer is {process.state}"
            store.end_permit(session, permit.id, reason, self._revoke(session, permit.id, reason))

    def _resumed(self, session: Session, process: Process) -> TransferAction | None:
        permit = store.permit_of(session, process.pid)
        if permit is None or permit.ended is None:
            return None
        return TerminateTransfer(
            "connector.permit-ended", ["a suspension ends the permit; request a new transfer under the agreement"]
        )

    # Both sides

    def _visible(self, published: PublishedProduct, caller: Caller) -> bool:
        return evaluate_terms(
            dict(published.product.policy), Situation(Stage.CATALOGUE, self._clock(), caller.did)
        ).allowed

    def _sign(self, agreement: Agreement) -> str:
        return sign_document(agreement.document(), self._identity.key, self._identity.kid)

    def _hold(self, session: Session, process: Process, agreement: Agreement, signed: SignedDocument) -> HeldAgreement:
        held = HeldAgreement(agreement, process.role, process.counterparty, AgreementState.AGREED, process.pid, signed)
        store.add_agreement(session, held, instant(self._clock()))
        return held

    def _drafted(self, session: Session, process: Process) -> HeldAgreement:
        held = store.agreement_of(session, process.pid)
        if held is None:
            raise AgreementInvalid("this negotiation has no agreement of ours")
        return held

    def _signed_by_peer(
        self, agreement: Agreement, signed: SignedDocument, process: Process, signature: Json, *, complete: bool = True
    ) -> SignedDocument:
        """`signed` with the peer's signature added. Raises `AgreementInvalid` unless it holds, or may be missing."""
        if signature is None and self._settings.unsafe_accept_unsigned_agreements:
            return signed
        checked = check_signature(agreement, signature, by=process.counterparty, resolve=self._trust.resolve)
        both = SignedDocument(signed.document, {**signed.signatures, process.counterparty: checked})
        if complete:
            verify_document(both, self._trust.resolve, of_type=DOCUMENT_TYPE)
        return both

    _NEGOTIATION: Mapping[tuple[Role, str], Callable[[Any, Session, Process], NegotiationAction | None]] = {
        (Role.PROVIDER, Negotiating.REQUESTED): _answer_request,
        (Role.PROVIDER, Negotiating.VERIFIED): _conclude_as_provider,
        (Role.CONSUMER, Negotiating.OFFERED): _answer_offer,
        (Role.CONSUMER, Negotiating.AGREED): _verify_agreement,
        (Role.CONSUMER, Negotiating.FINALIZED): _conclude_as_consumer,
    }
    _TRANSFER: Mapping[tuple[Role, str], Callable[[Any, Session, Process], TransferAction | None]] = {
        (Role.PROVIDER, Transferring.REQUESTED): _answer_transfer_request,
        (Role.PROVIDER, Transferring.STARTED): _resumed,
        (Role.PROVIDER, Transferring.SUSPENDED): _end_permit,
        (Role.PROVIDER, Transferring.COMPLETED): _end_permit,
        (Role.PROVIDER, Transferring.TERMINATED): _end_permit,
    }


def permit_in(data_address: Json) -> str | None:
    """The permit that a data address of ours carries, or None if it carries none."""
    if not isinstance(data_address, dict) or data_address.get("endpointType") != SANDBOX:
        return None
    for item in data_address.get("endpointProperties") or []:
        if isinstance(item, dict) and item.get("name") == PERMIT and isinstance(item.get("value"), str):
            return str(item["value"])
    return None


def _messages(verdict: Verdict) -> list[str]:
    return [reason.message for reason in verdict.reasons]
