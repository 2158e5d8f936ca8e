"""Reading and writing the registry's tables. Sessions come in as arguments; nothing is decided here."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, case, delete, func, literal, union_all
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
from registry.search import Found, Query, facets
from registry.tables import CatalogueModeRow, CatalogueRow, IdentifierRow, ParticipantRow, ProductRow

# Applications and participants listed at once, at most: a space has hundreds, not thousands.
MAX_LISTED = 1_000

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


def add(session: Session, row: ParticipantRow | IdentifierRow | ProductRow) -> None:
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


def newest(session: Session, text: str) -> ProductRow | None:
    """The newest version of a product, if there is any."""
    query = select(ProductRow).where(ProductRow.identifier == text)
    return session.exec(query.order_by(col(ProductRow.version).desc()).limit(1)).first()


def replace_in_catalogue(session: Session, row: CatalogueRow, modes: Sequence[str]) -> None:
    """From now on searches see `row` in place of what they saw of this product before."""
    _forget(session, col(CatalogueRow.identifier) == row.identifier)
    session.add(row)
    session.add_all(CatalogueModeRow(identifier=row.identifier, mode=mode) for mode in modes)
    session.flush()


def remove_provider_from_catalogue(session: Session, provider: str) -> None:
    """From now on searches see nothing of `provider`. Its published versions stay readable: they are evidence."""
    _forget(session, col(CatalogueRow.provider) == provider)


def remove_from_catalogue(session: Session, identifier: str) -> None:
    """From now on searches do not see this product. Its published versions stay readable: they are evidence."""
    _forget(session, col(CatalogueRow.identifier) == identifier)


def _forget(session: Session, which: ColumnElement[bool]) -> None:
    gone = select(CatalogueRow.identifier).where(which)
    session.execute(delete(CatalogueModeRow).where(col(CatalogueModeRow.identifier).in_(gone)))
    session.execute(delete(CatalogueRow).where(which))


def search(session: Session, query: Query) -> Found:
    """One page of what `query` finds, newest first, and how all of it divides: two statements, whatever the size."""
    where = _conditions(query)
    newest_first = (col(CatalogueRow.published).desc(), col(CatalogueRow.identifier).desc())
    # The page is picked from the index; only its own rows are read whole, however far out it lies.
    page = select(CatalogueRow.identifier).where(*where).order_by(*newest_first)
    page = page.offset(query.offset).limit(query.limit)
    shown = select(CatalogueRow.summary).where(col(CatalogueRow.identifier).in_(page)).order_by(*newest_first)
    items = session.exec(shown).all()
    total, counts = _counts(session, where) if query.facets else (_total(session, where), [])
    return Found(total, query.offset, tuple(parse(item) for item in items), facets(counts))


def _total(session: Session, where: list[ColumnElement[bool]]) -> int:
    return int(session.execute(select(func.count(col(CatalogueRow.identifier))).where(*where)).scalar_one())


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [col(CatalogueRow.words).contains(t, autoescape=True) for t in query.terms]
    if query.theme_range is not None:
        where.append(col(CatalogueRow.theme).between(*query.theme_range))
    if query.region is not None:
        where.append(col(CatalogueRow.region) == query.region)
    if query.provider is not None:
        where.append(col(CatalogueRow.provider) == query.provider)
    if query.personal is not None:
        where.append(col(CatalogueRow.personal).is_(query.personal))
    if query.mode is not None:
        having = select(CatalogueModeRow.identifier).where(CatalogueModeRow.mode == query.mode.value)
        where.append(col(CatalogueRow.identifier).in_(having))
    return where


def _counts(session: Session, where: list[ColumnElement[bool]]) -> tuple[int, list[tuple[str, str, str, int]]]:
    # What matches is worked out once (a common table expression used several times is materialised by both engines).
    matched = (
        select(
            CatalogueRow.identifier,
            CatalogueRow.theme,
            CatalogueRow.region,
            CatalogueRow.provider,
            CatalogueRow.provider_name,
            case((col(CatalogueRow.personal), "true"), else_="false").label("personal"),  # type: ignore[call-overload]
        )
        .where(*where)
        .cte("matched")
    )
    columns, modes = matched.c, SQLModel.metadata.tables[str(CatalogueModeRow.__tablename__)]
    count = func.count()

    def divided(facet: str, value: ColumnElement[str], name: ColumnElement[str]) -> Any:
        return select(literal(facet, String), value, name, count).group_by(value)

    nobody = literal("", String)
    parts = [
        select(literal("total", String), nobody, nobody, count).select_from(matched),
        *(divided(facet, columns[facet], nobody).select_from(matched) for facet in ("theme", "region", "personal")),
        divided("provider", columns.provider, func.max(columns.provider_name)).select_from(matched),
        divided("mode", modes.c.mode, nobody).select_from(
            matched.join(modes, modes.c.identifier == columns.identifier)
        ),
    ]
    rows = [(str(r[0]), str(r[1]), str(r[2]), int(r[3])) for r in session.execute(union_all(*parts))]
    total = next(row[3] for row in rows if row[0] == "total")
    return total, [row for row in rows if row[0] != "total"]


def canonical(value: object) -> str:
    """`value` as it is kept: canonical JSON text."""
    return encode(value).decode()
