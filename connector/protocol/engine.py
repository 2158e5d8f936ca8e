"""The engine of the Dataspace Protocol: opens processes, receives messages, acts, and delivers what is in the outbox.

What a message does is decided by `connector.protocol.progression`, what to do next by the `Decisions` given; the engine
sees to it that both happen once. Receiving is one transaction: the process is locked, the message is noted in the
inbox, the state moves, the decision is taken, and its message is put into the outbox (`connector.protocol.steps`).
Sending is `connector.protocol.dispatch`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
from sqlmodel import Session

from connector.protocol import negotiation, store, transfer
from connector.protocol.binding import Action, fresh_id, opening, outgoing
from connector.protocol.callbacks import check_callback
from connector.protocol.decisions import Decisions
from connector.protocol.dispatch import LEASE_ITEMS, Dispatcher, OnReceipt, with_peer
from connector.protocol.errors import MessageInFlight, MessageMalformed, PidMismatch, ProcessTaken, ProcessUnknown
from connector.protocol.messages import (
    PATH,
    ContractOfferMessage,
    ContractRequestMessage,
    ProcessMessage,
    TransferRequestMessage,
    read_any,
)
from connector.protocol.negotiation import NegotiationAction, TerminateNegotiation
from connector.protocol.outbox import PATIENCE
from connector.protocol.outbox_items import OutboxItem, OutboxState
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.progression import (
    AGREEMENT_ENDED,
    TERMINATIONS,
    InFlight,
    is_end_of_agreement,
    is_ended,
    is_said_again,
    reasons_of,
    receive,
    settle,
)
from connector.protocol.sender import Sender
from connector.protocol.steps import OnState, Steps
from connector.protocol.transfer import TransferAction
from hexi.canonical import Clock, Json, digest
from hexi.database import Database
from registry.identity import Identity
from registry.presentation import Caller

# Told of a FINALIZED negotiation whose agreement the other end has ended, and of its reasons, the code first.
OnAgreementEnded = Callable[[Session, Process, list[str]], None]


@dataclass(frozen=True)
class Settings:
    """What the engine must be told beyond its collaborators."""

    # Call peers on http, loopback and private addresses: for a space on one machine. On a public host it would let any
    # participant make this process call services that trust its address.
    unsafe_allow_loopback_callbacks: bool = False
    # How long a peer may be away before its process is given up.
    patience: timedelta = PATIENCE


class Engine:
    """One connector's end of the protocol.

    `authorise` gives an ``Authorization`` value for calling the service whose DID it gets. `own_url` is the
    connector's public address. `on_ledger_receipt(session, reference, receipt)` is called in the transaction that
    records a delivered ledger entry, `on_state(session, process)` in that of a state entered while anybody subscribes
    to events, `on_agreement_ended` in that of the message that says so; without it there is no such message.
    `transport` replaces the network.
    """

    def __init__(
        self,
        database: Database,
        decisions: Decisions,
        identity: Identity,
        authorise: Callable[[str], str],
        own_url: str,
        clock: Clock,
        settings: Settings = Settings(),
        *,
        on_ledger_receipt: OnReceipt | None = None,
        on_state: OnState | None = None,
        on_agreement_ended: OnAgreementEnded | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.database = database
        self.decisions = decisions
        self.identity = identity
        self.address = own_url.rstrip("/") + PATH
        self._settings = settings
        self._on_agreement_ended = on_agreement_ended
        self._steps = Steps(decisions, clock, announce=on_state)
        self._sender = Sender(
            authorise,
            unsafe_allow_loopback_callbacks=settings.unsafe_allow_loopback_callbacks,
            transport=transport,
        )
        self.dispatcher = Dispatcher(database, self._sender, self._steps, settings.patience, on_ledger_receipt)
        # What is to be sent at once, and what is set when there is something else to send: for the worker.
        self.ready, self.work = self._steps.ready, self._steps.work

    def deliver_due(self, limit: int = LEASE_ITEMS) -> int:
        """One pass of the outbox; see `Dispatcher.deliver_due`."""
        return self.dispatcher.deliver_due(limit)

    def recover(self) -> int:
        """Take up at once what a process that was killed had begun to send; returns how many messages."""
        return self.dispatcher.recover()

    def close(self) -> None:
        """Close the connections to other ends."""
        self._sender.close()

    def negotiation(self, session: Session, pid: str) -> Process:
        """The negotiation `pid`. Raises `ProcessUnknown`."""
        return _known(store.read_process(session, pid), Kind.NEGOTIATION)

    def transfer(self, session: Session, pid: str) -> Process:
        """The transfer `pid`. Raises `ProcessUnknown`."""
        return _known(store.read_process(session, pid), Kind.TRANSFER)

    def processes(self, session: Session, kind: Kind) -> list[Process]:
        """The newest processes of a kind."""
        return store.list_processes(session, kind)

    def request_negotiation(
        self,
        session: Session,
        counterparty: str,
        peer_url: str,
        offer: dict[str, Json],
        properties: dict[str, Json] | None = None,
    ) -> Process:
        """Ask the provider whose protocol address is `peer_url` for a contract; returns the process.

        Raises `CallbackRefused`, `MessageMalformed`.
        """
        process = self._fresh(Kind.NEGOTIATION, Role.CONSUMER, negotiation.State.REQUESTED, counterparty, peer_url)
        return self._open_over(session, process, offer, properties or {})

    def offer_negotiation(
        self,
        session: Session,
        counterparty: str,
        peer_url: str,
        offer: dict[str, Json],
        properties: dict[str, Json] | None = None,
    ) -> Process:
        """Offer a contract to a consumer unasked; returns the process.

        Raises `CallbackRefused`, `MessageMalformed`.
        """
        process = self._fresh(Kind.NEGOTIATION, Role.PROVIDER, negotiation.State.OFFERED, counterparty, peer_url)
        return self._open_over(session, process, offer, properties or {})

    def request_transfer(
        self,
        session: Session,
        counterparty: str,
        peer_url: str,
        agreement_id: str,
        format_: str,
        properties: dict[str, Json] | None = None,
        data_address: dict[str, Json] | None = None,
    ) -> Process:
        """Ask for delivery under an agreement, to `data_address` where the format is a push; returns the process.

        Raises `CallbackRefused`.
        """
        process = self._fresh(Kind.TRANSFER, Role.CONSUMER, transfer.State.REQUESTED, counterparty, peer_url)
        process = replace(
            process, agreement_id=agreement_id, format=format_, properties=properties or {}, data_address=data_address
        )
        agreed = store.lock_negotiation_of(session, Role.CONSUMER, counterparty, agreement_id)
        return self._open(session, _under(process, agreed), properties or {})

    def _fresh(self, kind: Kind, role: Role, state: str, counterparty: str, address: str) -> Process:
        now = self._steps.now()
        return Process(fresh_id(), kind, role, state, counterparty, self._checked(address), created=now, updated=now)

    def _open_over(
        self, session: Session, process: Process, offer: dict[str, Json], properties: dict[str, Json]
    ) -> Process:
        process = replace(process, offer=offer, dataset_id=offer.get("target"), properties=properties)
        return self._open(session, process, properties)

    def _open(self, session: Session, process: Process, properties: dict[str, Json]) -> Process:
        store.insert_process(session, process)
        self._steps.post(session, process, opening(process, self.address, properties))
        return process

    def act_negotiation(self, session: Session, pid: str, action: NegotiationAction) -> None:
        """Take `action`. Its state is recorded when the other end has taken it.

        A termination replaces whatever is on its way; where the other end has never answered, it takes effect at once.
        Raises `ProcessUnknown`, `IllegalTransition`, `MessageInFlight`.
        """
        self._act(session, _known(store.lock_process(session, pid), Kind.NEGOTIATION), action)

    def act_transfer(self, session: Session, pid: str, action: TransferAction) -> None:
        """The same for a transfer."""
        self._act(session, _known(store.lock_process(session, pid), Kind.TRANSFER), action)

    def _act(self, session: Session, process: Process, action: Action) -> None:
        item = None if is_ended(process) else store.lock_pending(session, process.pid)
        if item is not None:
            ours = _in_flight(item)
            if ours.message.event in TERMINATIONS and action.event in TERMINATIONS:
                return
            ends = ours.tried and is_ended(settle(process, ours.message))
            if ends or action.event not in TERMINATIONS:
                raise MessageInFlight("a message of ours is still on its way; try again when it has settled")
            store.close_item(session, item.id, OutboxState.CANCELLED, self._steps.now())
        self._steps.act(session, process, action)

    def tell_agreement_ended(self, session: Session, pid: str, code: str, reasons: list[str]) -> None:
        """Tell the other end that the agreement of a negotiation was ended here. Raises `ProcessUnknown`.

        Nothing is said before FINALIZED, or while a message of ours is on its way: then it hears of it when it asks.
        """
        process = self.negotiation(session, pid)  # not locked: it stays as it is
        if process.state != negotiation.State.FINALIZED or store.lock_pending(session, pid) is not None:
            return
        said = TerminateNegotiation(code, reasons, properties={AGREEMENT_ENDED: process.agreement_id})
        self._steps.post(session, process, outgoing(process, said))

    def receive_contract_request(self, session: Session, caller: Caller, message: ContractRequestMessage) -> Process:
        """A consumer asks for a contract. The same request again gives the process there is.

        Raises `MessageMalformed`, `CallbackRefused`, `ProcessTaken`.
        """
        process = self._answering(Kind.NEGOTIATION, Role.PROVIDER, negotiation.State.REQUESTED, caller, message)
        return self._admit(
            session, replace(process, offer=message.offer, dataset_id=_text(message.offer.get("target")))
        )

    def receive_contract_offer(self, session: Session, caller: Caller, message: ContractOfferMessage) -> Process:
        """A provider offers a contract unasked. Otherwise like `receive_contract_request`."""
        process = self._answering(Kind.NEGOTIATION, Role.CONSUMER, negotiation.State.OFFERED, caller, message)
        return self._admit(
            session, replace(process, offer=message.offer, dataset_id=_text(message.offer.get("target")))
        )

    def receive_transfer_request(self, session: Session, caller: Caller, message: TransferRequestMessage) -> Process:
        """A consumer asks for delivery.

        It shows that the agreement has arrived, if our last word on it is on its way.
        """
        process = self._answering(Kind.TRANSFER, Role.PROVIDER, transfer.State.REQUESTED, caller, message)
        process = replace(
            process, agreement_id=message.agreement_id, format=message.format, data_address=message.data_address
        )
        agreed = store.lock_negotiation_of(session, Role.PROVIDER, caller.did, message.agreement_id)
        if agreed is not None and agreed.state == negotiation.State.VERIFIED:
            agreed = self._conclude(session, agreed)
        return self._admit(session, _under(process, agreed))

    def receive_negotiation(self, session: Session, caller: Caller, pid: str, message: ProcessMessage) -> Process:
        """Any later message of a negotiation. A message taken before changes nothing.

        Raises `ProcessUnknown` (also where it is somebody else's), `PidMismatch`, `IllegalTransition`,
        `MessageCrossed`.
        """
        return self._receive(session, caller, Kind.NEGOTIATION, pid, message)

    def receive_transfer(self, session: Session, caller: Caller, pid: str, message: ProcessMessage) -> Process:
        """Any later message of a transfer. Otherwise like `receive_negotiation`."""
        return self._receive(session, caller, Kind.TRANSFER, pid, message)

    def _answering(
        self,
        kind: Kind,
        role: Role,
        state: str,
        caller: Caller,
        message: ContractRequestMessage | ContractOfferMessage | TransferRequestMessage,
    ) -> Process:
        """The process that an opening message makes at our end."""
        if not message.is_initial or not message.callback_address:
            raise MessageMalformed(
                f"a {type(message).__name__} that opens a process has a callbackAddress, no peer's pid"
            )
        process = self._fresh(kind, role, state, caller.did, message.callback_address)
        peer_pid = message.consumer_pid if role is Role.PROVIDER else message.provider_pid
        return replace(process, peer_pid=peer_pid, opening_id=message.id, properties=message.properties)

    def _admit(self, session: Session, process: Process) -> Process:
        """Add the process, unless the caller's process id is known: then it is that one, if it is about the same."""
        is_new, heard = store.admit_process(session, process)
        if is_new:
            return self._steps.begin(session, process, heard=heard)
        known = store.process_of_peer(session, process.kind, process.role, process.counterparty, str(process.peer_pid))
        same = known is not None and (
            known.dataset_id,
            known.agreement_id if known.kind is Kind.TRANSFER else None,
        ) == (
            process.dataset_id,
            process.agreement_id,
        )
        if known is None or not same:
            raise ProcessTaken("this process id of yours stands for something else here; use a fresh one")
        return known

    def _receive(self, session: Session, caller: Caller, kind: Kind, pid: str, message: ProcessMessage) -> Process:
        process = _known(store.lock_process(session, pid), kind)
        check_party(process, caller)
        key = _key_of(message, pid)
        if not store.remember_message(session, caller.did, key, pid, self._steps.now(), reasons_of(message)):
            if store.process_of_message(session, caller.did, key) != pid:
                raise MessageMalformed("this message @id was used for another process; every message has its own")
            return process
        if is_said_again(process, message):
            return process
        process = _named(session, process, message)
        if self._on_agreement_ended is not None and is_end_of_agreement(process, message):
            self._on_agreement_ended(session, process, reasons_of(message))
            return process
        # What they say overtakes what we had not sent, and confirms what we had; an end does not.
        tried = OutboxState.CANCELLED if message.event in TERMINATIONS else OutboxState.DELIVERED
        item = store.settle_pending(session, pid, self._steps.now(), tried=tried, untried=OutboxState.CANCELLED)
        ours = None if item is None else _in_flight(item)
        entered = receive(process, ours, message)
        still_waiting = False
        if item is not None and ours is not None:
            still_waiting = not ours.tried and ours.message.event in TERMINATIONS and not is_ended(entered[-1])
            if still_waiting:
                store.reopen_item(session, item.id)
            else:
                self._steps.settled(session, item, process.peer_pid)
        return self._steps.enter(session, entered, acting=not still_waiting)

    def _conclude(self, session: Session, process: Process) -> Process:
        """`process` concluded, if our last word on it may have arrived; else as it is."""
        item = store.lock_pending(session, process.pid)
        if item is None or not (ours := _in_flight(item)).tried or ours.message.event in TERMINATIONS:
            return process
        self._steps.close(session, item, OutboxState.DELIVERED, process.peer_pid)
        return self._steps.enter(session, [settle(process, ours.message)], acting=False)

    def _checked(self, address: str) -> str:
        return check_callback(address, unsafe_allow_loopback=self._settings.unsafe_allow_loopback_callbacks)


def check_party(process: Process, caller: Caller) -> None:
    """Raise `ProcessUnknown` unless `caller` is the other end: to anybody else the process does not exist."""
    if process.counterparty != caller.did:
        raise ProcessUnknown("there is no such process")


def _known(process: Process | None, kind: Kind) -> Process:
    if process is None or process.kind is not kind:
        raise ProcessUnknown("there is no such process")
    return process


def _in_flight(item: OutboxItem) -> InFlight:
    return InFlight(read_any(item.body), tried=item.attempts > 0)


def _key_of(message: ProcessMessage, pid: str) -> str:
    """What tells a repetition of `message`: its @id, or what it says where it has none. With its type, in case a peer
    uses one @id for everything it says about a process."""
    said = message.id or digest([pid, message.model_dump(mode="json"), message.properties])
    return f"{type(message).__name__} {said}"


def _under(process: Process, agreed: Process | None) -> Process:
    """`process` with what the negotiation behind it has settled."""
    return process if agreed is None else replace(process, dataset_id=agreed.dataset_id, agreement=agreed.agreement)


def _named(session: Session, process: Process, message: ProcessMessage) -> Process:
    """`process`, once `message` names it rightly; the other end's process id is learned if it was not known yet."""
    provider = process.role is Role.PROVIDER
    ours, theirs = (
        (message.provider_pid, message.consumer_pid) if provider else (message.consumer_pid, message.provider_pid)
    )
    if ours != process.pid:
        raise PidMismatch("the message names another process than its address")
    if not theirs:
        raise MessageMalformed("the message does not name its sender's process")
    named = with_peer(session, process, theirs)
    if named is None:
        raise PidMismatch("the message comes from another process than the one known so far")
    return named


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
