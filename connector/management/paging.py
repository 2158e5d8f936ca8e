"""Pages of a listing, newest first.

A cursor names the last item of a page. What comes after it is the next page, whatever was added meanwhile: nothing is
shown twice or passed over, and the thousandth page costs what the first does.

    >>> Cursor.read(str(Cursor("2026-11-23T08:00:00.000Z", "urn:uuid:1"))).id
    'urn:uuid:1'
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from connector.management.errors import CursorInvalid

# Items on a page, unless asked otherwise, and at most: a page is read by people or looped over by programs.
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
# Honest cursors hold an instant and an identifier.
MAX_CURSOR_CHARACTERS = 1_024

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Cursor:
    """Where a page ended. As text it is opaque and safe in a URL."""

    created: str
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.created} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """The cursor written in `text`. Raises `CursorInvalid`."""
        try:
            padded = text + "=" * (-len(text) % 4)
            created, separator, id_ = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(" ")
        except (binascii.Error, ValueError) as error:
            raise CursorInvalid("use the `next` of the page before, as it was given") from error
        if not (created and separator and id_) or "\x00" in created + id_:
            raise CursorInvalid("use the `next` of the page before, as it was given")
        return cls(created, id_)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and where to go on, or None at the end."""

    items: list[T]
    next: Cursor | None

    @classmethod
    def of(cls, found: Sequence[U], limit: int, value: Callable[[U], T], cursor: Callable[[U], Cursor]) -> "Page[T]":
        """The page that begins `found`, where one item more than `limit` was looked for."""
        shown = found[:limit]
        return cls([value(item) for item in shown], cursor(shown[-1]) if len(found) > limit else None)
