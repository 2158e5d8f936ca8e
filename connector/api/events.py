"""Streams on the wire: server-sent events, at the reader's pace, until the reader, the grant or the source ends them.

A reader holds one batch. While it has nothing to read it waits for the watch, which looks at the database for all
readers of this process at once, and not at all while there are none.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connector.api.streaming import STALL_SECONDS
from connector.planes import sse
from connector.planes.access import DATA_PATH
from connector.planes.stream import Idle, Reading, StreamPlane
from connector.planes.under_way import UnderWay
from hexi.errors import DataspaceError

log = structlog.get_logger("connector.events")

# How often the watch looks while somebody waits, in seconds: an event is late by that much at most.
LOOK_SECONDS = 0.25
# How often a silent stream says that it is still there, in seconds: well within what proxies wait for.
HEARTBEAT_SECONDS = 15.0
# Readers of one transfer, and of this process.
MAX_AT_ONCE = 4
MAX_READERS = 500


class Watch:
    """Wakes readers that have nothing to read. Only the event loop touches it."""

    def __init__(self, plane: StreamPlane) -> None:
        self._plane = plane
        self._waiting: dict[asyncio.Event, Idle] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, idle: Idle, seconds: float, gone: "asyncio.Task[None]") -> bool:
        """Whether something stirred within `seconds`, or the reader is `gone`."""
        stirred = asyncio.Event()

        def left(_: object) -> None:
            stirred.set()

        self._waiting[stirred] = idle
        gone.add_done_callback(left)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await stirred.wait()
        except TimeoutError:
            return False
        finally:
            gone.remove_done_callback(left)
            del self._waiting[stirred]
        return True

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            waiting = dict(self._waiting)
            try:
                stirred = await run_in_threadpool(self._plane.stirred, list(waiting.values()))
            except DataspaceError as error:  # the database is away: the readers are told when they look themselves
                log.warning("the streams cannot be looked at", why=error.detail)
                stirred = [True] * len(waiting)
            for event, has_stirred in zip(waiting, stirred, strict=True):
                if has_stirred:
                    event.set()


def create_router(plane: StreamPlane) -> APIRouter:
    """The route ``/data/{transfer}/events``."""
    router = APIRouter(prefix=DATA_PATH, tags=["data"])
    under_way = UnderWay("readers", of_transfer=MAX_AT_ONCE, in_all=MAX_READERS)
    watch = Watch(plane)

    def let_in(held: ExitStack, transfer: str, token: str | None, position: int | None, network: str | None) -> Reading:
        reading = plane.enter(transfer, token, position, network)
        held.enter_context(under_way.place(transfer))
        plane.begin(reading)
        return reading

    @router.get("/{transfer}/events", response_class=Response)
    async def read_events(
        request: Request,
        transfer: str,
        authorization: Annotated[str | None, Header()] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The events of a stream, as text/event-stream. Show the access token of the data address. 数据流。"""
        position = sse.read_position(last_event_id)
        network = request.client.host if request.client else None
        with ExitStack() as held:
            reading = await run_in_threadpool(let_in, held, transfer, authorization, position, network)
            return Events(plane, watch, reading, held.pop_all())

    return router


class Events(Response):
    """A stream as an answer that ends only when somebody or something ends it."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, plane: StreamPlane, watch: Watch, reading: Reading, held: ExitStack) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._plane, self._watch, self._reading, self._held = plane, watch, reading, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._raw_headers()})
            await self._say(send, sse.RETRY)
            await self._read(gone, send)
        except TimeoutError:
            log.info("a reader stalled", transfer=self._reading.transfer)
        finally:
            gone.cancel()
            self._held.close()

    async def _read(self, gone: "asyncio.Task[None]", send: Send) -> None:
        reading = self._reading
        try:
            while not gone.done():
                found = await run_in_threadpool(self._plane.next, reading)
                if isinstance(found, Idle):
                    if not await self._watch.wait(found, HEARTBEAT_SECONDS, gone):
                        await self._say(send, sse.HEARTBEAT)
                else:
                    await self._say(send, found.content)
                    reading = replace(reading, position=found.position)
        except DataspaceError as error:
            await self._say(send, sse.end(error.problem()))
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})

    async def _say(self, send: Send, content: bytes) -> None:
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": content, "more_body": True})

    def _raw_headers(self) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self.raw_headers if name != b"content-length"]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
