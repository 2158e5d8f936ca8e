"""What people list and count: processes, agreements, products and evidence, filtered and paged in SQL.

Every listing is newest first, by the instant of creation and then by identifier, so that cursors are exact.
"""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col, func, select, tuple_
from sqlmodel.sql.expression import SelectOfScalar

from connector.contracts import product_store
from connector.contracts import store as business_store
from connector.contracts.products import PublishedProduct
from connector.contracts.store import HeldAgreement, RecordedEvidence
from connector.contracts.tables import AgreementRow, EvidenceRow, ProductRow, ResourceRow
from connector.management.paging import Cursor, Page
from connector.protocol import store
from connector.protocol.history import Received, Sent
from connector.protocol.outbox_items import PEER, OutboxState
from connector.protocol.processes import Kind, Process
from connector.protocol.tables import InboxRow, OutboxRow, ProcessRow
from hexi.canonical import parse

# The most messages of one direction that a history shows.
MAX_MESSAGES = 1_000

Row = TypeVar("Row", bound=SQLModel)
Query = TypeVar("Query", bound=Select[Any])


def processes(session: Session, kind: Kind, wanted: dict[str, str], cursor: Cursor | None, limit: int) -> Page[Process]:
    """Processes of a kind. `wanted` names columns (state, role, counterparty, dataset_id, agreement_id) and values."""
    columns = store.PROCESSES.selected_columns
    query = store.PROCESSES.where(columns["kind"] == kind, *(columns[name] == wanted[name] for name in wanted))
    rows = session.connection().execute(_page(query, columns["created"], columns["pid"], cursor, limit)).all()
    return Page.of(rows, limit, store.process_of_row, lambda row: Cursor(row.created, row.pid))


def messages(session: Session, pid: str) -> tuple[list[Received], list[Sent]]:
    """The later messages of a process that were received, and all that were sent: the oldest, and not without end."""
    taken = select(InboxRow).where(InboxRow.pid == pid).order_by(col(InboxRow.received)).limit(MAX_MESSAGES)
    queued = select(OutboxRow).where(OutboxRow.process_pid == pid).order_by(col(OutboxRow.id)).limit(MAX_MESSAGES)
    return [_received(row) for row in session.exec(taken)], [_sent(row) for row in session.exec(queued)]


def _received(row: InboxRow) -> Received:
    name, _, said = row.message_key.partition(" ")
    # The engine keeps a digest for a message that had no @id.
    message_id = None if said.startswith("sha256:") else said
    return Received(name, message_id, row.received, tuple(parse(row.reason)) if row.reason else ())


def _sent(row: OutboxRow) -> Sent:
    return Sent(
        row.message_id,
        parse(row.body),
        OutboxState(row.state),
        row.attempts,
        row.not_before,
        row.settled,
        row.last_error,
    )


def agreements(
    session: Session, wanted: dict[str, str], product: str | None, cursor: Cursor | None, limit: int
) -> Page[HeldAgreement]:
    """Agreements. `wanted` names columns (state, role, counterparty); `product` is what was negotiated over."""
    query = _matching(select(AgreementRow), AgreementRow, wanted)
    if product is not None:
        negotiation = col(ProcessRow.pid) == col(AgreementRow.negotiation)
        query = query.join(ProcessRow, negotiation).where(col(ProcessRow.dataset_id) == product)
    rows = session.exec(_page(query, col(AgreementRow.created), col(AgreementRow.id), cursor, limit)).all()
    return Page.of(rows, limit, business_store.held_of, lambda row: Cursor(row.created, row.id))


def products(session: Session, resource: str | None, cursor: Cursor | None, limit: int) -> Page[PublishedProduct]:
    """The newest published version of every product."""
    query = select(ProductRow).where(*_on_offer())
    if resource is not None:
        query = query.where(ProductRow.resource == resource)
    rows = session.exec(_page(query, col(ProductRow.created), col(ProductRow.identifier), cursor, limit)).all()
    return Page.of(rows, limit, product_store.published_of, lambda row: Cursor(row.created, row.identifier))


def evidence(
    session: Session, wanted: dict[str, str], waiting: bool | None, cursor: Cursor | None, limit: int
) -> Page[RecordedEvidence]:
    """Entries sealed here. `waiting`: only those whose receipt has not come, or only those whose has."""
    query = _matching(select(EvidenceRow), EvidenceRow, wanted)
    if waiting is not None:
        receipt = col(EvidenceRow.receipt)
        query = query.where(receipt.is_(None) if waiting else receipt.is_not(None))
    key = col(EvidenceRow.kind) + " " + col(EvidenceRow.subject)
    rows = session.exec(_page(query, col(EvidenceRow.created), key, cursor, limit)).all()
    return Page.of(rows, limit, business_store.recorded_of, lambda r: Cursor(r.created, f"{r.kind} {r.subject}"))


def counts(session: Session) -> dict[str, Any]:
    """How many there are of what `business_answers.Status` counts."""
    published = select(func.count()).select_from(ProductRow).where(*_on_offer())
    entries = select(func.count()).select_from(EvidenceRow)
    return {
        "resources": session.exec(select(func.count()).select_from(ResourceRow)).one(),
        "products": session.exec(published).one(),
        "agreements": session.exec(select(func.count()).select_from(AgreementRow)).one(),
        "evidence": {
            "total": session.exec(entries).one(),
            "waiting": session.exec(entries.where(col(EvidenceRow.receipt).is_(None))).one(),
        },
        "messages": {
            "waiting": store.count_items(session, PEER, OutboxState.PENDING),
            "failed": store.count_items(session, PEER, OutboxState.FAILED),
        },
    }


def _on_offer() -> tuple[ColumnElement[bool], ...]:
    """What makes a row the newest version of a product that was published and not withdrawn."""
    return col(ProductRow.published).is_not(None), col(ProductRow.withdrawn).is_(None), ~_superseded()


def _superseded() -> ColumnElement[bool]:
    """Whether a newer version of a row's product has been published."""
    newer = aliased(ProductRow)
    return (
        select(newer.version)
        .where(
            newer.identifier == ProductRow.identifier,
            newer.version > ProductRow.version,
            col(newer.published).is_not(None),
        )
        .exists()
    )


def _matching(query: SelectOfScalar[Row], table: type[Row], wanted: dict[str, str]) -> SelectOfScalar[Row]:
    for column, value in wanted.items():
        query = query.where(getattr(table, column) == value)
    return query


def _page(query: Query, created: Any, key: Any, cursor: Cursor | None, limit: int) -> Query:
    """One row more than the page, so that it is known whether another page follows."""
    if cursor is not None:
        query = query.where(tuple_(created, key) < (cursor.created, cursor.id))
    return query.order_by(created.desc(), key.desc()).limit(limit + 1)
