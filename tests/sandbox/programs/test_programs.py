"""Programs from their text to what a reviewer sees: inputs, environment, isolation, when the answer comes."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hexi.database import Database
from hexi.errors import DataspaceError, Malformed
from sandbox.airlock.decisions import Decision, Reviewer
from sandbox.bench import open_bench, read_bench_product
from sandbox.datasets import Dataset
from sandbox.errors import EnvironmentUnavailable, IsolationUnavailable
from sandbox.isolation import bubblewrap
from sandbox.isolation.children import Child
from sandbox.lanes import programs as lane
from sandbox.programs import execution, inputs
from sandbox.programs.environment import SEAL, default_folder, open_environment, seal_environment
from sandbox.programs.execution import Asked, seconds_of
from sandbox.programs.inputs import lay_out
from sandbox.programs.source import Program, read_program, read_text
from sandbox.queries.query import PROGRAM_MODE
from sandbox.runs import Sandbox
from sandbox.settings import SandboxSettings
from tests.builders import SettableClock
from tests.sandbox.builders import Clinic

WANG = Reviewer("wang", "did:web:clinic.example")
BY_COUNTY = """
import hexi_outputs
visits = hexi_outputs.table("visits", "{library}")
rows = [
    dict(county=county, n=len(set(part["person"])), cost=float(part["cost"].mean()))
    for (county,), part in visits.{group}(["county"])
]
hexi_outputs.release_table("by_county", rows, {{"county": "dimension", "n": "count", "cost": "number"}})
"""


class Programs(Clinic):
    """A clinic that runs programs."""

    settings = SandboxSettings(program_overhead_seconds=0)

    def again(self) -> Sandbox:
        return Sandbox(
            self.database,
            self.identity,
            self.people,
            lambda *_: self.dataset,
            self.evidence,
            self.clock,
            self.settings,
            key=b"k" * 32,
        )

    def run(self, text: str) -> Any:
        signed = self.request_jws(text, mode=PROGRAM_MODE)
        return self.sandbox.run(self.permit_jws(operations=(PROGRAM_MODE,)), signed)

    def seen(self, text: str) -> Any:
        answer = self.run(text)
        assert answer.verdict == "held", answer.reasons
        return self.sandbox.airlock.look(WANG, answer.run)


@pytest.fixture
def clinic(sqlite: Database, tmp_path: Path) -> Programs:
    sqlite.migrate("sandbox")
    made = Programs(sqlite, tmp_path)
    made.product = made.product.model_copy(update={"tables": made.product.tables[:1]})
    made.dataset = Dataset(made.product, made.dataset.digest, made.dataset.tables)
    return made


@pytest.mark.parametrize(("library", "group"), [("pandas", "groupby"), ("polars", "group_by")])
def test_a_program_declares_what_a_reviewer_sees(clinic: Programs, library: str, group: str) -> None:
    seen = clinic.seen(BY_COUNTY.format(library=library, group=group))
    (output,) = seen.output["outputs"]
    # Costs rise by ten with a person's number; Zhengning has nine persons and is dropped.
    assert [row[:2] for row in output["rows"]] == [["Huan", 40], ["Ning", 25]]
    assert output["rows"][0][2] == pytest.approx(205, abs=5)
    assert {rule["rule"]: rule["passed"] for rule in seen.report}["counts"]
    assert seen.lineage["environment"]["packages"][library]


def test_a_program_sees_declared_columns_typed_and_nobody_s_name(clinic: Programs) -> None:
    with lay_out(clinic.dataset) as laid_out:
        text = laid_out.tables["visits"].read_text()
        schema: Any = laid_out.schema["visits"]
    assert "Name" not in text
    assert "P0001" not in text
    assert schema["columns"]["smoker"] == "boolean"
    assert list(schema["columns"]) == ["person", "county", "year", "day", "smoker", "bmi", "sex", "cost", "stay"]
    assert laid_out.entities == 74
    assert laid_out.most(["county"], ["Huan"]) == 40
    assert laid_out.most(["smoker", "county"], [True, "Zhengning"]) in {4, 5}
    assert laid_out.most(["county"], [None]) == 0
    assert laid_out.most(["cost", "nothing"], [1, 2]) is None


def test_what_does_not_fit_a_column_is_missing(clinic: Programs) -> None:
    clinic.file.write_text(
        "person,county,year,day,smoker,bmi,sex,cost,stay,name\n"
        "P1,Huan,x,2024-02-30,maybe,abc,f,1e3,1.5,N\n"
        ",Huan,2024,2024-02-29,TRUE,20.5,f,,3,N\n"
    )
    with lay_out(clinic.dataset) as laid_out:
        lines = laid_out.tables["visits"].read_text().splitlines()
    assert lines[1] == '0,"Huan",,,,,"f",1000,'
    assert lines[2] == ',"Huan",2024,2024-02-29,true,20.5,"f",,3'


@pytest.mark.parametrize(("took", "waits"), [(0.5, 8.5), (8.9, 0.1), (9.5, 8.5)])
def test_the_answer_comes_at_a_time_that_says_nothing(
    clinic: Programs, monkeypatch: pytest.MonkeyPatch, took: float, waits: float
) -> None:
    clock, slept = iter([100.0, 100.0 + took]), []
    monkeypatch.setattr(lane.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(lane.time, "sleep", slept.append)
    waiting = lane.ProgramLane(clinic.database, SandboxSettings(program_overhead_seconds=4))
    waiting._wait(lane.time.monotonic(), 5)
    assert slept == [pytest.approx(waits)]


def test_laying_out_large_tables_moves_no_program_over_a_boundary(
    clinic: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that take almost the fixed time, and a program that chooses its own duration, were two answers' times."""
    left = []
    for took in (0.2, 2.0):
        now, slept = [100.0], list[float]()
        ran = SimpleNamespace(began=103.9)  # laid out by then
        monkeypatch.setattr(lane.time, "monotonic", lambda now=now: now[-1])
        monkeypatch.setattr(lane.time, "sleep", slept.append)
        monkeypatch.setattr(
            lane, "execute", lambda *_, now=now, took=took, ran=ran, **__: now.append(103.9 + took) or ran
        )
        waiting = lane.ProgramLane(clinic.database, SandboxSettings(program_overhead_seconds=4))
        asked = lane.Question(Asked(cast("Program", read_program("# hexi: seconds=1"))))
        work = SimpleNamespace(permit=clinic.permit(), dataset=clinic.dataset, question=asked, stop=None)
        assert waiting.compute(cast("Any", work)) is ran
        left.append(now[-1] + slept[0])
    assert left[0] == pytest.approx(left[1])


