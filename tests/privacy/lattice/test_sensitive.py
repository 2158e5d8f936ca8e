"""Sensitive columns with labels: counts by them are true without noise, as wrong as they say with it, and paid for."""

from collections.abc import Iterator

import numpy as np
import pytest

from privacy.errors import NotReleased, PolicyUnusable
from privacy.lattice import answers, gate, publication
from privacy.lattice.answers import Question, Sensitive, answer
from privacy.lattice.plan import GRID, plan
from privacy.lattice.policy import Cohorts, LatticePolicy, Measure, read_policy
from tests.privacy.lattice.population import COST, ILLNESS, SENSITIVE, SMOKER, VISITS, Population, policy, population

BY_SEX, YOUNG = (("sex_tree", 1),), {"age_tree": frozenset({0, 1})}
QUESTIONS = {
    "of all": Question((), {}, Sensitive("illness", (0, 1, 2), 0)),
    "one label": Question((), {}, Sensitive("illness", (1,))),
    "two of three": Question((), YOUNG, Sensitive("illness", (0, 2))),
    "before a level": Question(BY_SEX, {}, Sensitive("illness", (0, 1, 2), 0)),
    "after a level": Question(BY_SEX, YOUNG, Sensitive("illness", (0, 2), 1)),
    "of two labels, both": Question(BY_SEX, {}, Sensitive("smoker", (0, 1), 1)),
    "of two labels, the first": Question(BY_SEX, {}, Sensitive("smoker", (0,))),
    "of two labels, the second": Question(BY_SEX, YOUNG, Sensitive("smoker", (1,))),
}


@pytest.fixture(scope="module")
def people() -> Population:
    return population(20_000, **SENSITIVE)


def truth(people: Population, question: Question) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every cell's labels, and how many people are in it."""
    asked, policy_ = question.sensitive, people.plan.policy
    assert asked is not None
    measure = policy_.measure(asked.measure)
    values = people.values[asked.measure] > 0
    has = values if len(measure.labels) > 2 else np.stack([~values[:, 0], values[:, 0]], axis=1)
    inside = np.ones(people.people, dtype=bool)
    for name, allowed in question.where.items():
        inside &= np.isin(people.codes[name], list(allowed))
    split = [(label, people.codes["sex_tree"] == i) for i, label in enumerate(policy_.attribute("sex_tree").domain)]
    by_level = split if question.groups else [("", np.ones_like(inside))]
    labels = [(measure.labels[i], has[:, i]) for i in asked.labels]
    if asked.place is None:
        labels = [("", has[:, list(asked.labels)].any(axis=1))]
    outer, inner = (labels, by_level) if asked.place == 0 else (by_level, labels)
    for first, one in outer:
        for second, other in inner:
            yield tuple(label for label in (first, second) if label), int((inside & one & other).sum())


@pytest.mark.parametrize("name", QUESTIONS)
def test_without_noise_counts_by_labels_are_true(
    people: Population, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "discrete_gaussian", lambda stream, variance: 0)
    cells, expected = answer(people.cube(), QUESTIONS[name], []), list(truth(people, QUESTIONS[name]))
    assert cells.labels == [labels for labels, _ in expected]
    assert cells.people.value == pytest.approx([many for _, many in expected], abs=1e-6)


def test_errors_are_as_large_as_they_say(people: Population) -> None:
    offs: list[float] = []
    for key in (b"first", b"second", b"third"):
        cube = people.cube(["count", "illness", "smoker"], key=key)
        for question in QUESTIONS.values():
            told = answer(cube, question, []).people
            offs += list((told.value - [many for _, many in truth(people, question)]) / told.sd)
    assert abs(np.mean(offs)) < 0.35
    assert 0.75 < np.std(offs) < 1.25


