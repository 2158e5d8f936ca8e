"""How much of a secret bit can be reconstructed? Our lattice, and the rules of others, under the same attackers.

    uv run python -m benchmarks.reconstruction [--quick]

Gains are points of accuracy over the best guess from the attributes (given to the attacker for nothing).

* closure: every residual table that was ever published, decoded by the best linear estimator. An answer is computed
  from these tables and nothing else, so no number of queries knows more.
* door: who sends 10,000 SQL queries to the real door and decodes the numbers that come back, as they are shown:
  conjunctions of levels; differences (a query, and the same with one condition more); near duplicates (one set in ever
  new spellings); trackers (a set joined with another, and with the other's complement). Some of all try what is
  forbidden.
* knows half / knows all: the same attacker, who knows the secrets of half of the others, or of all of them.
* membership, versions, duplicate columns, refusal oracle: see the functions below.
* random subsets: the attacker that breaks rules without noise. Against the lattice it has no query to send: a door that
  compares levels with labels only refuses every subset chosen by anything else.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from benchmarks.decoding import Bits, Chosen, closure, evidence, from_answers
from benchmarks.people import SIZES, People, people
from benchmarks.rules import RULES, random_subsets
from privacy.lattice.answers import INTERVAL
from privacy.lattice.blocks import Floats
from privacy.lattice.gate import PROFILES, STANDARD, exposure
from privacy.lattice.plan import Plan
from privacy.lattice.policy import Measure
from privacy.lattice.publication import Cube
from sandbox.cubes.cubes import Published, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery

QUERIES = 10_000
KINDS = ("conjunction", "difference", "near duplicate", "tracker")
# Answers share their noise, so the door's attacker takes each for less evidence than it would be alone.
SHARED = 0.05
# Cubes per size: the people of a cube share its noise, so a cube is one observation.
SEEDS = {200: 400, 2_000: 120, 20_000: 40, 120_000: 10}


def gain(who: People, guess: Floats, among: Bits | None = None) -> float:
    """Points over the guess from the attributes alone."""
    among = np.ones(who.size, dtype=bool) if among is None else among
    right = np.mean((guess > 0.5)[among] == (who.secret > 0)[among])
    before = np.mean(((who.chance > 0.5) | (who.chance == 0.5) & (guess < -1))[among] == (who.secret > 0)[among])
    return 100 * float(right - (0.5 if who.flat else before))


def omniscient(who: People, cube: Cube, measure: str, truth: NDArray[np.int64] | None = None) -> float:
    """Accuracy, in points over one half, of who knows everybody else."""
    return 100 * (float(np.mean(evidence(who, cube, measure, who.secret if truth is None else truth) > 0)) - 0.5)


def asked(plan: Plan, kind: str, queries: int) -> tuple[int, list[CubeQuery]]:
    """Queries of a kind at the door: how many it refused, and what it made of the others."""
    read = [read_query(text, plan, "people") for text in islice(_attack(np.random.default_rng(11), kind), queries)]
    allowed = [one for one in read if isinstance(one, CubeQuery)]
    return queries - len(allowed), allowed


def through_the_door(who: People, cube: Cube, queries: list[CubeQuery]) -> float:
    """Points gained from what the door showed for these queries, every answer decoded."""
    published, seen = Published(cube, ()), dict[Chosen, tuple[float, float]]()
    for query in queries:
        for row in ask(published, query).rows:
            total, low, high = row[-3:]
            seen[_chosen(cube.plan, query, row[: len(row) - 3])] = (float(total), float(high - low) / (2 * INTERVAL))
    told = np.array(list(seen.values())).reshape(-1, 2)
    return gain(who, from_answers(who, list(seen), told[:, 0], told[:, 1], SHARED))


def refusal_oracle(queries: int) -> int:
    """Decisions that differ between two tables, of which one has a person more. There must be none."""
    rng = np.random.default_rng(12)
    cubes = [people(size, STANDARD).cube(b"oracle") for size in (2_000, 1_999)]
    differing = 0
    for text in islice(_attack(rng, "conjunction"), queries):
        differing += len({_decided(cube, text) for cube in cubes}) > 1
    return differing


def _decided(cube: Cube, text: str) -> str:
    """What a consumer is told before any number: that there is an answer, or every reason why there is none."""
    query = read_query(text, cube.plan, "people")
    if isinstance(query, CubeQuery):
        ask(Published(cube, ()), query)
        return "answered"
    return "; ".join(reason.message for reason in query.reasons)


def membership(size: int, seed: int) -> float:
    """Who knows all other rows guesses whether a person is in the table, from the counts: points over one half."""
    who = people(size, STANDARD, seed=seed)
    cube = who.cube(f"membership {seed}".encode(), ("count",))
    present = np.random.default_rng(seed).integers(0, 2, size)
    return omniscient(who, cube, "count", present)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 2,000 people, 500 queries")
    quick = parser.parse_args().quick
    sizes = [200, 2_000] if quick else [200, 2_000, 20_000, 120_000]
    queries = 500 if quick else QUERIES
    _print_lattice(sizes, queries)
    _print_rules([size for size in sizes if size <= 20_000], queries)


def _print_lattice(sizes: list[int], queries: int) -> None:
    print("points over the guess; lattice, everything ever published in the attacker's hands")
    print(
        f"{'people':>8} {'profile':>9} {'prior':>10} {'closure':>12} {'half known':>12} {'insider':>12} "
        f"{'theorem':>8} {'gate':>6}"
    )
    for size in sizes:
        for profile in PROFILES:
            for flat in (True, False):
                found = np.array([_attacked(size, profile, flat, seed) for seed in range(SEEDS[size])])
                told = exposure(people(size, profile).plan, "secret")
                print(
                    f"{size:>8,} {profile.name:>9} {'flat' if flat else 'predictive':>10} "
                    + " ".join(_with_error(column) for column in found.T)
                    + f" {100 * told.insider_gain:>8.1f} {100 * told.outsider_gain:>6.1f}",
                    flush=True,
                )
    print(f"\ndoor, {queries:,} queries each: points over the guess (share refused), {STANDARD.name}")
    print(f"{'people':>8} {'prior':>10} " + " ".join(f"{kind:>18}" for kind in KINDS))
    for size in sizes:
        everybody = [people(size, STANDARD, flat=flat) for flat in (True, False)]
        cubes = [who.cube(b"door", ("count", "secret")) for who in everybody]
        gained: list[list[str]] = [[], []]
        for kind in KINDS:
            refused, read = asked(everybody[0].plan, kind, queries)
            for shown, who, cube in zip(gained, everybody, cubes, strict=True):
                shown.append(f"{through_the_door(who, cube, read):>+8.1f} ({100 * refused / queries:>5.1f}%)")
        for prior, shown in zip(("flat", "predictive"), gained, strict=True):
            print(f"{size:>8,} {prior:>10} " + "  ".join(shown), flush=True)
    print(f"refusal oracle: {refusal_oracle(queries)} of {queries:,} decisions differ when a person is taken out")
    found = [membership(2_000, seed) for seed in range(4)]
    print(f"membership, counts at mu 1: {np.mean(found):+.1f} points (theorem +19.1)")
    theorem = 100 * exposure(people(2_000, STANDARD).plan, "secret").insider_gain
    print(f"versions: {versions(4):+.1f} points by four at mu {STANDARD.mu / 2:.3f} each (theorem +{theorem:.1f})")
    one, four = duplicates(alone=True), duplicates()
    print(f"duplicate columns: {four:+.1f} points by four columns of one family, {one:+.1f} by one")


def _attacked(size: int, profile: object, flat: bool, seed: int) -> tuple[float, float, float]:
    who = people(size, profile, seed=100 + 10 * seed, flat=flat)  # type: ignore[arg-type]
    cube = who.cube(f"key {seed}".encode(), ("secret",))
    known = np.random.default_rng(seed).random(size) < 0.5
    half = closure(who, cube, known=known)
    return gain(who, closure(who, cube)), gain(who, half, ~known), omniscient(who, cube, "secret")


def _print_rules(sizes: list[int], queries: int) -> None:
    print("\npoints over the guess; rules of others, random subsets, flat prior (50 is everything)")
    counts = [count for count in (100, 400, 1_000, 10_000) if count <= queries]
    print(f"{'people':>8} {'rule':>34} " + " ".join(f"{count:>8,}" for count in counts))
    for size in sizes:
        for name, rule in RULES.items():
            gains = " ".join(f"{random_subsets(size, count, rule):>+8.1f}" for count in counts)
            print(f"{size:>8,} {name:>34} {gains}", flush=True)


def versions(many: int) -> float:
    """The insider against several versions, each drawn afresh from its share of the budget: their evidence added up."""
    share = replace(STANDARD, mu=STANDARD.mu / sqrt(many))
    right = []
    for seed in range(4):
        who = people(2_000, share, seed=seed)
        cubes = [who.cube(f"version {i}".encode(), ("secret",)) for i in range(many)]
        right.append(np.mean(np.sum([evidence(who, cube, "secret", who.secret) for cube in cubes], axis=0) > 0))
    return 100 * (float(np.mean(right)) - 0.5)


def duplicates(*, alone: bool = False) -> float:
    """A column four times over in one family: each gets a share of one budget, so together they say what one says."""
    many = 1 if alone else 4
    columns = tuple(Measure(f"secret{i}" if i else "secret", "secret", 0, 1) for i in range(many))
    gains = []
    for seed in range(6):
        who = people(2_000, STANDARD, seed=seed, measures=columns)
        cube = who.cube(b"duplicates")
        gains.append(gain(who, np.mean([closure(who, cube, column.name) for column in columns], axis=0)))
    return float(np.mean(gains))


def _with_error(found: Floats) -> str:
    """The mean over cubes, and its standard error where there are several."""
    error = f"±{np.std(found, ddof=1) / len(found) ** 0.5:.1f}" if len(found) > 1 else ""
    return f"{np.mean(found):>+7.1f}{error:>5}"


def _attack(rng: np.random.Generator, kind: str) -> Iterator[str]:
    """Query after query of a kind, without end. One in twenty tries what is forbidden."""
    while True:
        chosen = [list(SIZES)[i] for i in rng.permutation(len(SIZES))[: rng.integers(1, 4)]]
        parts = [_condition(rng, name) for name in chosen]
        if rng.random() < 0.05:
            parts.append(str(rng.choice(["secret = 1", "person = 'p1'", "hash(person) % 2 = 0", "cost > 100"])))
        match kind:
            case "difference":
                yield _asked(parts[1:])
                yield _asked(parts)
            case "near duplicate":
                yield _asked([*parts, str(rng.choice(parts))])
                yield _asked([f"NOT ({part.replace(' IN ', ' NOT IN ')})" for part in reversed(parts)])
            case "tracker":
                label, more = _condition(rng, chosen[0]), parts[1:]
                yield _asked([f"({parts[0]} OR {label})", *more])
                yield _asked([f"({parts[0]} OR NOT ({label}))", *more])
            case _:
                yield _asked(parts, _level(rng, str(rng.choice([n for n in SIZES if n not in chosen])))[0])


def _asked(parts: list[str], group: str = "") -> str:
    where = f" WHERE {' AND '.join(parts)}" if parts else ""
    shown, by = (f"{group}, ", f" GROUP BY {group}") if group and len(parts) < 3 else ("", "")
    return f"SELECT {shown}sum(secret) FROM people{where}{by}"


def _condition(rng: np.random.Generator, name: str) -> str:
    level, labels = _level(rng, name)
    picked = rng.permutation(labels)[: rng.integers(1, labels)] if labels > 1 else [0]
    listed = ", ".join(f"'{label}'" for label in picked)
    return f"{level} IN ({listed})"


def _chosen(plan: Plan, query: CubeQuery, labels: tuple[object, ...]) -> Chosen:
    """Who is in a cell of an answer, as the places in each domain; the largest domain first."""
    kept = dict(query.question.where)
    for (name, depth), label in zip(query.question.groups, labels, strict=True):
        level = plan.policy.attribute(name).levels[depth - 1]
        under = frozenset(i for i, of in enumerate(level.of) if level.labels[of] == label)
        kept[name] = kept.get(name, under) & under
    return tuple(sorted(kept.items(), key=lambda one: (-len(plan.policy.attribute(one[0]).domain), one[0])))


def _level(rng: np.random.Generator, name: str) -> tuple[str, int]:
    sizes = SIZES[name]
    size = sizes[0 if rng.random() < 0.7 else rng.integers(len(sizes))]  # coarse ones are refused less often
    return (name if size == sizes[-1] else f"{name}_{size}"), size


if __name__ == "__main__":
    main()