def test_a_slow_start_takes_none_of_a_program_s_time(
    clinic: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kernel of its own starts, on a busy machine: longer than the program has, and than its processor time."""
    slow, measured, hello = tmp_path / "bwrap", list[float](), Child.hello
    slow.write_text(f'#!/bin/sh\n/bin/sleep 2.2\nexec {bubblewrap.find("auto")} "$@"\n')
    slow.chmod(0o700)

    def heard(self: Child) -> Any:
        said = hello(self)
        measured.append(time.monotonic())
        return said

    monkeypatch.setattr(bubblewrap, "find", lambda _: slow)
    monkeypatch.setattr(Child, "hello", heard)
    text = '# hexi: seconds=2\nimport hexi_outputs\nhexi_outputs.release_table("t", [{"n": 50}], {"n": "count"})'
    asked = Asked(cast("Program", read_program(text)))
    ran = execution.execute(asked, clinic.dataset, SandboxSettings(), minimum_level=2)
    assert not isinstance(ran.collected, str)
    # Its slot begins when it could: the answer's time is that of a program whose isolation started at once.
    assert ran.began >= measured[0]


def test_the_slot_of_a_program_that_failed_begins_with_it_too(
    clinic: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, answer = list[float](), Child.answer

    def asked(self: Child, *given: Any) -> Any:
        told.append(time.monotonic())
        return answer(self, *given)

    monkeypatch.setattr(Child, "answer", asked)
    before = time.monotonic()
    failing = Asked(cast("Program", read_program("# hexi: seconds=1\nwhile True: pass")))
    ran = execution.execute(failing, clinic.dataset, SandboxSettings(), minimum_level=2)
    assert isinstance(ran.collected, str)
    assert before < ran.began <= told[0]
    assert cast("Any", ran.isolation)["level"] >= 2


def test_a_table_is_counted_once_however_many_rows_are_declared(
    clinic: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, count = [], inputs._entities
    monkeypatch.setattr(inputs, "_entities", lambda *given: counted.append(given[2]) or count(*given))
    with lay_out(clinic.dataset) as laid_out:
        for county in ("Huan", "Ning", "Zhengning", "Nowhere"):
            laid_out.most(["county"], [county])
        assert laid_out.most(["smoker", "county"], [None, "Huan"]) == 0
    assert counted == [("county",), ("smoker", "county")]


def test_what_takes_too_long_to_count_is_the_program_s_own_word(
    clinic: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "COUNTING_SECONDS", 0.0)
    seen = clinic.seen(BY_COUNTY.format(library="pandas", group="groupby"))
    (rule,) = [one for one in seen.report if one["rule"] == "counts"]
    assert (rule["passed"], "by_county" in rule["says"]) == (False, True)


@pytest.mark.parametrize(("text", "seconds"), [("", 30), ("# hexi: seconds=5", 5), ("# hexi: seconds=999", 45)])
def test_a_program_asks_for_its_seconds(text: str, seconds: int) -> None:
    program = read_program(text)
    assert isinstance(program, Program)
    assert seconds_of(program, SandboxSettings()) == seconds


def test_without_level_two_no_program_runs(clinic: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda _: None)
    with pytest.raises(IsolationUnavailable, match="bubblewrap"):
        clinic.run("1")


def test_without_its_environment_no_program_runs(clinic: Programs, tmp_path: Path) -> None:
    clinic.settings = SandboxSettings(environment=tmp_path / "nowhere")
    clinic.sandbox = clinic.again()
    with pytest.raises(EnvironmentUnavailable, match="make setup"):
        clinic.run("1")


def test_an_environment_that_was_changed_is_none(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "one.py").write_text("1")
    sealed = seal_environment(tmp_path)
    assert json.loads((tmp_path / SEAL).read_text())["digest"] == sealed.digest
    for spoil in (
        lambda: (packages / "one.py").write_text("2"),
        lambda: (packages / "two.py").write_text("1"),
        lambda: (packages / "link.py").symlink_to("/etc/passwd"),
        lambda: shutil.rmtree(packages),
    ):
        open_environment.cache_clear()
        spoil()
        with pytest.raises(EnvironmentUnavailable):
            open_environment(tmp_path)
    open_environment.cache_clear()


def test_texts_that_are_programs_and_texts_that_are_none(tmp_path: Path) -> None:
    program = read_program("x = 'a'\ny = f'b{x}c'\nz = b'd'")
    assert isinstance(program, Program)
    assert program.words == {"a", "b", "c"}
    assert program.digest.startswith("sha256:")
    file = tmp_path / "p.py"
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "none.py"):
        with pytest.raises(Malformed):
            read_text(path)


def test_a_product_with_a_lattice_runs_no_programs(tmp_path: Path) -> None:
    from tests.attacks.clinic import clinic as attacked

    with attacked(tmp_path / "t").bench("lattice", tmp_path / "s") as bench:
        answer = bench.run_program("1")
    assert (answer.verdict, answer.reasons[0].code) == ("refused", "sandbox.no-lane")


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Path]:
    """A folder as `hexi sandbox try` takes it."""
    from tests.attacks.clinic import clinic as attacked

    with attacked(tmp_path / "tables").bench("table", tmp_path):
        pass
    return tmp_path


def test_trying_a_program_and_reviewing_it(tried: Path) -> None:
    from typer.testing import CliRunner

    from sandbox.cli import HELD, app

    file = tried / "p.py"
    file.write_text('import hexi_outputs\nhexi_outputs.release_table("t", [{"n": 500}], {"n": "count"})')
    words = ["try", "--product", str(tried / "product.json"), "--tables", str(tried / "tables"), "--program", str(file)]

    def call(*more: str) -> Any:
        return CliRunner().invoke(app, [*words, *more])

    held = call("--json")
    assert held.exit_code == HELD
    assert json.loads(held.stdout)["verdict"] == "held"
    shown = json.loads(call("--json", "--as-reviewer", "wang").stdout)
    assert shown["review"]["output"]["outputs"][0]["rows"] == [[500]]
    released = call("--as-reviewer", "wang", "--decide", "approve")
    assert (released.exit_code, "500" in released.stdout) == (0, True)
    rejected = call("--json", "--as-reviewer", "wang", "--decide", "reject", "--reason", "no")
    assert (rejected.exit_code, json.loads(rejected.stdout)["reasons"][0]["message"]) == (1, "no")
    for wrong in (("--decide", "approve"), ("--query", "SELECT 1")):
        assert isinstance(call(*wrong).exception, DataspaceError)


# What they say stands nowhere in their text, and so nowhere in what is kept of it.
SECRET = "raise ValueError('SEC' + 'RET' + str(6 * 7))"
FORGED = """
import os
os.write(1, b'{"raised": "SEC' + b'RET42"}')
os._exit(0)
"""


@pytest.mark.parametrize(
    ("program", "says"),
    [
        pytest.param(f"import hexi_outputs\n{SECRET}", "ValueError: SECRET42 (line 2)", id="raised"),
        pytest.param("raise ValueError(chr(27) + '[2J')", "ValueError:  [2J (line 1)", id="to a terminal"),
        pytest.param("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero (line 2)", id="deeper"),
        pytest.param("import hexi_outputs\nhexi_outputs.table('no')", "(line 2)", id="in a library"),
        pytest.param("raise SystemExit", "SystemExit (line 1)", id="left"),
        pytest.param("# hexi: seconds=1\nwhile True: pass", "limit of 1 s", id="too long"),
        pytest.param("import os\nos._exit(3)", "failed inside the sandbox", id="without a word"),
        pytest.param(
            "import hexi_outputs as h\nh.release_table('a' + 'b', [{'n': 500}], {'n': 'count'})",
            "does not stand in the program's own text",
            id="not taken",
        ),
    ],
)
def test_the_bench_says_what_a_program_said(tried: Path, program: str, says: str) -> None:
    with open_bench(read_bench_product(tried / "product.json"), tried / "tables", None, SettableClock()) as bench:
        assert bench.run_program(program).verdict == "held"
        assert says in str(bench.said)
        assert str(bench.said).isprintable()
        bench.run_program('import hexi_outputs\nhexi_outputs.release_table("t", [{"n": 500}], {"n": "count"})')
        assert bench.said is None


@pytest.mark.parametrize("program", [SECRET, FORGED], ids=["raised", "written"])
def test_a_provider_tells_nobody_what_a_program_said(clinic: Programs, tmp_path: Path, program: str) -> None:
    answer = clinic.run(program)
    seen = clinic.sandbox.airlock.look(WANG, answer.run)
    clinic.sandbox.airlock.vote(WANG, answer.run, Decision.APPROVE, "it failed")
    after = clinic.sandbox.answer(answer.run, clinic.planner.did)
    assert [(reason.code, reason.message) for reason in after.reasons] == [(lane.FAILED.code, lane.FAILED.message)]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert answer.run.encode() in stored
    for said in (stored, answer.model_dump_json().encode(), after.model_dump_json().encode(), repr(seen).encode()):
        assert b"SECRET42" not in said


def test_the_environment_has_what_the_reference_says() -> None:
    assert {"numpy", "pandas", "polars", "scikit-learn", "statsmodels"} <= set(
        open_environment(default_folder()).versions
    )
