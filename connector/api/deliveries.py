"""Where providers push to (a token is shown instead of a presentation), and what the owner asks about deliveries."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from connector.api.management.access import PREFIX, Owner
from connector.deliveries import store
from connector.deliveries.parts import Part, PlaceTaken
from connector.deliveries.receiving import DELIVERIES_PATH, DeliveryUnknown, Receiving, Upload
from connector.deliveries.service import Deliveries, NotFetched
from connector.deliveries.store import Arrival
from connector.deliveries.tokens import DownloadInterrupted, DownloadRefused
from connector.management.delivery_answers import DataAccess, Delivery
from connector.protocol.errors import ProcessUnknown
from connector.sources import CHUNK_BYTES
from connector.sources.digests import read_repr_digest, repr_digest
from hexi.canonical import Wire
from hexi.errors import Malformed, Unavailable
from hexi.web import Read, SessionRoute, problems

# The most deliveries listed at once.
MAX_LISTED = 1_000
# How long a pusher may take for the next bytes, and how often it is asked if the transfer still goes on, in seconds.
STALL_SECONDS = 60.0
LOOK_SECONDS = 1.0


class UploadStalled(Unavailable):
    """The pusher sent nothing for too long, or went away. What has come is kept."""

    code = "connector.upload-stalled"


class Fetch(Wire):
    """Fetch the data of a transfer, to this absolute path or below the connector's home."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "/srv/planner/visits.csv"}]})

    to: Path | None = None


class AskAccess(Wire):
    """`refused`: the authorization that the provider did not take any more. Asked again, the same newer one comes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refused": None}]})

    refused: str | None = None


def create_receiving_router(receiving: Receiving) -> APIRouter:
    """``/deliveries``, for providers that push."""
    router = APIRouter(
        route_class=SessionRoute,
    )

    @router.head(DELIVERIES_PATH, tags=["data"], response_class=Response)
    def standing(request: Request) -> Response:
        """How much has arrived durably. Show the authCode of the data address."""
        arrival = receiving.pushed(request.headers.get("Authorization"))
        headers = {"Upload-Offset": str(receiving.standing(arrival)), "Cache-Control": "no-store"}
        if arrival.digest is not None:
            headers["Repr-Digest"] = repr_digest(arrival.digest)
        if arrival.state is store.JobState.DONE:
            headers["Upload-Complete"] = "?1"
        return Response(status_code=204, headers=headers)

    @router.patch(DELIVERIES_PATH, tags=["data"], response_class=Response)
    @router.put(DELIVERIES_PATH, tags=["data"], response_class=Response, include_in_schema=False)
    @router.post(DELIVERIES_PATH, tags=["data"], response_class=Response, include_in_schema=False)
    async def take(request: Request) -> Response:
        """Take data: all of them, or with PATCH and Upload-Offset what is missing. Show the authCode.

        Pushed again, the same data are answered as they were: a provider may not have heard the first answer.
        """
        arrival = await run_in_threadpool(receiving.pushed, request.headers.get("Authorization"))
        upload = _upload(request)
        if not upload.offset and await _has_arrived(request, arrival):
            return Response(status_code=204)
        taking = receiving.taking(arrival, upload)
        part = await run_in_threadpool(taking.__enter__)
        try:
            await _take(request, receiving, arrival, part)
            if upload.size is not None and part.size != upload.size:
                raise UploadStalled(f"{part.size} of {upload.size} bytes came")
            await run_in_threadpool(receiving.finish, arrival, part, upload.digest, upload.media_type)
        finally:
            await run_in_threadpool(taking.__exit__, None, None, None)
        return Response(status_code=204)

    return router


async def _has_arrived(request: Request, arrival: Arrival) -> bool:
    """Whether the body is what is here already, byte for byte. It is read only where everything has arrived."""
    if arrival.state is not store.JobState.DONE:
        return False
    digest, size = hashlib.sha256(), 0
    try:
        async for piece in _body(request):
            size += len(piece)
            if size > (arrival.size or 0):
                return False
            digest.update(piece)
    except (TimeoutError, ClientDisconnect) as error:
        raise UploadStalled("the data stopped coming; all of them are here already") from error
    return f"sha256:{digest.hexdigest()}" == arrival.digest


async def _take(request: Request, receiving: Receiving, arrival: Arrival, part: Part) -> None:
    """The body into the part file, a chunk at a time; small pieces are gathered first."""
    pieces, looked = bytearray(), time.monotonic()
    try:
        async for piece in _body(request):
            pieces += piece
            if len(pieces) >= CHUNK_BYTES:
                await run_in_threadpool(part.write, bytes(pieces))
                pieces.clear()
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                await run_in_threadpool(receiving.check_running, arrival.transfer)
    except (TimeoutError, ClientDisconnect) as error:
        raise UploadStalled(f"the data stopped coming after {part.size} bytes; send the rest") from error
    finally:
        if pieces:
            await run_in_threadpool(part.write, bytes(pieces))


async def _body(request: Request) -> AsyncIterator[bytes]:
    """What comes, as it comes. Raises `TimeoutError` where nothing does, `ClientDisconnect`."""
    stream = request.stream()
    while True:
        async with asyncio.timeout(STALL_SECONDS):
            piece = await anext(stream, None)
        if piece is None:
            return
        yield piece


def _upload(request: Request) -> Upload:
    headers = request.headers
    digest = read_repr_digest(headers.get("Repr-Digest", ""))
    kind = headers.get("Content-Type", "")
    if request.method != "PATCH":
        return Upload(kind, None, _number(headers.get("Content-Length"), "Content-Length"), digest)
    offset = _number(headers.get("Upload-Offset"), "Upload-Offset")
    if offset is None:
        raise Malformed("a PATCH says with Upload-Offset where its bytes belong")
    return Upload(kind, offset, _number(headers.get("Upload-Length"), "Upload-Length"), digest)


def _number(value: str | None, field: str) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Malformed(f"{field} is a number of bytes")
    return int(value)


def create_router(deliveries: Deliveries) -> APIRouter:
    """What the owner asks about deliveries."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["transfers"])

    @router.post(
        "/transfers/{pid}/download",
        status_code=202,
        responses=problems(ProcessUnknown, NotFetched, PlaceTaken, DeliveryUnknown),
    )
    def download_transfer(_: Owner, pid: str, body: Fetch) -> Delivery:
        """Fetch the data of a transfer in the background. 下载数据。

        The same again changes nothing, unless it had failed: then it is tried again.
        """
        return Delivery.model_validate(deliveries.fetch(pid, body.to))

    @router.post(
        "/transfers/{pid}/access",
        responses=problems(ProcessUnknown, NotFetched, DownloadRefused, DownloadInterrupted),
    )
    def access_data(_: Owner, pid: str, body: AskAccess) -> DataAccess:
        """Where our programs read a started transfer, and the token; a newer one if theirs was refused. 数据访问。"""
        return DataAccess.model_validate(deliveries.access(pid, body.refused))

    @router.get("/transfers/{pid}/delivery", responses=problems(ProcessUnknown, DeliveryUnknown))
    def read_delivery(_: Owner, pid: str) -> Delivery:
        """Where a delivery to us stands: bytes, size, rate, place, and what went wrong. 查看交付。"""
        return Delivery.model_validate(deliveries.view(pid))

    @router.get("/deliveries")
    def list_deliveries(_: Owner, session: Read) -> list[Delivery]:
        """The newest deliveries to us. 交付列表。"""
        found = store.arrivals(session, MAX_LISTED)
        return [Delivery.model_validate(deliveries.view(arrival.transfer)) for arrival in found]

    return router
