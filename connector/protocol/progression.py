"""What a message does to a process, also when a message of ours is on its way to meet it.

Both ends run the same rules on the same table, so a message sent and a message received are the same thing seen from
two sides: `advance` serves both. Our own messages count from the moment the other end has them. Between sending and
hearing that, nobody here knows; so a message that arrives meanwhile is judged as if ours had been taken, since it may
well be the answer to it. Five rules make both ends come to one result whatever crosses:

1. A message of ours that was never tried has not been taken: theirs is judged without it (and replaces it).
2. A termination wins over everything but a process that has ended.
3. Two messages that lead to the same state are both right. Of two suspensions or two resumptions the provider's counts.
   It cannot know whether the consumer has it; so it says in its answer who has suspended (`SUSPENDED_BY`), and has the
   consumer's resumption asked for again until its own, with where the data now are, has arrived: `MessageCrossed`.
4. Otherwise ours is taken to have arrived. Where theirs would have been right with or without it, nobody can tell which
   they mean (an acceptance of which offer?): `MessageCrossed`, and they ask again in a moment.
5. A provider that finalizes once more, under a new id, is told that we have heard: Eclipse EDC does so where its two
   threads meet, takes a refusal for the end, and would be left without the contract that we hold.

Source: Dataspace Protocol 2025-1 leaves open what follows when messages cross; this is our choice, held by the property
tests.
"""

from dataclasses import dataclass, replace

from connector.protocol import negotiation, transfer
from connector.protocol.errors import IllegalTransition, MessageCrossed
from connector.protocol.messages import (
    ContractAgreementMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    Event,
    ProcessMessage,
    TransferStartMessage,
    TransferSuspensionMessage,
    TransferTerminationMessage,
)
from connector.protocol.processes import Kind, Process, Role
from hexi.canonical import Json

# Beside the state in our answers about a suspended transfer: which end has suspended it, and so who may resume.
SUSPENDED_BY = "urn:hexi:suspendedBy"
# In a termination that comes after FINALIZED: the agreement that its sender has ended, for which the protocol has no
# message.
AGREEMENT_ENDED = "urn:hexi:agreementEnded"
TERMINATIONS = (negotiation.Event.TERMINATION, transfer.Event.TERMINATION)


@dataclass(frozen=True)
class InFlight:
    """A message of ours that nobody has confirmed. `tried` says whether the other end may have it."""

    message: ProcessMessage
    tried: bool


def is_ended(process: Process) -> bool:
    """Whether `process` is in a state that nothing leads out of."""
    ended = negotiation.TERMINAL if process.kind is Kind.NEGOTIATION else transfer.TERMINAL
    return process.state in ended


def target(process: Process, sender: Role, event: Event) -> str:
    """The state that `sender`'s message leads `process` to. Raises `IllegalTransition`."""
    if process.kind is Kind.NEGOTIATION and isinstance(event, negotiation.Event):
        return negotiation.next_state(sender, negotiation.State(process.state), event)
    if process.kind is Kind.TRANSFER and isinstance(event, transfer.Event):
        return transfer.next_state(sender, transfer.State(process.state), event, process.suspended_by)
    raise IllegalTransition(f"a {process.kind} takes no '{event}'")


def advance(process: Process, sender: Role, message: ProcessMessage) -> Process:
    """`process` after `sender`'s message: its state, and what the message says. Raises `IllegalTransition`."""
    moved = replace(
        process,
        state=target(process, sender, message.event),
        properties=process.properties | message.properties,
        suspended_by=sender if isinstance(message, TransferSuspensionMessage) else None,
    )
    match message:
        case ContractRequestMessage(offer=offer) | ContractOfferMessage(offer=offer):
            return replace(moved, offer=offer)
        case ContractAgreementMessage(agreement=agreement):
            return replace(moved, agreement=agreement, agreement_id=_id_of(agreement))
        case TransferStartMessage(data_address=address):
            return replace(moved, data_address=address or process.data_address, reason=[])
        case ContractNegotiationTerminationMessage() | TransferTerminationMessage() | TransferSuspensionMessage():
            return replace(moved, reason=reasons_of(message))
    return moved


def reasons_of(message: ProcessMessage) -> list[str]:
    """Why the sender says it suspends or terminates: its code first, then its words. Empty for every other message."""
    match message:
        case (
            ContractNegotiationTerminationMessage(code=code, reason=reason)
            | TransferTerminationMessage(code=code, reason=reason)
            | TransferSuspensionMessage(code=code, reason=reason)
        ):
            return [*([code] if code else []), *reason]
    return []


def settle(process: Process, message: ProcessMessage) -> Process:
    """`process` now that the other end has our `message`. The message that opened it has been counted already."""
    return process if message.is_initial else advance(process, process.role, message)


def as_answered(process: Process, answer: Json) -> Process:
    """`process`, just suspended by us, as the other end's `answer` has it: by the provider, where both suspended."""
    said = answer.get(SUSPENDED_BY) if isinstance(answer, dict) else None
    if process.suspended_by is Role.CONSUMER and process.role is Role.CONSUMER and said == Role.PROVIDER:
        return replace(process, suspended_by=Role.PROVIDER)
    return process


def is_said_again(process: Process, message: ProcessMessage) -> bool:
    """Rule 5: whether `message` says what concluded this negotiation already."""
    concluded = (process.role, process.state) == (Role.CONSUMER, negotiation.State.FINALIZED)
    return concluded and message.event is negotiation.Event.FINALIZED


def is_end_of_agreement(process: Process, message: ProcessMessage) -> bool:
    """Whether `message` is about the agreement that this negotiation has led to, and not about the negotiation."""
    concluded = process.kind is Kind.NEGOTIATION and process.state == negotiation.State.FINALIZED
    named = message.properties.get(AGREEMENT_ENDED)
    return concluded and message.event is negotiation.Event.TERMINATION and named == process.agreement_id


def receive(process: Process, in_flight: InFlight | None, message: ProcessMessage) -> list[Process]:
    """The states that `process` enters, in order, because of their `message`.

    Raises `IllegalTransition`, `MessageCrossed`. The numbers are those of the module's rules.
    """
    sender = process.role.other
    if in_flight is None or not in_flight.tried or message.event in TERMINATIONS:  # 1, 2
        return [advance(process, sender, message)]
    after = settle(process, in_flight.message)
    direct = _target_or_none(process, sender, message)
    if direct is not None and not in_flight.message.is_initial:
        if direct == after.state:  # 3
            if isinstance(message, TransferStartMessage) and process.role is Role.PROVIDER:
                raise MessageCrossed("we are resuming ourselves; our message will be with you in a moment")
            both = advance(process, sender, message)
            return [replace(both, suspended_by=Role.PROVIDER if both.suspended_by else None)]
        if after.state == process.state:  # 4
            raise MessageCrossed("your message crossed one of ours; send it again in a moment")
    return [after, advance(after, sender, message)]  # 4


def _target_or_none(process: Process, sender: Role, message: ProcessMessage) -> str | None:
    try:
        return target(process, sender, message.event)
    except IllegalTransition:
        return None


def _id_of(policy: dict[str, object]) -> str | None:
    identifier = policy.get("@id")
    return identifier if isinstance(identifier, str) else None
