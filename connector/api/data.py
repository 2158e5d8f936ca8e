"""Where data are fetched. Public in the sense that a token is shown instead of a presentation."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from connector.api.streaming import MAX_AT_ONCE, MAX_IN_ALL, Streaming
from connector.planes.access import DATA_PATH
from connector.planes.http_pull import Asked, PullPlane
from connector.planes.under_way import UnderWay
from hexi.canonical import Json, Wire
from registry.access import Member


class Renew(Wire):
    """Ask for new tokens."""

    refresh_token: Annotated[str, Field(max_length=8_192)]


def create_router(pull: PullPlane) -> APIRouter:
    """The routes under ``/data``."""
    router = APIRouter(prefix=DATA_PATH, tags=["data"])
    under_way = UnderWay("downloads", of_transfer=MAX_AT_ONCE, in_all=MAX_IN_ALL)

    def answer(request: Request, transfer: str, member: str | None = None) -> Response:
        shown = request.headers
        asked = Asked(
            transfer, shown.get("Authorization"), request.method, shown.get("Range"), shown.get("If-Range"), member
        )
        return Streaming(pull.serve(asked), transfer, under_way)

    @router.head("/{transfer}", response_class=Response, include_in_schema=False)
    @router.get("/{transfer}", response_class=Response)
    def fetch(request: Request, transfer: str) -> Response:
        """The data, whole or one range of them. Show the access token of the data address."""
        return answer(request, transfer)

    @router.get("/{transfer}/members")
    def members(request: Request, transfer: str) -> list[dict[str, Json]]:
        """The files of a directory. Show the access token of the data address."""
        return pull.members(Asked(transfer, request.headers.get("Authorization")))

    @router.head("/{transfer}/members/{name:path}", response_class=Response, include_in_schema=False)
    @router.get("/{transfer}/members/{name:path}", response_class=Response)
    def fetch_member(request: Request, transfer: str, name: str) -> Response:
        """One file of a directory. Show the access token of the data address."""
        return answer(request, transfer, name)

    @router.post("/{transfer}/token")
    def renew(caller: Member, transfer: str, body: Renew) -> dict[str, Json]:
        """New tokens for old ones, for the consumer of the transfer only."""
        return pull.access.renew(transfer, caller.did, body.refresh_token)

    return router
