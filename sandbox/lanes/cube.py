"""The lattice lane: the product's published cube answers; the table is not asked, and may be gone."""

from hexi.database import Database
from sandbox.cubes.cubes import Cubes, Published, ask
from sandbox.cubes.queries import CubeQuestion
from sandbox.datasets import Dataset
from sandbox.lane import End, Result, Work
from sandbox.messages import RunAnswer
from sandbox.reasons import Refusal
from sandbox.receipts import RELEASED, Happened
from sandbox.requests import RunRequest


class CubeLane:
    """Answers from `cubes`. Nothing is executed, nor compared with earlier answers: the cube is all there ever is."""

    def __init__(self, database: Database, cubes: Cubes) -> None:
        self._database = database
        self._cubes = cubes

    def review(self, dataset: Dataset, request: RunRequest) -> CubeQuestion | Refusal:
        """See `Lane`."""
        return self._cubes.review(dataset, request.query)

    def compute(self, work: Work[CubeQuestion]) -> Published:
        """The cube, published with the first question. Raises `BudgetSpent`, `ProductUnusable`."""
        return self._cubes.published(work.dataset)

    def finish(self, work: Work[CubeQuestion], computed: Published, end: End[CubeQuestion]) -> RunAnswer:
        """See `Lane`."""
        output = ask(computed, work.question)
        happened = Happened(
            RELEASED,
            query=work.question.canonical_sql,
            data_digest=computed.data_digest,
            output=output.digest,
            disclosure=computed.terms(),
        )
        with self._database.transaction() as session:
            return end(session, work, Result(happened, output))
