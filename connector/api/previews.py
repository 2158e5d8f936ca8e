"""Preview, for whoever may see a product in the catalogue: no agreement, no permit, no charge, and no data touched."""

from fastapi import APIRouter

from connector.contracts import publishing
from connector.contracts.contracting import Contracting
from connector.fulfilment import SANDBOX_PATH
from connector.protocol.errors import DatasetUnknown
from hexi.web import Read, SessionRoute, problems
from registry.access import Member
from sandbox.errors import ProductUnusable
from sandbox.preview import AskDryRun, DryRun
from sandbox.runs import Sandbox


def create_router(sandbox: Sandbox, contracting: Contracting) -> APIRouter:
    """Routes under /sandbox. What the catalogue hides from the caller is unknown here too."""
    router = APIRouter(route_class=SessionRoute, prefix=SANDBOX_PATH, tags=["sandbox"])

    @router.post("/dry-runs", responses=problems(DatasetUnknown, ProductUnusable))
    def dry_run(caller: Member, body: AskDryRun, session: Read) -> DryRun:
        """What would come of a query over a product that the caller sees in the catalogue."""
        contracting.dataset(session, body.product, caller)
        version = publishing.newest_version(session, body.product)
        return sandbox.dry_run(publishing.dataset(session, body.product, version), body.query, body.mode)

    return router
