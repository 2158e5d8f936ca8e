"""Attacks by programs, at the Python door. Nothing may reach the consumer that no person of the provider has let out.

Three sorts. *Escapes* try to do something; if one could, it would declare an output, so no output means that it could
not. *Smuggling* declares outputs with data hidden in them; they must be inadmissible. *Statistics* declare what looks
honest and is not; they are held, and the report must tell the reviewer where to look, as far as a rule can tell at all.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.airlock.decisions import Decision
from sandbox.airlock.messages import ReviewBody
from sandbox.bench import DID, Bench
from sandbox.messages import RunAnswer
from sandbox.programs.environment import default_folder, open_environment
from tests.attacks.clinic import clinic
from tests.attacks.scoreboard import BLOCKED, BOARD, HELD, REFUSED, THROUGH

DOOR = "programs"

# Every program may use `patients` (rows as text), `out(value)`, `table(rows, ...)`, `raw(text)`; calls by number are
# x86-64's.
PRELUDE = """# hexi: seconds={seconds}
import csv, ctypes, gc, json, os, sys
import hexi_outputs
patients = list(csv.DictReader(open("/in/0.csv")))
libc = ctypes.CDLL(None, use_errno=True)
def out(value, n=1000):
    hexi_outputs.release_table("t", [{{"n": n, "v": value}}], {{"n": "count", "v": "number"}})
def table(rows, **types):
    hexi_outputs.release_table("t", rows, types)
def model(terms, n=1000, family="linear", r2=None):
    hexi_outputs.release_model("m", family=family, outcome="cost", n=n, terms=terms, r2=r2)
WORDS = ["a", "b", "c", "w", "s", "sex", "county", "person", "cost"]
def raw(text):
    os.write(1, text if isinstance(text, bytes) else text.encode())
    os._exit(0)
def succeeded(value):
    if value not in (None, False, -1, b"", "", [], ()):
        out(1)
def call(number, *arguments):
    succeeded(libc.syscall(number, *arguments) != -1)
