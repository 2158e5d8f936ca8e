"""The ledger's routes. Everything can be read by anybody; writing takes a known signer, anchoring the operator."""

import base64
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response

from hexi.canonical import Json
from hexi.errors import DataspaceError
from hexi.keys import KeyResolver
from hexi.web import Read, SessionRoute, Write
from ledger import anchors
from ledger.anchors import Anchor
from ledger.chain import Chain
from ledger.entries import Entry, Kind, check_issuer, open_entry
from ledger.errors import ChainMethodRefused, ChainUnavailable, EntryUnknown
from ledger.log import MAX_ENTRIES, Log, Logged
from ledger.messages import (
    AnchorList,
    AnchorMessage,
    BatchOutcomes,
    ConsistencyProof,
    EntryBatch,
    EntryList,
    EntrySubmission,
    LoggedEntry,
    RpcRequest,
)
from ledger.receipts import Receipt

# Tiles never change once served, not even partial ones; checkpoints do.
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_NOW = {"Cache-Control": "no-cache"}
# A batch's entries, each opened or with the reason why it does not hold.
_Opened = list[tuple[str, Entry | DataspaceError]]
# JSON-RPC 2.0: the method is not available; and the first of the codes left to servers.
_NO_METHOD, _SERVER_ERROR = -32601, -32000


def create_router(
    log: Log, resolve_signer: KeyResolver, require_operator: Callable[..., Any], chain: Chain | None
) -> APIRouter:
    """The routes of `log` under /ledger. `resolve_signer` knows who may submit entries; `require_operator` is a FastAPI
    dependency that raises for anybody else. Without a `chain`, anchoring answers 503."""
    router = APIRouter(route_class=SessionRoute, prefix="/ledger", tags=["ledger"])
    _add_entries(router, log, resolve_signer)
    _add_batches(router, log, resolve_signer)
    _add_static(router, log)
    _add_anchors(router, log, require_operator, chain)
    return router


def _add_entries(router: APIRouter, log: Log, resolve_signer: KeyResolver) -> None:
    def opened(submission: EntrySubmission) -> Entry:
        return open_entry(submission.entry, resolve_signer)

    # The order matters: the entry is checked before the transaction, and with it the wait for other writers, begins.
    @router.post("/entries")
    def submit(submission: EntrySubmission, entry: Annotated[Entry, Depends(opened)], session: Write) -> Json:
        """Log an entry sealed by a participant; the answer is its receipt. Sending it again gives the same receipt."""
        check_issuer(entry, log.operator(session))
        return log.append(session, submission.entry, entry).to_json()

    @router.get("/entries")
    def entries(
        session: Read,
        kind: Kind | None = None,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = MAX_ENTRIES,
    ) -> EntryList:
        """Public. Entries in order, from the one after index `after`."""
        found = log.entries(session, kind=kind, after=after, limit=limit)
        return EntryList(size=log.size(session), entries=[_logged(logged) for logged in found])

    @router.get("/entries/{index}/receipt")
    def receipt(session: Read, index: int, size: int | None = None) -> Json:
        """Public. The receipt of an entry, against the tree it was added to, or a later one of `size`."""
        return log.receipt(session, index, size).to_json()

    @router.get("/receipts")
    def receipt_about(session: Read, kind: Kind, subject: str, issuer: str | None = None) -> Json:
        """Public. The receipt of the first entry of `kind` about `subject`."""
        found = log.find(session, kind, subject, issuer)
        if found is None:
            raise EntryUnknown(f"the log has no {kind} entry about {subject}")
        return log.receipt(session, found.index).to_json()


def _add_batches(router: APIRouter, log: Log, resolve_signer: KeyResolver) -> None:
    def all_opened(batch: EntryBatch) -> _Opened:
        resolve = cache(resolve_signer)  # a batch is mostly by one signer, who is looked up once
        return [(jws, _opened_or_why(jws, resolve)) for jws in batch.entries]

    @router.post("/entries/batch")
    def submit_batch(opened: Annotated[_Opened, Depends(all_opened)], session: Write) -> BatchOutcomes:
        """Log many sealed entries in one transaction; each is taken, or refused with its reason, by itself."""
        operator = log.operator(session)
        sealed: list[tuple[str, Entry]] = []
        refused: dict[int, DataspaceError] = {}
        for place, (jws, entry) in enumerate(opened):
            try:
                if isinstance(entry, DataspaceError):
                    raise entry
                check_issuer(entry, operator)
                sealed.append((jws, entry))
            except DataspaceError as error:
                refused[place] = error
        logged = iter(log.append_each(session, sealed) if sealed else [])
        return BatchOutcomes(
            outcomes=[_outcome(refused[place] if place in refused else next(logged)) for place in range(len(opened))]
        )


