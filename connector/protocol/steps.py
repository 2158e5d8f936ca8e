"""Steps: what entering a state entails, whoever's message led there.

The state is recorded, the decisions see it, and the message they answer with is queued: one transaction, the caller's.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from sqlmodel import Session

from connector.protocol import negotiation, outbox, store, transfer
from connector.protocol.binding import Action, Outgoing, outgoing
from connector.protocol.decisions import Decisions
from connector.protocol.outbox_items import PEER, OutboxItem, OutboxState
from connector.protocol.processes import Kind, Process
from connector.protocol.progression import TERMINATIONS, is_ended, target
from connector.protocol.ready import Ready
from hexi.canonical import Clock, instant
from hexi.database import after_commit

OnState = Callable[[Session, Process], None]


@dataclass(frozen=True)
class Steps:
    """Takes processes into states. A committed message that is due goes to `ready`; `work` is set for any other."""

    decisions: Decisions
    clock: Clock
    ready: Ready = field(default_factory=Ready)
    work: threading.Event = field(default_factory=threading.Event)
    # Called for every state entered, in its transaction, where somebody wants to be told.
    announce: OnState | None = None

    def begin(self, session: Session, process: Process, *, heard: bool) -> Process:
        """Let the decisions see a process that was just added in its first state, and act on their answer.

        `heard`: somebody wants to be told.
        """
        if heard and self.announce is not None:
            self.announce(session, process)
        if (action := self._decide(session, process)) is not None:
            self.act(session, process, action)
        return process

    def enter(self, session: Session, entered: list[Process], *, acting: bool) -> Process:
        """Record the states `entered`, let the decisions see each, and if `acting` act on the last one's answer."""
        for passed in entered[:-1]:
            self._decide(session, passed)
        process, heard = store.enter_state(session, entered[-1], self.now())
        if heard and self.announce is not None:
            for passed in (*entered[:-1], process):
                self.announce(session, passed)
        action = self._decide(session, process)
        if action is not None and acting and not is_ended(process):
            self.act(session, process, action)
        return process

    def act(self, session: Session, process: Process, action: Action) -> None:
        """Queue the message of `action`. Raises `IllegalTransition`, and `ProcessUnknown` where nobody could be told.

        A termination takes effect at once there.
        """
        target(process, process.role, action.event)
        if process.peer_pid is None and action.event in TERMINATIONS:
            self.end(session, process, _reasons_of(action))
        else:
            self.post(session, process, outgoing(process, action), action.delay)

    def end(self, session: Session, process: Process, reasons: list[str]) -> Process:
        """Terminate our end without waiting for the other's word."""
        terminated = (negotiation.State if process.kind is Kind.NEGOTIATION else transfer.State).TERMINATED
        return self.enter(session, [replace(process, state=terminated, reason=reasons)], acting=False)

    def notify(self, session: Session, process: Process, code: str, reasons: list[str]) -> None:
        """Tell the other end, for courtesy, that ours has terminated."""
        if process.kind is Kind.NEGOTIATION:
            action: Action = negotiation.TerminateNegotiation(code, reasons)
        else:
            action = transfer.TerminateTransfer(code, reasons)
        self.post(session, process, outgoing(process, action))

    def post(self, session: Session, process: Process, to_send: Outgoing, delay: float = 0.0) -> None:
        """Queue a message about `process`, to go out in `delay` seconds."""
        now = self.clock()
        leased = None if delay else self.ready.lease(now)
        item = outbox.enqueue(
            session,
            PEER,
            process.pid,
            str(to_send.message.id),
            to_send.url,
            to_send.message.to_wire(),
            audience=process.counterparty,
            not_before=instant(now + timedelta(seconds=delay)),
            leased=leased,
        )
        after_commit(session, partial(self.ready.put, item) if leased else self.work.set)

    def close(self, session: Session, item: OutboxItem, state: OutboxState, peer_pid: str | None) -> None:
        """Take an item off the road because of what the other end's process `peer_pid` says."""
        store.close_item(session, item.id, state, self.now())
        self.settled(session, item, peer_pid)

    def settled(self, session: Session, item: OutboxItem, peer_pid: str | None) -> None:
        """Say, once this is committed, that the other end's process `peer_pid` has settled an item."""
        after_commit(session, partial(self.ready.settle, item.id, peer_pid))

    def now(self) -> str:
        """The clock's instant."""
        return instant(self.clock())

    def _decide(self, session: Session, process: Process) -> Action | None:
        decide: Callable[[Session, Process], Action | None] = (
            self.decisions.after_negotiation if process.kind is Kind.NEGOTIATION else self.decisions.after_transfer
        )
        return decide(session, process)


def _reasons_of(action: Action) -> list[str]:
    match action:
        case (
            negotiation.TerminateNegotiation(code=code, reasons=reasons)
            | transfer.TerminateTransfer(code=code, reasons=reasons)
        ):
            return [code, *reasons]
    return []
