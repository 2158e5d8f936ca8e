"""Reading and writing the marketplace's tables; values in, values out, always in the caller's transaction."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import func, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from hexi.canonical import Json, encode, parse
from ledger.documents import SignedDocument
from marketplace import listings, orders
from marketplace.errors import (
    CertificateUnknown,
    ListingExists,
    ListingUnknown,
    OrderConflict,
    OrderUnknown,
)
from marketplace.listings import Event, Listing, Step, Title
from marketplace.orders import Order
from marketplace.tables import (
    CertificateRow,
    ListingEventRow,
    ListingRow,
    OrderRow,
    SerialRow,
)

# The most listings or statements in one answer.
PAGE = 100


# Certificates


@dataclass(frozen=True)
class Certificate:
    """A stored certificate: as signed, with its report, and where the log has it."""

    number: str
    signed: SignedDocument
    report: Json
    log_index: int


def lock_serials(session: Session, month: str) -> None:
    """Wait until nobody else issues certificates in `month`."""
    session.execute(
        text("INSERT INTO market_serial (month, last) VALUES (:month, 0) ON CONFLICT (month) DO NOTHING"),
        {"month": month},
    )
    session.exec(select(SerialRow).where(SerialRow.month == month).with_for_update()).one()


def next_serial(session: Session, month: str) -> int:
    """The next serial of `month`, counted from 1. Call `lock_serials` before."""
    row = session.exec(select(SerialRow).where(SerialRow.month == month).with_for_update()).one()
    row.last += 1
    session.add(row)
    session.flush()
    return row.last


def add_certificate(session: Session, signed: SignedDocument, report: Json, log_index: int) -> None:
    """Keep a certificate."""
    document = signed.document
    session.add(
        CertificateRow(
            number=document["number"],
            product=document["product"],
            version=document["version"],
            holder=document["holder"]["did"],
            digest=signed.digest,
            valid_until=document["validUntil"],
            signed=_store(signed.to_json()),
            report=_store(report),
            log_index=log_index,
        )
    )
    session.flush()


def certificate(session: Session, number: str) -> Certificate:
    """Raises `CertificateUnknown`."""
    if (row := session.get(CertificateRow, number)) is None:
        raise CertificateUnknown(f"no certificate {number!r} was issued here")
    return _certificate(row)


def certificate_in_force(session: Session, product: str, version: int, at: str) -> Certificate | None:
    """The newest certificate of this product version that is valid at `at`."""
    rows = select(CertificateRow).where(
        CertificateRow.product == product, CertificateRow.version == version, CertificateRow.valid_until > at
    )
    row = session.exec(rows.order_by(col(CertificateRow.number).desc())).first()
    return _certificate(row) if row else None


def certificates(session: Session) -> list[Certificate]:
    """All of them, by number."""
    return [_certificate(row) for row in session.exec(select(CertificateRow).order_by(CertificateRow.number))]


def _certificate(row: CertificateRow) -> Certificate:
    return Certificate(row.number, SignedDocument.from_json(parse(row.signed)), parse(row.report), row.log_index)


# Listings


def add_listing(session: Session, listing: Listing) -> None:
    """Raises `ListingExists` when the product has a living one."""
    session.add(
        ListingRow(
            id=listing.id,
            product=listing.product,
            version=listing.version,
            provider=listing.provider,
            certificate=listing.certificate,
            unit_price_fen=listing.unit_price_fen,
            state=str(listing.state),
            created=listing.created,
            title_zh=listing.title.zh,
            title_en=listing.title.en,
            terms_zh=listing.terms.zh,
            terms_en=listing.terms.en,
            living=listing.product,
        )
    )
    try:
        session.flush()
    except IntegrityError as error:
        raise ListingExists("the product has a listing; change its price, or withdraw it first") from error


def living_listing(session: Session, product: str) -> Listing | None:
    """The listing of `product` that is not withdrawn."""
    row = session.exec(select(ListingRow).where(ListingRow.living == product)).first()
    return _listing(row) if row else None


def listing(session: Session, listing_id: str, *, lock: bool = False) -> Listing:
    """Raises `ListingUnknown`. `lock` keeps everybody else from changing it until the transaction ends."""
    row = session.get(ListingRow, listing_id, with_for_update=lock, populate_existing=lock)
    if row is None:
        raise ListingUnknown(f"no listing {listing_id!r}")
    return _listing(row)


def set_listing(session: Session, listing: Listing) -> None:
    """Store state, certificate and price of `listing`, and free its product once it is withdrawn."""
    row = session.get_one(ListingRow, listing.id)
    row.certificate = listing.certificate
    row.state, row.unit_price_fen = str(listing.state), listing.unit_price_fen
    if listing.state is listings.State.WITHDRAWN:
        row.living = listing.id
    session.add(row)
    session.flush()


def find_listings(
    session: Session, *, product: str | None, words: str | None, after: str, limit: int = PAGE
) -> list[Listing]:
    """Listings on sale, by id; `words` look into titles and terms."""
    rows = select(ListingRow).where(ListingRow.state == str(listings.State.LISTED), ListingRow.id > after)
    if product:
        rows = rows.where(ListingRow.product == product)
    for word in (words or "").split():
        where = (ListingRow.title_zh, ListingRow.title_en, ListingRow.terms_zh, ListingRow.terms_en)
        found = [col(column).icontains(word, autoescape=True) for column in where]
        rows = rows.where(found[0] | found[1] | found[2] | found[3])
    return [_listing(row) for row in session.exec(rows.order_by(ListingRow.id).limit(min(limit, PAGE)))]


def add_event(session: Session, listing: Listing, step: Step, by: str, at: str) -> Event:
    """Write the step into the listing's history. Lock the listing before."""
    count = select(func.count()).select_from(ListingEventRow).where(ListingEventRow.listing == listing.id)
    event = Event(session.exec(count).one() + 1, step, listing.state, listing.unit_price_fen, by, at)
    session.add(ListingEventRow(listing=listing.id, **asdict(event)))
    session.flush()
    return event


