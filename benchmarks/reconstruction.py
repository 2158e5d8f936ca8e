"""How much of a secret bit can be reconstructed? Our lattice, and the rules of others, under the same attackers.

    uv run python -m benchmarks.reconstruction [--quick]

Gains are points of accuracy over the best guess from the attributes (given to the attacker for nothing).

* closure: every residual table that was ever published, decoded by the best linear estimator. An answer is computed
  from these tables and nothing else, so no number of queries knows more.
* door: who sends 10,000 SQL queries to the real door and decodes the numbers that come back, as they are shown:
  conjunctions of levels; differences (a query, and the same with one condition more); near duplicates (one set in ever
  new spellings); trackers (a set joined with another, and with the other's complement). Some of all try what is
  forbidden. Of more than 4,000 different sets it decodes 4,000, drawn by lot; the closure uses everything.
* knows half / knows all: the same attacker, who knows the secrets of half of the others, or of all of them.
* membership, versions, duplicate columns, refusal oracle: see the functions below.
* random subsets: the attacker that breaks rules without noise. Against the lattice it has no query to send: a door that
  compares levels with labels only refuses every subset chosen by anything else.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from benchmarks.people import SIZES, People, people
from privacy.lattice.answers import INTERVAL
from privacy.lattice.blocks import Floats
from privacy.lattice.gate import PROFILES, STANDARD, exposure
from privacy.lattice.plan import GRID
from privacy.lattice.policy import Measure
from privacy.lattice.publication import Cube
from sandbox.cube_queries import CubeQuery
from sandbox.cubes import Published, ask
from sandbox.door import read_query

# People whose rows of the design are made at a time: some hundred megabytes at the most.
CHUNK = 10_000
QUERIES = 10_000
KINDS = ("conjunction", "difference", "near duplicate", "tracker")
# Sets whose answers are decoded together: their gram matrix takes a hundred megabytes.
MAX_SETS = 4_000
# Answers share their noise, so the door's attacker takes each for less evidence than it would be alone.
SHARED = 0.05
# Cubes per size: the people of a cube share its noise, so a cube is one observation.
SEEDS = {200: 200, 2_000: 24, 20_000: 3, 120_000: 1}


def closure(who: People, cube: Cube, measure: str = "secret", known: NDArray[np.bool_] | None = None) -> Floats:
    """The estimate of everybody's secret from everything published, everybody's chances and the `known` secrets."""
    bases = [_basis(who, component) for component in cube.plan.variances[measure]]
    observed, variance = _observed(cube, measure, bases)
    known = np.zeros(who.size, dtype=bool) if known is None else known
    mean = np.where(known, who.secret, who.chance)
    spread = np.where(known, 0.0, who.chance * (1 - who.chance))
    gram = np.diag(variance).astype(np.float64)
    for rows in _chunks(who.size):
        design = _design(who, cube, measure, bases, rows)
        gram += (design * spread[rows, None]).T @ design
        observed = observed - design.T @ mean[rows]
    solved = np.linalg.solve(gram, observed)
    guess = np.empty(who.size)
    for rows in _chunks(who.size):
        guess[rows] = mean[rows] + spread[rows] * (_design(who, cube, measure, bases, rows) @ solved)
    return guess


def gain(who: People, guess: Floats, among: NDArray[np.bool_] | None = None) -> float:
    """Points over the guess from the attributes alone."""
    among = np.ones(who.size, dtype=bool) if among is None else among
    right = np.mean((guess > 0.5)[among] == (who.secret > 0)[among])
    before = np.mean(((who.chance > 0.5) | (who.chance == 0.5) & (guess < -1))[among] == (who.secret > 0)[among])
    return 100 * float(right - (0.5 if who.flat else before))


def omniscient(who: People, cube: Cube, measure: str, truth: NDArray[np.int64] | None = None) -> float:
    """Accuracy, in points over one half, of who knows everybody else."""
    return 100 * (float(np.mean(own_evidence(who, cube, measure, truth) > 0)) - 0.5)


def own_evidence(who: People, cube: Cube, measure: str, truth: NDArray[np.int64] | None = None) -> Floats:
    """For each person the log-likelihood ratio of the true bit over the other one, all others known."""
    truth = who.secret if truth is None else truth
    statistic, information = np.zeros(who.size), np.zeros(who.size)
    for component, variance in cube.plan.variances[measure].items():
        basis = _basis(who, component)
        exact = np.zeros(basis.shape[0])
        np.add.at(exact, _flat(who, component), who.values(measure) / GRID)
        noise = _read(cube, measure, component) - basis @ (basis.T @ exact)
        own = (basis @ basis.T)[_flat(who, component)]
        statistic += own @ noise * (GRID**2 / variance)
        information += np.einsum("ij,ij->i", own, own) * (GRID**2 / variance)
    return np.where(truth > 0, 1.0, -1.0) * statistic + information / 2


def through_the_door(who: People, cube: Cube, kind: str, queries: int) -> tuple[int, float]:
    """Queries of a kind against the door: how many were refused, and the points gained from what was shown."""
    rng = np.random.default_rng(11)
    published = Published(cube, ())
    seen: dict[bytes, tuple[float, float]] = {}
    refused = 0
    for text in islice(_attack(rng, kind), queries):
        query = read_query(text, cube.plan, "people")
        if not isinstance(query, CubeQuery):
            refused += 1
            continue
        for row in ask(published, query).rows:
            total, low, high = row[-3:]
            inside = _inside(who, query, row[: len(row) - 3])
            seen[np.packbits(inside).tobytes()] = (total, (high - low) / (2 * INTERVAL))
    if not seen:
        return refused, 0.0
    kept = rng.permutation(len(seen))[:MAX_SETS]
    keys, told = list(seen), np.array(list(seen.values()))[kept]
    packed = [np.frombuffer(keys[index], dtype=np.uint8) for index in kept]
    design = np.array([np.unpackbits(one, count=who.size) for one in packed], dtype=np.float32)
    spread = who.chance * (1 - who.chance)
    gram = (design * spread.astype(np.float32)) @ design.T + np.diag(told[:, 1] ** 2 / SHARED)
    guess = who.chance + spread * (design.T @ np.linalg.solve(gram, told[:, 0] - design @ who.chance))
    return refused, gain(who, guess)


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


# A rule: from the sets asked for, one a row, and their true counts, to what is shown; nan where it refuses.
Rule = Callable[[NDArray[np.bool_], NDArray[np.int64]], Floats]


def random_subsets(size: int, queries: int, rule: Rule, seed: int = 3) -> float:
    """Gain of least squares on the answers to random half subsets, under a rule without a budget."""
    rng = np.random.default_rng(seed)
    secret = rng.integers(0, 2, size)
    chosen = rng.random((queries, size)) < 0.5
    answers = rule(chosen, chosen.astype(np.float32) @ secret.astype(np.float32))
    kept = ~np.isnan(answers)
    design = chosen[kept].astype(np.float64)
    gram = 0.25 * design @ design.T + np.eye(int(kept.sum())) * 8.0
    guess = 0.5 + 0.25 * design.T @ np.linalg.solve(gram, answers[kept] - design @ np.full(size, 0.5))
    return 100 * float(np.mean((guess > 0.5) == (secret > 0)) - 0.5)


def opensafely(_: NDArray[np.bool_], counts: NDArray[np.int64]) -> Floats:
    """Suppress up to seven, round to five."""
    return np.asarray(np.where(counts <= 7, np.nan, np.round(counts / 5) * 5), dtype=np.float64)


def threshold_ten(_: NDArray[np.bool_], counts: NDArray[np.int64]) -> Floats:
    """Suppress below ten, round to five."""
    return np.asarray(np.where(counts < 10, np.nan, np.round(counts / 5) * 5), dtype=np.float64)


def pairwise(sets: NDArray[np.bool_], counts: NDArray[np.int64]) -> Floats:
    """The same, and refuse whatever differs from an earlier answer by one to nine people."""
    shown = threshold_ten(sets, counts)
    members = sets.astype(np.float32)
    sizes = members.sum(axis=1)
    for start in range(0, len(sets), 1_000):
        block = slice(start, start + 1_000)
        differ = sizes[block, None] + sizes[None, :] - 2 * members[block] @ members.T
        close = (differ > 0.5) & (differ < 9.5) & (np.arange(len(sets))[None, :] < np.arange(len(sets))[block, None])
        shown[block] = np.where(close.any(axis=1), np.nan, shown[block])
    return shown


def cell_key(_: NDArray[np.bool_], counts: NDArray[np.int64]) -> Floats:
    """Threshold ten, and noise of deviation five that is the same for the same set."""
    noise = np.random.default_rng(4).normal(0, 5, len(counts))
    return np.asarray(np.where(counts < 10, np.nan, np.round(counts + noise)), dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 2,000 people, 500 queries")
    quick = parser.parse_args().quick
    sizes = [200, 2_000] if quick else [200, 2_000, 20_000, 120_000]
    queries = 500 if quick else QUERIES
    _print_lattice(sizes, queries)
    _print_rules(queries)


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
                    + f" {100 * told.insider_gain:>8.1f} {100 * told.outsider_gain:>6.1f}"
                )
    print(f"\ndoor, {queries:,} queries each: points over the guess (share refused), {STANDARD.name}, flat")
    print(f"{'people':>8} " + " ".join(f"{kind:>18}" for kind in KINDS))
    for size in sizes:
        who = people(size, STANDARD)
        cube = who.cube(b"door")
        found = [through_the_door(who, cube, kind, queries) for kind in KINDS]
        print(
            f"{size:>8,} "
            + " ".join(f"{gained:>+8.1f} ({100 * refused / queries:>5.1f}%)" for refused, gained in found)
        )
    print(f"refusal oracle: {refusal_oracle(queries)} of {queries:,} decisions differ when a person is taken out")
    found = [membership(2_000, seed) for seed in range(4)]
    print(f"membership, counts at mu 1: {np.mean(found):+.1f} points (theorem +19.1)")
    theorem = 100 * exposure(people(2_000, STANDARD).plan, "secret").insider_gain
    print(f"versions: {_versions(4):+.1f} points by four at mu {STANDARD.mu / 2:.3f} each (theorem +{theorem:.1f})")
    one, four = _duplicates(alone=True), _duplicates()
    print(f"duplicate columns: {four:+.1f} points by four columns of one family, {one:+.1f} by one")


def _attacked(size: int, profile: object, flat: bool, seed: int) -> tuple[float, float, float]:
    who = people(size, profile, seed=100 + 10 * seed, flat=flat)  # type: ignore[arg-type]
    cube = who.cube(f"key {seed}".encode(), ("secret",))
    known = np.random.default_rng(seed).random(size) < 0.5
    half = closure(who, cube, known=known)
    return gain(who, closure(who, cube)), gain(who, half, ~known), omniscient(who, cube, "secret")


def _print_rules(queries: int) -> None:
    print("\npoints over the guess; rules of others, random subsets, flat prior (50 is everything)")
    # More sets than five thousand take gigabytes to solve for.
    counts = [100, 400, 1_000, min(queries, 5_000)]
    print(f"{'people':>8} {'rule':>34} " + " ".join(f"{count:>8,}" for count in counts))
    rules = {"OpenSAFELY (7, round 5)": opensafely, "threshold 10, round 5": threshold_ten, "cell keys sd 5": cell_key}
    rules["pairwise differences of 10"] = pairwise  # random halves differ in half of all people: it hardly ever fires
    for size in (200, 2_000):
        for name, rule in rules.items():
            gains = " ".join(f"{random_subsets(size, count, rule):>+8.1f}" for count in counts)
            print(f"{size:>8,} {name:>34} {gains}")


def _versions(many: int) -> float:
    """The insider against several versions, each drawn afresh from its share of the budget: their evidence added up."""
    share = replace(STANDARD, mu=STANDARD.mu / sqrt(many))
    right = []
    for seed in range(4):
        who = people(2_000, share, seed=seed)
        evidence = [own_evidence(who, who.cube(f"version {i}".encode(), ("secret",)), "secret") for i in range(many)]
        right.append(np.mean(np.sum(evidence, axis=0) > 0))
    return 100 * (float(np.mean(right)) - 0.5)


def _duplicates(*, alone: bool = False) -> float:
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


def _chunks(size: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]


def _basis(who: People, component: object) -> Floats:
    """An orthonormal basis, over the component's cells, of what its residual table says."""
    basis = np.ones((1, 1))
    for name, depth in component:  # type: ignore[attr-defined]
        block = who.plan.blocks[name][depth - 1]
        projection = block.project(np.eye(block.cells, dtype=np.int64), 0) / block.norm[:, None]
        basis = np.kron(basis, np.linalg.svd(projection)[0][:, : block.dimension])
    return basis


