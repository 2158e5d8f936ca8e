"""The special attacks of the study of the lattice (section 2d), on everything that a cube ever published.

The attackers are those of `benchmarks/reconstruction.py`, which tells more about them and takes other sizes.
"""

import numpy as np

from benchmarks.decoding import closure
from benchmarks.people import people
from benchmarks.reconstruction import (
    asked,
    duplicates,
    gain,
    membership,
    omniscient,
    refusal_oracle,
    through_the_door,
    versions,
)
from privacy.lattice.gate import STANDARD, STRICT, exposure
from tests.attacks.scoreboard import BOARD, HARMLESS, THROUGH

PEOPLE = 2_000
# What Standard promises to whoever does not know the others' secrets, and Strict to anybody, in points.
ALLOWED = 5.0
# The standard error of one population, in points; a mean over several has less.
SAMPLING = 100 * (0.25 / PEOPLE) ** 0.5
# What theorems say of who knows everybody else: of the secret under Standard, and of being there at all (mu 1).
INSIDER, MEMBER = 100 * exposure(people(PEOPLE, STANDARD).plan, "secret").insider_gain, 19.1


def counted(attack: str, points: float, most: float) -> None:
    """Count it on the board, and fail if it gained more than `most`, within three standard errors."""
    harmless = points <= most + 3 * SAMPLING
    BOARD.count("cube", attack, HARMLESS if harmless else THROUGH, points)
    assert harmless, f"{attack}: {points}"


def test_what_is_suppressed_or_refused_does_not_hang_on_anybody() -> None:
    differing = refusal_oracle(400)
    BOARD.count("cube", "2d suppression and refusals as oracles", THROUGH if differing else HARMLESS, float(differing))
    assert differing == 0


def test_near_duplicates_average_nothing_away() -> None:
    who = people(PEOPLE, STANDARD)
    refused, queries = asked(who.plan, "near duplicate", 1_000)
    assert len(queries) == 1_000 - refused > 300
    counted("2d averaging by near duplicates", through_the_door(who, who.cube(b"near"), queries), ALLOWED)


def test_a_rare_secret_is_not_decoded() -> None:
    gains = []
    for seed in range(4):
        drawn = people(PEOPLE, STANDARD, seed=seed)
        rare = type(drawn)(drawn.plan, PEOPLE, seed, flat=True, prevalence=0.1)
        right = np.mean((closure(rare, rare.cube(b"rare", ("secret",))) > 0.5) == (rare.secret > 0))
        gains.append(100 * float(right - (1 - rare.secret.mean())))
    counted("2d decoding a secret that one in ten has", float(np.mean(gains)), ALLOWED)


def test_who_knows_everybody_else_learns_what_the_theorem_says() -> None:
    for profile, most in ((STRICT, ALLOWED), (STANDARD, INSIDER)):
        gains = [
            omniscient(who, who.cube(b"insider", ("secret",)), "secret")
            for who in (people(PEOPLE, profile, seed=seed) for seed in range(8))
        ]
        counted(f"2d somebody who knows all others, {profile.name}", float(np.mean(gains)), most)


def test_whether_somebody_is_there_is_known_as_well_as_the_theorem_says() -> None:
    gains = [membership(PEOPLE, seed) for seed in range(4)]
    counted("2d membership, of who knows all others", float(np.mean(gains)), MEMBER)


def test_four_versions_say_what_one_says() -> None:
    counted("2d four versions, each drawn afresh", versions(4), INSIDER)


def test_four_columns_of_one_secret_say_what_one_says() -> None:
    counted("2d a secret in four columns", duplicates(), ALLOWED)


def test_costs_say_little_of_the_secret_that_moves_them() -> None:
    gains = []
    for seed in range(4):
        who = people(PEOPLE, STANDARD, seed=seed)
        guessed = closure(who, who.cube(b"cost", ("cost",)), "cost")
        gains.append(gain(who, np.where(guessed > np.median(guessed), 1.0, 0.0)))
    counted("2d a secret inferred from costs", float(np.mean(gains)), ALLOWED)
