"""The books: what was metered, stated, settled and posted; values in and out, always in the caller's transaction."""

from collections.abc import Sequence

from sqlmodel import Session, col, func, select, text, update

from hexi.canonical import Json, encode, parse
from ledger.documents import SignedDocument
from marketplace.errors import StatementUnknown
from marketplace.metering import Anomaly, Run
from marketplace.settlement import Posting
from marketplace.statements import Metered
from marketplace.store import PAGE
from marketplace.tables import AnomalyRow, CursorRow, MeterRow, PostingRow, SettlementRow, StatementRow


def lock_cursor(session: Session, name: str) -> int:
    """How far `name` has read; nobody else reads on until the transaction ends. -1 before the first entry."""
    session.execute(
        text("INSERT INTO market_cursor (name, position) VALUES (:name, -1) ON CONFLICT (name) DO NOTHING"),
        {"name": name},
    )
    row = session.exec(
        select(CursorRow).where(CursorRow.name == name).with_for_update(), execution_options={"populate_existing": True}
    ).one()
    return row.position


def set_cursor(session: Session, name: str, position: int) -> None:
    """`name` has read up to `position`, included."""
    row = session.get_one(CursorRow, name)
    row.position = position
    session.add(row)
    session.flush()


def is_metered(session: Session, run: str, order: str) -> bool:
    """Whether this run of this order was metered."""
    return session.get(MeterRow, (run, order)) is not None


def add_meter(session: Session, run: Run, consumer: str, units: int, amount_fen: int) -> None:
    """Meter a run; it stands on no statement yet."""
    session.add(
        MeterRow(
            run=run.id,
            log_index=run.index,
            order_id=run.order,
            consumer=consumer,
            request=run.request,
            units=units,
            amount_fen=amount_fen,
            at=run.at,
            statement="",
        )
    )
    session.flush()


def add_anomaly(session: Session, log_index: int, run: str, issuer: str, anomaly: Anomaly) -> None:
    """Keep a run that was not charged."""
    session.add(AnomalyRow(log_index=log_index, run=run, issuer=issuer, reason=anomaly.reason, detail=anomaly.detail))
    session.flush()


def anomalies(session: Session, *, after: int = -1, limit: int = PAGE) -> list[Json]:
    """Runs that were not charged, by their place in the log."""
    rows = select(AnomalyRow).where(AnomalyRow.log_index > after).order_by(col(AnomalyRow.log_index)).limit(limit)
    return [
        {"index": r.log_index, "run": r.run, "issuer": r.issuer, "reason": r.reason, "detail": r.detail}
        for r in session.exec(rows)
    ]


def unstated(session: Session, consumer: str, until: str) -> list[Metered]:
    """Runs of `consumer` up to `until` that stand on no statement, locked."""
    rows = select(MeterRow).where(MeterRow.consumer == consumer, MeterRow.statement == "", MeterRow.at <= until)
    return [
        Metered(row.run, row.order_id, row.request, row.units, row.amount_fen, row.at)
        for row in session.exec(rows.order_by(MeterRow.run).with_for_update())
    ]


def put_on_statement(session: Session, consumer: str, until: str, statement: str) -> None:
    """What was `unstated` stands on `statement` now. Hold the metering cursor, so that nothing comes in between."""
    runs = update(MeterRow).where(
        col(MeterRow.consumer) == consumer, col(MeterRow.statement) == "", col(MeterRow.at) <= until
    )
    session.execute(runs.values(statement=statement))


def add_statement(session: Session, signed: SignedDocument) -> None:
    """Keep a statement."""
    document = signed.document
    session.add(
        StatementRow(
            id=document["id"],
            consumer=document["consumer"],
            until=document["until"],
            total_fen=document["totalFen"],
            signed=_store(signed.to_json()),
        )
    )
    session.flush()


def find_statement(session: Session, statement_id: str, *, lock: bool = False) -> SignedDocument | None:
    """The statement, if there is one."""
    row = session.get(StatementRow, statement_id, with_for_update=lock)
    return SignedDocument.from_json(parse(row.signed)) if row else None


def statement(session: Session, statement_id: str, *, lock: bool = False) -> SignedDocument:
    """Raises `StatementUnknown`."""
    if (found := find_statement(session, statement_id, lock=lock)) is None:
        raise StatementUnknown(f"no statement {statement_id!r}")
    return found


def statements(session: Session, consumer: str | None = None) -> list[SignedDocument]:
    """Statements, of one consumer or all, by id."""
    rows = select(StatementRow).order_by(StatementRow.id)
    if consumer:
        rows = rows.where(StatementRow.consumer == consumer)
    return [SignedDocument.from_json(parse(row.signed)) for row in session.exec(rows)]


def find_settlement(session: Session, statement: str) -> SignedDocument | None:
    """The settlement of a statement, if it was settled."""
    row = session.exec(select(SettlementRow).where(SettlementRow.statement == statement)).first()
    return SignedDocument.from_json(parse(row.signed)) if row else None


def add_settlement(session: Session, signed: SignedDocument) -> None:
    """Keep a settlement. Lock its statement before."""
    document = signed.document
    session.add(SettlementRow(id=document["id"], statement=document["statement"], signed=_store(signed.to_json())))
    session.flush()


def settlements(session: Session) -> list[SignedDocument]:
    """All settlements, by id."""
    rows = session.exec(select(SettlementRow).order_by(SettlementRow.id))
    return [SignedDocument.from_json(parse(row.signed)) for row in rows]


def post(session: Session, journal: str, postings: Sequence[Posting], at: str) -> None:
    """Write a journal."""
    session.add_all(
        PostingRow(journal=journal, number=number, account=posting.account, fen=posting.fen, at=at)
        for number, posting in enumerate(postings)
    )
    session.flush()


def balances(session: Session) -> dict[str, int]:
    """What stands on each account, by its name."""
    rows = select(PostingRow.account, func.sum(PostingRow.fen)).group_by(PostingRow.account)
    return {account: int(fen) for account, fen in session.exec(rows.order_by(PostingRow.account))}


def _store(value: Json) -> str:
    return encode(value).decode()
