"""Searching what was found at all peers, in SQL: one page of it, and how much there is of what."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, true
from sqlmodel import Session, SQLModel

from connector.catalogue.datasets import formats_of, offers_of
from connector.catalogue.errors import FilterUnsupported
from connector.catalogue.question import Criterion, Match, Property, Wanted, pattern
from connector.crawler.tables import CrawledContentRow, CrawledKeywordRow, CrawledPeerRow, CrawledRow
from hexi.canonical import Json
from registry.words import fold

_TABLES = SQLModel.metadata.tables
_PEERS, _DATASETS, _CONTENT, _KEYWORDS = (
    _TABLES[str(row.__tablename__)] for row in (CrawledPeerRow, CrawledRow, CrawledContentRow, CrawledKeywordRow)
)
_P, _D, _C = _PEERS.c, _DATASETS.c, _CONTENT.c
# Values counted of each facet: those that most datasets have.
MAX_FACET_VALUES = 20


def page(session: Session, wanted: Wanted) -> list[tuple[str | int, dict[str, Json]]]:
    """The datasets that `wanted` asks for, each with its key, in the order of their discovery; one more than its limit
    if there are more. Raises `FilterUnsupported` for what is not known of datasets of others."""
    if wanted.by_id:
        raise FilterUnsupported("what was found at others is in the order of its discovery; it is not sorted by id")
    backwards = wanted.before is not None
    descending = wanted.descending != backwards
    keys = _found(wanted.criteria)
    edge = wanted.before if backwards else wanted.after
    if edge is not None:
        keys = keys.where(_D.sequence < edge if descending else _D.sequence > edge)
    order = _D.sequence.desc() if descending else _D.sequence
    # The page is picked by keys alone; only its own rows are read whole, however far out it lies.
    keys = keys.order_by(order).offset(wanted.offset or None).limit(wanted.limit + 1)
    shown = (
        select(_D.sequence, _P.did, _C.title, _C.changed, _C.dataset)
        .join(_PEERS, _P.id == _D.peer)
        .join(_CONTENT, _C.sequence == _D.sequence)
        .where(_D.sequence.in_(keys))
        .order_by(order)
    )
    return [(row.sequence, _shown(row)) for row in session.execute(shown)]


def facets(session: Session, criteria: Sequence[Criterion]) -> dict[str, list[tuple[str, int]]]:
    """How many of the datasets that match are by which provider, of which theme, with which keyword: the most first."""
    keyword, number = _KEYWORDS.c.keyword, func.count().label("number")
    counted = {
        "provider": select(_P.did, number).join(_DATASETS, _D.peer == _P.id),
        "theme": select(_D.theme, number).where(_D.theme != ""),
        "keyword": select(keyword, number).join(_DATASETS, _D.sequence == _KEYWORDS.c.sequence),
    }
    found = [] if not criteria else [_D.sequence.in_(_found(criteria))]
    return {name: _most(session, query.where(*found), number) for name, query in counted.items()}


def _most(session: Session, query: Select[Any], number: ColumnElement[int]) -> list[tuple[str, int]]:
    value = query.selected_columns[0]
    rows = session.execute(query.group_by(value).order_by(number.desc(), value).limit(MAX_FACET_VALUES))
    return [(row[0], row[1]) for row in rows]


def _found(criteria: Sequence[Criterion]) -> Select[Any]:
    """The sequences of the datasets that match."""
    found = select(_D.sequence).where(*map(_matching, criteria))
    if any(one.property in {Property.TITLE, Property.TEXT} for one in criteria):
        found = found.join(_CONTENT, _C.sequence == _D.sequence)
    return found


def _shown(row: Any) -> dict[str, Json]:
    # We have written this ourselves, so the strict reader would only cost time.
    dataset = json.loads(row.dataset)
    return {
        "provider": row.did,
        "id": dataset["@id"],
        "title": row.title,
        "formats": formats_of(dataset),
        "offers": offers_of(dataset),
        "changed": row.changed,
        "dataset": dataset,
    }


def _matching(one: Criterion) -> ColumnElement[bool]:
    if one.match is Match.CONTAINS:
        words = [word for value in one.values for word in fold(value).split()]
        return and_(true(), *(_C.words.contains(word, autoescape=True) for word in words))
    folded = [fold(value) for value in one.values]
    match one.property:
        case Property.ID:
            return _either(_D.identifier, one.match, one.values)
        case Property.THEME:
            return _either(_D.theme, one.match, one.values)
        case Property.TITLE:
            return or_(_either(_C.name, one.match, folded), _either(_C.other_name, one.match, folded))
        case Property.KEYWORD:
            return _D.sequence.in_(select(_KEYWORDS.c.sequence).where(_KEYWORDS.c.keyword.in_(folded)))
        case Property.PROVIDER:
            return _D.peer.in_(select(_P.id).where(_either(_P.did, one.match, one.values)))
    raise FilterUnsupported(f"datasets of others cannot be found by {one.property}: their catalogues do not say it")


def _either(column: Any, match: Match, values: Collection[str]) -> ColumnElement[bool]:
    if match is Match.LIKE:
        return or_(false(), *(func.lower(column).like(pattern(value), escape="\\") for value in values))
    return column.in_(values)  # type: ignore[no-any-return]
