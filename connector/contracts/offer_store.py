"""Reading and writing offer definitions, and what persons offered. The transaction is the caller's."""

from typing import Any

import sqlalchemy as sql
from sqlalchemy import bindparam
from sqlmodel import Session, SQLModel, select

from connector.contracts.errors import OfferUnknown
from connector.contracts.offer_tables import BargainRow, OfferRow
from connector.contracts.offers import Acceptance, Definition, Outcome, Rule, Selector
from hexi.canonical import Json, encode, parse

# Every negotiation asks these; see `connector.protocol.store`.
_OFFER, _BARGAINED = (SQLModel.metadata.tables[str(row.__tablename__)] for row in (OfferRow, BargainRow))
_IN_FORCE = (
    sql.select(_OFFER.c.name, _OFFER.c.revision, _OFFER.c.definition)
    .where(_OFFER.c.withdrawn.is_(False))
    .order_by(_OFFER.c.name)
)
_BARGAIN = sql.select(_BARGAINED.c.offer).where(_BARGAINED.c.negotiation == bindparam("of_negotiation"))


def define(session: Session, definition: Definition, at: str) -> Definition:
    """Keep a definition. The same again changes nothing; a changed one is the next revision."""
    row = session.exec(select(OfferRow).where(OfferRow.name == definition.name).with_for_update()).first()
    told = _text(said(definition))
    if row is None:
        session.add(
            OfferRow(name=definition.name, revision=1, definition=told, withdrawn=False, created=at, updated=at)
        )
        session.flush()
        return _definition(definition.name, 1, parse(told))
    if row.definition != told or row.withdrawn:
        row.revision, row.definition, row.withdrawn, row.updated = row.revision + 1, told, False, at
        session.add(row)
    return _definition(row.name, row.revision, parse(told))


def withdraw(session: Session, name: str, at: str) -> Definition:
    """Offer it no more; what was agreed on it stays. Raises `OfferUnknown`."""
    row = session.exec(select(OfferRow).where(OfferRow.name == name).with_for_update()).first()
    if row is None:
        raise OfferUnknown(f"there is no offer definition {name}")
    if not row.withdrawn:
        row.withdrawn, row.updated = True, at
        session.add(row)
    return _definition(row.name, row.revision, parse(row.definition))


def definitions(session: Session) -> list[Definition]:
    """The definitions in force, by name."""
    rows = session.connection().execute(_IN_FORCE)
    return [_definition(row.name, row.revision, parse(row.definition)) for row in rows]


def definition(session: Session, name: str) -> Definition:
    """One of them. Raises `OfferUnknown`."""
    row = session.get(OfferRow, name)
    if row is None or row.withdrawn:
        raise OfferUnknown(f"there is no offer definition {name}")
    return _definition(row.name, row.revision, parse(row.definition))


def bargain(session: Session, negotiation: str) -> Json:
    """The last offer that a person of ours made in a negotiation, or None."""
    offer = session.connection().execute(_BARGAIN, {"of_negotiation": negotiation}).scalar()
    return None if offer is None else parse(offer)


def keep_bargain(session: Session, negotiation: str, offer: Json, at: str) -> None:
    """Keep what a person of ours offers."""
    session.merge(BargainRow(negotiation=negotiation, offer=_text(offer), updated=at))


def said(definition: Definition) -> dict[str, Json]:
    """What a definition says, as JSON; its name and revision stand beside it."""
    selector = definition.selector
    return {
        "access": definition.access,
        "contract": definition.contract,
        "selector": {
            "everything": selector.everything,
            **{name: sorted(getattr(selector, name)) for name in ("products", "themes", "keywords", "modes")},
        },
        "acceptance": definition.acceptance.value,
        "rules": [
            {
                "outcome": rule.outcome.value,
                "when": {name: list(values) for name, values in rule.when.items()},
                "otherTerms": rule.other_terms,
                "terms": rule.terms,
                "reason": rule.reason,
            }
            for rule in definition.rules
        ],
    }


def _definition(name: str, revision: int, said: dict[str, Any]) -> Definition:
    chosen = said["selector"]
    sets = {key: frozenset(chosen[key]) for key in ("products", "themes", "keywords", "modes")}
    return Definition(
        name,
        revision,
        said["access"],
        said["contract"],
        Selector(everything=chosen["everything"], **sets),
        Acceptance(said["acceptance"]),
        tuple(
            Rule(
                Outcome(rule["outcome"]),
                {key: tuple(values) for key, values in rule["when"].items()},
                rule["otherTerms"],
                rule["terms"],
                rule["reason"],
            )
            for rule in said["rules"]
        ),
    )


def _text(value: Json) -> str:
    return encode(value).decode()
