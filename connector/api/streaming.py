"""Large answers: sent chunk by chunk, at the reader's pace, and ended when the reader or the data go away.

One connection holds one chunk. A reader that takes none for `STALL_SECONDS` is cut off, and so few answers are under
way at once, of one transfer and in all, that nobody can hold this process's memory or files by reading slowly.
"""

import asyncio
from collections.abc import Mapping

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connector.planes.http_pull import Answer
from connector.planes.under_way import UnderWay
from connector.sources import Chunks
from hexi.errors import DataspaceError

log = structlog.get_logger("connector.data")

# How long a reader may take for one chunk, in seconds.
STALL_SECONDS = 60.0
# Answers under way at once in this process, for one transfer and in all: each holds a file and a chunk.
MAX_AT_ONCE, MAX_IN_ALL = 4, 200


class Streaming(Response):
    """`answer` as an ASGI response, once it has its place among those `under_way`."""

    def __init__(self, answer: Answer, transfer: str, under_way: UnderWay) -> None:
        super().__init__(status_code=answer.status, headers=dict(answer.headers))
        self._answer, self._transfer, self._under_way = answer, transfer, under_way
        if answer.body is not None:
            self.raw_headers = _raw(answer.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._answer.body is None:
            self.raw_headers = _raw(self._answer.headers)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        with self._under_way.place(self._transfer):
            await self._send(receive, send)

    async def _send(self, receive: Receive, send: Send) -> None:
        assert self._answer.body is not None  # noqa: S101 - the caller looked
        body = self._answer.body()
        chunks: Chunks = await run_in_threadpool(body.__enter__)
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (chunk := await run_in_threadpool(next, chunks, None)) is not None and not gone.done():
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        except (DataspaceError, TimeoutError) as error:
            # The answer has begun, so it can only break off; who asks again is told why.
            log.info("delivery broken off", transfer=self._transfer, why=getattr(error, "code", "the reader stalled"))
        finally:
            gone.cancel()
            await run_in_threadpool(body.__exit__, None, None, None)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