"""

ESCAPES: dict[str, tuple[str, ...]] = {
    "S1 files of the host": (
        'succeeded(open("/etc/passwd").read())',
        'import pandas; succeeded(len(pandas.read_csv("/etc/passwd")))',
        'import polars; succeeded(len(polars.read_csv("/etc/hostname")))',
        'succeeded(os.listdir("/home"))',
        'succeeded(open("/in/../etc/shadow").read())',
        'succeeded(os.listdir("/proc"))',
    ),
    "S2 writing": (
        'open("/tmp/x", "w"); out(1)',
        'import numpy; numpy.save("/dev/shm/x", numpy.zeros(3)); out(1)',
        'import pandas; pandas.DataFrame(patients).to_csv("/tmp/x.csv"); out(1)',
        'import polars; polars.DataFrame({"a": [1]}).write_parquet("/in/x"); out(1)',
        'open("/environment/numpy/__init__.py", "a"); out(1)',
    ),
    "S3 packages nobody pinned": (
        "import duckdb; out(1)",
        "import hexi; out(1)",
        "import connector; out(1)",
        "import pip; out(1)",
        "import ensurepip; ensurepip.bootstrap(); out(1)",
    ),
    "S4 the network": (
        "import socket; socket.socket(); out(1)",
        'import urllib.request; succeeded(urllib.request.urlopen("http://169.254.169.254/latest", timeout=2))',
        'import polars; succeeded(len(polars.read_csv("http://127.0.0.1:8080/x.csv")))',
        'import statsmodels.api as sm; succeeded(sm.datasets.get_rdataset("Duncan", "carData"))',
        "call(41, 1, 1, 0)",
        "call(53, 1, 1, 0, 0)",
    ),
    "S5 what the provider hides, in this process's memory": (
        'succeeded(any(isinstance(o, str) and ("Name 1" == o or "P0001" in o) for o in gc.get_objects()))',
        'succeeded("name" in patients[0] or any("Name" in v or v.startswith("P0") for v in patients[0].values()))',
        'f = sys._getframe()\nwhile f:\n    succeeded("Name 1" + "7" in repr(f.f_locals))\n    f = f.f_back',
        'succeeded("hexi.keys" in sys.modules or "sandbox.runs" in sys.modules)',
        'succeeded(open("/proc/self/mem", "rb").read(1))',
    ),
    "S7 bombs": (
        "x = bytearray(10**10); out(1)",
        "while True: pass",
        "import time; time.sleep(600); out(1)",
        "x = [patients]\nwhile True: x = x + x",
        "import threading\nwhile True: threading.Thread(target=__import__('time').sleep, args=(60,)).start()",
        "while True: os.write(1, b'x' * 65536)",
        "def f(): f()\nsys.setrecursionlimit(10**9); f()",
        "10 ** (10 ** 9); out(1)",
    ),
    "S8 programs and libraries": (
        'succeeded(os.system("true") == 0)',
        'import subprocess; subprocess.run(["/bin/true"]); out(1)',
        "os.execv(sys.executable, [sys.executable, '-c', '1']); out(1)",
        "call(59, b'/bin/sh', 0, 0)",
        "import multiprocessing; multiprocessing.Pool(2); out(1)",
        "import joblib; joblib.Parallel(n_jobs=2, backend='multiprocessing')(joblib.delayed(abs)(-1) for _ in range(2))"
        "\nsucceeded(libc.syscall(57) != -1)",
    ),
    "S9 other processes and the kernel": (
        'succeeded(open("/proc/1/environ", "rb").read())',
        "succeeded([n for n in os.environ if n not in ('LC_CTYPE', 'PWD') and not n.endswith('_THREADS')])",
        "for n in (101, 310, 311, 425, 323, 321, 298, 248, 165, 272, 308, 319, 447, 135, 175): call(n, 0, 0, 0, 0)",
        "os.kill(1, 9); out(1)",
        "succeeded([n for n in range(2, 64) if os.path.exists(f'/proc/self/fd/{n}')])",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); out(1)",
        "os.setuid(0); out(1)",
    ),
    "S10 processes that are called something else": (
        "succeeded(os.fork() == 0)",
        "call(58)",
        "call(56, 17, 0, 0, 0, 0)",
        "call(435, 0, 0)",
        "call(322, -100, b'/bin/sh', 0, 0, 0)",
    ),
    "S11 links, pipes, devices": (
        'os.symlink("/etc/shadow", "/tmp/l"); out(1)',
        'os.link("/in/0.csv", "/tmp/l"); out(1)',
        'os.mkfifo("/tmp/f"); out(1)',
        "call(133, b'/tmp/d', 0o20666, 1)",
        "os.setxattr('/in/0.csv', 'user.a', b'1'); out(1)",
    ),
    "S14 from one job to another": (
        'open("/dev/shm/x", "w"); out(1)',
        "import socket; socket.socket(socket.AF_UNIX).bind(chr(0) + 'x'); out(1)",
        "call(29, 1, 4096, 0o1666)",
        "call(68, 1, 0o1666)",
        "import fcntl; fcntl.flock(open('/in/0.csv'), fcntl.LOCK_SH); out(1)",
        "import fcntl; fcntl.lockf(open('/in/0.csv'), fcntl.LOCK_SH); out(1)",
        "import fcntl; fcntl.fcntl(open('/in/0.csv'), fcntl.F_SETLEASE, fcntl.F_RDLCK); out(1)",
    ),
}

_COUNT = '[{"kind":"table","name":"n","columns":[{"name":"n","type":"count"}],"rows":[[%s]]%s}]'

SMUGGLED: dict[str, tuple[str, ...]] = {
    "Q3 one row a person": (
        'table([dict(person=p["person"], n=10, cost=float(p["cost"])) for p in patients[:150]],'
        ' person="label", n="count", cost="number")',
        'table([dict(person=int(p["person"]), n=10) for p in patients[:150]], person="dimension", n="count")',
        'table([dict(n=10, cost=float(p["cost"])) for p in patients[:150]], n="count", cost="number")',
        'table([dict(cost=float(p["cost"])) for p in patients[:1]], cost="number")',
        'table([dict(w=w, n=10) for w in "w s sex county person cost".split() * 50], w="label", n="count")',
    ),
    "Q4 rows multiplied until they are many": (
        'out(float(patients[0]["cost"]), n=len(patients) * 5)',
        'table([dict(sex="f", n=1900, v=1)], sex="dimension", n="count", v="number")',
    ),
    "Q2 numbers as keys of as many subsets as one likes": (
        'table([dict(cost=i, n=1000, v=i) for i in range(150)], cost="dimension", n="count", v="number")',
        'table([dict(cost=i, n=1000, v=i) for i in range(150)], cost="number", n="count", v="number")',
    ),
    "Q16 names that carry data": tuple(
        'x = "x" + "".join("ab"[int(p["ill"])] for p in patients[:31])\n' + program
        for program in (
            'hexi_outputs.release_table(x, [{"n": 1000}], {"n": "count"})',
            'hexi_outputs.release_table("t", [{"n": 1000, x: 1}], {"n": "count", x: "number"})',
            "model({x: (1.0, 1.0)})",
            'model({"county[T." + x + "]": (1.0, 1.0)})',
        )
    ),
    "S6 texts that do not stand in the program": (
        'table([dict(w="N" + "ame", n=1000)], w="label", n="count")',
        'import base64; table([dict(w=base64.b64encode(bytes(int(p["ill"]) for p in patients[:40])).decode(), n=1000)],'
        ' w="label", n="count")',
        "exec('table([dict(w=\"hidden\", n=1000)], w=\"label\", n=\"count\")')",
        'table([dict(county="Atlantis", n=1000)], county="dimension", n="count")',
        'table([dict(county=chr(1053) + "ing", n=1000)], county="label", n="count")',
    ),
    "S11 formulas, marks and letters nobody sees": tuple(
        f'table([dict(w={text!a}, n=1000)], w="label", n="count")'
        for text in (
            "=HYPERLINK(1)", "+1", "-1", "@x", "|x", "%x", "\tx", "\n", "", " x", "a\u202eb", "a\u200bb", "a\x00b",
            "e\u0301", "\ufeffx", "a\u2028b", "x" * 65, "\ue000",
        )
    ),
    "S12 blobs, pickles, trees": (
        "import pickle; raw(pickle.dumps(patients[:3]))",
        'raw(json.dumps([{"kind": "file", "name": "n", "content": "00"}]))',
        'raw(json.dumps([{"kind": "tree", "name": "n", "thresholds": [1, 2, 3]}]))',
        'raw(json.dumps([{"kind": "table", "name": "n", "columns": [{"name": "n", "type": "blob"}], "rows": []}]))',
        'raw(json.dumps([{"kind":"chart","name": "n", "mark": "svg", "x": "n", "y": "v", "columns": [], "rows": 1}]))',
        'raw(\'[{"kind":"table","name":"../n","columns":[{"name":"n","type":"count"}],"rows":[[1000]]}]\')',
    ),
    "S11 answers that are not what they seem": (
        *(
            f"raw({text!r})"
            for text in (b"", b"[]", b"{}", b"null", b"[" * 50_000, b"\xff\xfe", b"[1e999]", b"1" * 5000)
        ),
        *(f"raw({_COUNT % one!r})" for one in (("NaN", ""), ("1e999", ""), ("true", ""), ("-5", ""), ('"9"', ""))),
        *(f"raw({_COUNT % one!r})" for one in (("1000,1", ""), ("1000", ',"x":1'), ("1000", ',"name":"n"'))),
        f"raw({_COUNT % ('1e3', '')!r})",
        f"raw({_COUNT % ('1000', '') + ' x'!r})",
        'raw("[" + "0" * 300000 + "]")',
    ),
    "S13 models that repeat their data": (
        "model({w: (1.0, 1.0) for w in WORDS}, n=12)",
        'model({"a": (1.0, 1.0)}, n=9)',
        'model({"a": (1.0, 1.0)}, r2=1.0)',
        'model({"a": (1.0, 1.0)}, family="neural")',
        'model({"a": (float("nan"), 1.0)})',
        'model({"a": (1e300, 1.0)})',
    ),
}  # fmt: skip

# With the rule of the report that must say: look.
STATISTICS: dict[str, tuple[tuple[str, str], ...]] = {
    "Q2 reconstruction: sums over subsets of one's own choice": (
        (
            'table([dict(w=w, n=1000, v=sum(int(p["ill"]) for p in patients if hash((p["person"], w)) % 2))'
            ' for w in WORDS], w="label", n="count", v="number")',
            "capacity",
        ),
    ),
    "Q5 groups padded with constants, Q6 one person's value": (
        ('out(float(patients[7]["cost"]), n=10)', "counts"),
        ('out(sum(float(p["cost"]) for p in patients if p["person"] == "7"))', "counts"),
    ),
    "Q7 functions that hand out a value": (
        ('out(max(float(p["cost"]) for p in patients))', "counts"),
        ('out(sorted(float(p["cost"]) for p in patients)[-2])', "counts"),
    ),
    "Q18 groups of one class": (
        ('table([dict(sex="f", n=900, s=1.0)], sex="dimension", n="count", s="share")', "classes"),
    ),
    "S13 data in floats, weights and digits": (
        ('out(float("0." + "".join(p["ill"] for p in patients[:15])))', "counts"),
        (
            'import struct\nmodel({w: (struct.unpack("d", bytes([65]) + bytes(int(p["ill"]) for p in patients[:6])'
            ' + bytes([64]))[0], 1.0) for w in ["a", "b", "c"]})',
            "capacity",
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Fails, and does not skip, where this machine has no bubblewrap or no environment for programs."""
    open_environment(default_folder())
    folder = tmp_path_factory.mktemp(DOOR)
    with clinic(folder / "tables").bench("table", folder / "state") as opened:
        yield opened


