"""Level 3: the same jobs under gVisor's kernel, where `runsc` is at hand; and what only says that it is gVisor."""

import os
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hexi.canonical import parse
from sandbox.isolation import bubblewrap, gvisor
from sandbox.isolation.children import descendants
from sandbox.isolation.processes import (
    IsolationSettings,
    IsolationUnavailable,
    Job,
    JobFailed,
    JobTimedOut,
    Limits,
    Packages,
    run_isolated,
    run_program,
)
from sandbox.isolation.spares import Spares
from sandbox.isolation.stopping import Stop, Stopped
from tests.sandbox.isolation.gvisor_builds import GVISOR_MODULE, RUNSC
from tests.sandbox.isolation.test_endings import CROWD, lives, until
from tests.sandbox.isolation.test_isolated_programs import PRELUDE
from tests.sandbox.isolation.test_isolation import ATTACKS
from tests.sandbox.isolation.test_spares import waiting
from tests.sandbox.machine import skip_where_it_cannot

REAL = IsolationSettings(runsc=RUNSC)
real = pytest.mark.skipif(
    RUNSC is None, reason=f"runsc is not at hand: `go install {GVISOR_MODULE}`, then name it in HEXI_TEST_RUNSC"
)


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    path.write_text("person,cost\np1,10\np2,20.5\n")
    return path


def outcome(program: str, **tables: Path) -> dict[str, str]:
    source = PRELUDE + textwrap.dedent(program) + "\nprint(json.dumps(found))"
    found = parse(run_program(source, minimum_level=3, tables=tables, settings=REAL).output)
    assert isinstance(found, dict)
    return found


@real
def test_a_query_is_answered_under_a_kernel_of_its_own(visits: Path) -> None:
    result = run_isolated(Job({"visits": visits}, "SELECT sum(cost) FROM visits"), minimum_level=3, settings=REAL)
    assert (result.rows, result.isolation.level) == ([[30.5]], 3)
    assert result.isolation.layers["ownKernel"] is True


@real
def test_a_worker_that_waited_under_its_own_kernel_answers_and_none_is_left(visits: Path) -> None:
    spares = Spares()
    job = Job({"visits": visits}, "SELECT sum(cost) FROM visits")
    run_isolated(job, minimum_level=3, settings=REAL, spares=spares)
    until(lambda: len(waiting(spares)) == 1)
    (process,) = waiting(spares)
    result = run_isolated(job, minimum_level=3, settings=REAL, spares=spares)
    assert (result.rows, result.isolation.level, lives(process)) == ([[30.5]], 3, False)
    until(lambda: len(waiting(spares)) == 1)
    family = [*waiting(spares), *descendants(waiting(spares)[0])]
    spares.close()
    assert not any(lives(one) for one in family)


@real
@pytest.mark.parametrize("attack", ["read_text", "COPY TO", "network", "too much output", "a list as a memory bomb"])
def test_an_attack_comes_to_one_code_and_no_words(attack: str, visits: Path) -> None:
    limits = Limits(memory_bytes=768 * 2**20, output_bytes=2**20)
    with pytest.raises(JobFailed) as caught:
        run_isolated(Job({"visits": visits}, ATTACKS[attack], limits), minimum_level=3, settings=REAL)
    assert (caught.value.code, caught.value.context) == ("sandbox.job-failed", {})


@real
def test_a_hostile_program_finds_nothing_of_the_host(visits: Path) -> None:
    found = outcome(
        f"""
        import socket
        tried('input', lambda: open('/in/0.csv').read())
        for path in ('/etc/passwd', '/root/.bashrc', '/home', {str(visits)!r}, {str(Path(sys.prefix))!r}):
            tried(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
        tried('fork', os.fork)
        tried('exec', lambda: os.execv(sys.executable, [sys.executable]))
        tried('socket', socket.socket)
        tried('write', lambda: open('/in/0.csv', 'w'))
        tried('new', lambda: open('/tmp/new', 'w'))
        tried('device', lambda: open('/dev/pts/ptmx', 'r+'))
        tried('processes', lambda: [name for name in os.listdir('/proc') if name.isdigit()])
        tried('block devices', lambda: os.listdir('/sys/block'))
        tried('devices', lambda: sorted(set(os.listdir('/dev')) & {{'sda', 'vda', 'kmsg', 'mem', 'kvm', 'shm'}}))
        """,
        visits=visits,
    )
    assert found.pop("input") == repr(visits.read_text())
    assert found.pop("processes") == "['1']"
    assert found.pop("block devices") in {"[]", "FileNotFoundError"}
    assert found.pop("devices") == "['shm']"
    assert set(found.values()) <= {"PermissionError", "FileNotFoundError", "OSError"}


