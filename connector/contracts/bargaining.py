"""Bargaining: what a person says in a negotiation. Accept, counter, or make an offer nobody asked for.

Rejecting is ending the negotiation (`connector.management.dealings`). What no person need decide is answered by
`connector.contracts.contracting`; once a person of ours has made an offer, no program answers what it is countered
with.
"""

import uuid
from dataclasses import dataclass

from sqlmodel import Session

from connector.contracts import offer_store, product_store
from connector.contracts.agreements import offer_of
from connector.contracts.contracting import Contracting, with_terms
from connector.contracts.errors import NotOurTurn, TermsRefuse
from connector.contracts.offers import PERSONAL
from connector.protocol.engine import Engine
from connector.protocol.negotiation import Accept, NegotiationAction, Offer, Request, State, TerminateNegotiation
from connector.protocol.processes import Process, Role
from hexi.canonical import Clock, Json, instant
from registry.trust import Trust

# Where a negotiation waits for a person of ours: who we are, and the states it then is in.
OUR_TURN = frozenset({(Role.PROVIDER, State.REQUESTED), (Role.CONSUMER, State.OFFERED)})
# Where our acceptance has been given already: giving it again changes nothing.
_ACCEPTED = frozenset(
    {(role, state) for role in Role for state in (State.AGREED, State.VERIFIED, State.FINALIZED)}
    | {(Role.CONSUMER, State.ACCEPTED)}
)
# A provider may also better an offer that is not answered yet.
_MAY_COUNTER = OUR_TURN | {(Role.PROVIDER, State.OFFERED)}


@dataclass(frozen=True)
class Bargaining:
    """What a participant's own people say in its negotiations. Sessions come in; the engine sends what they decide."""

    engine: Engine
    contracting: Contracting
    trust: Trust
    clock: Clock

    def accept(self, session: Session, pid: str) -> Process:
        """Accept what the other end asks for or offers. Accepted already, it stays as it is.

        Raises `ProcessUnknown`, `NotOurTurn`, `MessageInFlight`, and `TermsRefuse` where the terms on the table forbid
        an agreement with this very consumer.
        """
        process = self.engine.negotiation(session, pid)
        if _place(process) in _ACCEPTED:
            return process
        self._check_turn(process, OUR_TURN)
        action: NegotiationAction = Accept()
        if process.role is Role.PROVIDER:
            action = self.contracting.agree(session, process)
            if isinstance(action, TerminateNegotiation):
                raise TermsRefuse("; ".join(action.reasons))
        self.engine.act_negotiation(session, pid, action)
        return self.engine.negotiation(session, pid)

    def counter(self, session: Session, pid: str, terms: Json) -> Process:
        """Propose other `terms` for what is on the table.

        Raises `ProcessUnknown`, `NotOurTurn`, `MessageInFlight`, `PolicyInvalid`.
        """
        process = self.engine.negotiation(session, pid)
        self._check_turn(process, _MAY_COUNTER)
        offer = with_terms(process.offer or {}, terms)
        if process.role is Role.PROVIDER:
            offer_store.keep_bargain(session, pid, offer, instant(self.clock()))
        self.engine.act_negotiation(session, pid, Offer(offer) if process.role is Role.PROVIDER else Request(offer))
        return self.engine.negotiation(session, pid)

    def offer(self, session: Session, consumer: str, product: str, terms: Json) -> Process:
        """Offer a product of ours to one consumer, on `terms` for it alone or, without, on those it is published with.

        Raises `ProductUnknown`, `PolicyInvalid`, `ParticipantUnknown`, `ParticipantRevoked`, `CallbackRefused`.
        """
        peer = self.trust.participant(consumer)
        published = product_store.product(session, product)
        own = offer_of(product, published.product.version, published.signed.digest, dict(published.product.policy))
        offer = with_terms(own, terms or own) | {"@id": f"{own['@id']}/{PERSONAL}.{uuid.uuid4()}"}
        process = self.engine.offer_negotiation(session, peer.did, peer.dsp_url, offer)
        offer_store.keep_bargain(session, process.pid, offer, instant(self.clock()))
        return process

    def _check_turn(self, process: Process, places: frozenset[tuple[Role, State]]) -> None:
        if _place(process) not in places:
            raise NotOurTurn(f"as {process.role} we have nothing to say while the negotiation is {process.state}")


def is_our_turn(process: Process) -> bool:
    """Whether the negotiation may wait for a person of ours."""
    return _place(process) in OUR_TURN


def _place(process: Process) -> tuple[Role, State]:
    return process.role, State(process.state)
