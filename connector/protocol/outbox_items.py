"""An item of the outbox: one row as a value."""

from dataclasses import dataclass
from enum import StrEnum

from hexi.canonical import Json

PEER = "peer"
LEDGER = "ledger"
# Something else of ours that the space must hear of.
SPACE = "space"
WEBHOOK = "webhook"


class OutboxState(StrEnum):
    """What became of a item."""

    PENDING = "pending"
    DELIVERED = "delivered"
    # Overtaken: the process went on without it.
    CANCELLED = "cancelled"
    # The other end will not have it.
    FAILED = "failed"


@dataclass(frozen=True)
class OutboxItem:
    """A message on its way. `attempts` counts those begun, so a item with none has certainly not arrived."""

    id: int
    destination: str
    process_pid: str | None
    audience: str | None
    message_id: str
    url: str
    body: Json
    reference: str | None
    state: OutboxState
    attempts: int
    not_before: str
