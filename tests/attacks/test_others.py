"""Attacks by way of something else: ratios of what is shown, packages changed after review, somebody else's quota.

And whether every attack of the survey (sections 3.1 and 3.2) has a case.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest, system_clock
from hexi.database import Database
from registry.controlled import Controlled
from registry.identity import Identity
from sandbox.bench import open_bench
from sandbox.datasets import Dataset
from sandbox.errors import EnvironmentUnavailable
from sandbox.messages import RunAnswer
from sandbox.permits import Permit, seal_permit
from sandbox.programs.environment import open_environment, seal_environment
from sandbox.requests import seal_request
from sandbox.runs import Sandbox
from tests.attacks.scoreboard import BLOCKED, BOARD, HARMLESS, REFUSED, THROUGH
from tests.sandbox.builders import Clinic, identity
from tests.sandbox.controlled.builders import CLINIC, POLICY, clinic_product, write_clinic

# As the survey numbers them: at the level of queries, and of the sandbox.
SURVEY = {f"Q{number}" for number in range(1, 19)} | {f"S{number}" for number in range(1, 18)}


def test_every_attack_of_the_survey_has_a_case() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"[\"\s](Q\d+|S\d+)\b", sources))
    assert SURVEY - named == set()


def counted(door: str, attack: str, outcome: str, *, held: bool) -> None:
    """Count it on the board, and fail if it came through."""
    BOARD.count(door, attack, outcome if held else THROUGH)
    assert held, attack


def test_q10_means_and_shares_are_of_rounded_numbers(tmp_path: Path) -> None:
    """Were a mean of exact numbers, that times the count would be a sum nobody showed."""
    write_clinic(tmp_path / "tables")
    with open_bench(clinic_product(tmp_path), tmp_path / "tables", None, system_clock) as bench:
        query = "SELECT county, count(*) AS n, sum(cost) AS s, avg(cost) AS m FROM patients GROUP BY county"
        rows: Any = bench.ask(query).rows
    assert len(rows) > 1
    counted("controlled", "Q10 ratios", HARMLESS, held=all(m == round(s / n, 2) for _, n, s, m in rows))
    assert all(n % 5 == 0 and s % 5 == 0 for _, n, s, _ in rows)


def test_s15_a_package_that_was_changed_after_review_is_not_imported(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "pinned.py").write_text("reviewed = True\n")
    seal_environment(tmp_path)
    for name, text in (("pinned.py", "reviewed = False\n"), ("sitecustomize.py", "import os\n")):
        before = (packages / name).read_text() if (packages / name).exists() else None
        (packages / name).write_text(text)
        open_environment.cache_clear()
        try:
            open_environment(tmp_path)
            held = False
        except EnvironmentUnavailable:
            held = True
        counted("python", "S15 packages changed after review", REFUSED, held=held)
        (packages / name).unlink() if before is None else (packages / name).write_text(before)
    open_environment.cache_clear()


@pytest.fixture
def space(sqlite: Database, tmp_path: Path) -> "Space":
    return Space(sqlite, tmp_path)


class Space:
    """A provider whose product two groups may ask, each for five cells."""

    def __init__(self, database: Database, folder: Path) -> None:
        database.migrate("sandbox")
        write_clinic(folder)
        groups = [{"group": name, "members": [f"did:web:{name}.example"]} for name in ("planner", "insurer")]
        policy = {**POLICY, "analysts": groups, "querySets": 5}
        described = clinic_product(folder / "described")
        product = described.model_copy(update={"controlled": Controlled.model_validate(policy)})
        files = {table["name"]: folder / f"{table['name']}.csv" for table in CLINIC}
        self.dataset = Dataset(product, digest(policy), files)
        self.clinic = Clinic(database, folder)
        self.insurer = identity("insurer")
        self.clinic.people.add(self.insurer)
        self.sandbox = Sandbox(
            database,
            self.clinic.identity,
            self.clinic.people,
            lambda *_: self.dataset,
            self.clinic.evidence,
            self.clinic.clock,
            key=b"k" * 32,
        )

    def ask(self, who: Identity, query: str) -> RunAnswer:
        """One question of `who`, under a permit of its own."""
        clinic = self.clinic
        permit = Permit.model_validate(
            clinic.permit().payload()
            | {"id": f"permit of {who.did}", "holder": who.did, "product": "p", "version": 1, "runs": 50}
            | {"productDigest": self.dataset.digest}
        )
        request = clinic.request(query, permit=permit.id)
        return self.sandbox.run(
            seal_permit(permit, clinic.identity.key, clinic.identity.kid), seal_request(request, who.key, who.kid)
        )


def test_s17_nobody_uses_up_what_others_may_ask(space: Space) -> None:
    query = "SELECT sum(cost) FROM patients WHERE born > {}"
    asked = [space.ask(space.insurer, query.format(year)) for year in range(1940, 1960)]
    assert "sandbox.query-sets-used-up" in {reason.code for one in asked for reason in one.reasons}
    answer = space.ask(space.clinic.planner, "SELECT sex, count(*) FROM patients GROUP BY sex")
    counted("controlled", "S17 another's quota used up", BLOCKED, held=answer.verdict == "released")