def test_whoever_leaves_one_label_for_another_pays_for_both() -> None:
    """Every pair of values a person could have, projected onto everything that is published of the column."""
    planned = plan(policy(**SENSITIVE))  # type: ignore[arg-type]
    for measure in (ILLNESS, SMOKER):
        worst, rows = 0.0, np.eye(len(measure.labels), dtype=np.int64)[:, -measure.numbers :]
        for one in rows:
            for other in rows:
                moved = float(((one - other) ** 2).sum())
                paid = sum(
                    moved * np.prod([planned.blocks[name][depth - 1].cost for name, depth in component]) * GRID**2 / v
                    for component, v in planned.variances[measure.name].items()
                )
                worst = max(worst, paid)
        assert worst == pytest.approx(float(planned.spent(measure.name)), rel=1e-6)


def test_squares_products_and_labels_share_their_family_s_budget() -> None:
    planned = plan(policy(**SENSITIVE))  # type: ignore[arg-type]
    for family in planned.policy.families:
        shown = gate.exposure(planned, family.name)
        assert shown.mu == pytest.approx(family.mu, rel=1e-3)
        assert shown.mu <= family.mu * (1 + 1e-9)
    assert {m.name for m in planned.policy.all_measures()} == {
        *("count", "illness", "smoker", "cost", "cost_squared", "visits", "visits_squared", "cost_times_visits")
    }


def test_more_labels_need_larger_cells(people: Population) -> None:
    given = people.plan.policy
    assert given.least("smoker") == given.mincell
    assert given.least("illness") == 3 * given.mincell
    fine = Question((("region_tree", 2), ("age_tree", 1)), {}, Sensitive("illness", (1,)))
    with pytest.raises(NotReleased, match=r"of illness is finer than .* by region of it$"):
        answer(people.cube(["count", "illness"]), fine, [])


def test_an_insider_tells_two_labels_apart_no_better_than_the_theorem_says() -> None:
    """Who knows everybody else's illness, and that the last person's is one of two, against everything published."""
    right = []
    people = population(20_000, mu=0.5, mincell=20, measures=(ILLNESS,))
    told = people.values["illness"] // GRID
    for key in range(6):
        cube = people.cube(["illness"], key=b"%d" % key)
        statistic, information = np.zeros(people.people), np.zeros(people.people)
        direction = np.zeros_like(told)  # from what the person has to what it could have instead
        direction[np.arange(people.people), (told.argmax(axis=1) + 1) % 3] = 1
        for component, table in cube.residuals["illness"].items():
            noise, own = _noise_at(people, component, table), _own(people, component)
            precision = GRID**2 / people.plan.variances["illness"][component]
            statistic += np.einsum("pl,pl->p", noise, (direction - told).astype(float)) * precision
            information += 2 * own * precision
        right.append(np.mean(statistic < information / 2))
    bound = gate.exposure(people.plan, "secret").insider_accuracy
    # Uneven trees make some people pay less than the most, so the mean lies a little below.
    assert bound - 0.03 < np.mean(right) < bound + 0.015


def _noise_at(people: Population, component: tuple[tuple[str, int], ...], table: np.ndarray) -> np.ndarray:
    """The noise of everybody's own cell, with what coarser tables say taken out."""
    exact = publication.residual(people.plan, component, people.marginal("illness", component))
    scale: np.ndarray = np.ones(())
    for name, depth in component:
        scale = np.multiply.outer(scale, people.plan.blocks[name][depth - 1].norm)
    noise = (table - exact) / scale[..., None] / GRID
    places = tuple(people.plan.blocks[name][depth - 1].of[people.codes[name]] for name, depth in component)
    return noise[places] if places else np.broadcast_to(noise, (people.people, 3))


def _own(people: Population, component: tuple[tuple[str, int], ...]) -> np.ndarray:
    """How much of a person in its cell the table shows."""
    found = np.ones(people.people)
    for name, depth in component:
        block = people.plan.blocks[name][depth - 1]
        found *= (1 - block.weight**2 / block.norm)[block.of[people.codes[name]]]
    return found


def test_the_gate_counts_every_label() -> None:
    binary = plan(policy(measures=(SMOKER,)))
    several = plan(policy(measures=(Measure("illness", "secret", 0, 1, labels=("a", "b", "c", "d")),), mincell=25))
    one, four = gate.exposure(binary, "secret"), gate.exposure(several, "secret")
    assert four.independent_numbers == 4 * one.independent_numbers  # the same tables, four numbers a cell
    assert four.typical_error == pytest.approx(one.typical_error * 2**0.5, rel=1e-3)  # each with half the budget


