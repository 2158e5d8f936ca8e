"""Released cells kept ready for being compared with the next ones, so that not each answer reads and combines them all.

What is ready is a copy: the database decides what was released, to whichever process's consumer.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from sqlmodel import Session

from privacy.differencing import Combinations
from sandbox import store

# Cells kept ready in a process: each takes some 20 KB, and a product's analysts ask for a few hundred.
MOST_CELLS = 2_000


@dataclass
class _Ready:
    combinations: Combinations
    cells: set[store.CellKey] = field(default_factory=set)


class Remembered:
    """The combinations of what was released, by population and basis; the least recently used go first."""

    def __init__(self) -> None:
        self._ready: OrderedDict[tuple[str, str, int], _Ready] = OrderedDict()
        self._lock = Lock()

    def of(self, session: Session, population: str, basis: str, minimum: int) -> Combinations:
        """All that was released about the population on this basis; the caller may add to it."""
        there = store.cell_keys(session, population, basis)
        with self._lock:
            ready = self._ready.pop((population, basis, minimum), None)
            if ready is None or not ready.cells <= there:  # a database that was restored knows less
                ready = _Ready(Combinations(minimum))
            for key, cell in store.cells(session, population, basis, there - ready.cells):
                ready.combinations.add(cell)
                ready.cells.add(key)
            self._ready[population, basis, minimum] = ready
            while sum(len(one.cells) for one in self._ready.values()) > MOST_CELLS and len(self._ready) > 1:
                self._ready.popitem(last=False)
            return ready.combinations.copy()
