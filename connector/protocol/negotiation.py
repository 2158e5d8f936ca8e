"""Contract negotiation: its states, who may move it where, and the actions an end can take.

`TRANSITIONS` is the protocol's state machine as data, keyed by who sends the message: one table serves both ends,
each of which looks up its own role for what it sends and the other's for what it receives.
Source: Dataspace Protocol 2025-1, section 7.1.

    >>> next_state(Role.CONSUMER, State.OFFERED, Event.ACCEPTED)
    <State.ACCEPTED: 'ACCEPTED'>
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from connector.protocol.errors import IllegalTransition
from connector.protocol.processes import Role
from hexi.canonical import Json


class State(StrEnum):
    """The states of a negotiation."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"


class Event(StrEnum):
    """What a message does, whoever sends it."""

    REQUEST = "request"
    OFFER = "offer"
    ACCEPTED = "accepted"
    AGREEMENT = "agreement"
    VERIFICATION = "verification"
    FINALIZED = "finalized"
    TERMINATION = "termination"


TERMINAL = frozenset({State.FINALIZED, State.TERMINATED})

# (who sends, the state it meets, the message) -> the state it leads to. What is not here is illegal. None: a new
# process.
TRANSITIONS: Mapping[tuple[Role, State | None, Event], State] = {
    (Role.CONSUMER, None, Event.REQUEST): State.REQUESTED,
    (Role.PROVIDER, None, Event.OFFER): State.OFFERED,
    (Role.PROVIDER, State.REQUESTED, Event.OFFER): State.OFFERED,
    (Role.PROVIDER, State.REQUESTED, Event.AGREEMENT): State.AGREED,
    (Role.PROVIDER, State.OFFERED, Event.OFFER): State.OFFERED,
    (Role.CONSUMER, State.OFFERED, Event.REQUEST): State.REQUESTED,
    (Role.CONSUMER, State.OFFERED, Event.ACCEPTED): State.ACCEPTED,
    (Role.PROVIDER, State.ACCEPTED, Event.AGREEMENT): State.AGREED,
    (Role.CONSUMER, State.AGREED, Event.VERIFICATION): State.VERIFIED,
    (Role.PROVIDER, State.VERIFIED, Event.FINALIZED): State.FINALIZED,
    **{(role, state, Event.TERMINATION): State.TERMINATED for role in Role for state in State if state not in TERMINAL},
}


def next_state(sender: Role, state: State | None, event: Event) -> State:
    """The state that `sender`'s message leads to. Raises `IllegalTransition`."""
    try:
        return TRANSITIONS[sender, state, event]
    except KeyError:
        raise IllegalTransition(f"the {sender} cannot send '{event}' while the negotiation is {state}") from None


@dataclass(frozen=True)
class NegotiationAction:
    """Something one end does. `delay`: seconds to wait before sending it, for peers that are slow to listen."""

    event: ClassVar[Event]
    delay: float = field(default=0.0, kw_only=True)
    properties: dict[str, Json] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Request(NegotiationAction):
    """Counter the provider's offer."""

    event = Event.REQUEST
    offer: dict[str, Json]


@dataclass(frozen=True)
class Offer(NegotiationAction):
    """Offer these terms."""

    event = Event.OFFER
    offer: dict[str, Json]


@dataclass(frozen=True)
class Accept(NegotiationAction):
    """Accept the last offer."""

    event = Event.ACCEPTED


@dataclass(frozen=True)
class Agree(NegotiationAction):
    """Send the agreement."""

    event = Event.AGREEMENT
    agreement: dict[str, Json]


@dataclass(frozen=True)
class Verify(NegotiationAction):
    """Confirm that the agreement holds."""

    event = Event.VERIFICATION
    properties: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Finalize(NegotiationAction):
    """Conclude."""

    event = Event.FINALIZED


@dataclass(frozen=True)
class TerminateNegotiation(NegotiationAction):
    """Give up, and say why."""

    event = Event.TERMINATION
    code: str
    reasons: list[str]
