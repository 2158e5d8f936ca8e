"""Hostile programs inside the very isolation that queries get. Each says what it managed; it must be nothing."""

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hexi.canonical import parse
from sandbox.isolation.processes import JobFailed, JobTimedOut, Limits, ProgramResult, run_program
from tests.sandbox.machine import skip_where_it_cannot

pytestmark = pytest.mark.isolation


@pytest.fixture(autouse=True)
def needs_isolation(request: pytest.FixtureRequest) -> None:
    skip_where_it_cannot(request)


# What a program is given: `tried(name, call)` records what `call` came to, and `found` is printed at the end.
PRELUDE = """
import json, os, sys
found = {}
def tried(name, call):
    try:
        found[name] = repr(call())[:200]
    except BaseException as error:
        found[name] = type(error).__name__
"""


def run(program: str, *, tables: dict[str, Path] | None = None, limits: Limits | None = None) -> ProgramResult:
    return run_program(
        PRELUDE + textwrap.dedent(program) + "\nprint(json.dumps(found))",
        minimum_level=2,
        tables=tables,
        limits=limits,
    )


def outcome(program: str, **inputs: Path) -> dict[str, str]:
    found = parse(run(program, tables=dict(inputs)).output)
    assert isinstance(found, dict)
    return found


REFUSED = {"PermissionError", "FileNotFoundError"}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/root",
        "/home",
        "/var",
        "/work",
        "/dev",
        "/dev/shm",
        "/sys",
        "/proc/kmsg",
        "/proc/kcore",
    ],
)
def test_nothing_of_the_host_can_be_read(path: str) -> None:
    found = outcome(f"tried('file', lambda: open({path!r}).read())\ntried('folder', lambda: os.listdir({path!r}))")
    allowed = REFUSED | {"IsADirectoryError", "NotADirectoryError"}
    assert found["file"] in allowed
    assert found["folder"] in allowed


def test_neither_can_the_repository_nor_the_virtual_environment() -> None:
    here = Path(__file__).parents[3]
    found = outcome(
        f"""
        tried('code', lambda: open({str(here / "pyproject.toml")!r}).read())
        tried('packages', lambda: os.listdir({str(Path(sys.prefix))!r}))
        """
    )
    assert set(found.values()) <= REFUSED