def history(session: Session, listing: str) -> list[Event]:
    """Every step of a listing, from the first."""
    rows = select(ListingEventRow).where(ListingEventRow.listing == listing).order_by(col(ListingEventRow.number))
    return [
        Event(row.number, Step(row.step), listings.State(row.state), row.unit_price_fen, row.by, row.at)
        for row in session.exec(rows)
    ]


def _listing(row: ListingRow) -> Listing:
    return Listing(
        id=row.id,
        product=row.product,
        version=row.version,
        provider=row.provider,
        certificate=row.certificate,
        title=Title(row.title_zh, row.title_en),
        terms=Title(row.terms_zh, row.terms_en),
        unit_price_fen=row.unit_price_fen,
        state=listings.State(row.state),
        created=row.created,
    )


# Orders


def add_order(session: Session, order: Order) -> None:
    """Raises `OrderConflict` when the id was taken in the meantime."""
    session.add(OrderRow(**asdict(order)))
    try:
        session.flush()
    except IntegrityError as error:
        raise OrderConflict("this order id was taken a moment ago; order again with a fresh one") from error


def find_order(session: Session, order_id: str, *, lock: bool = False) -> Order | None:
    """The order, if there is one. `lock` keeps everybody else from changing it until the transaction ends."""
    row = session.get(OrderRow, order_id, with_for_update=lock, populate_existing=lock)
    return _order(row) if row else None


def order(session: Session, order_id: str, *, lock: bool = False) -> Order:
    """Raises `OrderUnknown`."""
    if (found := find_order(session, order_id, lock=lock)) is None:
        raise OrderUnknown(f"no order {order_id!r}")
    return found


def set_order(session: Session, order: Order) -> None:
    """Store the state of `order` and how many of its runs are used; nothing else of an order changes."""
    row = session.get_one(OrderRow, order.id)
    row.state, row.used = str(order.state), order.used
    session.add(row)
    session.flush()


def orders_placed_under(session: Session, agreement: str, provider: str) -> list[Order]:
    """Orders under `agreement` that nobody began to serve, locked."""
    rows = select(OrderRow).where(
        OrderRow.agreement == agreement, OrderRow.provider == provider, OrderRow.state == str(orders.State.PLACED)
    )
    return [_order(row) for row in session.exec(rows.order_by(OrderRow.id).with_for_update())]


def orders_of(session: Session, participant: str, *, after: str = "", limit: int = PAGE) -> list[Order]:
    """Orders that `participant` placed or serves, by id."""
    concerned = (col(OrderRow.consumer) == participant) | (col(OrderRow.provider) == participant)
    rows = select(OrderRow).where(concerned, OrderRow.id > after).order_by(OrderRow.id).limit(min(limit, PAGE))
    return [_order(row) for row in session.exec(rows)]


def orders_by_id(session: Session, ids: Iterable[str]) -> list[Order]:
    """Those orders."""
    return [_order(row) for row in session.exec(select(OrderRow).where(col(OrderRow.id).in_(set(ids))))]


def _order(row: OrderRow) -> Order:
    return Order(**row.model_dump() | {"state": orders.State(row.state)})


def _store(value: Json) -> str:
    return encode(value).decode()
