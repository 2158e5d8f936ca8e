"""The federated catalogue in SQL: the peers, one attempt at each at a time, and what their pages change."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, or_, select, update
from sqlmodel import Session, SQLModel

from connector.crawler.datasets import Entry
from connector.crawler.errors import CrawledPeerUnknown
from connector.crawler.states import Peer, PeerState, Progress, Reason
from connector.crawler.tables import CrawledContentRow, CrawledKeywordRow, CrawledPeerRow, CrawledRow
from hexi.canonical import encode, parse

_TABLES = SQLModel.metadata.tables
_PEERS, _DATASETS, _CONTENT, _KEYWORDS = (
    _TABLES[str(row.__tablename__)] for row in (CrawledPeerRow, CrawledRow, CrawledContentRow, CrawledKeywordRow)
)
_P, _D = _PEERS.c, _DATASETS.c
# Values in one condition; SQLite takes 32,766, and PostgreSQL 65,535.
_AT_ONCE = 1_000
_FREE = {"lease": None, "holder": None, "leased_until": None}


@dataclass(frozen=True)
class Leased:
    """A peer that nobody else asks meanwhile, as it stood when it was taken. `lease` names this attempt."""

    id: int
    lease: str
    peer: Peer


@dataclass(frozen=True)
class Taken:
    """What a page changed."""

    added: int
    changed: int


def peers(session: Session) -> list[Peer]:
    """All of them, in the order they were added."""
    return [_peer(row) for row in session.execute(select(_PEERS).order_by(_P.id))]


def peer(session: Session, did: str) -> Peer:
    """One of them. Raises `CrawledPeerUnknown`."""
    found = find(session, did)
    if found is None:
        raise CrawledPeerUnknown(f"the catalogue of {did} is not crawled; add it with: hexi connector federated add")
    return found


def find(session: Session, did: str) -> Peer | None:
    """One of them, if there is such a one."""
    row = session.execute(select(_PEERS).where(_P.did == did)).one_or_none()
    return None if row is None else _peer(row)


def count_by_hand(session: Session) -> int:
    """How many were named by hand."""
    return int(session.execute(select(func.count()).where(_P.by_hand)).scalar_one())


def incomplete(session: Session) -> tuple[str, ...]:
    """The peers that take part and whose catalogue was never read to its end."""
    never = select(_P.did).where(_P.completed.is_(None), _P.state != PeerState.GONE.value).order_by(_P.id)
    return tuple(session.execute(never).scalars())


def dataset_counts(session: Session) -> dict[str, int]:
    """How many datasets are shown of each peer that has any, by DID."""
    counted = select(_P.did, func.count()).join(_DATASETS, _D.peer == _P.id).group_by(_P.did)
    return {row[0]: row[1] for row in session.execute(counted)}


def put(session: Session, changed: Peer) -> None:
    """Keep a peer as it is now, new or not. An attempt under way no longer counts: it began with another one."""
    values = _columns(changed) | _FREE
    known = session.execute(select(_P.id).where(_P.did == changed.did).with_for_update()).scalar()
    if known is None:
        session.execute(_PEERS.insert().values(values))
    else:
        session.execute(update(_PEERS).where(_P.id == known).values(values))


def remove(session: Session, did: str) -> None:
    """Forget a peer and all that was found there."""
    drop(session, did)
    session.execute(delete(_PEERS).where(_P.did == did))


def drop(session: Session, did: str) -> int:
    """Show nothing of a peer any more; returns how many datasets that were."""
    return _delete(session, _D.peer == select(_P.id).where(_P.did == did).scalar_subquery())


def hasten(session: Session, did: str, due: str) -> None:
    """A peer is due then; what is under way goes on."""
    session.execute(update(_PEERS).where(_P.did == did).values(due=due))


def is_anything_due(session: Session, now: str, *, quick: bool) -> bool:
    """Whether a peer waits to be asked."""
    return bool(session.execute(select(exists().where(*_due(now, quick)))).scalar())


def lease(session: Session, now: str, until: str, holder: str, *, quick: bool) -> Leased | None:
    """The peer that waits longest, for `holder` alone until then; only one that was not `slow` if `quick`."""
    waiting = select(_PEERS).where(*_due(now, quick)).order_by(_P.due, _P.id).limit(1).with_for_update(skip_locked=True)
    row = session.execute(waiting).one_or_none()
    if row is None:
        return None
    name = str(uuid.uuid4())
    taken = {"lease": name, "holder": holder, "leased_until": until}
    session.execute(update(_PEERS).where(_P.id == row.id).values(taken))
    return Leased(row.id, name, _peer(row))


def holds(session: Session, leased: Leased) -> bool:
    """Whether the attempt still counts; until the transaction ends nobody else changes the peer."""
    query = select(_P.id).where(_P.id == leased.id, _P.lease == leased.lease).with_for_update()
    return session.execute(query).scalar() is not None


def save(session: Session, leased: Leased, changed: Peer) -> None:
    """Keep what became of the attempt, which is over."""
    session.execute(update(_PEERS).where(_P.id == leased.id).values(_columns(changed) | _FREE))


def release(session: Session, is_alive: Callable[[str], bool]) -> int:
    """Take the peers back from attempts whose process is gone; returns how many."""
    held = session.execute(select(_P.id, _P.holder).where(_P.holder.is_not(None)).with_for_update())
    orphans = [row.id for row in held if not is_alive(row.holder)]
    for some in _portions(orphans):
        session.execute(update(_PEERS).where(_P.id.in_(some)).values(_FREE))
    return len(orphans)


def take(session: Session, peer_id: int, generation: int, entries: Sequence[Entry], now: str) -> Taken:
    """Write down what a page shows: datasets that are new or changed, and of all of them that this crawl saw them."""
    known: dict[str, tuple[int, str]] = {}
    for some in _portions([entry.identifier for entry in entries]):
        found = select(_D.identifier, _D.sequence, _D.digest).where(_D.peer == peer_id, _D.identifier.in_(some))
        known |= {row.identifier: (row.sequence, row.digest) for row in session.execute(found)}
    new = [entry for entry in entries if entry.identifier not in known]
    changed = {
        known[one.identifier][0]: one
        for one in entries
        if one.identifier in known and known[one.identifier][1] != one.digest
    }
    for some in _portions([sequence for sequence, _ in known.values()]):
        session.execute(update(_DATASETS).where(_D.sequence.in_(some)).values(generation=generation))
    _change(session, changed, now)
    _add(session, peer_id, generation, new, now)
    return Taken(len(new), len(changed))


def sweep(session: Session, peer_id: int, generation: int) -> int:
    """Show no more of a peer what its crawl of this generation did not see; returns how many datasets that were."""
    return _delete(session, _D.peer == peer_id, _D.generation < generation)


def _add(session: Session, peer_id: int, generation: int, entries: Sequence[Entry], now: str) -> None:
    if not entries:
        return
    connection = session.connection()
    rows = [
        {
            "peer": peer_id,
            "identifier": one.identifier,
            "digest": one.digest,
            "generation": generation,
            "theme": one.theme,
        }
        for one in entries
    ]
    inserted = _DATASETS.insert().returning(_D.sequence, _D.identifier)
    sequences = {row.identifier: row.sequence for row in connection.execute(inserted, rows)}
    connection.execute(
        _CONTENT.insert(), [_content(one, now) | {"sequence": sequences[one.identifier]} for one in entries]
    )
    _add_keywords(session, {sequences[one.identifier]: one for one in entries})


def _change(session: Session, changed: Mapping[int, Entry], now: str) -> None:
    if not changed:
        return
    connection = session.connection()
    narrow = [{"of": sequence, "digest": one.digest, "theme": one.theme} for sequence, one in changed.items()]
    connection.execute(
        update(_DATASETS)
        .where(_D.sequence == bindparam("of"))
        .values(digest=bindparam("digest"), theme=bindparam("theme")),
        narrow,
    )
    wide = [_content(one, now) | {"of": sequence} for sequence, one in changed.items()]
    named: dict[str, Any] = {name: bindparam(name) for name in wide[0] if name != "of"}
    connection.execute(update(_CONTENT).where(_CONTENT.c.sequence == bindparam("of")).values(named), wide)
    for some in _portions(list(changed)):
        connection.execute(delete(_KEYWORDS).where(_KEYWORDS.c.sequence.in_(some)))
    _add_keywords(session, changed)


def _add_keywords(session: Session, entries: Mapping[int, Entry]) -> None:
    rows = [{"keyword": word, "sequence": sequence} for sequence, one in entries.items() for word in one.keywords]
    if rows:
        session.connection().execute(_KEYWORDS.insert(), rows)


def _content(entry: Entry, now: str) -> dict[str, Any]:
    name, other = entry.names
    return {
        "title": entry.title,
        "name": name,
        "other_name": other,
        "words": entry.words,
        "dataset": entry.dataset,
        "changed": now,
    }


def _delete(session: Session, *which: Any) -> int:
    gone = select(_D.sequence).where(*which)
    connection = session.connection()
    for table in (_KEYWORDS, _CONTENT):
        connection.execute(delete(table).where(table.c.sequence.in_(gone)))
    return connection.execute(delete(_DATASETS).where(*which)).rowcount


def _due(now: str, quick: bool) -> list[Any]:
    waiting = [_P.due.is_not(None), _P.due <= now, or_(_P.leased_until.is_(None), _P.leased_until <= now)]
    return [*waiting, ~_P.slow] if quick else waiting


def _portions(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _columns(value: Peer) -> dict[str, Any]:
    columns = {field.name: getattr(value, field.name) for field in fields(Peer)}
    for name in ("reason", "progress"):
        columns[name] = None if columns[name] is None else encode(asdict(columns[name])).decode()
    return columns | {"state": value.state.value}


def _peer(row: Any) -> Peer:
    columns = {field.name: getattr(row, field.name) for field in fields(Peer)}
    reason = Reason(**parse(row.reason)) if row.reason else None
    progress = Progress(**parse(row.progress)) if row.progress else None
    return Peer(**columns | {"state": PeerState(row.state), "reason": reason, "progress": progress})
