"""The catalogue's index in SQL: what a publication changes in it, and one page of it, in at most three statements.

`page` is where it is decided which rows a caller gets: those whose offers are shown to everybody, to the caller by
name, or of which some were judged to admit the caller. What decides of a product's offers who may see them, their
policies in order, is kept once under its digest, however many products have the same.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, false, func, or_, select, true, update
from sqlmodel import Session, SQLModel

from connector.catalogue.audience import Audience, audience_of_all
from connector.catalogue.question import Criterion, Match, Property, Wanted, fold
from connector.catalogue.tables import CatalogueRow, KeywordRow, ListedRow, RevisionRow, TermsRow
from connector.contracts.offers import ProductOffer
from connector.contracts.products import PublishedProduct, dataset_of
from connector.contracts.tables import ProductRow
from connector.policies.policy import terms_of
from hexi.canonical import Json, digest, encode, parse

_TABLES = SQLModel.metadata.tables
_DATASETS, _KEYWORDS, _TERMS, _LISTED, _REVISION = (
    _TABLES[str(row.__tablename__)] for row in (CatalogueRow, KeywordRow, TermsRow, ListedRow, RevisionRow)
)
_D = _DATASETS.c


def show(session: Session, published: PublishedProduct, offers: Sequence[ProductOffer]) -> None:
    """From now on the catalogue shows this version of its product, with `offers`. One older than it shows is not."""
    product, connection = published.product, session.connection()
    # First, for it locks: two publications at once are counted, and their terms kept, one after the other.
    connection.execute(update(_REVISION).values(value=_REVISION.c.value + 1))
    row = session.execute(select(_D.sequence, _D.version).where(_D.identifier == product.identifier)).first()
    if row is not None and row.version > product.version:
        return
    terms, audience = _keep_terms(session, offers)
    values = {
        "identifier": product.identifier,
        "version": product.version,
        "terms": terms,
        "audience": audience,
        "provider": product.provider,
        "theme": product.theme,
        "region": product.region,
        "title_zh": fold(product.title.zh),
        "title_en": fold(product.title.en),
        "words": fold(
            "\n".join([*_both(product.title), *_both(product.description), *product.keywords, product.identifier])
        ),
        "dataset": encode(dataset_of(published, [offer.odrl for offer in offers])).decode(),
    }
    if row is None:
        sequence = connection.execute(_DATASETS.insert().values(values).returning(_D.sequence)).scalar_one()
    else:
        sequence = row.sequence
        connection.execute(update(_DATASETS).where(_D.sequence == sequence).values(values))
        connection.execute(delete(_KEYWORDS).where(_KEYWORDS.c.sequence == sequence))
    keywords = {fold(one) for one in product.keywords}
    if keywords:
        connection.execute(_KEYWORDS.insert(), [{"keyword": one, "sequence": sequence} for one in keywords])


def hide(session: Session, identifier: str) -> None:
    """From now on the catalogue does not show this product."""
    connection = session.connection()
    connection.execute(update(_REVISION).values(value=_REVISION.c.value + 1))
    gone = select(_D.sequence).where(_D.identifier == identifier)
    connection.execute(delete(_KEYWORDS).where(_KEYWORDS.c.sequence.in_(gone)))
    connection.execute(delete(_DATASETS).where(_D.identifier == identifier))


def not_shown(session: Session) -> list[tuple[str, int]]:
    """The newest published versions that the index does not know of: those from before there was an index."""
    products = _TABLES[str(ProductRow.__tablename__)].c
    newest = (
        select(products.identifier, func.max(products.version).label("version"))
        .where(products.published.is_not(None), products.withdrawn.is_(None))
        .group_by(products.identifier)
        .subquery()
    )
    missing = select(newest).outerjoin(_DATASETS, _D.identifier == newest.c.identifier).where(_D.identifier.is_(None))
    return [(row.identifier, row.version) for row in session.execute(missing)]


def revision(session: Session) -> int:
    """How often the catalogue has changed."""
    return int(session.execute(select(_REVISION.c.value)).scalar_one())


def judged_offers(session: Session) -> dict[str, list[ProductOffer]]:
    """By digest, the offers about which every caller has to be judged: their terms and policies of access only."""
    found = session.execute(select(_TERMS.c.digest, _TERMS.c.terms).where(_TERMS.c.audience == Audience.JUDGED))
    return {row.digest: [ProductOffer(terms, access) for access, terms in parse(row.terms)] for row in found}


def page(
    session: Session, wanted: Wanted, caller: str, admitting: Mapping[str, Sequence[int]]
) -> list[tuple[str | int, dict[str, Json]]]:
    """The datasets that `caller` may see and `wanted` asks for, each with its key in the order asked for, and one more
    than its limit if there are more. `admitting` has, by the digest of judged offers, which of them let the caller in:
    the others are not shown."""
    key = _D.identifier if wanted.by_id else _D.sequence
    backwards = wanted.before is not None
    descending = wanted.descending != backwards
    where = [_visible(caller, admitting), *(_matching(one) for one in wanted.criteria)]
    edge = wanted.before if backwards else wanted.after
    if edge is not None:
        where.append(key < edge if descending else key > edge)
    order = key.desc() if descending else key
    # The page is picked by keys alone; only its own rows are read whole, however far out it lies.
    keys = select(key).where(*where).order_by(order).offset(wanted.offset or None).limit(wanted.limit + 1)
    shown = select(key, _D.dataset, _D.terms).where(key.in_(keys)).order_by(order)
    # We have written these ourselves, so the strict reader would only cost time.
    return [(row[0], _with_offers(json.loads(row[1]), admitting.get(row[2]))) for row in session.execute(shown)]


def _with_offers(dataset: dict[str, Json], positions: Sequence[int] | None) -> dict[str, Json]:
    if positions is None:
        return dataset
    return dataset | {"hasPolicy": [dataset["hasPolicy"][position] for position in positions]}


def _visible(caller: str, admitting: Collection[str]) -> ColumnElement[bool]:
    listed = select(_LISTED.c.terms).where(_LISTED.c.participant == caller)
    ways = [_D.audience == Audience.EVERYBODY, _D.terms.in_(listed)]
    if admitting:
        ways.append(_D.terms.in_(sorted(admitting)))
    return or_(*ways)


def _matching(one: Criterion) -> ColumnElement[bool]:
    if one.match is Match.CONTAINS:
        words = [word for value in one.values for word in fold(value).split()]
        return and_(true(), *(_D.words.contains(word, autoescape=True) for word in words))
    match one.property:
        case Property.KEYWORD:
            having = select(_KEYWORDS.c.sequence).where(_KEYWORDS.c.keyword.in_([fold(value) for value in one.values]))
            return _D.sequence.in_(having)
        case Property.TITLE:
            folded = [fold(value) for value in one.values]
            return or_(_either(_D.title_zh, one.match, folded), _either(_D.title_en, one.match, folded))
    return _either(_COLUMNS[one.property], one.match, one.values)


_COLUMNS = {
    Property.ID: _D.identifier,
    Property.THEME: _D.theme,
    Property.REGION: _D.region,
    Property.PROVIDER: _D.provider,
}


def _either(column: Any, match: Match, values: Collection[str]) -> ColumnElement[bool]:
    if match is Match.LIKE:
        return or_(false(), *(column.like(value) for value in values))
    return column.in_(values)  # type: ignore[no-any-return]


def _keep_terms(session: Session, offers: Sequence[ProductOffer]) -> tuple[str, Audience]:
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
