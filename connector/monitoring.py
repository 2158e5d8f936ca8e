"""Monitoring: deliveries that run are looked at again and again, and stopped the moment their terms say so.

`connector.usage.counting.admit` refuses the next piece by itself; the monitor ends the transfer, tells the consumer
why, and puts the end on record, all in one transaction. A provider who stops a transfer by hand goes the same way
(`stop`). What must end is decided by `connector.usage.admission.ending`; here it is found and done.

    with Monitor(database, engine, fulfilment, trust, clock):
        ...
"""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog
from sqlmodel import Session

from connector.fulfilment import Fulfilment
from connector.policies.evaluation import Reason
from connector.protocol.engine import Engine
from connector.protocol.errors import IllegalTransition, MessageInFlight, ProcessUnknown
from connector.protocol.processes import Process, Role
from connector.protocol.transfer import Complete, Start, State, Suspend, TerminateTransfer, TransferAction
from connector.usage import counting as usage
from connector.usage import store as usage_store
from connector.usage.admission import WINDOW_CLOSED, Ending
from connector.usage.grants import Grant, GrantState
from hexi.canonical import Clock
from hexi.database import Database
from hexi.errors import Conflict, Unavailable
from registry.errors import ParticipantRevoked, ParticipantUnknown
from registry.trust import Trust

log = structlog.get_logger("connector.monitoring")

# Seconds between two looks. A piece is refused at once; so long its transfer may still be called running.
LOOK_SECONDS = 1.0
# Grants looked at in one query.
PAGE = 200
# How long stopping waits for the look under way, in seconds.
STOP_SECONDS = 10.0


class ComputationEnded(Conflict):
    """A suspended computation, which cannot be resumed: its permit ended with the suspension."""

    code = "connector.computation-ended"
    title = "The computation cannot be resumed"


class Monitor:
    """Looks at the deliveries of one connector. `look` is one pass; `start` and `stop_looking` run a thread of them."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        fulfilment: Fulfilment,
        trust: Trust,
        clock: Clock,
        *,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._engine = engine
        self._fulfilment = fulfilment
        self._trust = trust
        self._clock = clock
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connector-monitor", daemon=True)

    def look(self) -> int:
        """One pass over everything that runs, and what waits for its hour; returns how many transfers it moved."""
        moved, after = 0, ""
        while True:
            with self._database.reading() as session:
                page = usage_store.grants_in(session, (GrantState.ACTIVE, GrantState.SUSPENDED), after, PAGE)
            if not page:
                return moved
            moved += sum(self._look_at(grant) for grant in page)
            after = page[-1].transfer

    def stop(self, session: Session, pid: str, action: TransferAction, code: str, reasons: Sequence[str]) -> None:
        """Take `action` on a transfer, and at its provider hand nothing over any more from this transaction on.

        `action` suspends, completes or terminates; `code` and `reasons` go on record with it.

        Raises `ProcessUnknown`, `IllegalTransition`, `MessageInFlight`.
        """
        process = self._engine.transfer(session, pid)
        self._engine.act_transfer(session, pid, action)
        if process.role is Role.PROVIDER:
            self._fulfilment.cut_off(session, process, code, reasons, for_good=not isinstance(action, Suspend))

    def resume(self, session: Session, pid: str) -> None:
        """Take up a suspended transfer again, at its provider with everything it was served by.

        Raises `ProcessUnknown`, `IllegalTransition`, `MessageInFlight`, and `ComputationEnded` for a computation, whose
        permit no suspension outlives.
        """
        process = self._engine.transfer(session, pid)
        if process.state != State.SUSPENDED:
            raise IllegalTransition(f"only a suspended transfer is resumed; this one is {process.state}")
        action = Start() if process.role is Role.CONSUMER else self._fulfilment.go_on(session, process)
        if action is None:
            raise ComputationEnded("the suspension ended this computation's permit; request a new transfer")
        self._engine.act_transfer(session, pid, action)

    def _look_at(self, grant: Grant) -> bool:
        with self._database.reading() as session:
            process = self._engine.transfer(session, grant.transfer)
            due = usage.must_end(session, grant.transfer, self._clock()) is not None or _waits_for_its_hour(process)
        gone = self._gone(process.counterparty)  # asks the registry, so not inside the transaction
        if not due and gone is None:
            return False
        try:
            with self._database.transaction() as session:
                return self._move(session, grant.transfer, gone)
        except (IllegalTransition, MessageInFlight, ProcessUnknown) as error:
            # It ended meanwhile, or a message of ours is on its way: the next look sees what became of it.
            log.info("transfer not moved", transfer=grant.transfer, why=error.detail)
            return False

    def _move(self, session: Session, pid: str, gone: Ending | None) -> bool:
        end = gone or usage.must_end(session, pid, self._clock())
        process, grant = self._engine.transfer(session, pid), usage.grant(session, pid)
        if grant is None or grant.state is GrantState.ENDED:
            return False
        if end is None:
            return self._resume(session, process)
        if end.is_done and process.state == State.STARTED:
            self.stop(session, pid, Complete(), end.code, end.messages)
        elif end.for_good:
            self.stop(session, pid, TerminateTransfer(end.code, end.messages), end.code, end.messages)
        elif process.state == State.STARTED and grant.state is GrantState.ACTIVE:
            self.stop(session, pid, Suspend(end.code, end.messages), end.code, end.messages)
        else:
            return False
        log.info("transfer stopped", transfer=pid, reason=end.code)
        return True

    def _resume(self, session: Session, process: Process) -> bool:
        action = self._fulfilment.go_on(session, process) if _waits_for_its_hour(process) else None
        if action is not None:
            self._engine.act_transfer(session, process.pid, action)
        return action is not None

    def _gone(self, consumer: str) -> Ending | None:
        """The end of a delivery whose consumer is no participant any more. While the registry is away nothing ends."""
        try:
            self._trust.participant(consumer)
        except (ParticipantRevoked, ParticipantUnknown) as error:
            return Ending((Reason(error.code, error.detail),))
        except Unavailable as error:
            log.warning("registry does not answer", why=error.detail)
        return None

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def stop_looking(self) -> None:
        """Finish the look under way and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_looking()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self.look()
            except Exception as error:
                log.error("look failed", exc_info=error)


def _waits_for_its_hour(process: Process) -> bool:
    """Whether it was a window that suspended it, and nothing else: other suspensions are somebody's will."""
    ours = process.state == State.SUSPENDED and process.suspended_by is Role.PROVIDER
    return ours and process.reason[:1] == [WINDOW_CLOSED]