def _flat(who: People, component: object) -> NDArray[np.int64]:
    """Everybody's cell of a component, as one number."""
    place = np.zeros(who.size, dtype=np.int64)
    for (name, depth), where in zip(component, who.places(component), strict=True):  # type: ignore[call-overload,arg-type]
        place = place * who.plan.blocks[name][depth - 1].cells + where
    return place


def _read(cube: Cube, measure: str, component: object) -> Floats:
    scale = np.ones(1)
    for name, depth in component:  # type: ignore[attr-defined]
        scale = np.multiply.outer(scale, cube.plan.blocks[name][depth - 1].norm).reshape(-1)
    return np.asarray(cube.residuals[measure][component].reshape(-1) / scale / GRID)  # type: ignore[index]


def _observed(cube: Cube, measure: str, bases: list[Floats]) -> tuple[Floats, Floats]:
    components = list(cube.plan.variances[measure])
    seen = [basis.T @ _read(cube, measure, component) for basis, component in zip(bases, components, strict=True)]
    noise = [
        np.full(basis.shape[1], cube.plan.variances[measure][c] / GRID**2)
        for basis, c in zip(bases, components, strict=True)
    ]
    return np.concatenate(seen), np.concatenate(noise)


def _design(who: People, cube: Cube, measure: str, bases: list[Floats], rows: slice) -> Floats:
    parts = [
        basis[_flat(who, component)[rows]] for basis, component in zip(bases, cube.plan.variances[measure], strict=True)
    ]
    return np.hstack(parts)


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


def _inside(who: People, query: CubeQuery, labels: tuple[object, ...]) -> NDArray[np.bool_]:
    """Who is in a cell of an answer."""
    inside = np.ones(who.size, dtype=bool)
    for name, allowed in query.question.where.items():
        inside &= np.isin(who.codes[name], list(allowed))
    for (name, depth), label in zip(query.question.groups, labels, strict=True):
        level = who.plan.policy.attribute(name).levels[depth - 1]
        inside &= np.array(level.of)[who.codes[name]] == level.labels.index(str(label))
    return inside


def _level(rng: np.random.Generator, name: str) -> tuple[str, int]:
    sizes = SIZES[name]
    size = sizes[0 if rng.random() < 0.7 else rng.integers(len(sizes))]  # coarse ones are refused less often
    return (name if size == sizes[-1] else f"{name}_{size}"), size


if __name__ == "__main__":
    main()
