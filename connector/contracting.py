"""Contracting: what a provider offers to whom, with whom it agrees, and what a consumer takes.

The provider's own policy is authoritative: a request is compared with the offer in force, never taken over. Each side
verifies the other's signature before it takes the next step. Called by `connector.decisions` inside the engine's
transaction, after every state entry; so each step may be taken again for a state it has seen, and changes nothing then.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from connector import business_store as store
from connector.agreements import (
    PROVIDER_SIGNATURE,
    PURPOSE,
    SIGNATURE,
    Agreement,
    AgreementState,
    check_against_offer,
    check_signature,
    difference,
)
from connector.business_errors import AgreementInvalid, PolicyInvalid, ProductUnknown
from connector.business_store import HeldAgreement
from connector.catalogue import store as index
from connector.catalogue.question import Page, Wanted, page_of
from connector.errors import DatasetUnknown
from connector.evaluation import Situation, Stage, evaluate_terms
from connector.evidence import Evidence
from connector.negotiation import Agree, Finalize, NegotiationAction, State, TerminateNegotiation, Verify
from connector.processes import Process, Role
from connector.products import PublishedProduct, dataset_of
from connector.settings import ConnectorSettings
from hexi.canonical import Clock, Json, digest, instant
from ledger.documents import SignedDocument, sign_document
from ledger.entries import Kind
from registry.identity import Identity
from registry.presentation import Caller
from registry.trust import Trust


class Contracting:
    """The catalogue's and the negotiation's half of `connector.decisions.BusinessDecisions`."""

    def __init__(
        self, identity: Identity, trust: Trust, evidence: Evidence, settings: ConnectorSettings, clock: Clock
    ) -> None:
        self._identity = identity
        self._trust = trust
        self._evidence = evidence
        self._settings = settings
        self._clock = clock

    def catalogue(self, session: Session, caller: Caller, wanted: Wanted) -> Page:
        """A page of the datasets whose terms may let this caller in at all; others it does not get to see."""
        judged = index.judged_terms(session)
        admitting = sorted(name for name, terms in judged.items() if self._admits(terms, caller))
        seen = {"changes": index.revision(session), "caller": caller.did, "admitting": admitting}
        return page_of(wanted, index.page(session, wanted, caller.did, admitting), digest(seen))

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        """One of them. Raises `DatasetUnknown`, also for those that are hidden from the caller."""
        try:
            published = store.product(session, dataset_id)
        except ProductUnknown as error:
            raise DatasetUnknown(f"there is no dataset {dataset_id} here") from error
        if not self._admits(dict(published.product.policy), caller):
            raise DatasetUnknown(f"there is no dataset {dataset_id} here")
        return dataset_of(published)

    def after(self, session: Session, process: Process) -> NegotiationAction | None:
        """What follows from the state just entered; a refusal becomes a termination that carries its reasons."""
        step = self._STEPS.get((process.role, process.state))
        try:
            return step(self, session, process) if step else None
        except (AgreementInvalid, PolicyInvalid, ProductUnknown) as error:
            return TerminateNegotiation(error.code, [error.detail])

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
            return TerminateNegotiation(verdict.reasons[0].code, verdict.messages())
        held = store.agreement_of(session, process.pid) or self._draft(session, process, published, purpose)
        agreement, beside = held.agreement.to_message(asked, held.signed.signatures[self._identity.did])
        return Agree(agreement, properties=beside)

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

    def _answer_offer(self, session: Session, process: Process) -> NegotiationAction:
        # We only ever ask for offers as they stand in the catalogue, so another offer than ours is a change of terms.
        return TerminateNegotiation("connector.offer-changed", ["only the offer in the catalogue is taken here"])

    def _verify_agreement(self, session: Session, process: Process) -> NegotiationAction:
        agreement = Agreement.from_message(process.agreement, process.properties)
        check_against_offer(agreement, process.offer or {}, provider=process.counterparty, consumer=self._identity.did)
        unsigned = SignedDocument(agreement.document(), {})
        signature = process.properties.get(PROVIDER_SIGNATURE)
        half = self._signed_by_peer(agreement, unsigned, process, signature, complete=False)
        own = self._sign(agreement)
        signed = SignedDocument(half.document, {**half.signatures, self._identity.did: own})
        if store.agreement_of(session, process.pid) is None:
            self._hold(session, process, agreement, signed)
        return Verify({SIGNATURE: own})

    def _conclude_as_consumer(self, session: Session, process: Process) -> None:
        held = self._drafted(session, process)
        store.conclude_agreement(session, held.agreement.id, held.signed)

    def _admits(self, terms: Json, caller: Caller) -> bool:
        return evaluate_terms(terms, Situation(Stage.CATALOGUE, self._clock(), caller.did)).allowed

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
        """`signed` with the peer's signature added. Raises `AgreementInvalid` unless it holds, or may be missing.

        Our own was made by us and comes from our own database: it needs no checking.
        """
        if signature is None and self._settings.unsafe_accept_unsigned_agreements:
            return signed
        checked = check_signature(agreement, signature, by=process.counterparty, resolve=self._trust.resolve)
        both = SignedDocument(signed.document, {**signed.signatures, process.counterparty: checked})
        if complete and set(both.signatures) != {agreement.provider, agreement.consumer}:
            raise AgreementInvalid("the agreement is not signed by its two parties and nobody else")
        return both

    _STEPS: Mapping[tuple[Role, str], Callable[[Any, Session, Process], NegotiationAction | None]] = {
        (Role.PROVIDER, State.REQUESTED): _answer_request,
        (Role.PROVIDER, State.VERIFIED): _conclude_as_provider,
        (Role.CONSUMER, State.OFFERED): _answer_offer,
        (Role.CONSUMER, State.AGREED): _verify_agreement,
        (Role.CONSUMER, State.FINALIZED): _conclude_as_consumer,
    }
