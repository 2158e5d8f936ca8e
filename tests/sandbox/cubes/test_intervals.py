"""Values are drawn towards what the tables say together; their intervals hold the truth whatever it is."""

from dataclasses import dataclass

import numpy as np
import pytest

from privacy.lattice.blocks import Integers
from privacy.lattice.plan import GRID, plan
from privacy.lattice.policy import Attribute, Measure
from privacy.lattice.publication import Cube
from sandbox.cubes.cubes import Published, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery
from tests.privacy.lattice.population import Population, policy

SIZE, CUBES = 2_000, 60
# Two standard deviations of the noise: where drawing a cell in hurts most.
EXTRA = 0.06


@dataclass(frozen=True)
class OneStandsOut(Population):
    """Everybody has the secret with a chance of a half, but in the first cell of `plan` it is more."""

    extra: float = EXTRA

    @property
    def values(self) -> dict[str, Integers]:  # type: ignore[override]
        first = (self.codes["plan"] == 0) & (self.codes["status"] == 0)
        chance = 0.5 + self.extra * ((self.codes["plan"] == 0) + 3.0 * first)
        secret = np.random.default_rng(9).random(self.people) < chance
        return {"count": np.full(self.people, GRID), "secret": secret * np.int64(GRID)}


@pytest.fixture(scope="module")
def people() -> OneStandsOut:
    attributes = tuple(
        Attribute.flat(name, tuple(f"{name}-{label}" for label in range(cells)))
        for name, cells in {"plan": 4, "status": 3, "job": 8, "sex": 2}.items()
    )
    given = policy(SIZE, 50, 0.25, attributes=attributes, measures=(Measure("secret", "secret", 0, 1),))
    return OneStandsOut(plan(given), SIZE)


def errors(people: OneStandsOut, cubes: list[Cube], groups: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each cube and cell: how far off the average is, and whether the interval holds the truth."""
    query = read_query(f"SELECT {', '.join(groups)}, avg(secret) FROM t GROUP BY {', '.join(groups)}", people.plan, "t")
    assert isinstance(query, CubeQuery)
    component = tuple((name, 1) for name in groups)
    truth = (people.marginal("secret", component) / people.marginal("count", component)).reshape(-1)
    many = len(groups)
    rows = np.array([[row[many:] for row in ask(Published(cube, ()), query).rows] for cube in cubes], dtype=float)
    value, low, high = np.moveaxis(rows, 2, 0)
    assert ((low <= value) & (value <= high)).all()
    return value - truth, (low <= truth) & (truth <= high)


# Where nothing much is to be told apart from noise, values are far closer; where an effect is as large as the noise, no
# worse than by a tenth.
@pytest.mark.parametrize(("groups", "most"), [(("plan",), 1.1), (("sex",), 1.1), (("status", "job"), 0.85)])
def test_intervals_hold_the_truth_in_every_cell_and_values_are_closer(
    people: OneStandsOut, groups: tuple[str, ...], most: float
) -> None:
    smoothed = [people.cube(key=f"{number}".encode(), is_smoothed=True) for number in range(CUBES)]
    off, held = errors(people, smoothed, groups)
    plain_off, plain_held = errors(people, [cube.as_published for cube in smoothed], groups)
    assert held.mean() > 0.92
    assert held.mean(axis=0).min() > 0.85  # the least of some cells, of 60 draws each
    assert (held == plain_held).all()
    assert np.sqrt((off**2).mean()) < most * np.sqrt((plain_off**2).mean())
