"""Reading and writing the ledger's tables. Sessions come in as arguments; nothing is decided here."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import Session, col, select, tuple_

from ledger.tables import AnchorRow, EntryRow, HeadRow, TileRow
from ledger.tiles import Place


def lock_head(session: Session) -> HeadRow:
    """The head, held until the transaction ends: PostgreSQL's writers queue here, SQLite's have queued before."""
    # What this session may have read of the head before it held the lock is old.
    query = select(HeadRow).with_for_update().execution_options(populate_existing=True)
    return session.exec(query).one()


def head(session: Session) -> HeadRow:
    """The head as it is now."""
    return session.exec(select(HeadRow).execution_options(populate_existing=True)).one()


def save_head(session: Session, row: HeadRow, size: int, checkpoint: str) -> None:
    """The head moves on."""
    row.size, row.checkpoint = size, checkpoint
    session.add(row)
    session.flush()


def entry(session: Session, index: int) -> EntryRow | None:
    """The entry at `index`."""
    return session.get(EntryRow, index)


def entries_by(session: Session, keys: Iterable[tuple[str, str, str]]) -> Sequence[EntryRow]:
    """What was said before by an issuer of a kind about a subject, for each of `keys`."""
    query = select(EntryRow).where(tuple_(col(EntryRow.issuer), col(EntryRow.kind), col(EntryRow.subject)).in_(keys))
    return session.exec(query).all()


def first_about(session: Session, kind: str, subject: str, issuer: str | None) -> EntryRow | None:
    """The first entry of `kind` about `subject`, by anybody or by `issuer`."""
    query = select(EntryRow).where(EntryRow.kind == kind, EntryRow.subject == subject)
    if issuer is not None:
        query = query.where(EntryRow.issuer == issuer)
    return session.exec(query.order_by(col(EntryRow.index))).first()


def entries(session: Session, kind: str | None, after: int, limit: int) -> Sequence[EntryRow]:
    """Entries in order, from the one after `after`."""
    query = select(EntryRow).where(EntryRow.index > after)
    if kind is not None:
        query = query.where(EntryRow.kind == kind)
    return session.exec(query.order_by(col(EntryRow.index)).limit(limit)).all()


def jws_between(session: Session, first: int, count: int) -> Sequence[str]:
    """The JWS of `count` entries from `first` on."""
    query = select(EntryRow.jws).where(EntryRow.index >= first, EntryRow.index < first + count)
    return session.exec(query.order_by(col(EntryRow.index))).all()


def add_entries(session: Session, rows: Sequence[EntryRow]) -> None:
    """New entries."""
    session.add_all(rows)


def tile(session: Session, level: int, index: int) -> bytes | None:
    """The hashes stored for a tile, at least as many as any published checkpoint counts there."""
    query = select(TileRow.hashes).where(TileRow.level == level, TileRow.index == index)
    return session.exec(query).first()


def tiles(session: Session, places: Sequence[Place]) -> dict[Place, TileRow]:
    """The rows of the tiles at `places`, by place."""
    if not places:
        return {}
    query = select(TileRow).where(tuple_(col(TileRow.level), col(TileRow.index)).in_(places))
    rows = session.exec(query.execution_options(populate_existing=True)).all()
    return {(row.level, row.index): row for row in rows}


def save_tiles(session: Session, rows: Mapping[Place, TileRow], changed: Mapping[Place, bytes]) -> None:
    """Tiles that grew (their row is in `rows`) and new ones."""
    for (level, index), hashes in changed.items():
        row = rows.get((level, index)) or TileRow(level=level, index=index, hashes=b"")
        row.hashes = hashes
        session.add(row)


def add_anchor(session: Session, row: AnchorRow) -> None:
    """A new anchor."""
    session.add(row)
    session.flush()


def anchors(session: Session, limit: int) -> Sequence[AnchorRow]:
    """The newest anchors, newest first."""
    return session.exec(select(AnchorRow).order_by(col(AnchorRow.id).desc()).limit(limit)).all()


def anchor(session: Session, size: int) -> AnchorRow | None:
    """The newest anchor of the checkpoint over `size` entries."""
    query = select(AnchorRow).where(AnchorRow.size == size).order_by(col(AnchorRow.id).desc())
    return session.exec(query).first()
