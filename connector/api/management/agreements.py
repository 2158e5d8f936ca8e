"""Agreements, in either role."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import AgreementsAsked
from connector.contracts.errors import AgreementNotConcluded, AgreementUnknown, DutyNotOwed
from connector.management import store as management_store
from connector.management.answers import Agreement, Agreements, Evidence
from connector.management.desk import Desk
from connector.management.errors import CursorInvalid
from connector.management.messages import Perform, Terminate
from connector.policies.errors import PolicyInvalid
from hexi.web import Read, SessionRoute, Write, problems


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["agreements"])

    @router.get("/agreements", responses=problems(CursorInvalid))
    def list_agreements(_: Owner, session: Read, asked: Annotated[AgreementsAsked, Query()]) -> Agreements:
        """Agreements, newest first, in either role. 合约列表。"""
        found = management_store.agreements(session, asked.wanted, asked.product, asked.after, asked.limit)
        return Agreements(**views.page(found, views.agreement))

    @router.get("/agreements/{agreement}", responses=problems(AgreementUnknown))
    def read_agreement(_: Owner, agreement: str) -> Agreement:
        """One agreement with its signatures, and the ledger's receipt once there is one. 查看合约。"""
        held, receipt = desk.agreement(agreement)
        return views.agreement(held, receipt)

    @router.post("/agreements/{agreement}/end", responses=problems(AgreementUnknown, AgreementNotConcluded))
    def end_agreement(_: Owner, agreement: str, body: Terminate, session: Write) -> Agreement:
        """End an agreement: its transfers end at once, the other end is told why, the evidence stays. 终止合约。"""
        return views.agreement(desk.retirement.end(session, agreement, body.reason))

    @router.post("/agreements/{agreement}/duties", responses=problems(AgreementUnknown, DutyNotOwed, PolicyInvalid))
    def perform_duty(_: Owner, agreement: str, body: Perform, session: Write) -> Evidence:
        """Put on the ledger that what the terms ask of the consumer after the use was done. 履行义务。"""
        return views.evidence(desk.retirement.perform(session, agreement, body.duty))

    return router