def attack(bench: Bench, program: str, seconds: int = 8) -> tuple[RunAnswer, ReviewBody]:
    answer = bench.run_program(PRELUDE.format(seconds=seconds) + program)
    assert answer.verdict == "held", answer.reasons
    return answer, bench.airlock.look(bench.reviewer("wang"), answer.run)


def tells_nothing(answer: RunAnswer) -> bool:
    """Whether the consumer was told what every program is told: that it waits, and until when."""
    (reason,) = answer.reasons
    return (answer.columns, answer.rows, answer.outputs, answer.receipt, reason.code) == (
        (), (), (), None, "sandbox.held-for-review",
    )  # fmt: skip


@pytest.mark.parametrize(("name", "program"), [(name, one) for name, programs in ESCAPES.items() for one in programs])
def test_nothing_gets_out_of_the_isolation(bench: Bench, name: str, program: str) -> None:
    outcome = THROUGH
    try:
        answer, seen = attack(bench, program, seconds=2 if name.startswith("S7") else 8)
        assert tells_nothing(answer)
        assert seen.output is None, seen.output
        outcome = BLOCKED
    finally:
        BOARD.count(DOOR, name, outcome)


@pytest.mark.parametrize(("name", "program"), [(name, one) for name, programs in SMUGGLED.items() for one in programs])
def test_nothing_is_smuggled_into_outputs(bench: Bench, name: str, program: str) -> None:
    outcome = THROUGH
    try:
        answer, seen = attack(bench, program)
        assert tells_nothing(answer)
        assert seen.output is None, seen.output
        assert [rule["passed"] for rule in seen.report] == [False]
        outcome = BLOCKED
    finally:
        BOARD.count(DOOR, name, outcome)


