"""What a provider's sandbox offers to whoever has agreed on nothing yet: dry runs and twins of its products."""

from threading import Lock
from typing import TYPE_CHECKING

from sandbox.datasets import Dataset
from sandbox.lanes.chosen import Lanes
from sandbox.preview import DryRun

if TYPE_CHECKING:
    from sandbox.preview.twin import Twin

# Twins kept in memory, the oldest going first: some megabytes each, and asked for table by table.
MAX_TWINS = 4


class Preview:
    """Asks the lanes what a run would be asked; what it needs is loaded with the first question, not at start."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._twins: dict[tuple[str, str, int | None, int | None], Twin] = {}
        self._lock = Lock()

    def dry_run(self, dataset: Dataset, query: str, mode: str, asker: str | None = None) -> DryRun:
        """What would come of a query of `asker`'s (a DID; None: of whoever the product answers), by its text and the
        published description alone. Raises `ProductUnusable`."""
        from sandbox.preview.dry_run import dry_run

        return dry_run(self._lanes, dataset, query, mode, asker)

    def twin(self, dataset: Dataset, *, rows: int | None = None, seed: int | None = None) -> "Twin":
        """Synthetic tables: from what was published of the product, else from its description. Publishes nothing.

        Raises `ProductUnusable`.
        """
        from sandbox.preview.twin import twin

        found = None if dataset.product.lattice is None else self._lanes.cubes.published_before(dataset)
        drawn_from = (dataset.digest, found.cube.plan.digest if found else "", rows, seed)
        with self._lock:
            if drawn_from not in self._twins:
                self._twins[drawn_from] = twin(
                    dataset.product, dataset.digest, found.cube if found else None, rows=rows, seed=seed
                )
                while len(self._twins) > MAX_TWINS:
                    del self._twins[next(iter(self._twins))]
            return self._twins[drawn_from]
