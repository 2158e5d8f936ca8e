"""The gate tells a provider what it would give away: the theorem, and the outsider with the whole closure."""

import numpy as np
import pytest

from privacy.lattice import gate
from privacy.lattice.answers import INTERVAL
from privacy.lattice.plan import GRID, plan
from tests.privacy.lattice.population import policy, population


def test_the_theorem_is_that_of_the_reference() -> None:
    for mu, accuracy in ((0.25, 0.550), (0.35, 0.569), (0.5, 0.599), (1.0, 0.691)):
        shown = gate.exposure(plan(policy(mu=mu)), "secret")
        assert shown.insider_accuracy == pytest.approx(accuracy, abs=0.001)


def test_an_outsider_never_learns_more_than_an_insider_and_less_from_coarser_tables() -> None:
    fine = gate.exposure(plan(policy(mu=1.0, mincell=50)), "secret")
    coarse = gate.exposure(plan(policy(mu=1.0, mincell=400)), "secret")
    assert coarse.outsider_gain < fine.outsider_gain <= fine.insider_gain
    assert coarse.independent_numbers < fine.independent_numbers


def test_strict_promises_five_points_against_anybody() -> None:
    for profile, shown in gate.proposals(policy()):
        secret = next(one for one in shown if one.family == "secret")
        if profile is gate.STRICT:
            assert secret.insider_gain <= 0.05
        assert secret.outsider_gain <= secret.insider_gain


def test_the_closure_attack_gains_what_the_gate_said() -> None:
    """The best linear decoder, given every residual table and everybody's attributes, on secrets without any prior."""
    people = population(2_000, mu=1.0)
    told = gate.exposure(people.plan, "secret")
    gains = []
    for key in (b"first", b"second", b"third", b"fourth"):
        cube = people.cube(["secret"], key=key)
        gains.append(_closure_gain(people, cube))
    assert np.mean(gains) == pytest.approx(told.outsider_gain, abs=0.035)


def _closure_gain(people: object, cube: object) -> float:
    rows, seen, noise = [], [], []
    policy_, planned = people.plan.policy, people.plan  # type: ignore[attr-defined]
    for component, table in cube.residuals["secret"].items():  # type: ignore[attr-defined]
        design = np.ones((people.people, 1))  # type: ignore[attr-defined]
        scale = np.ones(1)
        basis = np.ones((1, 1))
        for name, depth in component:
            block = planned.blocks[name][depth - 1]
            of = np.array(policy_.attribute(name).levels[depth - 1].of)[people.codes[name]]  # type: ignore[attr-defined]
            projection = block.project(np.eye(block.cells, dtype=np.int64), 0) / block.norm[:, None]
            vectors = np.linalg.svd(projection)[0][:, : block.dimension]  # an orthonormal basis of what is published
            design = (design[:, :, None] * vectors[of][:, None, :]).reshape(people.people, -1)  # type: ignore[attr-defined]
            scale = np.multiply.outer(scale, block.norm).reshape(-1)
            basis = np.kron(basis, vectors)
        rows.append(design)
        seen.append(basis.T @ (table.reshape(-1) / scale) / GRID)
        noise.append(np.full(design.shape[1], planned.variances["secret"][component] / GRID**2))
    design, observed, variance = np.hstack(rows), np.concatenate(seen), np.concatenate(noise)
    prior = observed - design.T @ np.full(people.people, 0.5)  # type: ignore[attr-defined]
    gram = 0.25 * design.T @ design + np.diag(variance)
    guess = 0.5 + 0.25 * design @ np.linalg.solve(gram, prior)
    secrets = people.values["secret"] / GRID  # type: ignore[attr-defined]
    return float(np.mean((guess > 0.5) == (secrets > 0.5)) - 0.5)


def test_the_typical_error_is_half_an_interval() -> None:
    planned = plan(policy())
    assert gate.exposure(planned, "secret").typical_error > INTERVAL
