"""The binding: the message an action becomes, and the address it goes to.

Pure. The paths are those of the HTTPS binding (Dataspace Protocol 2025-1, sections 8 and 10), below the other end's
base address; every message gets a fresh `@id` here, which all attempts to send it share.
"""

import uuid
from dataclasses import dataclass
from urllib.parse import quote

from connector.protocol import negotiation, transfer
from connector.protocol.errors import ProcessUnknown
from connector.protocol.messages import (
    ContractAgreementMessage,
    ContractAgreementVerificationMessage,
    ContractNegotiationEventMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    EventType,
    ProcessMessage,
    TransferCompletionMessage,
    TransferRequestMessage,
    TransferStartMessage,
    TransferSuspensionMessage,
    TransferTerminationMessage,
)
from connector.protocol.processes import Kind, Process, Role
from hexi.canonical import Json

Action = negotiation.NegotiationAction | transfer.TransferAction


@dataclass(frozen=True)
class Outgoing:
    """A message and where it goes."""

    url: str
    message: ProcessMessage


def fresh_id() -> str:
    """A new identifier for a message or a process."""
    return f"urn:uuid:{uuid.uuid4()}"


def opening(process: Process, own_address: str, properties: dict[str, Json]) -> Outgoing:
    """The message that opens `process` at the other end."""
    common = {"id": fresh_id(), "callback_address": own_address, "properties": properties}
    if process.kind is Kind.TRANSFER:
        message: ProcessMessage = TransferRequestMessage(
            consumer_pid=process.pid,
            agreement_id=process.agreement_id,
            format=process.format,
            data_address=process.data_address,
            **common,
        )
        return Outgoing(f"{process.callback_address}/transfers/request", message)
    if process.role is Role.CONSUMER:
        message = ContractRequestMessage(consumer_pid=process.pid, offer=process.offer, **common)
        return Outgoing(f"{process.callback_address}/negotiations/request", message)
    message = ContractOfferMessage(provider_pid=process.pid, offer=process.offer, **common)
    return Outgoing(f"{process.callback_address}/negotiations/offers", message)


def outgoing(process: Process, action: Action) -> Outgoing:
    """The message that `action` becomes. Raises `ProcessUnknown` while the other end's process id is not known."""
    if process.peer_pid is None:
        raise ProcessUnknown("the other end has not said yet which process this is there")
    pids = {"id": fresh_id(), "provider_pid": process.provider_pid, "consumer_pid": process.consumer_pid}
    if isinstance(action, negotiation.NegotiationAction):
        path, message = _negotiation(action, {**pids, "properties": action.properties})
    else:
        path, message = _transfer(action, pids)
    folder = "negotiations" if process.kind is Kind.NEGOTIATION else "transfers"
    # Quoted, because it is the other end's text: it must stay one segment of the path.
    return Outgoing(f"{process.callback_address}/{folder}/{quote(process.peer_pid, safe=':')}/{path}", message)


def _negotiation(action: negotiation.NegotiationAction, common: dict[str, Json]) -> tuple[str, ProcessMessage]:
    match action:
        case negotiation.Request(offer=offer):
            return "request", ContractRequestMessage(offer=offer, **common)
        case negotiation.Offer(offer=offer):
            return "offers", ContractOfferMessage(offer=offer, **common)
        case negotiation.Agree(agreement=agreement):
            return "agreement", ContractAgreementMessage(agreement=agreement, **common)
        case negotiation.Accept():
            return "events", ContractNegotiationEventMessage(event_type=EventType.ACCEPTED, **common)
        case negotiation.Verify():
            return "agreement/verification", ContractAgreementVerificationMessage(**common)
        case negotiation.Finalize():
            return "events", ContractNegotiationEventMessage(event_type=EventType.FINALIZED, **common)
        case negotiation.TerminateNegotiation(code=code, reasons=reasons):
            return "termination", ContractNegotiationTerminationMessage(code=code, reason=reasons, **common)
    raise TypeError(f"{type(action).__name__} is no action of a negotiation")


def _transfer(action: transfer.TransferAction, common: dict[str, Json]) -> tuple[str, ProcessMessage]:
    match action:
        case transfer.Start(data_address=address, properties=properties):
            return "start", TransferStartMessage(data_address=address, properties=properties, **common)
        case transfer.Complete():
            return "completion", TransferCompletionMessage(**common)
        case transfer.Suspend(code=code, reasons=reasons):
            return "suspension", TransferSuspensionMessage(code=code, reason=reasons, **common)
        case transfer.TerminateTransfer(code=code, reasons=reasons):
            return "termination", TransferTerminationMessage(code=code, reason=reasons, **common)
    raise TypeError(f"{type(action).__name__} is no action of a transfer")
