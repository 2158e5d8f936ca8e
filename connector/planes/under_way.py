"""What is under way at once, in this process: of one transfer, and in all.

Each of it holds a connection, and a file or a thread. A place is taken before anything is admitted, so that whoever is
refused one has used nothing up; and only by who has shown a token that counts, so that nobody else takes them away.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hexi.errors import DataspaceError


class TooManyAtOnce(DataspaceError):
    """More under way for one transfer at once than it may have."""

    code = "connector.too-many-downloads"
    status = 429
    title = "Too many downloads at once"


class UnderWay:
    """Places for `what`: so many of one transfer, and `in_all`. For several threads."""

    def __init__(
        self,
        what: str,
        *,
        of_transfer: int,
        in_all: int,
        refusal: Callable[[str], DataspaceError] = TooManyAtOnce,
    ) -> None:
        self._what, self._of_transfer, self._in_all, self._refusal = what, of_transfer, in_all, refusal
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, transfer: str) -> Iterator[None]:
        """A place, while the block lasts. Raises the refusal, `TooManyAtOnce` by default."""
        with self._lock:
            if self._taken[transfer] >= self._of_transfer or self._taken.total() >= self._in_all:
                few = f"{self._of_transfer} {self._what} of a transfer, and {self._in_all} in all"
                raise self._refusal(f"at once it is {few}; finish one first")
            self._taken[transfer] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[transfer] -= 1
                if not self._taken[transfer]:
                    del self._taken[transfer]
