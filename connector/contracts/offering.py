"""Offering: definitions of offers put in force, changed and withdrawn, and the catalogue kept in step with them."""

from sqlmodel import Session

from connector.contracts import offer_store, product_store
from connector.contracts.offers import Definition, check, offers_for


def define(session: Session, definition: Definition, at: str) -> Definition:
    """Put a definition in force; a changed one is its next revision, the same again changes nothing.

    Every product it selects is shown with its offers from this transaction on; over 100,000 products that takes
    half a minute. Raises `PolicyInvalid`, `ConstraintUnknown`.
    """
    check(definition)
    before = offer_store.definitions(session)
    kept = offer_store.define(session, definition, at)
    _show_again(session, before)
    return kept


def withdraw(session: Session, name: str, at: str) -> Definition:
    """Offer on it no more; what was agreed stays. Twice changes nothing. Raises `OfferUnknown`."""
    before = offer_store.definitions(session)
    withdrawn = offer_store.withdraw(session, name, at)
    _show_again(session, before)
    return withdrawn


def _show_again(session: Session, before: list[Definition]) -> None:
    session.flush()
    now = offer_store.definitions(session)
    for published in product_store.each_product(session):
        product, digest = published.product, published.signed.digest
        if offers_for(product, digest, before) != offers_for(product, digest, now):
            product_store.show(session, published)
