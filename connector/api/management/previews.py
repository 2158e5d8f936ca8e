"""What would come of a query, before anything is agreed."""

from fastapi import APIRouter

from connector.api.management.access import PREFIX, Owner
from connector.contracts.errors import ProductUnknown
from connector.management.desk import Desk
from connector.management.messages import AskPreview
from hexi.client import Unreachable
from hexi.web import problems
from sandbox.preview import DryRun


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["computations"])

    @router.post("/dry-runs", responses=problems(ProductUnknown, Unreachable))
    def dry_run(_: Owner, body: AskPreview) -> DryRun:
        """Ask a product's provider what would come of a query: verdict, expected error, rules, time. 试算。"""
        return desk.previews.dry_run(body.product, body.query)

    return router
