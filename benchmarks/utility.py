"""What do honest analysts get from the lattice? 200 analyses at the SQL door: how many are released, and how exact.

    uv run python -m benchmarks.utility [--quick]

The analyses are those of a health planner (requirements, section 4.2): visits and costs by age, district, plan and
month, rates of an illness by group and over time. One in three is by one attribute, one in three by two, one in six by
three, one in eight a time series, the rest totals; three in ten of the smaller ones are filtered; counts, mean costs
and rates in the proportion 38 : 33 : 29. An analysis is released when cells that cover at least 80 % of its people are
shown. Errors are relative to the truth in the table, over cells of at least 100 people; `inside` is the share of all
intervals shown that hold the truth (95 % promised). `first` and `second` are the median errors of the two measures:
costs and a rate, or visits twice. `randhie` is real: the RAND health insurance experiment from statsmodels, a person
once, with the visits of all years as the measure.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.people import SIZES, People, people
from privacy.lattice.gate import PROFILES, STANDARD, STRICT, Profile, exposure, under
from privacy.lattice.plan import Plan, plan
from privacy.lattice.policy import Attribute, Family, LatticePolicy, Level, Measure
from privacy.lattice.publication import Cube, residuals
from sandbox.cubes.cubes import Published, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery
from sandbox.engines.local import Local
from sandbox.engines.marginals import Marginals
from sandbox.settings import PUBLISHING_MEMORY_BYTES

ANALYSES = 200
# Shares of the workload, in analyses of 200: attributes joined, and whether one of them is the month.
SHAPES = {"one": 65, "two": 67, "three": 32, "series": 24, "total": 12}
TARGETS = {(20_000, "standard"): (0.85, 0.02), (120_000, "strict"): (0.90, 0.02)}


@dataclass(frozen=True)
class Analysis:
    """One question of an analyst: what is counted or averaged, by which levels, of whom."""

    measure: str
    groups: tuple[str, ...]
    where: tuple[str, tuple[str, ...]] | None

    def sql(self) -> str:
        """As the analyst would write it."""
        number = "count(*)" if self.measure == "count" else f"avg({self.measure})"
        shown = ", ".join([*self.groups, number])
        where = by = ""
        if self.where:
            level, labels = self.where
            where = f" WHERE {level} IN ({', '.join(repr(label) for label in labels)})"
        if self.groups:
            by = f" GROUP BY {', '.join(self.groups)}"
        return f"SELECT {shown} FROM people{where}{by}"


@dataclass(frozen=True)
class Table:
    """The truth that answers are held against: for each level its labels and everybody's place among them, and
    everybody's measures."""

    plan: Plan
    levels: dict[str, tuple[tuple[str, ...], NDArray[np.intp]]]
    measures: dict[str, NDArray[np.float64]]
    size: int


def analyses(policy: LatticePolicy, series: str, measures: tuple[str, str], seed: int = 20) -> Iterator[Analysis]:
    """The 200 analyses, drawn by a seed from the policy's levels. `series` is the attribute that is time."""
    rng = np.random.default_rng(seed)
    others = [a for a in policy.attributes if a.name != series]
    time = policy.attribute(series)
    for shape, many in SHAPES.items():
        for _ in range(many):
            count = {"one": 1, "two": 2, "three": 3, "series": int(rng.integers(0, 2)), "total": 0}[shape]
            chosen = [others[i] for i in rng.permutation(len(others))[:count]]
            levels = [_level(rng, attribute) for attribute in chosen]
            if shape == "series":
                levels.append(_level(rng, time))
            where = None
            if count <= 2 and rng.random() < 0.3:
                left = [a for a in others if a not in chosen]
                where = _filter(rng, left[rng.integers(len(left))])
            measure = str(rng.choice(["count", *measures], p=[0.38, 0.33, 0.29]))
            yield Analysis(measure, tuple(level.name for level in levels), where)


