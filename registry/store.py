"""Reading and writing the registry's tables. Sessions come in as arguments; nothing is decided here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, Select, bindparam, case, delete, text, true, union_all
from sqlalchemy import select as sql_select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col, select, tuple_

from hexi.canonical import encode, parse
from registry.errors import (
    ApplicationConflict,
    ApplicationUnknown,
    IdentifierUnknown,
    ParticipantUnknown,
    ProductUnknown,
)
from registry.participants import Participant, ParticipantStatus, Role
from registry.search import (
    EVERYTHING,
    FACETS,
    MAX_COUNTED,
    MAX_FACET_VALUES,
    NEWEST,
    Found,
    Place,
    Query,
    counted,
    divisions,
    facets,
    most_frequent,
    within,
)
from registry.tables import CATALOGUE_GRAMS, CatalogueRow, DivisionRow, IdentifierRow, ParticipantRow, ProductRow
from registry.words import store as word_index

# Applications and participants listed at once, at most: a space has hundreds, not thousands.
MAX_LISTED = 1_000

_CATALOGUE = SQLModel.metadata.tables[str(CatalogueRow.__tablename__)]
_P = SQLModel.metadata.tables[str(ProductRow.__tablename__)].c
_NEWEST_SIGNED = (
    sql_select(_P.signed).where(_P.identifier == bindparam("of_identifier")).order_by(_P.version.desc()).limit(1)
)
_C, _D = _CATALOGUE.c, SQLModel.metadata.tables[str(DivisionRow.__tablename__)].c
# What is read of a product to count it.
_PLACE = ("position", "theme", "region", "provider", "personal", "modes")
# Adding to a count, in one statement for both engines.
_ADD = text(
    "INSERT INTO registry_catalogue_division AS known (within, facet, value, name, products)"
    " VALUES (:within, :facet, :value, :name, :products)"
    " ON CONFLICT (within, facet, value) DO UPDATE SET products = known.products + excluded.products,"
    " name = CASE WHEN excluded.name = '' THEN known.name ELSE excluded.name END"
)

_DECIDED = (ParticipantStatus.ACTIVE.value, ParticipantStatus.REVOKED.value)


def application(session: Session, application_id: str, *, lock: bool = False) -> ParticipantRow:
    """The application with this id; with `lock` nobody else decides on it meanwhile. Raises `ApplicationUnknown`."""
    query = select(ParticipantRow).where(ParticipantRow.id == application_id)
    row = session.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise ApplicationUnknown(f"there is no application {application_id}")
    return row


def live_application(session: Session, did: str) -> ParticipantRow | None:
    """The application of `did` that was not rejected, if any."""
    query = select(ParticipantRow).where(ParticipantRow.did == did)
    return session.exec(query.where(ParticipantRow.status != ParticipantStatus.REJECTED.value)).first()


def applications(session: Session) -> Sequence[ParticipantRow]:
    """All applications, the undecided and the newest first."""
    undecided = case((col(ParticipantRow.status) == ParticipantStatus.APPLIED.value, 0), else_=1)
    query = select(ParticipantRow).order_by(undecided, col(ParticipantRow.applied).desc(), col(ParticipantRow.id))
    return session.exec(query.limit(MAX_LISTED)).all()


def participant_row(session: Session, did: str, *, lock: bool = False) -> ParticipantRow:
    """The row of the participant `did`, active or revoked. Raises `ParticipantUnknown`."""
    query = select(ParticipantRow).where(ParticipantRow.did == did, col(ParticipantRow.status).in_(_DECIDED))
    row = session.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise ParticipantUnknown(f"{did} is not a participant of this space")
    return row


def participant(session: Session, did: str) -> Participant:
    """The participant `did`, active or revoked. Raises `ParticipantUnknown`."""
    return as_participant(participant_row(session, did))


def participants(session: Session, after: str | None = None, limit: int = MAX_LISTED) -> list[Participant]:
    """Whoever is or was a participant, in the order of application: a page of them, those `after` this DID.

    Raises `ParticipantUnknown` if there was never such a participant.
    """
    applied, id_ = col(ParticipantRow.applied), col(ParticipantRow.id)
    query = select(ParticipantRow).where(col(ParticipantRow.status).in_(_DECIDED))
    if after is not None:
        last = participant_row(session, after)
        query = query.where(tuple_(applied, id_) > (last.applied, last.id))
    return [as_participant(row) for row in session.exec(query.order_by(applied, id_).limit(limit)).all()]


def as_participant(row: ParticipantRow) -> Participant:
    """The frozen value of a row."""
    return Participant(
        did=row.did,
        name=row.name,
        name_zh=row.name_zh,
        owner_code=row.owner_code,
        identifier=row.identifier,
        roles=frozenset(Role(role) for role in parse(row.roles)),
        status=ParticipantStatus(row.status),
        document=parse(row.document),
        dsp_url=row.dsp_url,
        region=row.region,
    )


def add(session: Session, row: ParticipantRow | IdentifierRow | ProductRow | CatalogueRow) -> None:
    """Write a row, new or changed, now: so that what contradicts it fails here and not at the end."""
    session.add(row)
    session.flush()


def add_application(session: Session, row: ParticipantRow) -> None:
    """Write a new application. Raises `ApplicationConflict` if another one for this DID came in the same moment."""
    try:
        add(session, row)
    except IntegrityError as error:
        raise ApplicationConflict(f"{row.did} has applied in this very moment") from error


def identifier(session: Session, text: str, *, lock: bool = False) -> IdentifierRow:
    """To whom an identifier was given. Raises `IdentifierUnknown`."""
    query = select(IdentifierRow).where(IdentifierRow.identifier == text)
    row = session.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise IdentifierUnknown(f"the identifier {text} was not allocated here")
    return row


def identifier_taken(session: Session, text: str) -> bool:
    """Whether this identifier was given before."""
    return session.get(IdentifierRow, text) is not None


def product(session: Session, text: str, version: int | None = None) -> ProductRow:
    """A product, in its newest version unless one is named. Raises `ProductUnknown`."""
    row = newest(session, text) if version is None else session.get(ProductRow, (text, version))
    if row is None:
        which = "" if version is None else f" in version {version}"
        raise ProductUnknown(f"there is no product {text}{which}")
    return row


def signed_product(session: Session, identifier: str, version: int | None = None) -> str:
    """A product as its provider signed it, in its newest version unless one is named. Raises `ProductUnknown`.

    Every negotiation asks for one, so the statement is built once and no row becomes an object.
    """
    if version is not None:
        return product(session, identifier, version).signed
    signed = session.connection().execute(_NEWEST_SIGNED, {"of_identifier": identifier}).scalar()
    return product(session, identifier).signed if signed is None else str(signed)


def newest(session: Session, text: str) -> ProductRow | None:
    """The newest version of a product, if there is any."""
    query = select(ProductRow).where(ProductRow.identifier == text)
    return session.exec(query.order_by(col(ProductRow.version).desc()).limit(1)).first()


def replace_in_catalogue(session: Session, row: CatalogueRow, provider_name: str) -> None:
    """From now on searches see `row` in place of what they saw of this product before.

    `provider_name` is JSON in both languages.
    """
    change = _forget(session, _C.identifier == row.identifier)
    add(session, row)
    word_index.keep(session.connection(), CATALOGUE_GRAMS, {int(str(row.position)): row.words})
    change.update(divisions(_place(row)))
    _count(session, change, {row.provider: provider_name})


def remove_provider_from_catalogue(session: Session, provider: str) -> list[str]:
    """From now on searches see nothing of `provider`; which products that were. Its published versions stay readable:
    they are evidence."""
    products = session.execute(sql_select(_C.identifier).where(_C.provider == provider)).scalars().all()
    _count(session, _forget(session, _C.provider == provider), {})
    return sorted(products)


def remove_from_catalogue(session: Session, identifier: str) -> bool:
    """From now on searches do not see this product; False if they did not before. Its published versions stay readable:
    they are evidence."""
    change = _forget(session, _C.identifier == identifier)
    _count(session, change, {})
    return bool(change)


def keep_in_catalogue(session: Session, identifier: str) -> bool:
    """Whether searches see this product; it cannot be taken out before the transaction ends."""
    shown = sql_select(_C.position).where(_C.identifier == identifier).with_for_update()
    return session.execute(shown).first() is not None


def _forget(session: Session, which: ColumnElement[bool]) -> Counter[tuple[str, str, str]]:
    """Take rows out of the catalogue and its index; by how much that changes the divisions."""
    change: Counter[tuple[str, str, str]] = Counter()
    gone = session.execute(sql_select(*(_C[name] for name in (*_PLACE, "words"))).where(which).with_for_update()).all()
    for row in gone:
        change.subtract(divisions(_place(row)))
    word_index.forget(session.connection(), CATALOGUE_GRAMS, {row.position: row.words for row in gone})
    session.execute(delete(CatalogueRow).where(which))
    return change


def _count(session: Session, change: Mapping[tuple[str, str, str], int], names: Mapping[str, str]) -> None:
    """Add `change` to the divisions: in one order, so that no two publications wait for each other."""
    rows = [
        {"within": name, "facet": facet, "value": value, "name": names.get(value, ""), "products": products}
        for (name, facet, value), products in sorted(change.items())
        if products or value in names
    ]
    if rows:
        session.connection().execute(_ADD, rows)
        touched = {row["within"] for row in rows}
        session.execute(delete(DivisionRow).where(_D.products == 0, _D.within.in_(touched)))


def search(session: Session, query: Query, *, newest: int = NEWEST) -> Found:
    """One page of what `query` finds, newest first, and how all of it divides: in five statements at most.

    `newest` is how many products are looked through before the index of words is.
    """
    if not query.terms and len(query.filters) <= 1:
        rows = session.execute(_matches(_CATALOGUE, query).offset(query.offset).limit(query.limit + 1)).all()
        return _shown(session, rows, query, _counted_before(session, query))
    rows, scale, exact = _looked_for(session, query, newest)
    asked = query.facets and query.after is None
    found = Found(
        total=round(len(rows) * scale) if query.after is None else None,
        offset=query.offset,
        items=(),
        facets=facets(_named(session, counted([_place(row) for row in rows], scale)) if asked else []),
        exact=exact,
    )
    return _shown(session, rows[query.offset :], query, found)


def _looked_for(session: Session, query: Query, newest: int) -> tuple[Sequence[Row[Any]], float, bool]:
    """What `query` finds among the newest products or, where that is no more than its page, among all of them; how
    many products of the catalogue each of them stands for; and whether that is certain."""
    end, total = query.offset + query.limit, _products(session)
    if newest < total:
        below = true() if query.after is None else _C.position < query.after
        first = sql_select(_CATALOGUE).where(below).order_by(_C.position.desc()).limit(newest).subquery()
        rows = session.execute(_matches(first, query)).all()
        if len(rows) > end:
            return rows, total / newest, False
    limit = max(MAX_COUNTED, end + 1)
    wanted = _matches(_CATALOGUE, query).limit(limit)
    if newest < total:
        holding = word_index.holding(session.connection(), CATALOGUE_GRAMS, query.terms)
        wanted = wanted if holding is None else wanted.where(_C.position.in_(holding))
    rows = session.execute(wanted).all()
    return rows, 1, len(rows) < limit


def _matches(source: FromClause, query: Query) -> Select[Any]:
    """The places of those products of `source` that `query` asks for, the newest first."""
    c, filters = source.c, query.filters
    where = [c.words.contains(term, autoescape=True) for term in query.terms]
    if query.theme_range is not None:
        where.append(c.theme.between(*query.theme_range))
    where += [c[facet] == filters[facet] for facet in ("region", "provider") if facet in filters]
    if query.personal is not None:
        where.append(c.personal.is_(query.personal))
    if query.mode is not None:
        where.append(c.modes.contains(f"|{query.mode.value}|", autoescape=True))
    if query.after is not None:
        where.append(c.position < query.after)
    return sql_select(*(c[name] for name in _PLACE)).where(*where).order_by(c.position.desc())


def _products(session: Session) -> int:
    """How many products the catalogue has."""
    row = session.get(DivisionRow, (EVERYTHING, EVERYTHING, EVERYTHING))
    return 0 if row is None else row.products


def _counted_before(session: Session, query: Query) -> Found:
    """What was counted when it was published, for a query by one facet at most. Its page is yet to be found."""
    if query.after is not None:
        return Found(None, query.offset, (), facets([]))
    name = next((within(*one) for one in query.filters.items()), EVERYTHING)
    rows = session.execute(union_all(*(_listed(name, one) for one in (FACETS if query.facets else ())), _listed(name)))
    counts = [(row.facet, row.value, row.name, row.products) for row in rows]
    total = sum(products for facet, _, _, products in counts if facet == EVERYTHING)
    return Found(total, query.offset, (), facets(one for one in counts if one[0] != EVERYTHING))


def _listed(name: str, facet: str = EVERYTHING) -> Select[Any]:
    """The most frequent values of a facet within `name`, or how many products there are."""
    counts = sql_select(_D.facet, _D.value, _D.name, _D.products).where(_D.within == name, _D.facet == facet)
    return sql_select(counts.order_by(_D.products.desc(), _D.value).limit(MAX_FACET_VALUES).subquery())


def _named(session: Session, counts: list[tuple[str, str, int]]) -> list[tuple[str, str, str, int]]:
    """`counts` with the names of the providers that are listed."""
    listed = most_frequent(counts, "provider")
    named = sql_select(_D.value, _D.name).where(_D.within == EVERYTHING, _D.facet == "provider", _D.value.in_(listed))
    names = {row.value: row.name for row in session.execute(named)} if listed else {}
    return [(facet, value, names.get(value, "") if facet == "provider" else "", n) for facet, value, n in counts]


def _shown(session: Session, rows: Sequence[Row[Any]], query: Query, found: Found) -> Found:
    """`found` with the products at `rows` as its page; one row more than its limit says that there is another page."""
    page = [row.position for row in rows[: query.limit]]
    wanted = sql_select(_C.summary).where(_C.position.in_(page)).order_by(_C.position.desc())
    items = tuple(parse(row.summary) for row in session.execute(wanted)) if page else ()
    return replace(found, items=items, next=page[-1] if len(rows) > query.limit else None)


def _place(row: Any) -> Place:
    return Place(row.theme, row.region, row.provider, row.personal, tuple(row.modes[1:-1].split("|")))


def canonical(value: object) -> str:
    """`value` as it is kept: canonical JSON text."""
    return encode(value).decode()
