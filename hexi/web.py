"""The web shell every service runs in.

Request ids, a body limit, problem+json for every error, ``/health``, ``/metrics``, one structured log line a request.
Endpoints take a `Write` or `Read` session; the transaction commits before the answer leaves (FastAPI's default commits
after the response, when it is too late to say that it failed), in the thread that runs the endpoint (`SessionRoute`).
"""

import gc
import inspect
import logging
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel
from sqlmodel import Session
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hexi import __version__
from hexi.database import Database
from hexi.errors import (
    PROBLEM_TYPE,
    DataspaceError,
    Malformed,
    NotFound,
    TooLarge,
    Unavailable,
)
from hexi.settings import ServiceSettings

log = structlog.get_logger("hexi.web")

# Any other word in the place of a method would make a time series of its own, and there is no end of words.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_TITLES = {404: "hexi.not-found", 405: "hexi.method-not-allowed"}


def writing_session(request: Request) -> Iterator[Session]:
    """One request, one transaction, committed before the answer leaves."""
    database: Database = request.app.state.database
    with database.transaction() as session:
        yield session


def reading_session(request: Request) -> Iterator[Session]:
    """A session that throws away whatever is changed in it."""
    database: Database = request.app.state.database
    with database.reading() as session:
        yield session


# What an endpoint of a `SessionRoute` takes. (Elsewhere they are dependencies like others.)
Write = Annotated[Session, Depends(writing_session, scope="function")]
Read = Annotated[Session, Depends(reading_session, scope="function")]
_SESSIONS = ((Write, contextmanager(writing_session)), (Read, contextmanager(reading_session)))


class SessionRoute(APIRoute):
    """A route of which one thread does all: open the session, run the endpoint, write the answer as JSON, commit.

    As dependencies of the framework the opening, the endpoint and the closing would each wait for one of its forty
    threads, holding one of the database's few connections all the while. With enough requests at once those that have a
    connection wait for a thread, and those that have a thread for a connection. And each change of threads costs as
    much as a query.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        shaped = any(name.startswith("response_model_") and options[name] for name in options if name != _BY_ALIAS)
        status = None if shaped else options.get("status_code") or 200
        super().__init__(path, _in_its_session(_in_json(endpoint, status)), **options)
        self._beginning = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the framework says, where the path begins as it must: asking that first is a fifth of the price."""
        return super().matches(scope) if scope["path"].startswith(self._beginning) else (Match.NONE, {})


# The one way of shaping an answer that is on everywhere.
_BY_ALIAS = "response_model_by_alias"


def _in_json(endpoint: Callable[..., Any], status: int | None) -> Callable[..., Any]:
    """`endpoint` whose answer, where it is a message as declared, is written by itself; else FastAPI takes a thread."""
    declared = inspect.signature(endpoint).return_annotation
    is_message = isinstance(declared, type) and issubclass(declared, BaseModel)
    if status is None or not is_message or inspect.iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    def in_json(**given: Any) -> Any:
        said = endpoint(**given)
        if type(said) is not declared:
            return said
        return Response(said.model_dump_json(by_alias=True), status, media_type="application/json")

    return in_json


def _in_its_session(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """`endpoint` with its session opened around it; it asks for the request instead."""
    signature = inspect.signature(endpoint)
    takes = signature.parameters.values()
    found = [(taken.name, opened) for taken in takes for kind, opened in _SESSIONS if taken.annotation == kind]
    if not found:
        return endpoint
    ((name, opened),) = found
    asking = next((taken.name for taken in takes if taken.annotation is Request), None)

    @wraps(endpoint)
    def in_its_session(**given: Any) -> Any:
        request: Request = given[asking] if asking else given.pop("_request")
        with opened(request) as session:
            return endpoint(**given, **{name: session})

    others = [taken.replace(kind=Parameter.KEYWORD_ONLY) for taken in takes if taken.name != name]
    extra = [] if asking else [Parameter("_request", Parameter.KEYWORD_ONLY, annotation=Request)]
    in_its_session.__signature__ = signature.replace(parameters=[*others, *extra])  # type: ignore[attr-defined]
    return in_its_session


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_shell(
    title: str,
    settings: ServiceSettings,
    database: Database,
    *routers: APIRouter,
    lifespan: Lifespan | None = None,
    streamed: str | None = None,
) -> FastAPI:
    """An application with the shell around `routers`. `app.state.database` and `app.state.settings` are set.

    Bodies sent to the path `streamed` are read by its endpoint, chunk by chunk and with a limit of its own.
    """
    app = _Described(title=title, version=__version__, lifespan=lifespan, redirect_slashes=False)
    app.state.database = database
    app.state.settings = settings
    app.add_exception_handler(DataspaceError, _on_dataspace_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_error)
    for router in routers:
        # As they are: an included router matches its routes anew, by way of several objects each, for every request.
        app.router.routes.extend(router.routes)
    registry = CollectorRegistry()

    @app.get("/health", tags=["operations"])
    def health() -> dict[str, str]:
        """Public. 200 when the service and its database answer."""
        database.check()
        return {"status": "ok", "service": title, "version": __version__}

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """Public. Prometheus text format."""
        return PlainTextResponse(generate_latest(registry).decode())

    app.add_middleware(_Shell, registry=registry, max_body_bytes=settings.max_body_bytes, streamed=streamed)
    return app


# How every error of ours looks (RFC 9457), for the description of the interfaces.
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "code", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:hexi:error: and the code."},
        "code": {"type": "string", "description": "For programs; it never changes."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people: what was wrong, where, and what to do."},
        "instance": {"type": "string", "description": "The request's id, to quote to whoever runs the service."},
    },
}
_PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}


