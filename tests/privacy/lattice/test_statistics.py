"""Statistics of cells are numpy's without noise, as wrong as they say with it, and open where noise hides them."""

import numpy as np
import pytest

from privacy.lattice import publication, statistics
from privacy.lattice.answers import Cells, Estimate, Question, answer
from privacy.lattice.plan import GRID
from privacy.lattice.publication import Cube
from tests.privacy.lattice.population import COST, SENSITIVE, VISITS, Population, population

MOMENTS = ["cost", "visits", "cost_squared", "visits_squared", "cost_times_visits"]
OF_TWO = {
    "covariance": statistics.covariance,
    "correlation": statistics.correlation,
    "determination": statistics.determination,
    "slope": statistics.slope,
    "intercept": statistics.intercept,
}


@pytest.fixture(scope="module")
def people() -> Population:
    return population(20_000, mu=2.0, **SENSITIVE)


def cells(cube: Cube, question: Question = Question((("sex_tree", 1),))) -> Cells:
    return answer(cube, question, MOMENTS)


def expected(people: Population) -> dict[str, list[float]]:
    """By sex, from the people themselves, with visits as the outcome of cost."""
    found: dict[str, list[float]] = {name: [] for name in OF_TWO}
    for sex in (0, 1):
        who = people.codes["sex_tree"] == sex
        cost, visits = people.values["cost"][who] / GRID * 4000, 2 + people.values["visits"][who] / GRID * 10
        slope, intercept = np.polyfit(cost, visits, 1)
        correlation = np.corrcoef(cost, visits)[0, 1]
        found["covariance"].append(float(np.cov(visits, cost, bias=True)[0, 1]))
        found["correlation"].append(float(correlation))
        found["determination"].append(float(correlation**2))
        found["slope"].append(float(slope))
        found["intercept"].append(float(intercept))
    return found


@pytest.mark.parametrize("name", OF_TWO)
def test_without_noise_they_are_numpy_s(people: Population, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "discrete_gaussian", lambda stream, variance: 0)
    told = OF_TWO[name](cells(people.cube()), people.plan.policy, VISITS, COST)
    # Squares and products are rounded to the grid, a person at a time.
    assert told.value == pytest.approx(expected(people)[name], rel=5e-3)


def test_their_errors_are_as_large_as_they_say(people: Population) -> None:
    true, offs = expected(people), []
    for number in range(12):
        found = cells(people.cube(["count", *MOMENTS], key=b"key %d" % number))
        for name, statistic in OF_TWO.items():
            told = statistic(found, people.plan.policy, VISITS, COST)
            offs += list((told.value - true[name]) / told.sd)
    assert abs(np.mean(offs)) < 0.5
    assert 0.7 < np.std(offs) < 1.3


def test_where_noise_hides_whether_a_measure_varies_nothing_is_said() -> None:
    many, sure = Estimate(np.array([1000.0, 1000.0]), np.ones(2)), np.full(2, 1.0)
    sums = {
        "cost": Estimate(np.array([300.0, 300.0]), sure),
        "cost_squared": Estimate(np.array([90.5, 120.0]), sure),  # the first cell's variance is half its deviation
        "visits": Estimate(np.array([500.0, 500.0]), sure),
        "visits_squared": Estimate(np.array([400.0, 400.0]), sure),
        "cost_times_visits": Estimate(np.array([150.0, 180.0]), sure),
    }
    found = Cells([("a",), ("b",)], many, sums)
    policy_ = population(20_000, **SENSITIVE).plan.policy
    for statistic in (statistics.correlation, statistics.slope, statistics.intercept, statistics.determination):
        told = statistic(found, policy_, VISITS, COST)
        assert np.isnan(told.value).tolist() == [True, False]
    # The outcome may stand still: a flat line has a slope.
    assert not np.isnan(statistics.slope(found, policy_, COST, VISITS).value).any()
    assert np.isfinite(statistics.covariance(found, policy_, VISITS, COST).value).all()
