"""The catalogue's index in SQL: what a publication changes in it, and one page of it, in two statements at most.

`page` is where it is decided which rows a caller gets: those whose offers are shown to everybody, to the caller by
name, or of which some were judged to admit the caller. What decides of a product's offers who may see them, their
policies in order, is kept once under its digest, however many products have the same.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, and_, delete, false, or_, select, true, update
from sqlmodel import Session, SQLModel

from connector.catalogue.audience import Audience, Terms, audience_of_all
from connector.catalogue.question import Criterion, Match, Property, Wanted, certain_words, pattern
from connector.catalogue.tables import CATALOGUE_GRAMS, CatalogueRow, KeywordRow, ListedRow, RevisionRow, TermsRow
from connector.policies.policy import terms_of
from hexi.canonical import Json, digest, encode, parse
from registry.catalogue import Product
from registry.words import fold
from registry.words import store as word_index

# The datasets that are looked through, one by one, for what is frequent: some 5 ms in either database.
NEAREST = 3_000

_TABLES = SQLModel.metadata.tables
_DATASETS, _KEYWORDS, _TERMS, _LISTED, _REVISION = (
    _TABLES[str(row.__tablename__)] for row in (CatalogueRow, KeywordRow, TermsRow, ListedRow, RevisionRow)
)
_D = _DATASETS.c


def show(session: Session, product: Product, dataset: dict[str, Json], offers: Sequence[Terms]) -> None:
    """From now on the catalogue shows this version of the product, as `dataset`, to those whom `offers`, the terms of
    its policies in their order, let see it. One older than it shows is not."""
    connection = session.connection()
    # First, for it locks: two publications at once are counted, and their terms kept, one after the other.
    connection.execute(update(_REVISION).values(value=_REVISION.c.value + 1))
    known = select(_D.sequence, _D.version, _D.words).where(_D.identifier == product.identifier)
    row = session.execute(known).first()
    if row is not None and row.version > product.version:
        return
    terms, audience = _keep_terms(session, offers)
    text = fold("\n".join([*_both(product.title), *_both(product.description), *product.keywords, product.identifier]))
    values = {
        "identifier": product.identifier,
        "identifier_folded": fold(product.identifier),
        "version": product.version,
        "terms": terms,
        "audience": audience,
        "provider": product.provider,
        "theme": product.theme,
        "region": product.region,
        "title_zh": fold(product.title.zh),
        "title_en": fold(product.title.en),
        "words": text,
        "dataset": encode(dataset).decode(),
    }
    if row is None:
        sequence = connection.execute(_DATASETS.insert().values(values).returning(_D.sequence)).scalar_one()
    else:
        sequence = row.sequence
        word_index.forget(connection, CATALOGUE_GRAMS, {sequence: row.words})
        connection.execute(update(_DATASETS).where(_D.sequence == sequence).values(values))
        connection.execute(delete(_KEYWORDS).where(_KEYWORDS.c.sequence == sequence))
    word_index.keep(connection, CATALOGUE_GRAMS, {sequence: text})
    keywords = {fold(one) for one in product.keywords}
    if keywords:
        connection.execute(_KEYWORDS.insert(), [{"keyword": one, "sequence": sequence} for one in keywords])


def hide(session: Session, identifier: str) -> None:
    """From now on the catalogue does not show this product."""
    connection = session.connection()
    connection.execute(update(_REVISION).values(value=_REVISION.c.value + 1))
    gone = session.execute(select(_D.sequence, _D.words).where(_D.identifier == identifier)).all()
    word_index.forget(connection, CATALOGUE_GRAMS, {row.sequence: row.words for row in gone})
    connection.execute(delete(_KEYWORDS).where(_KEYWORDS.c.sequence.in_([row.sequence for row in gone])))
    connection.execute(delete(_DATASETS).where(_D.identifier == identifier))


def revision(session: Session) -> int:
    """How often the catalogue has changed."""
    return int(session.execute(select(_REVISION.c.value)).scalar_one())


def judged_offers(session: Session) -> dict[str, list[Terms]]:
    """By digest, the offers about which every caller has to be judged."""
    found = session.execute(select(_TERMS.c.digest, _TERMS.c.terms).where(_TERMS.c.audience == Audience.JUDGED))
    return {row.digest: [Terms(terms, access) for access, terms in parse(row.terms)] for row in found}


def page(
    session: Session,
    wanted: Wanted,
    caller: str,
    admitting: Mapping[str, Sequence[int]],
    *,
    nearest: int = NEAREST,
) -> list[tuple[str | int, dict[str, Json]]]:
    """The datasets that `caller` may see and `wanted` asks for, each with its key in the order asked for, and one more
    than its limit if there are more. `admitting` has, by the digest of judged offers, which of them let the caller in:
    the others are not shown. `nearest` datasets are looked through for words before the index of words is asked."""
    key = "identifier" if wanted.by_id else "sequence"
    backwards = wanted.before is not None
    descending = wanted.descending != backwards
    edge = wanted.before if backwards else wanted.after
    there = true() if edge is None else _D[key] < edge if descending else _D[key] > edge
    words = certain_words(wanted.criteria)
    if words:
        # Frequent words are soon found where the page begins; rare ones are for the index, whose list of them is short.
        near = select(_DATASETS).where(there).order_by(_along(_D[key], descending)).limit(nearest).subquery()
        found = _matches(near, wanted, caller, admitting)
        rows = _rows(session, near.c[key], [found], wanted, descending)
        if len(rows) > wanted.limit:
            return _datasets(rows, admitting)
    where = [there, _matches(_DATASETS, wanted, caller, admitting)]
    holding = word_index.holding(session.connection(), CATALOGUE_GRAMS, words)
    if holding is not None:
        where.append(_D.sequence.in_(holding))
    return _datasets(_rows(session, _D[key], where, wanted, descending), admitting)


def _rows(
    session: Session, key: ColumnElement[Any], where: Sequence[ColumnElement[bool]], wanted: Wanted, descending: bool
) -> Sequence[Row[Any, Any, Any]]:
    # The page is picked by keys alone; only its own rows are read whole, however far out it lies.
    keys = select(key).where(*where).order_by(_along(key, descending))
    picked = keys.offset(wanted.offset or None).limit(wanted.limit + 1)
    whole = _D[key.key or ""]
    shown = select(whole, _D.dataset, _D.terms).where(whole.in_(picked)).order_by(_along(whole, descending))
    return session.execute(shown).all()


def _along(key: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    return key.desc() if descending else key


def _datasets(
    rows: Sequence[Row[Any, Any, Any]], admitting: Mapping[str, Sequence[int]]
) -> list[tuple[str | int, dict[str, Json]]]:
    # We have written these ourselves, so the strict reader would only cost time.
    return [(key, _with_offers(json.loads(dataset), admitting.get(terms))) for key, dataset, terms in rows]


def _with_offers(dataset: dict[str, Json], positions: Sequence[int] | None) -> dict[str, Json]:
    if positions is None:
        return dataset
    return dataset | {"hasPolicy": [dataset["hasPolicy"][position] for position in positions]}


def _matches(source: FromClause, wanted: Wanted, caller: str, admitting: Collection[str]) -> ColumnElement[bool]:
    """Whether a row of `source` is asked for and may be seen."""
    c = source.c
    listed = select(_LISTED.c.terms).where(_LISTED.c.participant == caller)
    ways = [c.audience == Audience.EVERYBODY, c.terms.in_(listed)]
    if admitting:
        ways.append(c.terms.in_(sorted(admitting)))
    return and_(or_(*ways), *(_matching(source, one) for one in wanted.criteria))


def _matching(source: FromClause, one: Criterion) -> ColumnElement[bool]:
    c = source.c
    if one.match is Match.CONTAINS:
        words = [word for value in one.values for word in fold(value).split()]
        return and_(true(), *(c.words.contains(word, autoescape=True) for word in words))
    folded = [fold(value) for value in one.values]
    if one.property is Property.KEYWORD:
        return c.sequence.in_(select(_KEYWORDS.c.sequence).where(_KEYWORDS.c.keyword.in_(folded)))
    if one.match is Match.LIKE:
        patterns = [pattern(value) for value in one.values]
        if one.property is Property.THEME:  # codes of capital letters
            patterns = [like.upper() for like in patterns]
        return or_(false(), *(c[name].like(like, escape="\\") for name in _FOLDED[one.property] for like in patterns))
    if one.property is Property.TITLE:
        return or_(c.title_zh.in_(folded), c.title_en.in_(folded))
    return c[_COLUMNS[one.property]].in_(one.values)


_COLUMNS = {
    Property.ID: "identifier",
    Property.THEME: "theme",
    Property.REGION: "region",
    Property.PROVIDER: "provider",
}
# What patterns are compared with.
_FOLDED = {
    Property.ID: ("identifier_folded",),
    Property.TITLE: ("title_zh", "title_en"),
    Property.THEME: ("theme",),
    Property.REGION: ("region",),
}


def _keep_terms(session: Session, offers: Sequence[Terms]) -> tuple[str, Audience]:
    kept: list[Json] = [[offer.access, terms_of(offer.odrl)] for offer in offers]
    name = digest({"offers": kept})
    known = session.execute(select(_TERMS.c.audience).where(_TERMS.c.digest == name)).scalar()
    if known is not None:
        return name, Audience(known)
    audience, listed = audience_of_all([offer.policies for offer in offers])
    connection = session.connection()
    connection.execute(_TERMS.insert().values(digest=name, audience=audience.value, terms=encode(kept).decode()))
    if listed:
        connection.execute(_LISTED.insert(), [{"participant": did, "terms": name} for did in sorted(listed)])
    return name, audience


def _both(text: Any) -> tuple[str, str]:
    return text.zh, text.en
