"""Calling a ledger. Receipts come back unverified: `receipts.verify_receipt` is for whoever relies on one."""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import httpx

from hexi.canonical import Json
from hexi.client import ServiceClient
from hexi.errors import RemoteProblem
from ledger.checkpoint import open_checkpoint
from ledger.entries import Kind
from ledger.errors import ChainUnavailable, EntryUnknown
from ledger.messages import AnchorList, AnchorMessage, ConsistencyProof, EntryList, LoggedEntry
from ledger.receipts import Receipt
from ledger.tiles import entry_bundles, hash_tiles


class LedgerClient:
    """The ledger of the space at `base_url` (with or without ``/ledger`` at its end)."""

    def __init__(
        self,
        base_url: str,
        authorise: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        space = base_url.rstrip("/").removesuffix("/ledger")
        self._service = ServiceClient(space, "the ledger", authorise=authorise, transport=transport)

    def submit(self, jws: str) -> Receipt:
        """Log a sealed entry. Raises `RemoteProblem` (``ledger.entry-conflict``...), `Unreachable`."""
        return Receipt.from_json(self._service.post("/ledger/entries", {"entry": jws}))

    def receipt(self, kind: Kind, subject: str, issuer: str | None = None) -> Receipt | None:
        """The receipt of the first entry of `kind` about `subject`, None if there is none."""
        params = {"kind": kind.value, "subject": subject} | ({"issuer": issuer} if issuer else {})
        try:
            return Receipt.from_json(self._service.get("/ledger/receipts", params))
        except RemoteProblem as problem:
            if problem.code == EntryUnknown.code:
                return None
            raise

    def receipt_at(self, index: int, size: int | None = None) -> Receipt:
        """The receipt of the entry at `index`, against the tree it was added to, or a later one of `size`."""
        params = {} if size is None else {"size": size}
        return Receipt.from_json(self._service.get(f"/ledger/entries/{index}/receipt", params))

    def entries(self, *, kind: Kind | None = None, after: int = -1) -> Iterator[LoggedEntry]:
        """Every entry after index `after`, asked for page by page."""
        while True:
            params = {"after": after} | ({"kind": kind.value} if kind else {})
            page = self._service.read(EntryList, self._service.get("/ledger/entries", params)).entries
            if not page:
                return
            yield from page
            after = page[-1].index

    def checkpoint(self, size: int | None = None) -> str:
        """The log's signed note, unverified."""
        return self._service.raw("GET", "/ledger/checkpoint", params={} if size is None else {"size": size}).text

    def vkey(self) -> str:
        """The key the log says is its own. Whoever wants to be sure compares it with one from elsewhere."""
        return self._service.raw("GET", "/ledger/log.vkey").text.removesuffix("\n")

    def tile(self, path: str) -> bytes:
        """The bytes at a tile's path."""
        return self._service.raw("GET", f"/ledger/{path}").content

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` entries begins with that of `first`, unverified."""
        answer = self._service.get("/ledger/consistency", {"first": first, "second": second})
        return tuple(base64.b64decode(step) for step in self._service.read(ConsistencyProof, answer).proof)

    def anchor(self) -> AnchorMessage:
        """Have the newest checkpoint put on the chain: for the operator."""
        return self._service.read(AnchorMessage, self._service.post("/ledger/anchors"))

    def anchors(self) -> list[AnchorMessage]:
        """The newest anchors, newest first."""
        return self._service.read(AnchorList, self._service.get("/ledger/anchors")).anchors

    def files(self, size: int | None = None) -> Iterator[tuple[str, bytes]]:
        """The whole log as static files, path and content, the checkpoint last. Raises `CheckpointInvalid`."""
        note, vkey = self.checkpoint(size), self.vkey()
        size = open_checkpoint(note, vkey).size
        yield "log.vkey", f"{vkey}\n".encode()
        for tile in (*entry_bundles(size), *hash_tiles(size)):
            yield tile.path, self.tile(tile.path)
        yield "checkpoint", note.encode()

    def public(self, path: str) -> Json:
        """Any public JSON of the same space."""
        return self._service.get(path)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()


def rpc_at(url: str, transport: httpx.BaseTransport | None = None) -> Callable[[str, Sequence[Json]], Json]:
    """Ask the chain behind `url` by JSON-RPC: ``rpc(method, params)``. Raises `ChainUnavailable`, `Unreachable`.

    A question or two about a contract does not need web3.
    """

    def rpc(method: str, params: Sequence[Json]) -> Json:
        with closing(ServiceClient(url, "the chain", transport=transport)) as service:
            answer = service.post("", {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainUnavailable(f"the chain at {url} answers {method} with an error")
        return answer["result"]

    return rpc
