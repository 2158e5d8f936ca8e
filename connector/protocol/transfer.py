"""Transfer processes: their states, who may move them where, and the actions an end can take.

Only the provider starts a transfer. Either end may suspend, complete or terminate it. Whoever suspended may resume; the
provider may always, so that a consumer cannot undo the provider's suspension.
Source: Dataspace Protocol 2025-1, section 9.1.

    >>> next_state(Role.PROVIDER, State.REQUESTED, Event.START)
    <State.STARTED: 'STARTED'>
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from connector.protocol.errors import IllegalTransition
from connector.protocol.processes import Role
from hexi.canonical import Json


class State(StrEnum):
    """The states of a transfer."""

    REQUESTED = "REQUESTED"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    TERMINATED = "TERMINATED"


class Event(StrEnum):
    """What a message does, whoever sends it."""

    REQUEST = "request"
    START = "start"
    SUSPENSION = "suspension"
    COMPLETION = "completion"
    TERMINATION = "termination"


TERMINAL = frozenset({State.COMPLETED, State.TERMINATED})

# (who sends, the state it meets, the message) -> the state it leads to. What is not here is illegal. None: a new
# process.
TRANSITIONS: Mapping[tuple[Role, State | None, Event], State] = {
    (Role.CONSUMER, None, Event.REQUEST): State.REQUESTED,
    (Role.PROVIDER, State.REQUESTED, Event.START): State.STARTED,
    **{(role, State.STARTED, Event.SUSPENSION): State.SUSPENDED for role in Role},
    **{(role, State.STARTED, Event.COMPLETION): State.COMPLETED for role in Role},
    **{(role, State.SUSPENDED, Event.START): State.STARTED for role in Role},
    **{(role, state, Event.TERMINATION): State.TERMINATED for role in Role for state in State if state not in TERMINAL},
}


def next_state(sender: Role, state: State | None, event: Event, suspended_by: Role | None = None) -> State:
    """The state that `sender`'s message leads to. Raises `IllegalTransition`.

    `suspended_by` counts in SUSPENDED only; where it is not known, the consumer may not resume.
    """
    resumed_by_the_wrong_end = (
        state is State.SUSPENDED and event is Event.START and sender not in {Role.PROVIDER, suspended_by}
    )
    if resumed_by_the_wrong_end or (sender, state, event) not in TRANSITIONS:
        raise IllegalTransition(f"the {sender} cannot send '{event}' while the transfer is {state}")
    return TRANSITIONS[sender, state, event]


@dataclass(frozen=True)
class TransferAction:
    """Something one end does. `delay`: seconds to wait before sending it, for peers that are slow to listen."""

    event: ClassVar[Event]
    delay: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class Start(TransferAction):
    """Start, or resume, and say where the data is."""

    event = Event.START
    data_address: dict[str, Json] | None = None
    properties: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Complete(TransferAction):
    """All was delivered."""

    event = Event.COMPLETION


@dataclass(frozen=True)
class Suspend(TransferAction):
    """Pause, and say why."""

    event = Event.SUSPENSION
    code: str
    reasons: list[str]


@dataclass(frozen=True)
class TerminateTransfer(TransferAction):
    """End it, and say why."""

    event = Event.TERMINATION
    code: str
    reasons: list[str]
