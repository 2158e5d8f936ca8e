"""Which lane answers a request: a matter of the product's signed description and of the mode of use.

What a lane needs (a parser of SQL, numpy) is loaded with the first question, not at start.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from hexi.canonical import Clock
from hexi.database import Database
from sandbox.datasets import Dataset
from sandbox.lane import Contribute, Lane
from sandbox.queries.query import PROGRAM_MODE, SUM_MODE
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from sandbox.cubes.cubes import Cubes
    from sandbox.programs.execution import Hear


class Lanes:
    """The lanes of one provider; for what they are given, see `sandbox.runs.Sandbox`."""

    def __init__(
        self,
        database: Database,
        settings: SandboxSettings,
        contribute: Contribute | None,
        key: bytes,
        clock: Clock,
        unsafe_hear: "Hear | None" = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._contribute = contribute
        self._key = key
        self._clock = clock
        self._unsafe_hear = unsafe_hear

    def of(self, dataset: Dataset, request: RunRequest) -> Lane[Any, Any]:
        """The lane of this product for this request."""
        if dataset.product.lattice is not None:
            return self._cube_lane
        if dataset.product.controlled is not None:
            return self._controlled_lane
        if request.mode == PROGRAM_MODE:
            return self._program_lane
        return self._sum_lane if request.mode == SUM_MODE else self._table_lane

    @cached_property
    def _cube_lane(self) -> Lane[Any, Any]:
        from sandbox.lanes.cube import CubeLane

        return CubeLane(self._database, self.cubes)

    @cached_property
    def cubes(self) -> "Cubes":
        """The cubes of this provider."""
        from sandbox.cubes.cubes import Cubes

        return Cubes(self._database, self._key, self._clock, self._settings)

    @cached_property
    def _controlled_lane(self) -> Lane[Any, Any]:
        from sandbox.lanes.controlled import ControlledLane

        return ControlledLane(self._database, self._settings)

    @cached_property
    def _table_lane(self) -> Lane[Any, Any]:
        from sandbox.lanes.tables import TableLane

        return TableLane(self._database, self._settings)

    @cached_property
    def _program_lane(self) -> Lane[Any, Any]:
        from sandbox.lanes.programs import ProgramLane

        return ProgramLane(self._database, self._settings, self._unsafe_hear)

    @cached_property
    def _sum_lane(self) -> Lane[Any, Any]:
        from sandbox.lanes.sums import SumLane

        return SumLane(self._database, self._settings, self._contribute)