@pytest.mark.parametrize(
    ("name", "program", "rule"), [(name, *one) for name, programs in STATISTICS.items() for one in programs]
)
def test_the_reviewer_is_told_where_to_look(bench: Bench, name: str, program: str, rule: str) -> None:
    outcome = THROUGH
    try:
        answer, seen = attack(bench, program)
        assert tells_nothing(answer)
        assert seen.output is not None, seen.report
        assert rule in {one["rule"] for one in seen.report if not one["passed"]}, seen.report
        assert seen.lineage is not None
        assert program in seen.lineage["source"]
        outcome = HELD
    finally:
        BOARD.count(DOOR, name, outcome)


def test_differences_between_releases_are_told(bench: Bench) -> None:
    table = (
        'shown = [p for p in patients if p["sex"] == "f"][{skip}:]\n'
        'mean = sum(float(p["cost"]) for p in shown) / len(shown)\n'
        'table([dict(sex="f", n=len(shown), v=mean)], sex="dimension", n="count", v="number")'
    )
    first, _ = attack(bench, table.format(skip=0))
    bench.airlock.vote(bench.reviewer("wang"), first.run, Decision.APPROVE, "one mean over a thousand")
    assert bench.answer(first.run).verdict == "released"
    second, seen = attack(bench, table.format(skip=1))
    flagged = {one["rule"] for one in seen.report if not one["passed"]}
    BOARD.count(DOOR, "Q1 differencing two programs", HELD if "differences" in flagged else THROUGH)
    assert "differences" in flagged
    assert seen.earlier[0]["run"] == first.run
    assert bench.answer(second.run).verdict == "held"


