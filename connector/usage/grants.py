"""Grants: the account of one transfer, and the uses that are counted on it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from connector.policies.evaluation import Party
from hexi.canonical import digest


class GrantState(StrEnum):
    """Whether a transfer may be served now."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ENDED = "ENDED"


@dataclass(frozen=True)
class Paid:
    """The order shown for a transfer: how many uses were bought, and until when they may be had."""

    order: str
    uses: int
    expires: str


@dataclass(frozen=True)
class Grant:
    """What one transfer may hand over, and what it has. `volume` is in bytes.

    `party` is what the registry said about the consumer when it began, `under_way` how many uses have begun and not
    finished, `digest` that of the whole thing handed over, where a data plane knows it.
    """

    transfer: str
    agreement: str
    product: str
    version: int
    format: str
    state: GrantState = GrantState.ACTIVE
    count: int = 0
    volume: int = 0
    records: int = 0
    under_way: int = 0
    digest: str | None = None
    ended: str | None = None
    # When something was last handed over, or the state changed.
    updated: str = ""
    party: Party | None = None
    paid: Paid | None = None


@dataclass(frozen=True)
class Use:
    """Something about to be handed over: how many uses begin with it, and how much it is.

    A first piece has `count` 1; what continues the same use (the next chunk, a range after an interruption) has 0. With
    `unfinished`, more of it follows, until the data plane says `connector.usage.counting.finish` or long nothing came.
    What is not known is None, and terms that speak of it say no.
    """

    count: int = 0
    # In bytes.
    volume: int = 0
    records: int | None = None
    fields: frozenset[str] | None = None
    # The filter applied to the data, as the terms would write it.
    expression: str | None = None
    # The IP address it goes to.
    network: str | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class Totals:
    """What was handed over under an agreement so far, by all its transfers, and of the order of the one at hand."""

    count: int = 0
    volume: int = 0
    records: int = 0
    of_order: int = 0
    recent: Mapping[timedelta, int] | None = None


def delivery_record(grant: Grant, code: str) -> tuple[str, dict[str, str | int]]:
    """What the ledger gets when a delivery ends: the digest of its record, and the facts, which make it up.

    `code` says why it ended: "completed", or the code of a reason. Volume is in bytes, as admitted.
    """
    known: dict[str, str | int] = {"content": grant.digest} if grant.digest else {}
    facts: dict[str, str | int] = known | {
        "agreement": grant.agreement,
        "product": f"{grant.product}#v{grant.version}",
        "format": grant.format,
        "reason": code,
        "count": grant.count,
        "volume": grant.volume,
        "records": grant.records,
    }
    return digest({"type": "delivery", "transfer": grant.transfer, **facts}), facts