@real
@pytest.mark.parametrize("how", ["stop", "wall"])
@pytest.mark.parametrize("source", ["while True: pass", "import os, time; os.close(1); time.sleep(600)", CROWD])
def test_a_running_job_that_is_ended_leaves_no_process_and_no_bundle(how: str, source: str) -> None:
    stop, before, bundles = Stop(), set(descendants(os.getpid())), set(gvisor.MEMORY.glob("hexi-*"))
    limits = Limits(cpu_seconds=600, wall_seconds=600 if how == "stop" else 3)
    packages = Packages(Path(__file__).parent, schema={})

    def run() -> object:
        return run_program(source, minimum_level=3, limits=limits, settings=REAL, stop=stop, packages=packages)

    with ThreadPoolExecutor(1) as pool:
        running, job = pool.submit(run), set[int]()
        # unshare, runsc, its gofer, its kernel, and the processes in which that lets a job run.
        until(lambda: len(job.update(set(descendants(os.getpid())) - before) or job) >= 5)
        if how == "stop":
            stop.tell()
        with pytest.raises(Stopped if how == "stop" else JobTimedOut):
            running.result()
    assert [pid for pid in job if lives(pid)] == []
    assert set(gvisor.MEMORY.glob("hexi-*")) == bundles
    stop.close()


@real
def test_processor_time_is_limited() -> None:
    limits = Limits(cpu_seconds=1, wall_seconds=20)
    with pytest.raises(JobTimedOut, match="processor time"):
        run_program("while True: pass", minimum_level=3, limits=limits, settings=REAL)


# A "runsc" that runs the bundle in bubblewrap, shows gVisor's version under /proc, and an old release to uname.
LIAR = """#!{python}
import json, os, sys
folder = sys.argv[sys.argv.index("--bundle") + 1]
plan = next(int(a.removeprefix("--pass-fd=").split(":")[0]) for a in sys.argv if a.startswith("--pass-fd="))
config = json.load(open(folder + "/config.json"))
version = folder + "/version"
open(version, "w").write("Linux version 4.19.0-gvisor #1 SMP Sun Jan 10 15:06:54 PST 2016")
words = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
for place, _, links in os.walk(config["root"]["path"]):
    for name in [*_, *links]:
        path = os.path.join(place, name)
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path.removeprefix(config["root"]["path"])]
for mount in config["mounts"]:
    if mount["type"] == "bind":
        words += ["--ro-bind", mount["source"], mount["destination"]]
words += ["--proc", "/proc", "--ro-bind", version, "/proc/version", "--remount-ro", "/proc"]
words += ["--remount-ro", "/", "--chdir", "/", "--", *config["process"]["args"]]
os.dup2(plan, 3)
import ctypes
ctypes.CDLL(None).personality(0x0020000)  # UNAME26
os.execv({bwrap!r}, words)
"""


@pytest.mark.isolation
def test_who_only_says_that_it_is_gvisor_is_found_out(
    request: pytest.FixtureRequest, tmp_path: Path, visits: Path
) -> None:
    skip_where_it_cannot(request)
    liar = tmp_path / "runsc"
    liar.write_text(LIAR.format(python=sys.executable, bwrap=str(bubblewrap.find("auto"))))
    liar.chmod(0o755)
    with pytest.raises(IsolationUnavailable) as caught:
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=3, settings=IsolationSettings(runsc=liar))
    assert caught.value.detail.endswith("measured from inside, it lacks ownKernel")


@pytest.mark.parametrize(
    ("said", "way_out"), [("cannot create namespace: Operation not permitted", "user namespace"), ("x", "the log says")]
)
def test_a_gvisor_that_does_not_start_is_explained(said: str, way_out: str, tmp_path: Path, visits: Path) -> None:
    broken = tmp_path / "runsc"
    broken.write_text(f"#!/bin/sh\necho '{said} /secret' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(IsolationUnavailable, match=way_out) as caught:
        run_isolated(Job({"visits": visits}, "SELECT 1"), minimum_level=3, settings=IsolationSettings(runsc=broken))
    assert "/secret" not in caught.value.detail