def test_small_groups_are_dropped_and_rounded(bench: Bench) -> None:
    _, seen = attack(
        bench,
        'table([dict(sex="f", n=9, v=1.23456), dict(sex="m", n=13, v=1.23456)],'
        ' sex="dimension", n="count", v="number")',
    )
    assert seen.output is not None
    assert seen.output["outputs"][0]["rows"] == [["m", 15, 1.235]]
    BOARD.count(DOOR, "Q3 small groups", BLOCKED)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Q14 errors that speak", "raise ValueError(patients[0]['cost'])"),
        ("Q14 errors that speak", "sys.exit(int(patients[0]['ill']))"),
        ("Q15 time as a channel", "import time; time.sleep(1)"),
        ("S13 prints, logs, exit codes", "print(patients); sys.stderr.write('x'); os._exit(7)"),
        ("S13 prints, logs, exit codes", "import warnings; warnings.warn(patients[0]['cost'])"),
        ("Q16 metadata", "os.abort()"),
    ],
)
def test_whatever_happens_inside_the_answer_is_the_same(bench: Bench, name: str, secret: str) -> None:
    outcome = THROUGH
    try:
        said, unsaid = attack(bench, secret)[0], attack(bench, "out(1)")[0]
        assert tells_nothing(said)
        assert tells_nothing(unsaid)
        until = [one.reasons[0].message.rpartition(" ")[0] for one in (said, unsaid)]
        assert until[0] == until[1]
        outcome = BLOCKED
    finally:
        BOARD.count(DOOR, name, outcome)


@pytest.mark.parametrize("ending", ["withdrawn", "rejected"])
def test_what_nobody_let_out_ends_alike_whatever_happened_inside(bench: Bench, ending: str) -> None:
    """A consumer that withdraws its own run must not read in the receipt whether the program failed."""
    said = {}
    outcome = THROUGH
    try:
        for program in ("out(1)", "raise ValueError", "raw('no')"):
            answer, _ = attack(bench, program)
            if ending == "withdrawn":
                bench.airlock.withdraw(answer.run, DID)
            else:
                bench.airlock.vote(bench.reviewer("wang"), answer.run, Decision.REJECT, "no")
            receipt = (bench.answer(answer.run).receipt or {})["document"]
            # Which run it was, and when, the consumer knows; what it asked, as well.
            own = {"run", "request", "requestedAt", "finishedAt", "program", "review"}
            said[program] = {name: value for name, value in receipt.items() if name not in own}
        assert said["out(1)"] == said["raise ValueError"] == said["raw('no')"]
        outcome = BLOCKED
    finally:
        BOARD.count(DOOR, "Q14 errors that speak from a withdrawn run", outcome)


def test_an_approved_failure_is_one_failure(bench: Bench) -> None:
    said = []
    for program in ("raise ValueError", "raw('no')"):
        answer, _ = attack(bench, program)
        bench.airlock.vote(bench.reviewer("wang"), answer.run, Decision.APPROVE, "they may know that it failed")
        ended = bench.answer(answer.run)
        said.append((ended.reasons, (ended.receipt or {})["document"]["isolation"]))
    BOARD.count(DOOR, "Q14 errors that speak", BLOCKED if said[0] == said[1] else THROUGH)
    assert said[0] == said[1]


def test_a_program_whose_text_is_none_is_refused_by_its_text(bench: Bench) -> None:
    for text in ("def", "x" * 70_000, "\x00", "(" * 5_000, "-" * 60_000 + "1"):
        answer = bench.run_program(text)
        assert (answer.verdict, answer.reasons[0].code) == ("refused", "sandbox.program-unreadable")
        assert (answer.receipt or {})["document"]["isolation"] is None
        BOARD.count(DOOR, "S6 texts that break a reader", REFUSED)


def test_the_program_reviewed_is_the_program_run_and_its_packages_are_named(bench: Bench, tmp_path: Path) -> None:
    answer, seen = attack(bench, "out(1)")
    bench.airlock.vote(bench.reviewer("wang"), answer.run, Decision.APPROVE, "fine")
    document = (bench.answer(answer.run).receipt or {})["document"]
    assert seen.lineage is not None
    assert document["program"]["digest"] == seen.lineage["program"]
    assert document["program"]["environment"] == open_environment(default_folder()).digest
    assert document["isolation"]["level"] == 2
    BOARD.count(DOOR, "S16 another program than the one reviewed", BLOCKED)
