"""The Dataspace Protocol's HTTPS binding: ``/.well-known/dspace-version`` and everything below ``/dsp/2025-1``.

Every address is served with and without a trailing slash, and never redirects: peers treat a redirect as a failure.
What goes wrong is told in the protocol's own error objects. Every route but the version document takes a `Member`; a
process that is not the caller's does not exist for it.
Source: Dataspace Protocol 2025-1, sections 4.3, 6, 8 and 10.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from inspect import Parameter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from connector.catalogue.question import Page, Wanted, read_filter, read_token, write_token
from connector.protocol.engine import Engine, check_party
from connector.protocol.messages import (
    CONTEXT,
    PATH,
    REVISION,
    VERSION,
    CatalogRequestMessage,
    ContractAgreementMessage,
    ContractAgreementVerificationMessage,
    ContractNegotiationEventMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    Message,
    ProcessMessage,
    TransferCompletionMessage,
    TransferRequestMessage,
    TransferStartMessage,
    TransferSuspensionMessage,
    TransferTerminationMessage,
    wire,
)
from connector.protocol.processes import Kind, Process
from connector.protocol.progression import SUSPENDED_BY
from hexi.canonical import Json, digest, parse
from hexi.errors import DataspaceError, Malformed
from hexi.web import Read, Write, reading_session, writing_session
from registry.access import Member, member
from registry.presentation import Caller

# The catalogue's data service: this connector. An IRI of its own, for datasets to point to.
SERVICE = "urn:hexi:service:dsp"
# Stands in an error for the process id that is not known; the specification's schema wants both.
NO_PID = "urn:hexi:none"

# The query parameter of the catalogue's links. Ours to choose; the specification's examples call it so.
CONTINUATION = "continuationToken"
# A longer one is refused unread; ours have a few hundred characters, and a filter may be in them.
MAX_TOKEN_CHARACTERS = 20_000

_ERRORS = {"catalog": "CatalogError", "negotiations": "ContractNegotiationError", "transfers": "TransferError"}
_REFUSALS = {
    400: "The message is malformed, does not fit the process, or names another one",
    401: "The caller shows no presentation, or one that does not hold",
    403: "The caller may not do this",
    404: "There is no such thing, or none that the caller may know of",
    503: "Not now: the message crossed one of ours, or the space does not answer; ask again",
}
_ANSWERS = {Kind.NEGOTIATION: "ContractNegotiation", Kind.TRANSFER: "TransferProcess"}

# The last part of a follow-up's address -> the message it takes.
_NEGOTIATION_MESSAGES: dict[str, type[ProcessMessage]] = {
    "request": ContractRequestMessage,
    "offers": ContractOfferMessage,
    "agreement": ContractAgreementMessage,
    "agreement/verification": ContractAgreementVerificationMessage,
    "events": ContractNegotiationEventMessage,
    "termination": ContractNegotiationTerminationMessage,
}
_TRANSFER_MESSAGES: dict[str, type[ProcessMessage]] = {
    "start": TransferStartMessage,
    "suspension": TransferSuspensionMessage,
    "completion": TransferCompletionMessage,
    "termination": TransferTerminationMessage,
}


def _read_body(request: Request) -> Json:
    """The JSON of the request, whatever its content type: some peers send none."""
    request.state.dsp_body = parse(request.state.dsp_content)
    return request.state.dsp_body


def _read_continuation(request: Request) -> str | None:
    token = request.query_params.get(CONTINUATION)
    if token is not None and len(token) > MAX_TOKEN_CHARACTERS:
        raise Malformed(f"a {CONTINUATION} has at most {MAX_TOKEN_CHARACTERS} characters")
    return token


Body = Annotated[Json, Depends(_read_body)]
Continuation = Annotated[str | None, Query(alias=CONTINUATION, max_length=MAX_TOKEN_CHARACTERS)]

# What an endpoint here may take, beside a session and the parts of its address, and how it is come by.
_TAKEN: Sequence[tuple[Any, Callable[[Request], Any]]] = (
    (Member, member),
    (Body, _read_body),
    (Continuation, _read_continuation),
    (Request, lambda request: request),
)
_SESSIONS = ((Write, contextmanager(writing_session)), (Read, contextmanager(reading_session)))


class _DspRoute(APIRoute):
    """A route whose errors are the protocol's, not problem+json. Unexpected ones go on to the shell's opaque 500.

    The framework describes the endpoint by its signature; calling it is done here, all of it in one thread: say who
    calls, read the body, open the session, decide, write the answer, commit. Each change of threads, and the solving of
    dependencies, would cost as much as a query. What is refused has rolled its transaction back by then.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._status: int = options.get("status_code") or 200
        takes = list(inspect.signature(endpoint).parameters.values())
        opened = [(taken.name, opens) for taken in takes for kind, opens in _SESSIONS if taken.annotation == kind]
        self._beginning = path.partition("{")[0]
        self._session = opened[0] if opened else None
        self._ways = [(taken.name, _way_to(taken)) for taken in takes if taken.name not in dict(opened)]
        self.app = self._serve

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """With and without a trailing slash alike; a second route for each address would double start and memory."""
        path = scope["path"]
        if not path.startswith(self._beginning):  # a fifth of the price of matching
            return Match.NONE, {}
        return super().matches({**scope, "path": path[:-1]} if path.endswith("/") else scope)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        request.state.dsp_content = await request.body()
        try:
            answer = await run_in_threadpool(self._answer, request)
        except DataspaceError as error:
            answer = _error(request, error)
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        # In the order of the signature: who calls is known before anything is read or opened for them.
        given = {name: way(request) for name, way in self._ways}
        if self._session is None:
            return self._written(self.endpoint(**given))
        name, opens = self._session
        with opens(request) as session:
            return self._written(self.endpoint(**given, **{name: session}))

    def _written(self, said: Any) -> Response:
        return said if isinstance(said, Response) else JSONResponse(said, self._status)


