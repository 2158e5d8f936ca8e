"""Regression on levels is least squares without noise, and as wrong as it says with it."""

import numpy as np
import pytest

from privacy.errors import NotReleased
from privacy.lattice import publication
from privacy.lattice.plan import GRID
from privacy.lattice.regression import Coefficient, check_regression, regress
from tests.privacy.lattice.population import COST, SENSITIVE, Population, population

CUTS = (("age_tree", 1), ("region_tree", 1), ("sex_tree", 1))
WHERE = {"job_tree": frozenset({0, 1, 2, 5})}


@pytest.fixture(scope="module")
def people() -> Population:
    found = population(40_000, mu=2.0, **SENSITIVE)
    # Costs that depend on age and sex, and an age that depends on the region: terms that would be wrong alone.
    age = found.codes["age_tree"]
    found.codes["age_tree"] = np.where(found.codes["region_tree"] > 7, np.minimum(age + 2, 6), age)
    steps = 100 * found.codes["age_tree"] + 150 * found.codes["sex_tree"] + found.values["cost"] // 8
    found.values["cost"] = np.minimum(steps, GRID)
    return found


def expected(people: Population, where: dict[str, frozenset[int]]) -> dict[tuple[int, str] | None, float]:
    """Least squares on the people themselves."""
    policy_ = people.plan.policy
    inside = np.ones(people.people, dtype=bool)
    for name, allowed in where.items():
        inside &= np.isin(people.codes[name], list(allowed))
    terms: list[tuple[int, str] | None] = [None]
    columns = [np.ones(int(inside.sum()))]
    for place, (name, depth) in enumerate(CUTS):
        level = policy_.attribute(name).levels[depth - 1]
        codes = np.array(level.of)[people.codes[name][inside]]
        for code in sorted(set(codes.tolist()))[1:]:
            terms.append((place, level.labels[code]))
            columns.append(codes == code)
    cost = people.values["cost"][inside] / GRID * 4000
    solved = np.linalg.lstsq(np.column_stack(columns), cost, rcond=None)[0]
    return dict(zip(terms, solved.tolist(), strict=True))


@pytest.mark.parametrize("where", [{}, WHERE])
def test_without_noise_it_is_least_squares(
    people: Population, where: dict[str, frozenset[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "discrete_gaussian", lambda stream, variance: 0)
    found = regress(people.cube(["count", "cost"]), CUTS, where, COST)
    true = expected(people, where)
    assert [one.term for one in found] == list(true)
    assert [one.value for one in found] == pytest.approx(list(true.values()), rel=1e-6, abs=1e-3)


def test_its_errors_are_as_large_as_they_say(people: Population) -> None:
    offs: list[float] = []
    for where in ({}, WHERE):
        true = expected(people, where)
        for number in range(8):
            found = regress(people.cube(["count", "cost"], key=b"%d" % number), CUTS, where, COST)
            offs += [(one.value - true[one.term]) / one.sd for one in found]
    assert abs(np.mean(offs)) < 0.4
    assert 0.75 < np.std(offs) < 1.25


def test_a_label_that_too_few_have_is_compared_with_like_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    people = population(20_000, **SENSITIVE)
    people.codes["age_tree"] = np.where(people.codes["age_tree"] == 3, 4, people.codes["age_tree"])
    monkeypatch.setattr(publication, "discrete_gaussian", lambda stream, variance: 0)
    found = regress(people.cube(["count", "cost"]), (("age_tree", 1),), {"age_tree": frozenset(range(6))}, COST)
    assert [one.term for one in found] == [None, *((0, f"age-7-{age}") for age in (1, 2, 4, 5))]
    assert all(isinstance(one, Coefficient) and np.isfinite(one.value) for one in found)


def test_levels_that_are_too_fine_together_are_refused_with_the_way(people: Population) -> None:
    small = population(2_000, **SENSITIVE)
    with pytest.raises(NotReleased, match="nearest is by"):
        check_regression(small.plan, (("region_tree", 2), ("age_tree", 1)), {}, COST)
    check_regression(people.plan, CUTS, WHERE, COST)