class _Described(FastAPI):
    """FastAPI whose description knows how our errors look."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", _PROBLEM)
        for schema in schemas.values():
            _put_nulls_back(schema)
        return described


def _put_nulls_back(schema: dict[str, Any]) -> None:
    """Make the examples of `schema` complete: FastAPI leaves out what is null, also where the member is required."""
    for example in schema.get("examples", ()):
        for name in schema.get("required", ()):
            if {"type": "null"} in schema["properties"][name].get("anyOf", ()):
                example.setdefault(name, None)


def problems(*errors: type[DataspaceError]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may fail with `errors`, each an example of its own; `Malformed` always may."""
    described: dict[int | str, dict[str, Any]] = {}
    raised: tuple[type[DataspaceError], ...] = (Malformed, *errors)
    for error in raised:
        answer = described.setdefault(
            error.status,
            {"description": error.title, "content": {PROBLEM_TYPE: {"schema": _PROBLEM_REFERENCE, "examples": {}}}},
        )
        example = error((error.__doc__ or error.title).strip().partition("\n")[0]).problem()
        answer["content"][PROBLEM_TYPE]["examples"][error.code] = {"value": example}
    return described


def problem_response(error: DataspaceError, request_id: str = "") -> JSONResponse:
    """`error` as problem+json."""
    body = error.problem() | ({"instance": f"urn:hexi:request:{request_id}"} if request_id else {})
    headers = {"Retry-After": "1"} if error.status == 503 else {}
    return JSONResponse(body, status_code=error.status, media_type=PROBLEM_TYPE, headers=headers)


class _Shell:
    """Outermost ASGI layer: request id, body limit, metrics, log line, and the opaque 500."""

    def __init__(
        self, app: ASGIApp, registry: CollectorRegistry, max_body_bytes: int, streamed: str | None = None
    ) -> None:
        self.app = app
        self.max_body_bytes, self.streamed = max_body_bytes, streamed
        labels = ["method", "route", "status"]
        self.requests = Counter("hexi_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram("hexi_request_seconds", "Seconds to answer.", ["method", "route"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, answer = time.monotonic(), {"status": 500, "begun": False}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], begun=True)
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if scope["path"] != self.streamed:
                receive = await _read_within(scope, receive, self.max_body_bytes)
            await self.app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of it may reach the caller
            await self._fail(error, request_id, scope, receive, sending, begun=bool(answer["begun"]))
        finally:
            self._record(scope, request_id, int(answer["status"]), time.monotonic() - started)

    async def _fail(
        self, error: Exception, request_id: str, scope: Scope, receive: Receive, send: Send, *, begun: bool
    ) -> None:
        if begun:
            raise error
        if not isinstance(error, DataspaceError):
            log.error("request failed", request_id=request_id, exc_info=error)
            error = DataspaceError(f"quote the request id {request_id} to whoever runs this service")
        await problem_response(error, request_id)(scope, receive, send)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # The route's template, never the raw path: paths carry identifiers, and would make a series each.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, status).inc()
        self.seconds.labels(method, route).observe(seconds)
        if route not in {"/health", "/metrics"}:
            log.info(
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
                id=request_id,
            )


async def _read_within(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Read the whole body here, where a body over `limit` bytes can still be refused properly, and hand it on.

    By its declared length it is refused unread, else as soon as it grows past the limit. (Raised inside the framework's
    own reading it would come out as a vague 400.)
    """
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = bool(message.get("more_body", False))
        if len(body) > limit:
            raise _too_large(limit)
    pending = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def receiving() -> Message:
        return pending.pop() if pending else await receive()

    return receiving


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"request bodies are limited to {limit} bytes here", limit=limit)


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def _on_dataspace_error(request: Request, error: Exception) -> JSONResponse:
    return problem_response(error if isinstance(error, DataspaceError) else DataspaceError(""), _request_id(request))


def as_malformed(error: RequestValidationError) -> Malformed:
    """`error` as one of ours: where and why, but never the value, which may be a secret."""
    wrong = [{"where": ".".join(map(str, e["loc"])), "why": e["msg"]} for e in error.errors()]
    said = "; ".join(f"{w['where']}: {w['why']}" for w in wrong[:3])
    return Malformed(said or "the request cannot be read", errors=wrong)


def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    return problem_response(as_malformed(error), _request_id(request))


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    if status not in _TITLES:  # the framework could not even parse it
        return problem_response(
            Malformed("the request cannot be read; is its body JSON in UTF-8?"), _request_id(request)
        )
    problem = NotFound(f"nothing is served at {request.method} {request.url.path}")
    problem.code = _TITLES[status]  # type: ignore[misc]
    problem.status = status  # type: ignore[misc]
    return problem_response(problem, _request_id(request))


def configure_logging(level: str = "INFO") -> None:
    """One JSON object a line on standard error, standard library loggers included."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format='{"level":"%(levelname)s","event":"%(message)s"}'
    )


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Listen until told to stop (SIGINT, SIGTERM). Prints the address once the socket is open."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody here asks where a request came from
        ws="none",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=10,
    )
    log.info("listening", service=app.title, url=settings.url)
    gc.freeze()  # what was loaded to get here stays for good, and need not be looked through for garbage again
    uvicorn.Server(config).run(sockets=[listener])