def _way_to(taken: Parameter) -> Callable[[Request], Any]:
    """How what an endpoint takes is come by: by its kind, or as the part of the address that has its name."""
    for kind, way in _TAKEN:
        if taken.annotation == kind:
            return way
    if taken.annotation is not str:
        raise TypeError(f"a protocol endpoint cannot take {taken}")
    return lambda request: request.path_params[taken.name]


def create_router(engine: Engine) -> APIRouter:
    """The routes of `engine`'s protocol. They need ``app.state.presentations`` (see `registry.access`)."""
    router = APIRouter(route_class=_DspRoute, tags=["dataspace protocol"])
    _add_metadata(router)
    _add_catalogue(router, engine)
    _add_negotiations(router, engine)
    _add_transfers(router, engine)
    return router


def _add_metadata(router: APIRouter) -> None:
    def versions() -> dict[str, Json]:
        """Public. The protocol versions spoken here, and where."""
        return {"protocolVersions": [{"version": VERSION, "path": PATH, "binding": "HTTPS"}]}

    _add(router, "GET", "/.well-known/dspace-version", versions)


def _add_catalogue(router: APIRouter, engine: Engine) -> None:
    def page(caller: Caller, wanted: Wanted, session: Session) -> JSONResponse:
        found = engine.decisions.catalogue(session, caller, wanted)
        service = {"@id": SERVICE, "@type": "DataService", "endpointURL": engine.address}
        frame = wire(
            "Catalog",
            **{"@id": f"{engine.address}/catalog"},
            participantId=engine.identity.did,
            service=[service],
        )
        datasets = [_with_service(dataset) for dataset in found.datasets]
        return JSONResponse(
            frame | ({"dataset": datasets} if datasets else {}),
            headers=_links(engine.address, found, wanted) | _tag(found, wanted),
        )

    def catalogue(caller: Member, body: Body, session: Read, continuation: Continuation = None) -> JSONResponse:
        """The datasets the caller may see and asks for, page by page; the header Link has the next and the previous."""
        CatalogRequestMessage.read(body)
        return page(caller, read_token(continuation) if continuation else read_filter(body.get("filter")), session)

    def catalogue_page(caller: Member, session: Read, request: Request, continuation: Continuation = None) -> Response:
        """The same for who follows a link with GET. With If-None-Match it is 304 while nothing has changed."""
        answer = page(caller, read_token(continuation) if continuation else Wanted(), session)
        tag = answer.headers.get("etag")
        if tag is not None and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        return answer

    def dataset(dataset_id: str, caller: Member, session: Read) -> dict[str, Json]:
        """One dataset."""
        found = engine.decisions.dataset(session, dataset_id, caller)
        members = {key: value for key, value in _with_service(found).items() if key not in {"@context", "@type"}}
        return wire("Dataset", **members)

    _add(router, "POST", f"{PATH}/catalog/request", catalogue, takes=CatalogRequestMessage)
    _add(router, "GET", f"{PATH}/catalog/request", catalogue_page)
    _add(router, "GET", f"{PATH}/catalog/datasets/{{dataset_id}}", dataset)