def _level(rng: np.random.Generator, attribute: Attribute) -> Level:
    """Coarse levels are asked for as often as fine ones, but the finest of many seldom."""
    weights = np.array([1 / len(level.labels) ** 0.5 for level in attribute.levels])
    return attribute.levels[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _filter(rng: np.random.Generator, attribute: Attribute) -> tuple[str, tuple[str, ...]]:
    level = attribute.levels[0]
    kept = max(1, int(rng.integers(1, len(level.labels))))
    return level.name, tuple(str(label) for label in rng.permutation(list(level.labels))[:kept])


@dataclass(frozen=True)
class Outcome:
    """Of one workload: the share released, and the relative errors by measure over cells of 100 and more."""

    released: float
    errors: dict[str, list[float]]
    inside: float

    def median(self, *measures: str) -> float:
        """The median error over these measures, or over all."""
        wanted = [e for name, errors in self.errors.items() if not measures or name in measures for e in errors]
        return float(np.median(wanted)) if wanted else float("nan")


def run(table: Table, cube: Cube, workload: list[Analysis]) -> Outcome:
    """Ask every analysis at the door and hold the answers against the table."""
    published, released, held = Published(cube, ()), 0, []
    errors: dict[str, list[float]] = {}
    for analysis in workload:
        query = read_query(analysis.sql(), table.plan, "people")
        shown = _shown(published, query, analysis) if isinstance(query, CubeQuery) else {}
        covered = whole = 0
        for cell, people_in, truth in _cells(table, analysis):
            whole += people_in
            if cell not in shown:
                continue
            covered += people_in
            value, low, high = shown[cell]
            held.append(low <= truth <= high)
            if people_in >= 100 and truth:
                errors.setdefault(analysis.measure, []).append(abs(value - truth) / truth)
        released += covered >= 0.8 * whole
    return Outcome(released / len(workload), errors, float(np.mean(held)))


def _shown(
    published: Published, query: CubeQuery, analysis: Analysis
) -> dict[tuple[Any, ...], tuple[float, float, float]]:
    many = len(analysis.groups)
    return {row[:many]: (row[many], row[many + 1], row[many + 2]) for row in ask(published, query).rows}


def _cells(table: Table, analysis: Analysis) -> Iterator[tuple[tuple[str, ...], int, float]]:
    """Every cell that somebody is in: its labels, how many are in it, and the true answer."""
    inside = np.ones(table.size, dtype=bool)
    if analysis.where:
        labels, codes = table.levels[analysis.where[0]]
        inside = np.isin(np.array(labels), analysis.where[1])[codes]
    places = np.zeros(int(inside.sum()), dtype=np.intp)
    for level in analysis.groups:
        labels, codes = table.levels[level]
        places = places * len(labels) + codes[inside]
    cells = list(product(*(table.levels[level][0] for level in analysis.groups)))
    people_in = np.bincount(places, minlength=len(cells))
    truth = people_in.astype(float)
    if analysis.measure != "count":
        truth = np.bincount(places, table.measures[analysis.measure][inside], len(cells)) / np.maximum(people_in, 1)
    for cell, many, true in zip(cells, people_in.tolist(), truth.tolist(), strict=True):
        if many:
            yield cell, many, true


def synthetic(size: int, profile: Profile) -> tuple[Table, Cube]:
    """The study's people under a profile, published."""
    who: People = people(size, profile, flat=False)
    levels = {
        level.name: (level.labels, np.array(level.of)[who.codes[attribute.name]])
        for attribute in who.plan.policy.attributes
        for level in attribute.levels
    }
    table = Table(who.plan, levels, {"secret": who.secret.astype(float), "cost": who.cost}, size)
    return table, who.cube(b"utility")


def randhie(profile: Profile, folder: Path) -> tuple[Table, Cube]:
    """The RAND experiment: one row a person; visits over all years, and whether there were any."""
    from statsmodels.datasets import randhie as data

    frame = data.load_pandas().data
    # The data set has no person number: equal consecutive rows of the person's own columns are one person.
    own = frame[["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]]
    person = (own != own.shift()).any(axis=1).cumsum()
    health = np.select([frame.hlthp == 1, frame.hlthf == 1, frame.hlthg == 1], ["poor", "fair", "good"], "excellent")
    rows = {
        "person": person.to_numpy(),
        "coins": np.where(frame.lncoins == 0, "free", "shared"),
        "deductible": np.where(frame.idp == 1, "yes", "no"),
        "health": health,
        "limited": np.where(frame.physlm > 0, "yes", "no"),
        "chronic": np.digitize(frame.disea, [5, 10, 15, 20]).astype(str),
        "visits": frame.mdvis.to_numpy(),
    }
    path = folder / "people.csv"
    import pandas as pd

    everybody = pd.DataFrame(rows)
    everybody.to_csv(path, index=False)
    by_person = everybody.groupby("person").agg(
        {**{name: "min" for name in rows if name not in {"person", "visits"}}, "visits": "sum"}
    )
    attributes = tuple(
        Attribute.flat(name, domain)
        for name, domain in {
            "coins": ("free", "shared"),
            "deductible": ("no", "yes"),
            "health": ("excellent", "fair", "good", "poor"),
            "limited": ("no", "yes"),
            "chronic": ("0", "1", "2", "3", "4"),
        }.items()
    )
    declared = LatticePolicy(
        "person", attributes, (Measure("visits", "health", 0, 40),), (Family("health", profile.mu),), len(by_person)
    )
    planned = plan(under(declared, profile))
    with Marginals(Local(PUBLISHING_MEMORY_BYTES), path, planned) as marginals:
        tables = {
            name: residuals(
                planned, name, lambda component, name=name: marginals.marginal(name, component), key=b"r", label="r"
            )
            for name in planned.variances
        }
    levels = {
        attribute.name: (
            attribute.domain,
            np.array([attribute.domain.index(label) for label in by_person[attribute.name].astype(str)]),
        )
        for attribute in attributes
    }
    visits = by_person["visits"].clip(0, 40).to_numpy().astype(float)
    return Table(planned, levels, {"visits": visits}, len(by_person)), Cube(planned, tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 20,000 people")
    sizes = [200, 2_000, 20_000] if parser.parse_args().quick else [200, 2_000, 20_000, 120_000]
    columns = ("released", "all", "count", "first", "second", "inside")
    print(f"{'people':>8} {'profile':>9} " + " ".join(f"{column:>9}" for column in columns) + "  goal or source")
    for size in sizes:
        for profile in PROFILES:
            table, cube = synthetic(size, profile)
            workload = list(analyses(table.plan.policy, "month_tree", ("cost", "secret")))
            _print(size, profile, run(table, cube, workload), ("cost", "secret"))
    with TemporaryDirectory() as folder:
        for profile in PROFILES:
            table, cube = randhie(profile, Path(folder))
            workload = list(analyses(table.plan.policy, "chronic", ("visits", "visits")))
            _print(table.size, profile, run(table, cube, workload), ("visits", "visits"), "randhie (real)")
    print("\nshown to a provider when it publishes, for", len(SIZES), "attributes:")
    for size in sizes:
        for profile in (STRICT, STANDARD):
            told = exposure(people(size, profile).plan, "secret")
            print(
                f"{size:>8,} {profile.name:>9}: worst case {100 * told.insider_accuracy:.1f} % for a bit, "
                f"outsiders gain {100 * told.outsider_gain:.1f} points, "
                f"a fine cell's sum is known to +-{told.typical_error:.0f}"
            )


def _print(size: int, profile: Profile, outcome: Outcome, measures: tuple[str, str], note: str = "") -> None:
    if (target := TARGETS.get((size, profile.name))) is not None:
        met = outcome.released >= target[0] and outcome.median() < target[1]
        note = f"at least {target[0]:.0%} within {target[1]:.0%}: {'met' if met else 'missed'}"
    errors = [outcome.median(), outcome.median("count"), *(outcome.median(measure) for measure in measures)]
    shown = " ".join(f"{100 * share:>8.1f}%" for share in [*errors, outcome.inside])
    print(f"{size:>8,} {profile.name:>9} {100 * outcome.released:>8.1f}% {shown}  {note}")


if __name__ == "__main__":
    main()