def test_a_policy_with_labels_reads_back() -> None:
    banded = Measure("cost_band", "money", 0, 1, "cost", labels=("a", "b"), edges=(10.5,), other="b")
    given = policy(measures=(banded, COST, VISITS), correlations=(("visits", "cost"),))
    again = read_policy(given.document())
    assert again.document() == given.document()
    assert again.measure("cost_band") == banded
    assert again.correlations == given.correlations
    assert given.product("cost", "visits") == given.product("visits", "cost")


BAD = {
    "one label": {"measures": (Measure("x", "secret", 0, 1, labels=("a",)),)},
    "a label twice": {"measures": (Measure("x", "secret", 0, 1, labels=("a", "a")),)},
    "falling edges": {"measures": (Measure("x", "secret", 0, 1, labels=("a", "b", "c"), edges=(2, 1)),)},
    "edges for more labels": {"measures": (Measure("x", "secret", 0, 1, labels=("a", "b"), edges=(1, 2)),)},
    "a square of labels": {"measures": (Measure("x", "secret", 0, 1, labels=("a", "b"), square=True),)},
    "others nowhere": {"measures": (Measure("x", "secret", 0, 1, labels=("a", "b"), other="c"),)},
    "bands without labels": {"measures": (Measure("x", "secret", 0, 1, edges=(1,)),)},
    "a range past what is exact": {"measures": (Measure("x", "secret", 0, 1e13),)},
    "a correlation without squares": {
        "measures": (COST, Measure("visits", "money", 0, 1)),
        "correlations": (("cost", "visits"),),
    },
    "a correlation of one": {"measures": (COST,), "correlations": (("cost", "cost"),)},
    "a correlation across families": {
        "measures": (COST, Measure("x", "secret", 0, 1, square=True)),
        "correlations": (("cost", "x"),),
    },
    "a column in two families": {
        "measures": (COST, Measure("cost_band", "secret", 0, 1, "cost", labels=("a", "b"), edges=(10,)))
    },
    "no cohorts": {"cohorts": Cohorts("year", ())},
    "a cohort twice": {"cohorts": Cohorts("year", ("2024", "2024"))},
    "cohorts of nothing": {"cohorts": Cohorts("", ("2024",))},
    "a correlation twice": {"measures": (COST, VISITS), "correlations": (("cost", "visits"), ("visits", "cost"))},
}


@pytest.mark.parametrize("what", BAD)
def test_what_contradicts_itself_is_refused(what: str) -> None:
    with pytest.raises(PolicyUnusable):
        policy(**BAD[what])  # type: ignore[arg-type]


def test_what_lasts_of_a_policy_is_all_but_which_cohorts_there_are() -> None:
    first, second = (policy(cohorts=Cohorts("year", labels)) for labels in (("2024",), ("2024", "2025")))
    assert read_policy(second.document()).document() == second.document()
    assert first.digest != second.digest
    assert first.lasting_digest == second.lasting_digest
    assert plan(first).digest == plan(second).digest
    assert plan(first).digest != plan(policy(cohorts=Cohorts("month", ("2024",)))).digest
    assert policy().lasting_digest == policy().digest


def test_the_noise_of_several_cohorts_is_told(people: Population) -> None:
    one, four = (
        answers.expected_sd(plan(policy(cohorts=Cohorts("year", labels))), Question(), "secret").item()
        for labels in (("a",), ("a", "b", "c", "d"))
    )
    assert four == pytest.approx(2 * one)


def test_nothing_is_declared_that_a_policy_of_before_lacked() -> None:
    # The digest of a policy is what its published cube goes by: new members must not change it.
    assert isinstance(policy(), LatticePolicy)
    assert set(policy().document()) == {
        *("type", "entity", "size", "together", "mincell", "countMincell", "countFamily"),
        *("attributes", "measures", "families"),
    }
