"""Places in a table: how far it was handed over, in the provider's own words. Pure.

A place goes with every batch. Whoever shows it later goes on behind it, and needs no new use for that: it is signed by
the provider, and counts for the same transfer, table, columns and state of the file only. Nothing is kept here.
"""

from dataclasses import dataclass, replace
from typing import Any

from connector.deliveries.errors import TablePlaceInvalid
from hexi.canonical import digest
from hexi.errors import DataspaceError
from hexi.keys import verify
from registry.identity import Identity

PLACE_TYPE = "hexi-table-place+jws"


@dataclass(frozen=True)
class TablePlace:
    """Behind the first `rows` of a table. `version` is the state of its file."""

    transfer: str
    table: str
    columns: tuple[str, ...]
    version: str
    rows: int

    @property
    def delivery(self) -> str:
        """What the place is a place of, without saying it: the file's state is the provider's own affair."""
        return digest(
            {"transfer": self.transfer, "table": self.table, "columns": list(self.columns), "version": self.version}
        )


def seal_place(place: TablePlace, identity: Identity) -> str:
    """The place as a JWS."""
    payload: dict[str, Any] = {
        "type": PLACE_TYPE.removesuffix("+jws"),
        "delivery": place.delivery,
        "rows": place.rows,
    }
    return identity.key.sign(payload, typ=PLACE_TYPE, kid=identity.kid)


def open_place(shown: str, beginning: TablePlace, identity: Identity) -> TablePlace:
    """The place that `shown` is, in the delivery that `beginning` begins. Raises `TablePlaceInvalid`.

    (1) It is a JWS of this type by our own key. (2) It is a place of this very delivery.
    """
    try:
        payload: Any = verify(shown, typ=PLACE_TYPE, resolve=lambda _kid: identity.key.public)  # (1)
        delivery, rows = str(payload["delivery"]), int(payload["rows"])
    except (DataspaceError, KeyError, TypeError, ValueError) as error:
        raise TablePlaceInvalid("this is no place in a table that was handed over from here") from error
    if delivery != beginning.delivery:  # (2)
        raise TablePlaceInvalid("the table has changed since, or it is another one; begin again without a place")
    return replace(beginning, rows=rows)
