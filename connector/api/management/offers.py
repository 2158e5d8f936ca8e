"""Offers: which products are offered to whom, on which terms, and who answers."""

from typing import Annotated

from fastapi import APIRouter, Path

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.contracts import offer_store, offering
from connector.contracts.errors import OfferUnknown, ProductUnknown
from connector.contracts.offers import Definition, Rule, Selector
from connector.management.answers import Negotiation, Offer
from connector.management.desk import Desk
from connector.management.messages import DefineOffer, OfferProduct
from connector.policies.errors import ConstraintUnknown, PolicyInvalid
from connector.protocol.errors import CallbackRefused
from hexi.canonical import instant
from hexi.web import Read, SessionRoute, Write, problems
from registry.errors import ParticipantRevoked, ParticipantUnknown

# It becomes part of offers' ids.
OfferName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Small letters, digits and -.")]


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["offers"])

    @router.get("/offers")
    def list_offers(_: Owner, session: Read) -> list[Offer]:
        """The offer definitions in force, by name. 要约定义列表。"""
        return [views.offer(definition) for definition in offer_store.definitions(session)]

    @router.get("/offers/{name}", responses=problems(OfferUnknown))
    def read_offer(_: Owner, name: OfferName, session: Read) -> Offer:
        """One offer definition. 查看要约定义。"""
        return views.offer(offer_store.definition(session, name))

    @router.put("/offers/{name}", responses=problems(PolicyInvalid, ConstraintUnknown))
    def define_offer(_: Owner, name: OfferName, body: DefineOffer, session: Write) -> Offer:
        """Put an offer definition in force, or change it. 设定要约。

        Products it selects are offered on it and no longer on the terms they were published with. The same again
        changes nothing.
        """
        return views.offer(offering.define(session, _definition(name, body), instant(desk.clock())))

    @router.delete("/offers/{name}", responses=problems(OfferUnknown))
    def withdraw_offer(_: Owner, name: OfferName, session: Write) -> Offer:
        """Offer on it no more; what was agreed stays. 撤回要约。"""
        return views.offer(offering.withdraw(session, name, instant(desk.clock())))

    @router.post(
        "/negotiations/offers",
        status_code=201,
        responses=problems(ProductUnknown, PolicyInvalid, ParticipantUnknown, ParticipantRevoked, CallbackRefused),
    )
    def offer_product(_: Owner, body: OfferProduct, session: Write) -> Negotiation:
        """Offer a product to one consumer that has not asked. 主动发出要约。"""
        return views.negotiation(desk.bargaining.offer(session, body.consumer, body.product, body.terms))

    return router


def _definition(name: str, body: DefineOffer) -> Definition:
    chosen = body.selector
    return Definition(
        name,
        0,
        body.access,
        body.contract,
        Selector(
            everything=chosen.everything,
            products=frozenset(chosen.products),
            themes=frozenset(chosen.themes),
            keywords=frozenset(chosen.keywords),
            modes=frozenset(chosen.modes),
        ),
        body.acceptance,
        tuple(Rule(rule.outcome, rule.when, rule.other_terms, rule.terms, rule.reason) for rule in body.rules),
    )