def _add_negotiations(router: APIRouter, engine: Engine) -> None:
    base = f"{PATH}/negotiations"

    def request(caller: Member, body: Body, session: Write) -> dict[str, Json]:
        """A consumer asks for a contract."""
        return _answer(engine.receive_contract_request(session, caller, ContractRequestMessage.read(body)))

    def offer(caller: Member, body: Body, session: Write) -> dict[str, Json]:
        """A provider offers a contract unasked."""
        return _answer(engine.receive_contract_offer(session, caller, ContractOfferMessage.read(body)))

    def look(pid: str, caller: Member, session: Read) -> dict[str, Json]:
        """The negotiation as it stands."""
        process = engine.negotiation(session, pid)
        check_party(process, caller)
        return _answer(process)

    _add(router, "POST", f"{base}/request", request, status=201, takes=ContractRequestMessage)
    _add(router, "POST", f"{base}/offers", offer, status=201, takes=ContractOfferMessage)
    _add(router, "GET", f"{base}/{{pid}}", look)
    for path, message in _NEGOTIATION_MESSAGES.items():
        follow_up = _follow_up(engine.receive_negotiation, message)
        _add(router, "POST", f"{base}/{{pid}}/{path}", follow_up, takes=message)


def _add_transfers(router: APIRouter, engine: Engine) -> None:
    base = f"{PATH}/transfers"

    def request(caller: Member, body: Body, session: Write) -> dict[str, Json]:
        """A consumer asks for delivery under an agreement."""
        return _answer(engine.receive_transfer_request(session, caller, TransferRequestMessage.read(body)))

    def look(pid: str, caller: Member, session: Read) -> dict[str, Json]:
        """The transfer as it stands."""
        process = engine.transfer(session, pid)
        check_party(process, caller)
        return _answer(process)

    _add(router, "POST", f"{base}/request", request, status=201, takes=TransferRequestMessage)
    _add(router, "GET", f"{base}/{{pid}}", look)
    for path, message in _TRANSFER_MESSAGES.items():
        follow_up = _follow_up(engine.receive_transfer, message)
        _add(router, "POST", f"{base}/{{pid}}/{path}", follow_up, takes=message)


def _follow_up(receive: Callable[..., Process], message: type[ProcessMessage]) -> Callable[..., dict[str, Json]]:
    def follow_up(pid: str, caller: Member, body: Body, session: Write) -> dict[str, Json]:
        return _answer(receive(session, caller, pid, message.read(body)))

    follow_up.__doc__ = message.__doc__
    return follow_up


def _add(
    router: APIRouter,
    method: str,
    path: str,
    endpoint: Callable[..., Any],
    *,
    status: int = 200,
    takes: type[Message] | None = None,
) -> None:
    """Serve `endpoint` at `path`, and at ``path/``, which is the same to the protocol (see `_DspRoute.matches`)."""
    described = {} if takes is None else {"requestBody": {"required": True, "content": _described(takes)}}
    refused = _refusals(path) if path.startswith(PATH) else {}
    router.add_api_route(
        path, endpoint, methods=[method], status_code=status, openapi_extra=described, responses=refused
    )


