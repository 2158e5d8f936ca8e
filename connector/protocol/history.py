"""The history of a process: every message and every state it led to, read from the inbox and the outbox.

There is no second record that could disagree with them: the states are found by taking the messages once more through
the table that moved the process (`connector.protocol.negotiation`, `connector.protocol.transfer`).

    entries(process, received, sent)

What happened without a message (we gave up on a peer that never answered) is the last entry, with direction ``here``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from connector.protocol import negotiation, transfer
from connector.protocol.errors import IllegalTransition
from connector.protocol.messages import (
    MESSAGES,
    ContractNegotiationEventMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    Event,
    ProcessMessage,
    TransferRequestMessage,
    read_any,
)
from connector.protocol.outbox_items import OutboxState
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.progression import AGREEMENT_ENDED, is_ended, reasons_of, target
from hexi.canonical import Json


class Direction(StrEnum):
    """Which way a message went."""

    SENT = "sent"
    RECEIVED = "received"
    # No message: decided at our end alone.
    HERE = "here"


class Outcome(StrEnum):
    """What became of a message."""

    TAKEN = "taken"
    WAITING = "waiting"
    # Overtaken: the process went on without it, whether it arrived or not.
    CANCELLED = "cancelled"
    # The other end would not have it, or never answered.
    FAILED = "failed"


@dataclass(frozen=True)
class Received:
    """A message of the other end's, as the inbox keeps it. No `message_id`: it had none."""

    message: str
    message_id: str | None
    at: str
    reason: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    """A message of ours, as the outbox keeps it. No `settled`: it is still on its way."""

    message_id: str
    body: Json
    state: OutboxState
    attempts: int
    queued: str
    settled: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Entry:
    """One step. `state` is the state it led to; None if it led to none."""

    at: str
    direction: Direction
    outcome: Outcome
    message: str | None = None
    message_id: str | None = None
    state: str | None = None
    attempts: int | None = None
    reason: tuple[str, ...] = ()
    event: Event | None = None
    opens: bool = False


_OPENED: dict[Event | None, str] = {
    negotiation.Event.REQUEST: negotiation.State.REQUESTED,
    negotiation.Event.OFFER: negotiation.State.OFFERED,
    transfer.Event.REQUEST: transfer.State.REQUESTED,
}
OUTCOMES = {
    OutboxState.PENDING: Outcome.WAITING,
    OutboxState.DELIVERED: Outcome.TAKEN,
    OutboxState.CANCELLED: Outcome.CANCELLED,
    OutboxState.FAILED: Outcome.FAILED,
}


def entries(process: Process, received: Iterable[Received], sent: Iterable[Sent]) -> list[Entry]:
    """The steps of `process`, oldest first."""
    ours = [_sent(process, message) for message in sent]
    steps = [*ours, *(_received(process, message) for message in received)]
    if not any(step.opens for step in ours):
        steps.append(_opening(process))
    told = list(_in_order(process, steps))
    reached = [step.state for step in told if step.state is not None]
    if not reached or reached[-1] != process.state:
        reason = tuple(process.reason)
        told.append(Entry(process.updated, Direction.HERE, Outcome.TAKEN, state=process.state, reason=reason))
    return told


def _sent(process: Process, sent: Sent) -> Entry:
    message = read_any(sent.body)
    return Entry(
        # Our opening message counts from the beginning, whenever it arrived.
        process.created if message.is_initial else sent.settled or sent.queued,
        Direction.SENT,
        OUTCOMES[sent.state],
        type(message).__name__,
        sent.message_id,
        attempts=sent.attempts,
        reason=tuple(reasons_of(message)) or ((sent.error,) if sent.error else ()),
        # What is about the agreement leads the negotiation nowhere.
        event=None if AGREEMENT_ENDED in message.properties else message.event,
        opens=message.is_initial,
    )


def _received(process: Process, received: Received) -> Entry:
    return Entry(
        received.at,
        Direction.RECEIVED,
        Outcome.TAKEN,
        received.message,
        received.message_id,
        reason=received.reason,
        event=_event(received.message, process.role.other),
    )


def _event(message: str, sender: Role) -> Event:
    if message == ContractNegotiationEventMessage.__name__:
        return negotiation.Event.ACCEPTED if sender is Role.CONSUMER else negotiation.Event.FINALIZED
    return MESSAGES[message].event


def _opening(process: Process) -> Entry:
    """The message by which the other end opened the process; one that we opened has it in the outbox."""
    if process.kind is Kind.TRANSFER:
        opening: type[ProcessMessage] = TransferRequestMessage
    else:
        opening = ContractRequestMessage if process.role is Role.PROVIDER else ContractOfferMessage
    return Entry(
        process.created,
        Direction.RECEIVED,
        Outcome.TAKEN,
        opening.__name__,
        process.opening_id,
        event=opening.event,
        opens=True,
    )


def _in_order(process: Process, steps: Iterable[Entry]) -> Iterator[Entry]:
    """The steps with the states they led to.

    Of several at one instant the first is one that leads somewhere, and on from there: what ended the process was the
    last. Ours go before theirs, because a message of theirs may be what showed that ours had arrived.
    """
    left = sorted(steps, key=lambda step: (not step.opens, step.at, step.direction is Direction.RECEIVED))
    state: str | None = None
    while left:
        at_once = [step for step in left if step.at == left[0].at]
        told = [replace(step, state=_reached(process, state, step)) for step in at_once]
        chosen = min(range(len(told)), key=lambda n: _lateness(process, told[n]))
        left.remove(at_once[chosen])
        state = told[chosen].state or state
        yield told[chosen]


def _lateness(process: Process, step: Entry) -> int:
    return 2 if step.state is None else int(is_ended(replace(process, state=step.state)))


def _reached(process: Process, state: str | None, step: Entry) -> str | None:
    """The state that a step leads to from `state`, or None if it leads to none."""
    if state is None:
        return _OPENED[step.event] if step.opens else None
    sender = process.role if step.direction is Direction.SENT else process.role.other
    # Who may resume was asked when the message came; now it has been.
    met = replace(process, state=state, suspended_by=sender)
    if step.outcome is Outcome.FAILED:
        return None if is_ended(met) else "TERMINATED"
    try:
        return target(met, sender, step.event) if step.outcome is Outcome.TAKEN and step.event else None
    except IllegalTransition:  # it crossed another that had led to the same state
        return None
