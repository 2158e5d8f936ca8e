"""Preview, for whoever may see a product in the catalogue: no agreement, no permit, no charge, and no data touched."""

from fastapi import APIRouter, Response

from connector.contracts import publishing
from connector.contracts.contracting import Contracting
from connector.fulfilment import SANDBOX_PATH
from connector.protocol.errors import DatasetUnknown
from hexi.database import Database
from hexi.web import SessionRoute, problems
from registry.access import Member
from registry.presentation import Caller
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable
from sandbox.preview import AskDryRun, DryRun, TwinFormat, TwinSidecar
from sandbox.preview.offered import Preview

MEDIA_TYPES = {TwinFormat.CSV: "text/csv; charset=utf-8", TwinFormat.PARQUET: "application/vnd.apache.parquet"}


def create_router(preview: Preview, contracting: Contracting, database: Database) -> APIRouter:
    """Routes under /sandbox. What the catalogue hides from the caller is unknown here too."""
    router = APIRouter(route_class=SessionRoute, prefix=SANDBOX_PATH, tags=["sandbox"])

    def seen(product: str, caller: Caller) -> Dataset:
        # Its own short session: what is made of it may take as long as a query.
        with database.reading() as session:
            contracting.dataset(session, product, caller)
            return publishing.dataset(session, product, publishing.newest_version(session, product))

    @router.post("/dry-runs", responses=problems(DatasetUnknown, ProductUnusable))
    def dry_run(caller: Member, body: AskDryRun) -> DryRun:
        """What would come of a query of the caller's over a product that it sees in the catalogue."""
        return preview.dry_run(seen(body.product, caller), body.query, body.mode, caller.did)

    @router.get("/twins/{product}", responses=problems(DatasetUnknown, ProductUnusable))
    def twin(caller: Member, product: str) -> TwinSidecar:
        """What the synthetic twin of a product that the caller sees is drawn from; its tables have addresses."""
        return preview.twin(seen(product, caller)).sidecar

    @router.get("/twins/{product}/tables/{table}", response_class=Response, responses=problems(DatasetUnknown))
    def twin_table(caller: Member, product: str, table: str, format: TwinFormat = TwinFormat.CSV) -> Response:  # noqa: A002 - the parameter's name
        """A table of the twin, as CSV or Parquet."""
        content = preview.twin(seen(product, caller)).file(table, format)
        return Response(content, media_type=MEDIA_TYPES[format])

    return router
