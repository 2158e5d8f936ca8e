"""Reading and writing the versions of our products. Values in, values out; the transaction is the caller's."""

from collections.abc import Iterator
from functools import lru_cache

import sqlalchemy as sql
from sqlalchemy import bindparam, update
from sqlmodel import Session, SQLModel, col, func, select

from connector.catalogue import store as catalogue
from connector.catalogue.tables import CatalogueRow
from connector.contracts import offer_store
from connector.contracts.errors import ProductUnknown
from connector.contracts.offers import offers_for
from connector.contracts.products import PublishedProduct, dataset_of
from connector.contracts.tables import ProductRow
from hexi.canonical import Json, encode, parse
from ledger.documents import SignedDocument
from registry.catalogue import Product

# Products of which the last reading is kept, by what is signed: every negotiation over one reads it again.
MAX_PRODUCTS_READ = 64

# Every negotiation asks these, so they are built once; see `connector.protocol.store`.
_PRODUCT = SQLModel.metadata.tables[str(ProductRow.__tablename__)]
_CATALOGUE = SQLModel.metadata.tables[str(CatalogueRow.__tablename__)]
_PUBLISHED = (
    sql.select(_PRODUCT.c.resource, _PRODUCT.c.signed, _PRODUCT.c.receipt)
    .where(_PRODUCT.c.identifier == bindparam("identifier"), _PRODUCT.c.published.is_not(None))
    .order_by(_PRODUCT.c.version.desc())
    .limit(1)
)
_PUBLISHED_VERSION = _PUBLISHED.where(_PRODUCT.c.version == bindparam("version"))
_ON_OFFER = _PUBLISHED.where(_PRODUCT.c.withdrawn.is_(None))


def add_product(session: Session, published: PublishedProduct, request_digest: str, at: str) -> None:
    """Keep a signed product version that is about to be published."""
    session.add(
        ProductRow(
            identifier=published.product.identifier,
            version=published.product.version,
            resource=published.resource,
            request_digest=request_digest,
            signed=encode(published.signed.to_json()).decode(),
            published=None,
            receipt=None,
            created=at,
        )
    )


def mark_published(session: Session, identifier: str, version: int, receipt: Json, at: str) -> None:
    """The registry has taken this version, and the ledger gave this receipt."""
    if (row := session.get(ProductRow, (identifier, version))) is not None:
        row.published, row.receipt = at, encode(receipt).decode()
        session.add(row)
        show(session, published_of(row))


def show(session: Session, published: PublishedProduct) -> None:
    """Show a product in our catalogue, with the offers of the definitions in force."""
    offers = offers_for(published.product, published.signed.digest, offer_store.definitions(session))
    dataset = dataset_of(published, [offer.odrl for offer in offers])
    catalogue.show(session, published.product, dataset, offers)


def not_shown(session: Session) -> list[tuple[str, int]]:
    """The newest published versions that the catalogue does not know of: those from before there was one."""
    shown = _CATALOGUE.c
    newest = (
        sql.select(_PRODUCT.c.identifier, func.max(_PRODUCT.c.version).label("version"))
        .where(_PRODUCT.c.published.is_not(None), _PRODUCT.c.withdrawn.is_(None))
        .group_by(_PRODUCT.c.identifier)
        .subquery()
    )
    missing = sql.select(newest).outerjoin(_CATALOGUE, shown.identifier == newest.c.identifier)
    rows = session.execute(missing.where(shown.identifier.is_(None)))
    return [(row.identifier, row.version) for row in rows]


def newest_product(session: Session, identifier: str) -> PublishedProduct:
    """The newest published version of a product, on offer or withdrawn. Raises `ProductUnknown`."""
    published = select(ProductRow).where(ProductRow.identifier == identifier, col(ProductRow.published).is_not(None))
    row = session.exec(published.order_by(col(ProductRow.version).desc()).limit(1)).first()
    if row is None:
        raise ProductUnknown(f"this connector publishes no product {identifier}")
    return published_of(row)


def mark_withdrawn(session: Session, identifier: str, at: str) -> bool:
    """Offer no version of the product any more that there is now; False if none was on offer."""
    ours = col(ProductRow.identifier) == identifier, col(ProductRow.withdrawn).is_(None)
    withdrawn = update(ProductRow).where(*ours).values(withdrawn=at).returning(col(ProductRow.version))
    if session.connection().execute(withdrawn).first() is None:
        return False
    catalogue.hide(session, identifier)
    return True


def withdrawn_since(session: Session, identifier: str) -> str | None:
    """When the last version of the product was withdrawn; None while one is on offer."""
    ours = select(ProductRow.withdrawn).where(ProductRow.identifier == identifier)
    instants = session.exec(ours.where(col(ProductRow.published).is_not(None))).all()
    return None if None in instants else max((str(at) for at in instants), default=None)


def drop_unpublished(session: Session, identifier: str, version: int) -> None:
    """Forget a version that the registry refused, so that a better one can take its number."""
    row = session.get(ProductRow, (identifier, version))
    if row is not None and row.published is None:
        session.delete(row)


def product(session: Session, identifier: str, version: int | None = None) -> PublishedProduct:
    """A published product: this version, also a withdrawn one, or the newest on offer. Raises `ProductUnknown`."""
    wanted = _ON_OFFER if version is None else _PUBLISHED_VERSION
    row = session.connection().execute(wanted, {"identifier": identifier, "version": version}).first()
    if row is None:
        raise no_product(identifier if version is None else f"{identifier} in version {version}")
    product, signed = _read_product(row.signed)
    return PublishedProduct(row.resource, product, signed, parse(row.receipt) if row.receipt else None)


def no_product(identifier: str) -> ProductUnknown:
    """The answer to who asks for a product that is not there, or that it must not know of: the same words for both."""
    return ProductUnknown(f"this connector publishes no product {identifier}")


def each_product(session: Session) -> Iterator[PublishedProduct]:
    """The newest version of every product on offer, one at a time: there may be very many."""
    newest = (
        select(ProductRow.identifier, func.max(ProductRow.version))
        .where(col(ProductRow.published).is_not(None), col(ProductRow.withdrawn).is_(None))
        .group_by(ProductRow.identifier)
        .order_by(ProductRow.identifier)
    )
    for identifier, version in session.exec(newest).all():
        if (row := session.get(ProductRow, (identifier, version))) is not None:
            yield published_of(row)
            session.expunge(row)


def product_drafted(session: Session, resource_name: str, title: str) -> tuple[PublishedProduct, str, bool] | None:
    """The newest version made of this resource under this title: with its request's digest, and if it is out."""
    rows = session.exec(
        select(ProductRow).where(ProductRow.resource == resource_name).order_by(col(ProductRow.version).desc())
    )
    for row in rows:
        published = published_of(row)
        if published.product.title.en == title:
            # What was withdrawn is published anew as its next version, also where nothing else has changed.
            return published, "" if row.withdrawn else row.request_digest, row.published is not None
    return None


def published_of(row: ProductRow) -> PublishedProduct:
    """The value of a row."""
    signed = SignedDocument.from_json(parse(row.signed))
    receipt = parse(row.receipt) if row.receipt else None
    return PublishedProduct(row.resource, Product.model_validate(signed.document), signed, receipt)


@lru_cache(maxsize=MAX_PRODUCTS_READ)
def _read_product(signed: str) -> tuple[Product, SignedDocument]:
    document = SignedDocument.from_json(parse(signed))
    return Product.model_validate(document.document), document