def _refusals(path: str) -> dict[int | str, dict[str, Any]]:
    """What a route under `path` may answer instead, for the OpenAPI description."""
    members = {
        "@context": {"type": "array", "items": {"type": "string"}},
        "@type": {"const": _error_type(path)},
        "code": {"type": "string"},
        "reason": {"type": "array", "items": {"type": "string"}},
    }
    content = {"application/json": {"schema": {"type": "object", "properties": members, "required": list(members)}}}
    refused: dict[int | str, dict[str, Any]] = {
        status: {"description": meaning, "content": content} for status, meaning in _REFUSALS.items()
    }
    return refused | {"default": {"description": "What the protocol does not know, as problem+json"}}


def _error_type(path: str) -> str:
    return _ERRORS.get(path.removeprefix(PATH).strip("/").split("/", 1)[0], "CatalogError")


def _described(message: type[Message]) -> dict[str, Json]:
    """`message` for the OpenAPI description. The endpoint reads the body itself, so nothing else would describe it."""
    schema = message.model_json_schema()
    kinds = schema.pop("$defs", {})
    members = {
        name: kinds.get(str(member.get("$ref")).rpartition("/")[2], member)
        for name, member in schema["properties"].items()
        if name != "properties"
    }
    fixed = {
        "@context": {"type": "array", "items": {"type": "string"}, "contains": {"const": CONTEXT}},
        "@type": {"const": message.__name__},
    }
    schema |= {"properties": fixed | members, "required": [*fixed, *schema.get("required", [])]}
    return {"application/json": {"schema": schema}}


def _answer(process: Process) -> dict[str, Json]:
    return wire(
        _ANSWERS[process.kind],
        providerPid=process.provider_pid or NO_PID,
        consumerPid=process.consumer_pid or NO_PID,
        state=process.state,
        **({SUSPENDED_BY: process.suspended_by} if process.suspended_by else {}),
    )


def _links(address: str, page: Page, asked: Wanted) -> dict[str, str]:
    """The pages beside this one, as web links (Dataspace Protocol 2025-1, section 6.3; RFC 8288).

    A first page also links to itself as one that GET fetches, for it has an ETag that speaks of the whole catalogue:
    who crawls it need ask for nothing else while that stays.
    """
    opens = page.revision is not None and asked.offset == 0 and asked.after is None and asked.before is None
    beside = (("next", page.next), ("previous", page.previous), (REVISION, asked if opens else None))
    links = [
        f'<{address}/catalog/request?{CONTINUATION}={write_token(wanted)}>; rel="{relation}"'
        for relation, wanted in beside
        if wanted is not None
    ]
    return {"Link": ", ".join(links)} if links else {}


def _tag(page: Page, wanted: Wanted) -> dict[str, str]:
    """Names the page's content: it stays the same until the catalogue, as the caller sees it, changes."""
    return {} if page.revision is None else {"ETag": f'"{digest([page.revision, write_token(wanted)])}"'}


def _with_service(dataset: dict[str, Json]) -> dict[str, Json]:
    distributions = [{"accessService": SERVICE, **item} for item in dataset.get("distribution", [])]
    return {**dataset, "distribution": distributions}


def _error(request: Request, error: DataspaceError) -> JSONResponse:
    """`error` as the protocol writes errors. The specification knows 400 where we say 422 elsewhere."""
    type_ = _error_type(request.url.path)
    pids = {} if type_ == "CatalogError" else _pids(request)
    status = Malformed.status
    body = wire(type_, **pids, code=error.code, reason=[error.detail or error.title])
    headers = {"Retry-After": "1"} if error.status == 503 else {}
    return JSONResponse(body, status_code=400 if error.status == status else error.status, headers=headers)


def _pids(request: Request) -> dict[str, Json]:
    body = getattr(request.state, "dsp_body", None)
    said = body if isinstance(body, dict) else {}
    in_path = request.path_params.get("pid", NO_PID)
    return {name: said[name] if isinstance(said.get(name), str) else in_path for name in ("providerPid", "consumerPid")}
