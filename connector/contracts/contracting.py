"""Contracting: what a provider offers to whom, with whom it agrees, and what a consumer takes.

The provider's own policy is authoritative: a request is compared with the offer in force, never taken over. Each side
verifies the other's signature before it takes the next step. Called by `connector.decisions` inside the engine's
transaction, after every state entry; so each step may be taken again for a state it has seen, and changes nothing then.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from connector.catalogue import store as index
from connector.catalogue.question import Page, Wanted, page_of
from connector.contracts import offer_store, product_store, store
from connector.contracts.agreements import (
    PROVIDER_SIGNATURE,
    PURPOSE,
    SIGNATURE,
    Agreement,
    AgreementState,
    check_against_offer,
    check_signature,
    declared_in,
    mistaken,
    version_in,
)
from connector.contracts.errors import AgreementInvalid, ProductUnknown
from connector.contracts.evidence import Evidence
from connector.contracts.offers import OFFER_CHANGED, Definition, Outcome, ProductOffer, answer, offers_for
from connector.contracts.products import PublishedProduct, dataset_of
from connector.contracts.store import HeldAgreement
from connector.policies.errors import PolicyInvalid
from connector.policies.evaluation import Party, Situation, Stage, evaluate_terms
from connector.policies.parties import party_of
from connector.policies.policy import TERMS, read_policy, terms_of
from connector.protocol.errors import DatasetUnknown
from connector.protocol.negotiation import (
    Agree,
    Finalize,
    NegotiationAction,
    Offer,
    State,
    TerminateNegotiation,
    Verify,
)
from connector.protocol.processes import Process, Role
from connector.settings import ConnectorSettings
from hexi.canonical import Clock, Json, digest, instant
from ledger.documents import SignedDocument, sign_document
from ledger.entries import Kind
from registry.errors import ParticipantRevoked, ParticipantUnknown
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
        """A page of the datasets of which the caller may see an offer, with those offers; others it does not see."""
        situation = self._looking(caller)
        judged = {
            name: [position for position, offer in enumerate(offers) if offer.is_visible(situation)]
            for name, offers in index.judged_offers(session).items()
        }
        admitting = {name: positions for name, positions in judged.items() if positions}
        seen = {"changes": index.revision(session), "caller": caller.did, "admitting": admitting}
        return page_of(wanted, index.page(session, wanted, caller.did, admitting), digest(seen))

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        """One of them. Raises `DatasetUnknown`, also for those that are hidden from the caller."""
        try:
            published = product_store.product(session, dataset_id)
        except ProductUnknown as error:
            raise DatasetUnknown(f"there is no dataset {dataset_id} here") from error
        offers = _visible(published, offer_store.definitions(session), self._looking(caller))
        if not offers:
            raise DatasetUnknown(f"there is no dataset {dataset_id} here")
        return dataset_of(published, offers)

    def after(self, session: Session, process: Process) -> NegotiationAction | None:
        """What follows from the state just entered; a refusal becomes a termination that carries its reasons."""
        step = self._STEPS.get((process.role, process.state))
        try:
            return step(self, session, process) if step else None
        except (AgreementInvalid, PolicyInvalid, ProductUnknown) as error:
            return TerminateNegotiation(error.code, [error.detail])

    def _answer_request(self, session: Session, process: Process) -> NegotiationAction | None:
        asked = process.offer or {}
        # In a negotiation that begins with this request nobody of ours can have offered anything yet.
        begun_before = process.version > 0
        if begun_before and (by_hand := offer_store.bargain(session, process.pid)) is not None:
            return self._left_to_a_person(asked, by_hand)
        situation = self.situation(process)
        published = product_store.product(session, str(asked.get("target")))
        offers = self._shown(session, published, situation)
        found = next((offer for offer in offers if offer.id == asked.get("@id")), None)
        if found is None:
            in_force = ", ".join(offer.id for offer in offers)
            return TerminateNegotiation(OFFER_CHANGED, [f"the offer has changed: in force for you are {in_force}"])
        said = answer(found, asked, situation)
        match said.outcome:
            case Outcome.ACCEPT:
                return self._agree(session, process, published)
            case Outcome.REJECT:
                return TerminateNegotiation(said.reasons[0].code, [reason.message for reason in said.reasons])
            case Outcome.COUNTER:
                return Offer(with_terms(asked, said.terms))
        return None

    def _left_to_a_person(self, asked: Json, by_hand: Json) -> NegotiationAction | None:
        """A person of ours has made an offer in this negotiation, so no program answers what it is countered with."""
        if reason := mistaken(asked, by_hand):
            return TerminateNegotiation(OFFER_CHANGED, [f"the offer has changed: {reason}"])
        read_policy(asked)
        return None

    def _shown(self, session: Session, published: PublishedProduct, situation: Situation) -> list[ProductOffer]:
        """The offers of a product that a consumer may know of. Raises `ProductUnknown` as if there were no product.

        The terms a product was published with stand in the space's catalogue for all to read, so nothing hides them.
        """
        offers = offers_for(published.product, published.signed.digest, offer_store.definitions(session))
        if offers == offers_for(published.product, published.signed.digest, []):
            return offers
        visible = [offer for offer in offers if offer.is_visible(replace(situation, stage=Stage.CATALOGUE))]
        if not visible:
            raise product_store.no_product(published.product.identifier)
        return visible

    def _answer_acceptance(self, session: Session, process: Process) -> NegotiationAction:
        return self.agree(session, process)

    def agree(self, session: Session, process: Process) -> Agree | TerminateNegotiation:
        """The agreement on the offer on the table, or, where its own terms forbid it, the refusal."""
        verdict = evaluate_terms(process.offer, self.situation(process))
        if not verdict.allowed:
            return TerminateNegotiation(verdict.reasons[0].code, verdict.messages())
        target = str((process.offer or {}).get("target"))
        version = version_in(str((process.offer or {}).get("@id")), target)
        return self._agree(session, process, product_store.product(session, target, version))

    def situation(self, process: Process) -> Situation:
        """The facts of a negotiation."""
        asked = process.offer or {}
        purpose = asked.get(PURPOSE)
        if purpose is not None and not isinstance(purpose, str):
            raise PolicyInvalid(f"{PURPOSE} is a string")
        return Situation(
            Stage.NEGOTIATION,
            self._clock(),
            process.counterparty,
            purpose=purpose,
            declared=declared_in(asked),
            party=self._party(process.counterparty),
        )

    def _looking(self, caller: Caller) -> Situation:
        return Situation(Stage.CATALOGUE, self._clock(), caller.did, party=party_of(caller.participant))

    def _party(self, did: str) -> Party | None:
        try:
            return party_of(self._trust.participant(did))
        except (ParticipantRevoked, ParticipantUnknown):
            return None

    def _agree(self, session: Session, process: Process, published: PublishedProduct) -> Agree:
        asked = process.offer or {}
        held = self._draft(session, process, asked, published)
        agreement, beside = held.agreement.to_message(asked, held.signed.signatures[self._identity.did])
        return Agree(agreement, properties=beside)

    def _draft(
        self, session: Session, process: Process, asked: dict[str, Json], published: PublishedProduct
    ) -> HeldAgreement:
        purpose = asked.get(PURPOSE)
        agreement = Agreement(
            id=f"urn:uuid:{uuid.uuid4()}",
            product=published.product.identifier,
            version=published.product.version,
            provider=self._identity.did,
            consumer=process.counterparty,
            terms=terms_of(asked),
            concluded_at=instant(self._clock()),
            product_digest=published.signed.digest,
            purpose=str(purpose) if purpose else None,
            declared=declared_in(asked),
        )
        signed = SignedDocument(agreement.document(), {self._identity.did: self._sign(agreement)})
        return self._hold(session, process, agreement, signed)

    def _conclude_as_provider(self, session: Session, process: Process) -> NegotiationAction:
        held = self._drafted(session, process)
        signed = self._signed_by_peer(held.agreement, held.signed, process, process.properties.get(SIGNATURE))
        if held.state is AgreementState.AGREED:
            store.conclude_agreement(session, held.agreement.id, signed)
            agreement = held.agreement
            facts = {"product": agreement.product, "provider": agreement.provider, "consumer": agreement.consumer}
            self._evidence.record(session, Kind.AGREEMENT_CONCLUDED, agreement.id, signed.digest, facts)
        return Finalize()

    def _answer_offer(self, session: Session, process: Process) -> NegotiationAction | None:
        """An offer waits for a person of ours: no program takes terms it did not ask for."""
        target = (process.offer or {}).get("target")
        if target != process.dataset_id:
            return TerminateNegotiation(OFFER_CHANGED, [f"the offer is for {target}, not for {process.dataset_id}"])
        return None

    def _verify_agreement(self, session: Session, process: Process) -> NegotiationAction:
        agreement = Agreement.from_message(process.agreement, process.properties)
        check_against_offer(agreement, process.offer or {}, provider=process.counterparty, consumer=self._identity.did)
        unsigned = SignedDocument(agreement.document(), {})
        signature = process.properties.get(PROVIDER_SIGNATURE)
        half = self._signed_by_peer(agreement, unsigned, process, signature, complete=False)
        own = self._sign(agreement)
        signed = SignedDocument(half.document, {**half.signatures, self._identity.did: own})
        self._hold(session, process, agreement, signed)
        return Verify({SIGNATURE: own})

    def _conclude_as_consumer(self, session: Session, process: Process) -> None:
        if not store.conclude_negotiated(session, process.pid):
            self._drafted(session, process)  # concluded before, or there is none

    def _sign(self, agreement: Agreement) -> str:
        return sign_document(agreement.document(), self._identity.key, self._identity.kid)

    def _hold(self, session: Session, process: Process, agreement: Agreement, signed: SignedDocument) -> HeldAgreement:
        """`agreement` kept, or the one that this negotiation came to before."""
        held = HeldAgreement(agreement, process.role, process.counterparty, AgreementState.AGREED, process.pid, signed)
        return held if store.add_agreement(session, held, instant(self._clock())) else self._drafted(session, process)

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
        (Role.PROVIDER, State.ACCEPTED): _answer_acceptance,
        (Role.PROVIDER, State.VERIFIED): _conclude_as_provider,
        (Role.CONSUMER, State.OFFERED): _answer_offer,
        (Role.CONSUMER, State.AGREED): _verify_agreement,
        (Role.CONSUMER, State.FINALIZED): _conclude_as_consumer,
    }


def with_terms(asked: Json, terms: Json) -> dict[str, Json]:
    """The offer `asked` with other `terms`: its id, target and declarations stay. Raises `PolicyInvalid`."""
    read_policy(terms)
    return {name: value for name, value in asked.items() if name not in TERMS} | terms_of(terms)


def _visible(
    published: PublishedProduct, definitions: Sequence[Definition], situation: Situation
) -> list[dict[str, Any]]:
    offers = offers_for(published.product, published.signed.digest, definitions)
    return [offer.odrl for offer in offers if offer.is_visible(situation)]
