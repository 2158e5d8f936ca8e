"""An ASGI application in place of the network, for our synchronous clients.

    ServiceClient("http://127.0.0.1:8080", "the space", transport=ASGITransport(app))

Each request runs the application to its end in an event loop of its own, so a test needs no thread, no socket and no
server. Lifespans are not run: what an application needs must stand when `create_app` returns.
"""

import asyncio
from collections.abc import Mapping

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from connector.protocol.messages import PATH
from hexi.canonical import parse
from tests.conformance.schemas import check_if_at_hand


class ASGITransport(httpx.BaseTransport):
    """Hands requests to `app`, whatever host they are for. Exceptions of the application reach the test."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        if isinstance(app, FastAPI):
            # FastAPI completes its routes at the first request, and not for several threads at once.
            self.handle_request(httpx.Request("GET", "http://first/request"))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        messages = asyncio.run(self._run(_scope(request), body))
        start = next(message for message in messages if message["type"] == "http.response.start")
        content = b"".join(message.get("body", b"") for message in messages)
        _check_answer(request, dict(start.get("headers", [])), content)
        return httpx.Response(
            start["status"], headers=start.get("headers", []), stream=httpx.ByteStream(content), request=request
        )

    async def _run(self, scope: Message, body: bytes) -> list[Message]:
        sent: list[Message] = []
        todo: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if not todo:
                await asyncio.Event().wait()  # nobody hangs up before the answer is complete
            return todo.pop()

        async def send(message: Message) -> None:
            sent.append(dict(message))

        await self.app(scope, receive, send)
        return sent


def _check_answer(request: httpx.Request, headers: Mapping[bytes, bytes], content: bytes) -> None:
    """Whatever a connector says under the protocol's path is held against the specification's schemas."""
    if request.url.path.startswith(PATH) and headers.get(b"content-type") == b"application/json":
        check_if_at_hand(parse(content))


def _scope(request: httpx.Request) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 1),
    }


class Hosts(httpx.BaseTransport):
    """Several applications by ``host:port``, as one network. An unknown host does not answer, as in the world.

    Messages of the Dataspace Protocol that pass are held against the specification's schemas, where those are at hand.
    """

    def __init__(self, apps: Mapping[str, ASGIApp] | None = None) -> None:
        self._apps = {host: ASGITransport(app) for host, app in (apps or {}).items()}
        self._ways: dict[str, httpx.BaseTransport] = {}

    def join(self, host: str, app: ASGIApp) -> None:
        """From now on `app` answers at `host` (``127.0.0.1:8081``)."""
        self._apps[host] = ASGITransport(app)

    def lead(self, host: str, way: httpx.BaseTransport) -> None:
        """From now on requests to `host` go this way: to a real socket, where streams flow."""
        self._ways[host] = way

    def leave(self, host: str) -> None:
        """From now on nobody answers at `host`."""
        self._apps.pop(host, None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.netloc.decode()
        if host in self._ways:
            return self._ways[host].handle_request(request)
        if host not in self._apps:
            raise httpx.ConnectError(f"nobody listens at {host}", request=request)
        if request.method == "POST" and request.url.path.startswith(PATH):
            check_if_at_hand(parse(request.read()))
        return self._apps[host].handle_request(request)
