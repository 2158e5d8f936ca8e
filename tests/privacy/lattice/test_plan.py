"""Planning: what every person pays adds up to the budget, whatever the trees, and without looking at anybody."""

from itertools import product
from math import prod, sqrt

import numpy as np
import pytest

from privacy.errors import PolicyUnusable
from privacy.lattice.plan import GRID, plan
from privacy.lattice.policy import COUNT, Attribute, Family, LatticePolicy, Level, Measure, read_policy
from tests.privacy.lattice.population import UNEVEN, policy, tree


@pytest.mark.parametrize("size", [200, 2_000, 20_000, 1_000_000])
def test_the_noise_spends_the_budget_and_never_more(size: int) -> None:
    planned = plan(policy(size=size))
    for measure in planned.variances:
        spent = float(planned.spent(measure))
        assert spent <= planned.policy.mu(measure) ** 2 * (1 + 1e-9)
        assert spent >= planned.policy.mu(measure) ** 2 * 0.99
    money = sum(planned.spent(measure) for measure in ("cost", "cost_squared"))
    assert sqrt(money) == pytest.approx(planned.policy.family("money").mu, rel=1e-3)


def test_no_person_pays_more_than_the_plan_says() -> None:
    """The projection of a person's contribution onto everything published, measured for every possible person."""
    given = policy(attributes=(tree("sex", 2), UNEVEN, tree("job", 3, 8)), size=5_000)
    planned = plan(given)
    claimed = float(planned.spent("secret"))
    worst = 0.0
    for person in product(*(range(len(a.domain)) for a in given.attributes)):
        place = dict(zip((a.name for a in given.attributes), person, strict=True))
        worst = max(worst, _paid(planned, "secret", place))
    assert worst <= claimed * (1 + 1e-9)
    assert worst >= claimed * 0.5  # the bound is not an empty one


def _paid(planned: object, measure: str, place: dict[str, int]) -> float:
    total = 0.0
    for component, variance in planned.variances[measure].items():  # type: ignore[attr-defined]
        share = 1.0
        for name, depth in component:
            block = planned.blocks[name][depth - 1]  # type: ignore[attr-defined]
            cell = int(block.of[place[name]])
            unit = np.zeros(block.cells, dtype=np.int64)
            unit[cell] = 1
            projected = block.project(unit, 0) / block.norm
            share *= float(projected @ projected)
        total += share * GRID**2 / variance
    return total


def test_thirty_attributes_and_a_million_people_are_planned() -> None:
    many = tuple(tree(f"a{i}", 3, 9) for i in range(30))
    planned = plan(
        policy(
            attributes=many,
            size=1_000_000,
            measures=(Measure("secret", "secret", 0, 1),),
            families=(Family("secret", 0.35),),
        )
    )
    assert len(planned.variances["secret"]) > 30_000
    assert float(planned.spent("secret")) == pytest.approx(0.35**2, rel=1e-3)


def test_a_plan_depends_on_the_policy_alone_and_its_digest_names_it() -> None:
    assert plan(policy()).digest == plan(policy()).digest
    assert plan(policy()).digest != plan(policy(mu=0.36)).digest
    assert plan(policy(size=20_100)).digest == plan(policy(size=20_000)).digest  # two significant digits are public


def admissible(given: LatticePolicy, least: int) -> list[dict[str, int]]:
    """Every table with `least` people to a cell: attribute -> depth of its level."""
    choices = product(*(range(len(attribute.levels) + 1) for attribute in given.attributes))
    named = [dict(zip((a.name for a in given.attributes), depths, strict=True)) for depths in choices]
    tables = [{name: depth for name, depth in one.items() if depth} for one in named]
    return [table for table in tables if given.is_admissible(table, least)]


@pytest.mark.parametrize("least", [25, 100, 200, 3_000])
def test_the_noise_is_shared_out_over_just_the_tables_that_are_released(least: int) -> None:
    """Every component of every table, with what the table sees of its noise, counted out one by one."""
    given = policy(mincell=least)
    planned = plan(given)
    seen: dict[tuple[tuple[str, int], ...], float] = {}
    for table in admissible(given, least):
        levels = {name: planned.blocks[name][depth - 1] for name, depth in table.items()}
        for blocks in product(*(range(depth + 1) for depth in table.values())):
            share = 1.0
            for (name, level), block in zip(levels.items(), blocks, strict=True):
                cells = (np.arange(level.cells).reshape(-1, 1) == level.of).astype(float)
                part = planned.blocks[name][block - 1].parts(cells) if block else cells.mean(axis=1)
                share *= float((part**2).sum())
            component = tuple((name, block) for name, block in zip(table, blocks, strict=True) if block)
            seen[component] = seen.get(component, 0.0) + share
    seen = {component: share for component, share in seen.items() if share > 1e-12}
    assert set(seen) == set(planned.variances["secret"])
    cost = {c: prod(float(planned.blocks[name][depth - 1].cost) for name, depth in c) for c in seen}
    whole = sum(sqrt(cost[c] * seen[c]) for c in seen)
    for component, variance in planned.variances["secret"].items():
        ideal = sqrt(cost[component] / seen[component]) * whole / given.mu("secret") ** 2
        assert variance / GRID**2 == pytest.approx(ideal, rel=1e-6)


def test_a_policy_reads_back_from_its_document() -> None:
    given = policy()
    assert read_policy(given.document()).digest == given.digest
    assert read_policy(given.document()).document() == given.document()


SEX = Attribute.flat("sex", ("f", "m"))
SECRET = Measure("secret", "secret", 0, 1)
BAD = {
    "a cell of few": {"mincell": 5},
    "a family that is not declared": {"measures": (Measure("x", "other", 0, 1),)},
    "an empty range": {"measures": (Measure("x", "secret", 1, 1),)},
    "an enormous mu": {"families": (Family("secret", 9.0),)},
    "two things of one name": {"attributes": (SEX, Attribute.flat("secret", ("a", "b")))},
    "a level that does not refine": {
        "attributes": (
            Attribute(
                "a",
                (
                    Level("b", ("x", "y"), (0, 1, 0, 1)),
                    Level("c", ("x", "y"), (0, 0, 1, 1)),
                    Level("a", tuple("1234"), (0, 1, 2, 3)),
                ),
            ),
        )
    },
    "a domain of one": {"attributes": (Attribute.flat("sex", ("f",)),)},
    "a name no query could use": {"attributes": (Attribute.flat("Sex; --", ("f", "m")),)},
    "other that is no label": {"attributes": (Attribute.flat("sex", ("f", "m"), other="x"),)},
    "four attributes together": {"together": 4},
    "nobody": {"size": 0},
}


@pytest.mark.parametrize("what", BAD)
def test_a_policy_that_contradicts_itself_is_refused(what: str) -> None:
    given = {
        "entity": "person",
        "attributes": (SEX,),
        "measures": (SECRET,),
        "families": (Family("secret", 0.35),),
        "size": 2_000,
    }
    with pytest.raises(PolicyUnusable):
        LatticePolicy(**{**given, **BAD[what]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document", [None, {}, {"type": "lattice-policy"}, {"type": "lattice-policy", "attributes": 1}]
)
def test_a_document_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(PolicyUnusable):
        read_policy(document)


def test_counts_have_a_ledger_of_their_own_unless_membership_is_the_secret() -> None:
    assert policy().mu(COUNT) == 1.0
    secret = policy(count_family="secret")
    assert secret.mu(COUNT) == pytest.approx(0.35 / sqrt(2))
    assert secret.mu("secret") == pytest.approx(0.35 / sqrt(2))
