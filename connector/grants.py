"""Grants: the account of one transfer, and the uses that are counted on it, as values."""

from dataclasses import dataclass
from enum import StrEnum


class GrantState(StrEnum):
    """Whether a transfer may be served now."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ENDED = "ENDED"


@dataclass(frozen=True)
class Grant:
    """What one transfer may hand over, and what it has. `volume` is in bytes."""

    transfer: str
    agreement: str
    product: str
    version: int
    format: str
    state: GrantState = GrantState.ACTIVE
    count: int = 0
    volume: int = 0
    ended: str | None = None


@dataclass(frozen=True)
class Use:
    """Something about to be handed over: how many uses begin with it, and how many bytes it is."""

    count: int = 0
    volume: int = 0
