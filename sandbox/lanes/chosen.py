"""Which lane answers a request: a matter of the product's signed description and of the mode of use (`registry.lanes`).

A product that should not have been published, or was under earlier rules, has no lane in some mode: `ClosedLane`.

What a lane needs (a parser of SQL, numpy) is loaded with the first question, not at start.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from hexi.canonical import Clock
from hexi.database import Database
from registry.lanes import Described, LaneName, NoLane, lane_of
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable
from sandbox.lane import Contribute, End, Lane, Work
from sandbox.messages import RunAnswer
from sandbox.reasons import NOT_NAMED, Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from sandbox.cubes.cubes import Cubes
    from sandbox.programs.execution import Hear


def is_named(product: Described, did: str) -> bool:
    """Whether `product` answers `did`, as far as its policy names whom it answers."""
    return product.controlled is None or product.controlled.group_of(did) is not None


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
        """The lane of this product for this request; where there is none, one that refuses."""
        match lane_of(dataset.product, request.mode):
            case LaneName.LATTICE:
                return self._cube_lane
            case LaneName.CONTROLLED:
                return self._controlled_lane
            case LaneName.TABLES:
                return self._table_lane
            case LaneName.SUMS:
                return self._sum_lane
            case LaneName.PROGRAMS:
                return self._program_lane
            case NoLane(why):
                return ClosedLane(why)

    def fingerprint(self, dataset: Dataset, request: RunRequest) -> str | None:
        """That of the files that a run will read, which its version is held to from then on; None where it reads none,
        for a published cube answers it. Raises `ProductUnusable`.
        """
        is_cube = lane_of(dataset.product, request.mode) is LaneName.LATTICE
        return None if is_cube and self.cubes.published_before(dataset) else dataset.fingerprint()

    def review(self, dataset: Dataset, request: RunRequest, holder: str) -> Any | Refusal:
        """What `holder` asks, as its lane understood it, or why it may not: in every mode, named analysts only."""
        if not is_named(dataset.product, holder):
            return Refusal((NOT_NAMED,))
        return self.of(dataset, request).review(dataset, request)

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


class ClosedLane:
    """No lane: every question is refused, for a reason that is in the description alone. See `Lane`."""

    def __init__(self, why: str) -> None:
        self._reason = Reason("sandbox.no-lane", f"this product cannot be asked so: {why}")

    def review(self, dataset: Dataset, request: RunRequest) -> Refusal:
        """The refusal."""
        return Refusal((self._reason,))

    def compute(self, work: Work[Any]) -> Any:
        """Raises `ProductUnusable`: what review refuses gets here by a mistake only, and then no data are touched."""
        raise ProductUnusable(self._reason.message)

    def finish(self, work: Work[Any], computed: Any, end: End[Any]) -> RunAnswer:
        """Raises `ProductUnusable`."""
        raise ProductUnusable(self._reason.message)
