"""Calls of API products: in with the token of the transfer, on to the provider's own API, and the answer back.

This is the only asynchronous part of the road, since a slow API must not hold a thread; whatever asks the database runs
in one. Bytes are admitted before they are sent: the first ones exactly, later ones ahead in windows, so that a small
answer costs no more than it is and a large one does not wait for the database at every chunk.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated

import httpx
import structlog
from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connector.api.streaming import STALL_SECONDS
from connector.deliveries.errors import AnswerTooLarge, ApiUnavailable
from connector.planes.access import DATA_PATH
from connector.planes.api import ApiPlane, CallAsked, CallEntered
from connector.planes.api_rules import answer_headers
from connector.planes.handovers import HandoverRefused
from connector.planes.under_way import UnderWay
from hexi.errors import DataspaceError

log = structlog.get_logger("connector.calls")

# Calls under way at once in this process, for one transfer and in all: each holds a connection on either side.
MAX_AT_ONCE, MAX_IN_ALL = 16, 200
# How long the provider's API may take to connect, and be silent in the midst of an answer, in seconds.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
# How much of an answer is admitted ahead, in bytes: doubled each time up to the cap.
FIRST_WINDOW_BYTES = 256 * 1024
LAST_WINDOW_BYTES = 8 * 1024 * 1024
# How often the grant is looked at while an answer runs within what is admitted, in seconds.
LOOK_SECONDS = 0.5
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# Segments of the address before the path at the API: nothing, data, the transfer, api.
_OWN_SEGMENTS = 4


class Upstream:
    """The connections to providers' own APIs: no redirects, no proxies, no cookies of anybody's."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """Made in the event loop that uses it."""
        if self._client is None:
            timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
            self._client = httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


def create_router(plane: ApiPlane, upstream: Upstream) -> APIRouter:
    """The routes under ``/data/{transfer}/api``."""
    router = APIRouter(prefix=DATA_PATH, tags=["data"])
    under_way = UnderWay("calls", of_transfer=MAX_AT_ONCE, in_all=MAX_IN_ALL)

    def let_in(asked: CallAsked, held: ExitStack) -> CallEntered:
        entered = plane.enter(asked)
        held.enter_context(under_way.place(asked.transfer))
        plane.admit(entered)
        return entered

    async def call(request: Request, transfer: str, authorization: Annotated[str | None, Header()] = None) -> Response:
        """Call the API behind the contract, with the access token of the data address."""
        asked = CallAsked(
            transfer,
            authorization,
            request.method,
            _path_at_the_api(request.scope),
            request.scope["query_string"].decode("latin-1"),
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]],
            await request.body(),
            request.client.host if request.client else None,
        )
        with ExitStack() as held:
            entered = await run_in_threadpool(let_in, asked, held)
            return PassedOn(plane, upstream, entered, held.pop_all())

    for path in ("/{transfer}/api", "/{transfer}/api/{path:path}"):
        router.add_api_route(path, call, methods=METHODS, response_class=Response, include_in_schema=False)
    return router


def _path_at_the_api(scope: Scope) -> str:
    """What followed our own part of the address, as it stood on the wire."""
    segments = scope["raw_path"].decode("latin-1").split("/")
    return "".join(f"/{segment}" for segment in segments[_OWN_SEGMENTS:])


class PassedOn(Response):
    """The answer of the provider's API, as far as it may leave. What is `held` for it is given back at its end."""

    def __init__(self, plane: ApiPlane, upstream: Upstream, admitted: CallEntered, held: ExitStack) -> None:
        super().__init__()
        self._plane, self._upstream, self._admitted, self._held = plane, upstream, admitted, held
        self._status, self._sent, self._left, self._window = ApiUnavailable.status, 0, 0, 0
        self._begun = self._looked = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._held:
                async with self._answered() as answer:
                    await self._pass_on(answer, receive, send)
        finally:
            taken = int((time.monotonic() - self._begun) * 1000)
            # Also when the request is cancelled: what was counted must be written down.
            await asyncio.shield(
                run_in_threadpool(self._plane.end, self._admitted.call, self._status, self._sent, self._left, taken)
            )

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[httpx.Response]:
        admitted, client = self._admitted, self._upstream.client
        request = client.build_request(
            admitted.method, admitted.url, headers=list(admitted.headers), content=admitted.body or None
        )
        try:
            async with asyncio.timeout(admitted.description.timeout_seconds):
                answer = await client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            log.warning("an API does not answer", operation=admitted.call.operation, why=type(error).__name__)
            raise ApiUnavailable("the provider's own API does not answer; the call was counted") from error
        client.cookies.clear()  # what one call was given is not shown with the next
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _pass_on(self, answer: httpx.Response, receive: Receive, send: Send) -> None:
        allowed = self._admitted.description.maximum_answer_bytes
        declared = answer.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > allowed and self._admitted.method != "HEAD":
            raise AnswerTooLarge(f"an answer has at most {allowed} bytes here, this one would have {declared}")
        chunks = answer.aiter_raw()
        first = await self._next(chunks)  # before the status leaves, so that a refusal can still be told properly
        if first:
            await self._admit(len(first))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            self._status = answer.status_code
            headers = answer_headers(self._admitted.description, answer.headers.multi_items())
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
            await self._send_all(first, chunks, allowed, gone, send)
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        except (DataspaceError, TimeoutError) as error:
            # The answer has begun, so it can only break off; who calls again is told why.
            log.info("an answer was broken off", why=getattr(error, "code", "the reader stalled"))
        finally:
            gone.cancel()

    async def _send_all(
        self, chunk: bytes, chunks: AsyncIterator[bytes], allowed: int, gone: "asyncio.Task[None]", send: Send
    ) -> None:
        while chunk and not gone.done():
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._sent, self._left = self._sent + len(chunk), self._left - len(chunk)
            chunk = await self._next(chunks)
            if self._sent + len(chunk) > allowed:
                raise AnswerTooLarge(f"an answer has at most {allowed} bytes here")
            if self._left < len(chunk):
                await self._admit(len(chunk) - self._left)
            elif time.monotonic() - self._looked > LOOK_SECONDS:
                await run_in_threadpool(self._plane.handovers.check, self._admitted.call.transfer)
                self._looked = time.monotonic()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes:
        try:
            return await anext(chunks, b"")
        except httpx.HTTPError as error:
            raise ApiUnavailable("the provider's own API broke off its answer") from error

    async def _admit(self, needed: int) -> None:
        """Have `needed` bytes admitted, and some ahead if the terms leave so much."""
        for volume in sorted({needed, max(needed, self._window)}, reverse=True):
            try:
                await run_in_threadpool(self._plane.admit_answer, self._admitted, volume)
            except HandoverRefused:
                if volume == needed:
                    raise
            else:
                self._left, self._looked = self._left + volume, time.monotonic()
                self._window = min(max(2 * self._window, FIRST_WINDOW_BYTES), LAST_WINDOW_BYTES)
                return


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