def test_own_input_can_be_read_and_the_table_of_another_job_cannot(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    mine.write_text("a\n1\n")
    other.write_text("secret\n42\n")
    found = outcome(
        f"""
        tried('mine', lambda: open('/in/0.csv').read())
        tried('other', lambda: open({str(other)!r}).read())
        tried('beside', lambda: open('/in/1.csv').read())
        tried('up', lambda: open('/in/../{str(other).lstrip("/")}').read())
        tried('inputs', lambda: os.listdir('/in'))
        """,
        mine=mine,
    )
    assert found["mine"] == repr("a\n1\n")
    # Where the kernel has Landlock, not even the folder can be listed.
    assert found["inputs"] in {"PermissionError", repr(["0.csv"])}
    assert {found[name] for name in ("other", "beside", "up")} <= REFUSED


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
def test_no_socket_of_any_family(family: str) -> None:
    found = outcome(
        f"""
        import socket
        tried('stream', lambda: socket.socket(socket.{family}, socket.SOCK_STREAM))
        tried('raw', lambda: socket.socket(socket.{family}, socket.SOCK_RAW))
        tried('pair', lambda: socket.socketpair())
        """
    )
    assert set(found.values()) == {"PermissionError"}


def test_the_environment_is_empty_and_no_process_shows_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXI_SECRET", "do-not-show")
    found = outcome(
        """
        tried('own', lambda: sorted(os.environ))
        for pid in ('1', '2', 'self', str(os.getppid()), '3', '4'):
            tried(pid, lambda: open(f'/proc/{pid}/environ', 'rb').read())
        """
    )
    assert found.pop("own") in {"['LC_CTYPE', 'PWD']", "['PWD']", "[]"}
    # What a kernel without Landlock would show: bubblewrap's own environment, empty, and the working directory.
    assert set(found.values()) <= REFUSED | {repr(b""), repr(b"PWD=/\0")}


def test_landlock_closes_proc_where_the_kernel_has_it() -> None:
    result = run(
        """
        for path in ('/proc', '/proc/self/mountinfo', '/proc/self/maps', '/proc/cpuinfo', '/proc/sys/kernel/hostname'):
            tried(path, lambda: os.listdir(path) if path == '/proc' else open(path).read())
        """
    )
    if not result.isolation.layers["landlock"]:
        pytest.skip("this kernel has no Landlock; level 2 does not need it")
    assert set(parse(result.output).values()) == {"PermissionError"}


def test_no_process_no_thread_no_program() -> None:
    found = outcome(
        """
        import ctypes, subprocess, threading
        python = sys.executable
        tried('fork', os.fork)
        tried('forkpty', os.forkpty)
        tried('spawn', lambda: os.posix_spawn(python, [python], {}))
        tried('subprocess', lambda: subprocess.run([python, '-c', '1']))
        tried('system', lambda: [][os.system('true') == 0])
        tried('exec', lambda: os.execv(python, [python, '-c', '1']))
        tried('thread', lambda: threading.Thread(target=print).start())
        libc = ctypes.CDLL(None, use_errno=True)
        def call(number, *arguments):
            return libc.syscall(number, *arguments), ctypes.get_errno()
        tried('clone3', lambda: call(435, None, 0))
        """
    )
    assert found.pop("clone3") == "(-1, 38)"
    assert found.pop("thread") == "RuntimeError"
    # os.system reports the failed fork as an exit status other than 0: [][False] is an IndexError.
    assert found.pop("system") == "IndexError"
    assert set(found.values()) <= {"PermissionError"}


SYSCALLS = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "mount": 165, "umount2": 166, "pivot_root": 155,
    "chroot": 161, "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "keyctl": 250, "add_key": 248,
    "io_uring_setup": 425, "userfaultfd": 323, "kexec_load": 246, "init_module": 175, "open_by_handle_at": 304,
    "personality": 135, "memfd_create": 319, "shmget": 29, "msgget": 68, "semget": 64, "kill": 62, "tkill": 200,
    "tgkill": 234, "pidfd_open": 434, "setuid": 105, "setrlimit": 160, "prctl": 157, "seccomp": 317, "execveat": 322,
    "fork": 57, "vfork": 58, "clone": 56, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
    "memfd_secret": 447, "socketpair": 53, "pipe2": 293, "inotify_init1": 294, "fanotify_init": 300, "syslog": 103,
    "reboot": 169, "swapon": 167, "sethostname": 170, "acct": 163, "iopl": 172, "quotactl": 179, "nfsservctl": 180,
    "lookup_dcookie": 212, "modify_ldt": 154, "vmsplice": 278, "mknod": 133, "newest_there_may_be": 600,
}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
def test_no_dangerous_system_call_by_number() -> None:
    found = outcome(
        f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        for name, number in {SYSCALLS!r}.items():
            tried(name, lambda: (libc.syscall(number, 0, 0, 0, 0, 0, 0), ctypes.get_errno()))
        """
    )
    assert {name: said for name, said in found.items() if said != "(-1, 1)"} == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is an interface of x86-64")
def test_a_foreign_interface_kills() -> None:
    program = "import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39)"  # x32 getpid
    with pytest.raises(JobFailed):
        run(program)


def test_nothing_can_be_written_linked_or_changed(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a\n1\n")
    found = outcome(
        """
        for place in ('/in/0.csv', '/in/new', '/tmp/new', '/new', '/hexi/worker.py', '/proc/self/oom_score_adj',
                      '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/self/mem', '/dev/null'):
            tried(place, lambda: open(place, 'w'))
            tried(place + ' update', lambda: open(place, 'r+'))
            tried(place + ' append', lambda: open(place, 'a'))
        tried('temporary', lambda: os.open('/tmp', os.O_TMPFILE | os.O_RDWR))
        tried('symlink', lambda: os.symlink('/etc/shadow', '/tmp/l'))
        tried('hardlink', lambda: os.link('/in/0.csv', '/tmp/l'))
        tried('fifo', lambda: os.mkfifo('/tmp/f'))
        tried('folder', lambda: os.mkdir('/tmp/d'))
        tried('remove', lambda: os.remove('/in/0.csv'))
        tried('rename', lambda: os.rename('/in/0.csv', '/in/1.csv'))
        tried('truncate', lambda: os.truncate('/in/0.csv', 0))
        tried('mode', lambda: os.chmod('/in/0.csv', 0o777))
        tried('times', lambda: os.utime('/in/0.csv'))
        tried('xattr', lambda: os.setxattr('/in/0.csv', 'user.a', b'1'))
        """,
        t=table,
    )
    assert set(found.values()) <= REFUSED | {"OSError"}
    assert table.read_text() == "a\n1\n"


def test_only_the_answers_pipe_is_open() -> None:
    found = outcome(
        """
        def is_open(number):
            try: os.fstat(number)
            except OSError: return False
            return True
        tried('open', lambda: [n for n in range(1024) if is_open(n)])
        """
    )
    assert found["open"] == "[1]"


def test_the_limits_cannot_be_raised_and_nobody_can_be_signalled() -> None:
    found = outcome(
        """
        import resource, signal
        tried('memory', lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))
        tried('parent', lambda: os.kill(os.getppid(), signal.SIGKILL))
        tried('group', lambda: os.killpg(0, signal.SIGKILL))
        tried('everybody', lambda: os.kill(-1, signal.SIGKILL))
        tried('self', lambda: os.kill(os.getpid(), signal.SIGTERM))
        tried('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
        tried('user', lambda: os.setuid(0))
        tried('session', os.setsid)
        """
    )
    # The standard library turns EPERM of setrlimit into ValueError ("not allowed to raise maximum limit").
    assert set(found.values()) <= {"PermissionError", "ValueError"}


def test_a_memory_bomb_bursts_in_its_own_process() -> None:
    found = parse(
        run(
            "tried('bomb', lambda: len(bytearray(10**9)))", limits=Limits(memory_bytes=512 * 2**20, wall_seconds=10)
        ).output
    )
    assert found == {"bomb": "MemoryError"}


def test_a_processor_bomb_is_stopped_at_its_limit() -> None:
    with pytest.raises(JobTimedOut, match="processor time"):
        run("while True: pass", limits=Limits(cpu_seconds=1, wall_seconds=20))


def test_a_sleeper_is_stopped_by_the_clock_on_the_wall() -> None:
    start = time.monotonic()
    with pytest.raises(JobTimedOut):
        run("import time; time.sleep(60)", limits=Limits(wall_seconds=1))
    assert time.monotonic() - start < 5


def test_so_is_a_sleeper_that_hangs_up_first() -> None:
    with pytest.raises(JobTimedOut):
        run("os.close(1); import time; time.sleep(60)", limits=Limits(wall_seconds=1))


def test_an_output_bomb_is_cut_off() -> None:
    with pytest.raises(JobFailed) as caught:
        run("while True: os.write(1, b'x' * 65536)", limits=Limits(output_bytes=2**20, wall_seconds=20))
    assert caught.value.code == "sandbox.job-failed"


@pytest.mark.parametrize(
    "program", ["raise ValueError('secret-value')", "sys.exit(3)", "import ctypes; ctypes.string_at(0)", "os.abort()"]
)
def test_every_failure_says_the_same(program: str) -> None:
    with pytest.raises(JobFailed) as caught:
        run(program)
    assert (caught.value.code, caught.value.context) == ("sandbox.job-failed", {})
    assert caught.value.detail == "the computation failed inside the sandbox; what went wrong in there stays in there"


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_behind_whatever_happened() -> None:
    before = children(), descriptors()
    quick = Limits(wall_seconds=0.5)
    for program in ("", "import time; time.sleep(60)", "raise SystemExit", "os.close(1); import time; time.sleep(60)"):
        with contextlib.suppress(JobFailed):
            run(program, limits=quick)
    assert (children(), descriptors()) == before


def test_jobs_side_by_side_do_not_see_each_other() -> None:
    def one(number: int) -> str:
        return str(parse(run(f"tried('n', lambda: ({number}, os.getpid()))").output)["n"])

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(12))) == [f"({number}, 2)" for number in range(12)]


def test_a_job_dies_with_the_service_that_started_it() -> None:
    source = """
from sandbox.isolation.processes import Limits, run_program
print("starting", flush=True)
run_program("import os, time; os.write(1, b'x'); time.sleep(60)", minimum_level=2, limits=Limits(wall_seconds=60))
"""
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as service:
        assert service.stdout is not None
        service.stdout.readline()
        wait_until(lambda: inside(service.pid), "the job to start")
        job = inside(service.pid)
        service.kill()
        service.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in job), "the job to die")


def inside(service: int) -> list[int]:
    """The processes under `service`, once there are three: bubblewrap, its process 1, and the worker."""
    found, todo = [], [service]
    while todo:
        pid = todo.pop()
        try:
            below = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            below = []
        found += below
        todo += below
    return found if len(found) >= 3 else []


def wait_until(condition: object, what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.02)
