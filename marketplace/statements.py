"""Statements: what a consumer owes for the runs metered since the last one. Pure.

Each run stands on exactly one statement, with the digest of the request by which the consumer asked for it: a provider
who is doubted has to show the signed request with that digest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hexi.canonical import Json
from marketplace.orders import Order

TYPE = "statement"
CURRENCY = "CNY"


@dataclass(frozen=True)
class Metered:
    """A run that was judged and found to be of an order."""

    run: str
    order: str
    request: str
    units: int
    amount_fen: int
    at: str


def lines(metered: Iterable[Metered], orders: Iterable[Order]) -> list[Json]:
    """One line an order, by its id; runs by time."""
    known = {order.id: order for order in orders}
    ordered = sorted(metered, key=lambda record: (record.order, record.at, record.run))
    return [_line(known[order], list(records)) for order, records in groupby(ordered, key=lambda r: r.order)]


def document(
    *, statement_id: str, operator: str, consumer: str, until: str, issued_at: str, lines: Sequence[Json]
) -> Json:
    """The statement document the operator signs."""
    return {
        "type": TYPE,
        "parties": [operator],
        "id": statement_id,
        "consumer": consumer,
        "until": until,
        "issuedAt": issued_at,
        "currency": CURRENCY,
        "lines": list(lines),
        "totalFen": sum(line["amountFen"] for line in lines),
    }


def _line(order: Order, records: Sequence[Metered]) -> Json:
    released = [record for record in records if record.units]
    refused = [record for record in records if not record.units]
    return {
        "order": order.id,
        "listing": order.listing,
        "agreement": order.agreement,
        "product": order.product,
        "provider": order.provider,
        "unitPriceFen": order.unit_price_fen,
        "runs": len(released),
        "refusedRuns": len(refused),
        "amountFen": sum(record.amount_fen for record in released),
        "receipts": [{"run": record.run, "request": record.request, "at": record.at} for record in released],
        "refused": [{"run": record.run, "request": record.request, "at": record.at} for record in refused],
    }
