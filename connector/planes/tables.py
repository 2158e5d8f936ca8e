"""What a table's delivery is, without Arrow: the request that came in, and what is answered to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from hexi.errors import Unavailable


class TooManyTables(Unavailable):
    """More tables are under way than this process delivers at once."""

    code = "connector.too-many-tables"
    title = "Too many tables at once"


@dataclass(frozen=True)
class TableRequest:
    """Somebody shows a token and asks for a table of a transfer."""

    token: str = field(repr=False)
    transfer: str
    table: str


@dataclass(frozen=True)
class TableDelivery:
    """What is answered: an Arrow schema, and its record batches, each admitted before it is handed over."""

    schema: Any
    batches: Callable[[], AbstractContextManager[Iterator[Any]]]


# Raises what the token, the grant, the agreement's terms and the file have to say.
Deliver = Callable[[TableRequest], TableDelivery]
