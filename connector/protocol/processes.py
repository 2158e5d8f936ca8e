"""A process: one contract negotiation or one transfer, as one of its two ends sees it.

Both kinds and both roles are one shape, because the protocol addresses them alike: every end has its own process id,
knows the other's, and a message is legal or not by who sends it and the state it meets.
Source: Dataspace Protocol 2025-1, sections 7.1 (negotiation) and 9.1 (transfer).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from hexi.canonical import Json


class Kind(StrEnum):
    """What the process is for."""

    NEGOTIATION = "negotiation"
    TRANSFER = "transfer"


class Role(StrEnum):
    """Which end we are."""

    PROVIDER = "provider"
    CONSUMER = "consumer"

    @property
    def other(self) -> "Role":
        """The other end."""
        return Role.CONSUMER if self is Role.PROVIDER else Role.PROVIDER


@dataclass(frozen=True)
class Process:
    """One end of a negotiation or transfer. `state` is always a state of the protocol, never one of our own making."""

    pid: str
    kind: Kind
    role: Role
    state: str
    counterparty: str
    callback_address: str
    # None until the other end has said its own: then every later message must name it.
    peer_pid: str | None = None
    # The @id of the message by which the other end opened it, if it had one. Ours stands in the outbox.
    opening_id: str | None = None
    dataset_id: str | None = None
    # The last offer on the table, from either side, as it was written.
    offer: dict[str, Json] | None = None
    agreement: dict[str, Json] | None = None
    agreement_id: str | None = None
    format: str | None = None
    # Where the data go (the consumer's, in its request), or where they are (the provider's, once it started).
    data_address: dict[str, Json] | None = None
    # Who may resume: whoever suspended, and the provider always.
    suspended_by: Role | None = None
    # Extension properties (urn:hexi:*) of all messages so far, theirs and ours, later ones over earlier ones.
    properties: dict[str, Json] = field(default_factory=dict)
    # Why it was suspended or terminated, or what the other end refused.
    reason: list[str] = field(default_factory=list)
    version: int = 0
    created: str = ""
    updated: str = ""

    @property
    def provider_pid(self) -> str | None:
        """The provider's process id, if known yet."""
        return self.pid if self.role is Role.PROVIDER else self.peer_pid

    @property
    def consumer_pid(self) -> str | None:
        """The consumer's process id, if known yet."""
        return self.pid if self.role is Role.CONSUMER else self.peer_pid
