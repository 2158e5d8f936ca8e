"""What would come of a query, before anything is agreed."""

from typing import Any

from fastapi import APIRouter, Response

from connector.api.management.access import PREFIX, Owner
from connector.api.previews import MEDIA_TYPES
from connector.contracts.errors import ProductUnknown
from connector.management.desk import Desk
from connector.management.messages import AskPreview
from hexi.client import Unreachable
from hexi.web import problems
from sandbox.preview import DryRun, TwinFormat, TwinSidecar

# How a table of a twin looks, for the description of the interface.
TABLE: dict[str, Any] = {
    "description": "The table.",
    "content": {
        MEDIA_TYPES[TwinFormat.CSV]: {"schema": {"type": "string", "examples": ["person,sex\nT0000001,f\n"]}},
        MEDIA_TYPES[TwinFormat.PARQUET]: {"schema": {"type": "string", "format": "binary", "examples": ["PAR1"]}},
    },
}


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["computations"])

    @router.post("/dry-runs", responses=problems(ProductUnknown, Unreachable))
    def dry_run(_: Owner, body: AskPreview) -> DryRun:
        """Ask what would come of a query or a program: verdict, expected error, rules, time, price. 试算。"""
        return desk.previews.dry_run(body.product, body.query, body.mode)

    @router.get("/twins/{product}", responses=problems(ProductUnknown, Unreachable))
    def twin(_: Owner, product: str) -> TwinSidecar:
        """What the synthetic twin of a product of the space is drawn from, and its tables. 合成孪生数据。"""
        return desk.previews.twin(product)

    @router.get(
        "/twins/{product}/tables/{table}", response_class=Response, responses={200: TABLE, **problems(ProductUnknown)}
    )
    def twin_table(_: Owner, product: str, table: str, format: TwinFormat = TwinFormat.CSV) -> Response:  # noqa: A002 - the parameter's name
        """A table of a twin, as CSV or Parquet. 下载孪生表。"""
        return Response(desk.previews.twin_table(product, table, format), media_type=MEDIA_TYPES[format])

    return router
