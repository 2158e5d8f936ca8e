"""Dispatching: what is in the outbox is leased (a transaction), sent (none), and what came of it recorded (another).

A crash between any two of these is made good by a later pass: what was leased comes due again by itself, and what was
taken but not recorded is sent again with the same `@id`, by which the other end knows it. Several outcomes are recorded
in one transaction; one that fails is left out of it and reported.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlmodel import Session

from connector.protocol import outbox, store
from connector.protocol.messages import read_any
from connector.protocol.outbox import Answer, Verdict
from connector.protocol.outbox_items import LEDGER, PEER, SPACE, OutboxItem, OutboxState
from connector.protocol.processes import Process, Role
from connector.protocol.progression import TERMINATIONS, as_answered, is_ended, settle
from connector.protocol.ready import LEASE_SECONDS
from connector.protocol.sender import Sender
from connector.protocol.steps import Steps
from hexi.canonical import Json, instant
from hexi.database import Database
from sandbox import owners

log = structlog.get_logger("connector.protocol.dispatch")

# Messages one pass of `deliver_due` takes at once. The lease outlasts the slowest of it (15 s each to connect and
# answer), so that nobody sends them again while the first still tries.
LEASE_ITEMS = 4
# Entries one pass takes to the ledger at once; they go in one request and are recorded in one transaction.
LEASE_ENTRIES = 256
# What we keep of another end's reasons, in characters each.
MAX_REASON_CHARACTERS = 1_000

OnReceipt = Callable[[Session, str, dict[str, Json]], None]
Outcome = tuple[OutboxItem, Answer]


class Dispatcher:
    """Passes over the outbox in `database`, recorded through `steps`."""

    def __init__(
        self, database: Database, sender: Sender, steps: Steps, patience: timedelta, on_receipt: OnReceipt | None
    ) -> None:
        self._database = database
        self._sender = sender
        self._steps = steps
        self._patience = patience
        self._begun = steps.clock()
        self._on_receipt = on_receipt

    def deliver_due(self, limit: int) -> int:
        """One pass; returns how many items were tried. Any number of threads and processes may run passes at once."""
        items = self.lease(limit, (PEER, LEDGER, SPACE))
        failure: Exception | None = None
        for item in items:
            try:
                self.record([(item, self._sender.attempt(item))])
            except Exception as error:  # noqa: BLE001 - one item must not hold up the rest; it is raised below
                failure = failure or error
        if failure is not None:
            raise failure
        return len(items)

    def deliver_entries(self) -> int:
        """One pass over what the space must hear of; all entries for the ledger that are due go in one request. Returns
        how many items were tried."""
        items = self.lease(LEASE_ENTRIES, (LEDGER, SPACE))
        entries = [item for item in items if item.destination == LEDGER]
        if entries:
            self.record(list(zip(entries, self._sender.attempt_entries(entries), strict=True)))
        for item in items:
            if item.destination == SPACE:
                self.record([(item, self._sender.attempt(item))])
        return len(items)

    def recover(self) -> int:
        """What processes of this host that are gone had begun to send comes due at once. Call it at start."""
        with self._database.transaction() as session:
            return store.release_leases(session, self._steps.now(), owners.is_alive)

    def lease(self, limit: int, destinations: Sequence[str]) -> list[OutboxItem]:
        """Up to `limit` items that are due, for this process alone until their lease runs out."""
        with self._database.reading() as session:  # an idle pass must not take SQLite's only write lock
            if not store.is_anything_due(session, self._steps.now(), destinations):
                return []
        with self._database.transaction() as session:
            until = instant(self._steps.clock() + timedelta(seconds=LEASE_SECONDS))
            return store.lease_items(session, self._steps.now(), until, limit, owners.this_process(), destinations)

    def attempt(self, item: OutboxItem) -> Answer:
        """Send `item` once; see `Sender.attempt`."""
        return self._sender.attempt(item)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record what came of attempts, no two of one process: in one transaction, or where that fails, one by one.

        Raises the first failure, after all others were recorded.
        """
        try:
            with self._database.transaction() as session:
                self._record(session, outcomes)
        except Exception:
            if len(outcomes) == 1:
                raise
            self._record_singly(outcomes)

    def _record_singly(self, outcomes: Sequence[Outcome]) -> None:
        failure: Exception | None = None
        for outcome in outcomes:
            try:
                self.record([outcome])
            except Exception as error:  # noqa: BLE001 - one item must not hold up the rest; it is raised below
                failure = failure or error
        if failure is not None:
            raise failure

    def _record(self, session: Session, outcomes: Sequence[Outcome]) -> None:
        pids = [sent.process_pid for sent, _ in outcomes if sent.process_pid is not None]
        processes = store.lock_processes(session, pids) if pids else {}
        items = store.lock_items(session, [sent.id for sent, _ in outcomes])
        for sent, answer in outcomes:
            item = items.get(sent.id)
            if item is None:  # it had been settled for so long that its row was removed
                continue
            if sent.process_pid is None:
                self._record_entry(session, item, sent, answer)
            else:
                self._record_message(session, processes[sent.process_pid], item, sent, answer)

    def _record_message(
        self, session: Session, process: Process, item: OutboxItem, sent: OutboxItem, answer: Answer
    ) -> None:
        verdict = outbox.judge_peer(item, answer, self._steps.clock(), self._patience, self._begun)
        if verdict is Verdict.AGAIN:
            self._postpone(session, item, sent, answer)
        elif verdict is Verdict.TAKEN:
            self._taken(session, process, item, answer)
        elif item.state is OutboxState.PENDING:
            self._refused(session, process, item, answer, verdict)

    def _taken(self, session: Session, process: Process, item: OutboxItem, answer: Answer) -> None:
        message = read_any(item.body)
        pending = item.state is OutboxState.PENDING
        named = _adopted(session, process, answer.body) if message.is_initial else process
        if named is None:
            self._mismatched(session, process, item)
            return
        if pending:
            store.close_item(session, item.id, OutboxState.DELIVERED, self._steps.now())
        if pending and not is_ended(process):
            self._steps.enter(session, [as_answered(settle(named, message), answer.body)], acting=True)
        elif named != process:
            named = store.save_process(session, named, self._steps.now())
            if is_ended(named):  # we gave up before we knew whom to tell
                self._steps.notify(session, named, "abandoned", named.reason)

    def _refused(self, session: Session, process: Process, item: OutboxItem, answer: Answer, verdict: Verdict) -> None:
        reasons = _refusal(answer)
        store.close_item(session, item.id, OutboxState.FAILED, self._steps.now(), "; ".join(reasons))
        if is_ended(process):
            return
        log.warning("message refused", process=process.pid, message=item.message_id, status=answer.status)
        message = read_any(item.body)
        if message.event in TERMINATIONS:  # we wanted an end and have one: our reason stands, not theirs
            self._steps.enter(session, [settle(process, message)], acting=False)
            return
        ended = self._steps.end(session, process, reasons)
        # Who does not know the process, or does not answer, need not be told that it is over.
        if verdict is Verdict.REFUSED and answer.status not in {None, 404} and ended.peer_pid is not None:
            self._steps.notify(session, ended, "refused", reasons)

    def _mismatched(self, session: Session, process: Process, item: OutboxItem) -> None:
        """The other end answered with a process id that is not the one it has used, or that is another process's."""
        if item.state is OutboxState.PENDING:
            store.close_item(session, item.id, OutboxState.FAILED, self._steps.now(), "process ids do not match")
        if not is_ended(process):
            if (waiting := store.lock_pending(session, process.pid)) is not None:
                store.close_item(session, waiting.id, OutboxState.CANCELLED, self._steps.now())
            self._steps.end(session, process, ["the other end named another process than before"])

    def _record_entry(self, session: Session, item: OutboxItem, sent: OutboxItem, answer: Answer) -> None:
        verdict = outbox.judge_ledger(answer)
        if verdict is Verdict.AGAIN or item.state is not OutboxState.PENDING:
            self._postpone(session, item, sent, answer)
        elif verdict is Verdict.TAKEN:
            store.close_item(session, item.id, OutboxState.DELIVERED, self._steps.now())
            if self._on_receipt is not None and item.destination == LEDGER:
                self._on_receipt(session, item.reference or item.message_id, answer.body)
        else:
            store.close_item(session, item.id, OutboxState.FAILED, self._steps.now(), "; ".join(_refusal(answer)))
            log.error(
                "refused by the space", destination=item.destination, message=item.message_id, status=answer.status
            )

    def _postpone(self, session: Session, item: OutboxItem, sent: OutboxItem, answer: Answer) -> None:
        if item.state is not OutboxState.PENDING or item.attempts != sent.attempts:
            return  # settled meanwhile, or leased anew by somebody else
        due = instant(self._steps.clock() + outbox.backoff(sent.attempts))
        store.postpone_item(session, item.id, due, answer.error or f"answered {answer.status}")


def with_peer(session: Session, process: Process, peer_pid: str) -> Process | None:
    """`process` with the other end's process id; None if it has another one, or if that one is another process's."""
    if process.peer_pid is not None:
        return process if process.peer_pid == peer_pid else None
    taken = store.process_of_peer(session, process.kind, process.role, process.counterparty, peer_pid)
    return replace(process, peer_pid=peer_pid) if taken is None else None


def _adopted(session: Session, process: Process, answer: Json) -> Process | None:
    member = "consumerPid" if process.role is Role.PROVIDER else "providerPid"
    theirs = answer.get(member) if isinstance(answer, dict) else None
    return with_peer(session, process, theirs) if isinstance(theirs, str) and theirs else process


def _refusal(answer: Answer) -> list[str]:
    """Why the other end refused, in its own words where it gave any."""
    body = answer.body if isinstance(answer.body, dict) else {}
    said = body.get("reason", body.get("detail", []))
    words = [body.get("code"), *(said if isinstance(said, list) else [said])]
    reasons = [str(word)[:MAX_REASON_CHARACTERS] for word in words if word]
    return reasons or [answer.error or f"the other end answered {answer.status}"]
