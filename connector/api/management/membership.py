"""Membership of the space, this connector's status, and its evidence."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import EvidenceAsked
from connector.management import store as management_store
from connector.management.answers import EvidencePage, Membership, Status
from connector.management.desk import Desk
from connector.management.errors import CursorInvalid
from connector.management.messages import Apply
from hexi.client import Unreachable
from hexi.web import Read, SessionRoute, problems
from registry.errors import ApplicationConflict, DidHostForbidden


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["membership"])

    @router.post(
        "/application", status_code=202, responses=problems(ApplicationConflict, DidHostForbidden, Unreachable)
    )
    def apply(_: Owner, body: Apply) -> Membership:
        """Apply for membership of the space. The same again is the same application. 申请加入空间。"""
        return Membership.model_validate(desk.membership.apply(body.model_dump(mode="json", by_alias=True)))

    @router.get("/status")
    def read_status(_: Owner) -> Status:
        """Who this connector is, where it stands with the space, and what waits to be delivered. 连接器状态。"""
        return desk.status()

    @router.get("/evidence", responses=problems(CursorInvalid))
    def list_evidence(_: Owner, session: Read, asked: Annotated[EvidenceAsked, Query()]) -> EvidencePage:
        """The entries sealed here, newest first, with the ledger's receipt once it came. 存证列表。"""
        found = management_store.evidence(session, asked.wanted, asked.waiting, asked.after, asked.limit)
        return EvidencePage(**views.page(found, views.evidence))

    return router