def _opened_or_why(jws: str, resolve: KeyResolver) -> Entry | DataspaceError:
    try:
        return open_entry(jws, resolve)
    except DataspaceError as error:
        return error


def _outcome(outcome: Receipt | DataspaceError) -> dict[str, Json]:
    return {"receipt": outcome.to_json()} if isinstance(outcome, Receipt) else {"problem": outcome.problem()}


def _add_static(router: APIRouter, log: Log) -> None:
    @router.get("/checkpoint", response_class=PlainTextResponse)
    def checkpoint(session: Read, size: int | None = None) -> PlainTextResponse:
        """Public. The signed note over the log, or over its first `size` entries (C2SP tlog-checkpoint)."""
        return PlainTextResponse(log.checkpoint(session, size), headers=_NOW)

    @router.get("/log.vkey", response_class=PlainTextResponse)
    def vkey() -> PlainTextResponse:
        """Public. The key that checks the log's signatures. Get it from somewhere else too, and compare."""
        return PlainTextResponse(f"{log.vkey}\n", headers=_NOW)

    @router.get("/tile/{path:path}", response_class=Response)
    def tile(session: Read, path: str) -> Response:
        """Public. A tile or entry bundle (C2SP tlog-tiles)."""
        data = log.tile(session, f"tile/{path}")
        return Response(data, media_type="application/octet-stream", headers=_FOREVER)

    @router.get("/consistency")
    def consistency(session: Read, first: int, second: int) -> ConsistencyProof:
        """Public. The proof that the log of `second` entries begins with that of `first`."""
        proof = log.consistency(session, first, second)
        return ConsistencyProof(first=first, second=second, proof=[base64.b64encode(step).decode() for step in proof])


def _add_anchors(router: APIRouter, log: Log, require_operator: Callable[..., Any], chain: Chain | None) -> None:
    def present() -> Chain:
        if chain is None:
            raise ChainUnavailable("this ledger runs without a chain")
        return chain

    # Not a session but the database: see `anchors.catch_up`.
    @router.post("/anchors", dependencies=[Depends(require_operator)])
    def anchor(request: Request, chain: Annotated[Chain, Depends(present)]) -> AnchorMessage:
        """The operator. Put the newest checkpoint on the chain now."""
        return _anchor(anchors.catch_up(request.app.state.database, log, chain))

    @router.get("/anchors")
    def listed(session: Read) -> AnchorList:
        """Public. The newest anchors, newest first."""
        return AnchorList(anchors=[_anchor(found) for found in anchors.listed(session)])

    @router.get("/anchors/{size}")
    def anchored(session: Read, size: int) -> AnchorMessage:
        """Public. The anchor of the checkpoint over `size` entries."""
        return _anchor(anchors.find(session, size))

    @router.post("/chain")
    def window(request: RpcRequest, chain: Annotated[Chain, Depends(present)]) -> Json:
        """Public. JSON-RPC to the chain, reading only, so that an auditor's web3 needs no other node."""
        answer: dict[str, Json] = {"jsonrpc": "2.0", "id": request.id}
        try:
            return answer | {"result": chain.rpc(request.method, request.params)}
        except DataspaceError as error:
            code = _NO_METHOD if isinstance(error, ChainMethodRefused) else _SERVER_ERROR
            return answer | {"error": {"code": code, "message": f"{error.detail} [{error.code}]"}}


def _logged(logged: Logged) -> LoggedEntry:
    entry = logged.entry
    return LoggedEntry(
        index=logged.index,
        kind=entry.kind,
        subject=entry.subject,
        digest=entry.digest,
        issuer=entry.issuer,
        at=entry.at,
        facts=dict(entry.facts),
        entry=logged.jws,
    )


def _anchor(anchor: Anchor) -> AnchorMessage:
    return AnchorMessage(size=anchor.size, checkpoint=anchor.checkpoint, at=anchor.at, record=anchor.record)
