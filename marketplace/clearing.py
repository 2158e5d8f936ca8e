"""The clearing house: it meters runs off the log, states what is owed, and books what was paid."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from hexi.canonical import Json
from ledger.documents import SignedDocument
from ledger.entries import Kind
from ledger.log import Logged
from marketplace import books_store, metering, orders, settlement, statements, store
from marketplace.errors import NotConcerned, NothingToState, StatementConflict
from marketplace.metering import Anomaly
from marketplace.notary import Notary
from registry.presentation import Caller

# The name under which the log is read for metering.
CURSOR = "metering"
# How many log entries are read at a time.
BATCH = 1000


@dataclass(frozen=True)
class Clearing:
    """Meters, states and settles, always exactly once."""

    notary: Notary
    rule: Mapping[str, int]

    def meter(self, session: Session) -> int:
        """Meter every run that came to the log since the last time; how many there were.

        The cursor's row is locked until the transaction ends, and moves with what was metered: each entry is looked at
        in exactly one committed transaction.
        """
        position, runs = books_store.lock_cursor(session, CURSOR), 0
        while batch := self.notary.log.entries(session, after=position, limit=BATCH):
            for logged in batch:
                match logged.entry.kind:
                    case Kind.PERMIT_ISSUED:
                        self._begin(session, logged)
                    case Kind.RUN_COMPLETED:
                        self._meter(session, logged)
                        runs += 1
            position = batch[-1].index
            books_store.set_cursor(session, CURSOR, position)
        return runs

    def state(
        self, session: Session, caller: Caller, *, statement_id: str | None, consumer: str | None, until: str | None
    ) -> SignedDocument:
        """A statement of what `consumer` used and was not stated yet. The same id is answered with the same statement.

        Raises `NotConcerned`, `StatementConflict`, `NothingToState`.
        """
        consumer, until = consumer or caller.did, until or self.notary.now
        if consumer != caller.did and not caller.is_operator:
            raise NotConcerned("a statement is made for its consumer or by the operator")
        self.meter(session)
        if statement_id and (found := books_store.find_statement(session, statement_id)):
            if found.document["consumer"] != consumer:
                raise StatementConflict("this statement statement_id stands for another statement; take a fresh one")
            return found
        metered = books_store.unstated(session, consumer, until)
        if not metered:
            raise NothingToState("no run was metered since the last statement")
        lines = statements.lines(metered, store.orders_by_id(session, {record.order for record in metered}))
        return self._issue(session, statement_id or _fresh(), consumer, until, lines)

    def settle(self, session: Session, statement: str) -> SignedDocument:
        """Book the payment of `statement` and divide it. Settled before, the first settlement is the answer.

        Raises `StatementUnknown`.
        """
        stated = books_store.statement(session, statement, lock=True)
        if found := books_store.find_settlement(session, statement):
            return found
        document = stated.document
        divided = settlement.shares(document["lines"], self.rule)
        postings = settlement.payment(document["consumer"], document["totalFen"], divided)
        signed = self.notary.sign(
            {
                "type": "settlement",
                "parties": [self.notary.identity.did],
                "id": _fresh(),
                "statement": statement,
                "statementDigest": stated.digest,
                "consumer": document["consumer"],
                "currency": statements.CURRENCY,
                "totalFen": document["totalFen"],
                "rule": dict(self.rule),
                "shares": [{"order": s.order, "account": s.account, "fen": s.fen} for s in divided],
                "postings": [{"account": p.account, "fen": p.fen} for p in postings],
                "settledAt": self.notary.now,
            }
        )
        books_store.add_settlement(session, signed)
        books_store.post(session, signed.document["id"], postings, self.notary.now)
        facts: dict[str, str | int] = {"statement": statement, "total_fen": document["totalFen"]}
        self.notary.record(session, Kind.SETTLEMENT_MADE, signed.document["id"], signed.digest, facts)
        return signed

    def read_statement(self, session: Session, caller: Caller, statement_id: str) -> SignedDocument:
        """The statement, for those it concerns. Raises `NotConcerned`, `StatementUnknown`."""
        found = books_store.statement(session, statement_id)
        # Not to its providers: one would learn from it what another earns.
        if caller.did != found.document["consumer"] and not caller.is_operator:
            raise NotConcerned("a statement is shown to its consumer and the operator")
        return found

    def balances_of(self, session: Session, participant: str) -> dict[str, int]:
        """What `participant` owes (positive) and is owed (negative)."""
        own = {settlement.receivable(participant), settlement.payable(settlement.PROVIDER, participant)}
        return {account: fen for account, fen in books_store.balances(session).items() if account in own}

    def _issue(
        self, session: Session, statement_id: str, consumer: str, until: str, lines: list[Json]
    ) -> SignedDocument:
        document = statements.document(
            statement_id=statement_id,
            operator=self.notary.identity.did,
            consumer=consumer,
            until=until,
            issued_at=self.notary.now,
            lines=lines,
        )
        signed = self.notary.sign(document)
        books_store.add_statement(session, signed)
        books_store.put_on_statement(session, consumer, until, statement_id)
        books_store.post(session, statement_id, settlement.claim(consumer, document["totalFen"]), self.notary.now)
        # No amounts on the public log: what somebody spent is between those on the statement.
        self.notary.record(session, Kind.STATEMENT_ISSUED, statement_id, signed.digest, {"lines": len(lines)})
        return signed

    def _begin(self, session: Session, logged: Logged) -> None:
        """A permit means that somebody serves the orders of its agreement: they can no longer be cancelled."""
        agreement = str(logged.entry.facts.get("agreement", ""))
        for order in store.orders_placed_under(session, agreement, logged.entry.issuer):
            store.set_order(session, replace(order, state=orders.next_state(order.state, orders.Step.BEGIN)))

    def _meter(self, session: Session, logged: Logged) -> None:
        entry = logged.entry
        run = metering.read_run(entry.subject, logged.index, entry.issuer, entry.at, entry.facts)
        if isinstance(run, Anomaly):
            books_store.add_anomaly(session, logged.index, entry.subject, entry.issuer, run)
            return
        order = store.find_order(session, run.order, lock=True)
        judged = metering.judge(run, order, metered_before=books_store.is_metered(session, run.id, run.order))
        if isinstance(judged, Anomaly):
            books_store.add_anomaly(session, logged.index, run.id, run.issuer, judged)
            return
        books_store.add_meter(session, run, judged.order.consumer, judged.units, judged.amount_fen)
        store.set_order(session, judged.order)


def _fresh() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
