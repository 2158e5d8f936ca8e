"""Answers: exact where the noise is nought, inside their intervals where it is not, and always consistent."""

from itertools import product

import numpy as np
import pytest

from privacy.errors import NotReleased
from privacy.lattice import answers, noise, publication, statistics
from privacy.lattice.answers import Question, answer
from privacy.lattice.plan import GRID
from privacy.lattice.policy import Measure
from tests.privacy.lattice.population import Population, population

SECRET, COST = Measure("secret", "secret", 0, 1), Measure("cost", "money", 0, 4000, square=True)
QUESTIONS = {
    "all": Question(),
    "one level": Question((("age_tree", 1),)),
    "a coarse level": Question((("region_tree", 1),)),
    "a fine level": Question((("region_tree", 2),)),
    "an uneven tree": Question((("stage_tree", 2),)),
    "two levels": Question((("stage_tree", 1), ("region_tree", 1))),
    "order of groups": Question((("region_tree", 1), ("age_tree", 1))),
    "filtered": Question((("sex_tree", 1),), {"region_tree": frozenset({0, 3, 9})}),
    "filtered by its own": Question((("region_tree", 1),), {"region_tree": frozenset({0, 1, 2, 15})}),
    "three together": Question((("sex_tree", 1), ("stage_tree", 1)), {"age_tree": frozenset({2, 3})}),
    "nobody": Question((), {"sex_tree": frozenset()}),
}


@pytest.fixture(scope="module")
def silent() -> Population:
    return population(20_000)


@pytest.fixture
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "discrete_gaussian", lambda stream, variance: 0)


def truth(people: Population, question: Question) -> dict[tuple[str, ...], np.ndarray]:
    """Who is in every cell, from the people themselves."""
    policy = people.plan.policy
    inside = np.ones(people.people, dtype=bool)
    for name, allowed in question.where.items():
        inside &= np.isin(people.codes[name], list(allowed))
    labels, places = [], []
    for name, depth in question.groups:
        level = policy.attribute(name).levels[depth - 1]
        allowed = question.where.get(name, frozenset(range(len(policy.attribute(name).domain))))
        kept = sorted({level.of[i] for i in allowed})
        labels.append([level.labels[i] for i in kept])
        places.append([np.array(level.of)[people.codes[name]] == i for i in kept])
    return {
        cell: inside & np.logical_and.reduce([np.ones_like(inside), *masks])
        for cell, masks in zip(product(*labels), product(*places), strict=True)
    }


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("name", QUESTIONS)
def test_without_noise_every_number_is_the_true_one(silent: Population, name: str) -> None:
    cube, question = silent.cube(), QUESTIONS[name]
    cells = answer(cube, question, ["secret", "cost", "cost_squared"])
    inside = truth(silent, question)
    assert cells.labels == list(inside)
    for place, who in enumerate(inside.values()):
        assert cells.people.value[place] == pytest.approx(who.sum(), abs=1e-6)
        assert cells.sums["secret"].value[place] * GRID == pytest.approx(silent.values["secret"][who].sum(), abs=1e-3)
        if who.any():
            cell, costs = cells.take([place]), silent.values["cost"][who] / GRID * 4000
            assert statistics.mean(cell, COST).value == pytest.approx(costs.mean(), abs=1e-6)
            assert statistics.total(cell, COST).value == pytest.approx(costs.sum(), rel=1e-9)
            squares = silent.values["cost_squared"][who] / GRID * 4000**2
            assert statistics.variance(cell, COST).value == pytest.approx(squares.mean() - costs.mean() ** 2, rel=1e-6)


def test_errors_are_as_large_as_they_say(silent: Population) -> None:
    offs = []
    cube = silent.cube(["count", "secret"])
    for question in QUESTIONS.values():
        cells, inside = answer(cube, question, ["secret"]), truth(silent, question).values()
        secrets = [silent.values["secret"][who].sum() / GRID for who in inside]
        for told, true in ((cells.people, [who.sum() for who in inside]), (cells.sums["secret"], secrets)):
            noisy = told.sd > 0
            offs += list((told.value - true)[noisy] / told.sd[noisy])
    assert abs(np.mean(offs)) < 0.35
    assert 0.75 < np.std(offs) < 1.25


def test_tables_agree_with_each_other(silent: Population) -> None:
    """Parts add up to the whole, however it is divided: there is one cube, and every table is read off it."""
    cube = silent.cube(["count"])
    whole = answer(cube, Question(), []).people.value[0]
    for name, depth in (("age_tree", 1), ("region_tree", 1), ("region_tree", 2), ("stage_tree", 2), ("job_tree", 2)):
        assert answer(cube, Question(((name, depth),)), []).people.value.sum() == pytest.approx(whole, abs=1e-6)


def test_asking_again_or_in_other_words_gives_the_same_number(silent: Population) -> None:
    cube = silent.cube(["count"])
    regions = silent.plan.policy.attribute("region_tree")
    first = frozenset(i for i, label in enumerate(regions.levels[0].of) if label == 0)
    rows = answer(cube, Question((("region_tree", 1),)), [])
    filtered = answer(cube, Question((), {"region_tree": first}), [])
    complement = answer(cube, Question((), {"region_tree": frozenset(range(16)) - first}), [])
    whole = answer(cube, Question(), [])
    assert rows.people.value[0] == pytest.approx(filtered.people.value[0], abs=1e-6)
    assert whole.people.value[0] - complement.people.value[0] == pytest.approx(filtered.people.value[0], abs=1e-6)


def test_publishing_again_gives_the_same_bytes(silent: Population) -> None:
    first, second = silent.cube(["secret"]), silent.cube(["secret"])
    other = silent.cube(["secret"], key=b"another key")
    for component, table in first.residuals["secret"].items():
        data = publication.to_bytes(table)
        assert data == publication.to_bytes(second.residuals["secret"][component])
        assert np.array_equal(publication.from_bytes(silent.plan, "secret", component, data), table)
    assert any(
        not np.array_equal(table, other.residuals["secret"][component])
        for component, table in first.residuals["secret"].items()
    )


def test_what_is_too_fine_is_refused_by_the_policy_and_told_the_way() -> None:
    people = population(2_000)
    cube = people.cube(["count", "secret"])
    with pytest.raises(NotReleased, match=r"the nearest is by region$"):
        answer(cube, Question((("region_tree", 2), ("age_tree", 1))), ["secret"])
    # The refusal is the same for people who are not there: it was made without looking.
    with pytest.raises(NotReleased):
        answers.check_released(people.plan, Question((("region_tree", 2), ("age_tree", 1))), ["secret"])


def test_small_cells_are_hidden_by_published_numbers_only() -> None:
    people = answers.Estimate(np.array([25.0, 25.0, 9.0]), np.array([4.0, 9.0, 0.1]))
    assert answers.Cells([(), (), ()], people, {}).shown.tolist() == [True, False, False]


def test_the_noise_is_drawn_from_the_stream(silent: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(
        publication,
        "discrete_gaussian",
        lambda stream, variance: drawn.append(variance) or noise.discrete_gaussian(stream, variance),
    )
    silent.cube(["count"])
    planned = silent.plan.variances["count"]
    assert len(drawn) == sum(
        int(np.prod(publication.shape(silent.plan, component), dtype=int)) for component in planned
    )
    assert set(drawn) == set(planned.values())
