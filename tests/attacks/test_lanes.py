"""Attacks that look for another door: a mode of use that a product's policy forgot, or a product that declares none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest
from hexi.database import Database
from privacy.homomorphic import new_job
from registry.controlled import Controlled
from sandbox.datasets import Dataset
from sandbox.lanes import programs
from sandbox.messages import RunAnswer, to_base64
from sandbox.programs.inputs import lay_out
from sandbox.queries.query import PROGRAM_MODE, SQL_MODE, SUM_MODE
from sandbox.runs import Sandbox
from sandbox.settings import SandboxSettings
from tests.attacks.clinic import LATTICE
from tests.attacks.scoreboard import BLOCKED, BOARD, REFUSED, THROUGH
from tests.sandbox.builders import POINT, Clinic, codes, used
from tests.sandbox.controlled.builders import CLINIC, POLICY, clinic_product, write_clinic

COUNT, SUM, PROGRAM = "SELECT count(*) FROM patients", "SELECT sum(cost) FROM patients", "print(1)"
CLINICS = ["did:web:clinic.example", "did:web:b.example", "did:web:c.example"]
STRANGERS = {"analysts": [{"group": "others", "members": ["did:web:other.example"]}]}


@contextmanager
def counted(attack: str, outcome: str) -> Iterator[None]:
    """One case on the board: it came to `outcome`, or through."""
    try:
        yield
    except AssertionError:
        outcome = THROUGH
        raise
    finally:
        BOARD.count("modes", attack, outcome)


class Doors(Clinic):
    """The clinic of the controlled lane, asked through every door; `sent` is what an adder got."""

    def __init__(self, database: Database, folder: Path, **described: Any) -> None:
        self.sent: list[bytes] = []
        super().__init__(database, folder, contribute=lambda _url, _job, ciphertext, *_: self.sent.append(ciphertext))
        self.key = new_job()
        self.product = clinic_product(folder / "described").model_copy(update={"rows": 2_000, **described})
        files = {table["name"]: folder / f"{table['name']}.csv" for table in CLINIC}
        self.dataset = Dataset(self.product, digest(str(described)), files)

    def again(self) -> Sandbox:
        return Sandbox(
            self.database,
            self.identity,
            self.people,
            lambda *_: self.dataset,
            self.evidence,
            self.clock,
            SandboxSettings(aggregation_point=POINT),
            contribute=self.contribute,
            key=b"k" * 32,
        )

    def through(self, mode: str, query: str) -> RunAnswer:
        permit = self.permit_jws(operations=(SQL_MODE, SUM_MODE, PROGRAM_MODE), runs=20)
        if mode == SUM_MODE:
            request = self.sum_request(query, CLINICS, self.key.public_context)
            return self.sandbox.run(permit, request, to_base64(self.key.public_context))
        return self.sandbox.run(permit, self.request_jws(query, mode=mode))


@pytest.fixture
def folder(sqlite: Database, tmp_path: Path) -> Path:
    sqlite.migrate("sandbox")
    write_clinic(tmp_path)
    return tmp_path


def policy(**changes: Any) -> Controlled:
    return Controlled.model_validate({**POLICY, "levels": {}, "joins": [], **changes})


@pytest.mark.parametrize(("mode", "text"), [(SQL_MODE, COUNT), (SUM_MODE, SUM), (PROGRAM_MODE, PROGRAM)])
def test_who_is_not_named_gets_in_through_no_mode(sqlite: Database, folder: Path, mode: str, text: str) -> None:
    doors = Doors(sqlite, folder, controlled=policy(**STRANGERS))
    with counted("an analyst whom nobody named", REFUSED):
        answer = doors.through(mode, text)
        assert (answer.verdict, codes(answer)) == ("refused", ["sandbox.not-a-named-analyst"])
        assert doors.sent == []
        assert doors.sandbox.airlock.reviews() == []
    assert used(doors) == 0  # known before any data were touched, so it is not counted


@pytest.mark.parametrize(("mode", "text"), [(SQL_MODE, COUNT), (SUM_MODE, SUM)])
def test_a_stored_product_with_persons_and_no_policy_answers_nobody(
    sqlite: Database, folder: Path, mode: str, text: str
) -> None:
    doors = Doors(sqlite, folder, controlled=None)
    assert doors.product.has_personal_information
    with counted("a product of persons that declares nothing", REFUSED):
        answer = doors.through(mode, text)
        assert (answer.verdict, codes(answer)) == ("refused", ["sandbox.no-lane"])
        assert "lattice" in answer.reasons[0].message
        assert doors.sent == []


@pytest.mark.parametrize(("mode", "text"), [(SUM_MODE, SUM), (PROGRAM_MODE, PROGRAM)])
def test_nothing_reads_the_table_beside_a_cube(sqlite: Database, folder: Path, mode: str, text: str) -> None:
    doors = Doors(sqlite, folder, controlled=None, lattice=LATTICE)
    with counted("past the cube to its table", REFUSED):
        assert codes(doors.through(mode, text)) == ["sandbox.no-lane"]


@pytest.mark.parametrize(
    ("mode", "text", "changes"),
    [(SUM_MODE, SUM, {"airlock": True}), (PROGRAM_MODE, PROGRAM, {"levels": {"patients.income": "compare-only"}})],
)
def test_what_a_policy_demands_and_a_mode_cannot_hold_closes_the_mode(
    sqlite: Database, folder: Path, mode: str, text: str, changes: dict[str, Any]
) -> None:
    doors = Doors(sqlite, folder, controlled=policy(**changes))
    with counted("a mode that would pass by the policy", REFUSED):
        assert codes(doors.through(mode, text)) == ["sandbox.no-lane"]


def test_a_sum_is_compared_with_sql_and_sql_with_sums(sqlite: Database, folder: Path) -> None:
    doors = Doors(sqlite, folder, controlled=policy())
    without = f"{SUM} WHERE county <> 'Zhengning'"
    assert doors.through(SQL_MODE, SUM).verdict == "released"
    with counted("the difference of SQL and an encrypted sum", REFUSED):
        assert codes(doors.through(SUM_MODE, without)) == ["sandbox.too-close-to-earlier"]
    assert doors.through(SUM_MODE, f"{SUM} WHERE sex = 'f'").verdict == "released"
    with counted("the difference of SQL and an encrypted sum", REFUSED):
        refused = doors.through(SQL_MODE, f"{SUM} WHERE sex = 'f' AND county <> 'Zhengning'")
        assert codes(refused) == ["sandbox.too-close-to-earlier"]
    assert len(doors.sent) == 1


def test_sums_are_taken_from_the_same_cap_and_keep_their_answers_apart(sqlite: Database, folder: Path) -> None:
    doors = Doors(sqlite, folder, controlled=policy(querySets=2))
    assert doors.through(SUM_MODE, SUM).verdict == "released"
    with counted("sums beside the cap", REFUSED):
        # The same words in SQL are another answer, and another cell.
        assert doors.through(SQL_MODE, SUM).rows != ()
        assert codes(doors.through(SUM_MODE, f"{SUM} WHERE sex = 'f'")) == ["sandbox.query-sets-used-up"]
    assert doors.through(SUM_MODE, SUM).verdict == "released"


def test_an_encrypted_sum_of_named_analysts_is_the_number_of_sql(sqlite: Database, folder: Path) -> None:
    doors = Doors(sqlite, folder, controlled=policy())
    ((number,),) = doors.through(SQL_MODE, f"{SUM} WHERE sex = 'f'").rows
    assert doors.through(SUM_MODE, f"{SUM} WHERE sex = 'f'").verdict == "released"
    assert doors.key.decrypt(doors.sent[0], 1) == number
    few = doors.through(SUM_MODE, f"{SUM} WHERE county = 'Zhengning'")
    assert codes(few) == ["sandbox.too-few-entities"]


def test_a_program_never_sees_a_column_that_nobody_may_name(sqlite: Database, folder: Path) -> None:
    doors = Doors(sqlite, folder, controlled=policy(levels={"patients.income": "never", "patients.person": "never"}))
    with counted("a forbidden column from Python", BLOCKED), lay_out(doors.dataset) as inputs:
        assert "income" not in inputs.tables["patients"].read_text().splitlines()[0]
        assert "income" not in inputs.schema["patients"]["columns"]
        assert "person" in inputs.schema["patients"]["columns"]  # as a number: entities are counted by it
        assert inputs.entities > 0


def test_a_named_analysts_program_is_held_like_any_other(
    sqlite: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.time, "sleep", lambda _: None)
    doors = Doors(sqlite, folder, controlled=policy())
    answer = doors.through(PROGRAM_MODE, "# hexi: seconds=5\n" + PROGRAM)
    assert (answer.verdict, answer.outputs) == ("held", ())


def test_two_sums_do_not_differ_by_one_hospital(sqlite: Database, folder: Path) -> None:
    """The sum of three hospitals, and then of the same and a fourth: the difference is the number of the fourth."""
    doors, permit = Doors(sqlite, folder, controlled=policy()), None
    context = to_base64(doors.key.public_context)
    verdicts = []
    with counted("a sum with one contributor more", REFUSED):
        for contributors in (CLINICS, CLINICS, [*CLINICS, "did:web:d.example"], [*CLINICS[:2], "did:web:d.example"]):
            permit = doors.permit_jws(operations=(SQL_MODE, SUM_MODE, PROGRAM_MODE), runs=20)
            for query in (SUM, f"{SUM} WHERE born >= 1"):  # the same people, in other words
                request = doors.sum_request(query, contributors, doors.key.public_context)
                verdicts.append(doors.sandbox.run(permit, request, context).verdict)
        assert verdicts == ["released"] * 4 + ["refused"] * 4
        assert len(doors.sent) == 4
