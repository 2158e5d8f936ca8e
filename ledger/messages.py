"""What travels to and from the ledger. Receipts and chain records have formats of their own and pass as they are."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hexi.canonical import Json, Wire
from ledger.entries import MAX_ENTRY_BYTES, Kind

# Entries in one batch, at most: the tree grows by a tile at once, and the body stays within every service's limit.
MAX_BATCH = 256


class Message(Wire):
    """camelCase outside, and nothing unasked for."""


class EntrySubmission(Message):
    """A sealed entry to be logged."""

    entry: str = Field(max_length=MAX_ENTRY_BYTES)


class EntryBatch(Message):
    """Sealed entries to be logged at the price of one."""

    entries: list[Annotated[str, Field(max_length=MAX_ENTRY_BYTES)]] = Field(min_length=1, max_length=MAX_BATCH)


class BatchOutcomes(Message):
    """What became of each entry of a batch, in its order: its receipt, or the problem that kept it out."""

    outcomes: list[dict[str, Json]]


class LoggedEntry(Message):
    """An entry of the log: what it says, and the JWS that proves who said it."""

    index: int
    kind: Kind
    subject: str
    digest: str
    issuer: str
    at: str
    facts: dict[str, str | int]
    entry: str


class EntryList(Message):
    """Entries in order, and how many the log has in all."""

    size: int
    entries: list[LoggedEntry]


class ConsistencyProof(Message):
    """The hashes that show that the log only grew, base64."""

    first: int
    second: int
    proof: list[str]


class AnchorMessage(Message):
    """An anchored checkpoint and the chain record that shows it."""

    size: int
    checkpoint: str
    at: str
    record: Json


class AnchorList(Message):
    """Anchors, newest first."""

    anchors: list[AnchorMessage]


class RpcRequest(Message):
    """A JSON-RPC 2.0 request, as every Ethereum tool sends it."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str = Field(max_length=64)
    params: list[Any] = Field(default_factory=list, max_length=8)
