"""The program inside the isolation: locks itself in, says what it measured, and computes only when told to go on.

Started by `processes` as ``python -I -S worker.py PACKAGES PLAN``, where PACKAGES is the folder of the engine and PLAN
the descriptor of a memory file with the plan as JSON. It imports nothing of Hexi: nothing of Hexi is there.

1. Limits are set, hard.
2. The engine is started, empty; from here on no file outside the plan is needed.
3. Landlock closes every path but the inputs and the libraries; the inner seccomp program closes the rest.
4. What holds is tried, not assumed, and written to standard output as one line of JSON.
5. The parent judges this line. Then only it says the job, a line of JSON on standard input; no input is opened before.
6. The answer is written as JSON. Whatever goes wrong ends in exit code 1 without a word: its text may carry data. Only
   on the bench, where program and tables are the same person's, the plan says that a program's last words are told.
"""

import contextlib
import ctypes
import io
import json
import os
import resource
import select
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Any

# linux/prctl.h, linux/seccomp.h
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
SIGKILL = 9

# linux/landlock.h; the call numbers are the same on every architecture.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LANDLOCK_READ_FILE, LANDLOCK_READ_DIR = 1 << 2, 1 << 3
LANDLOCK_NET_TCP = 0b11  # bind, connect
LANDLOCK_SCOPES = 0b11  # abstract unix sockets, signals
# Up to which bit each version of the interface knows file system rights: everything known is taken away.
LANDLOCK_FS_BITS = ((5, 16), (3, 15), (2, 14), (1, 13))
LANDLOCK_NET_SINCE, LANDLOCK_SCOPES_SINCE = 4, 6

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

# The C library's locale (Python sets it by itself) and the working directory (bubblewrap does) carry nothing.
HARMLESS_VARIABLES = frozenset({"LC_CTYPE", "PWD"})
# So does the home that gVisor gives whom it knows none of.
NO_HOME = ("HOME", "/")

# Every host has these, and the isolated file system has none of them.
HOST_PATHS = ("/etc/passwd", "/sys", "/dev", "/boot", "/var")
# A kernel of the job's own brings these of its own; what it has of the host's files comes over 9p.
KERNEL_PATHS = frozenset({"/sys", "/dev"})
GVISOR_FILES_OF_THE_HOST = "9p"

# syslog(2): read the kernel's log, all of it. gVisor lets everybody, and begins with these words.
SYSLOG_ACTION_READ_ALL, SYSLOG_BYTES = 3, 65_536
GVISOR_GREETS = b"Starting gVisor"

# Libraries of a program that would each start as many threads as there are processors.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")

# Whoever is not asked within this time was started to wait, and may use the processor for getting ready.
IDLE_SECONDS = 0.1

# Characters of what a program said when it ended with an error, where that is told.
LAST_WORDS = 500

Layers = dict[str, bool | int | str]


def main(packages: str, plan_descriptor: int) -> None:
    """Follow the steps of the module's docstring."""
    with open(plan_descriptor, encoding="utf-8") as file:
        plan = json.load(file)
    limit(plan["limits"])
    # At the end of the path: neither the engine's folder nor ours may shadow the standard library.
    sandbox = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - pathlib is slow to import and not needed
    sys.path += [packages, sandbox]
    from engines import duck  # type: ignore[import-not-found,unused-ignore]

    engine = duck.start(plan["limits"]["memory"])
    layers = lock_in(plan)
    os.write(1, json.dumps(layers).encode() + b"\n")  # noqa: TID251 - hexi is not here; only the parent reads it
    if "environment" not in plan and not is_asked_within(IDLE_SECONDS):
        duck.touch_memory(engine)
    if (job := listen()) is None:
        return
    # Standard error goes too: the C++ side would print values into it. Nothing is open now but the answer's pipe.
    os.close(0)
    os.close(2)
    if "environment" in plan:
        run_declaring(plan, job["program"])
    elif "program" in job:
        run(job["program"])
    else:
        tables = {name: plan["tables"][name] for name in job["open"]}
        names, batches = duck.answer(engine, tables, job["columns"], job["sql"])
        write(names, batches, plan["limits"]["output"])


def is_asked_within(seconds: float) -> bool:
    """Whether the parent says something, or goes, within `seconds`."""
    return bool(select.select([0], [], [], seconds)[0])


def listen() -> Any:
    """The job; None if the parent has gone or changed its mind."""
    said = bytearray()
    while not said.endswith(b"\n"):
        if not (more := os.read(0, 65_536)):
            return None
        said += more
    return json.loads(said)


def run(source: str) -> None:
    """Run a Python program; what it prints is the answer. The program sees what a query's engine would see."""
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    exec(compile(source, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - isolation is around, not in, Python
    sys.stdout.flush()


def run_declaring(plan: Mapping[str, Any], program: str) -> None:
    """Run a Python program with packages; what it declared is the answer, and what it prints goes nowhere."""
    sys.path += [plan["environment"], plan["inside"]]
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    sys.stdout = sys.stderr = Nowhere()
    import hexi_outputs  # type: ignore[import-not-found,unused-ignore]

    hexi_outputs.begin(plan["tables"], plan["schema"], plan["parameters"])
    try:
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - as above
        answer = hexi_outputs.declared()
    except BaseException as error:
        if not plan["tells"]:  # step 6
            raise
        answer = {"raised": last_words(error)}
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(_json(answer))


def last_words(error: BaseException) -> str:
    """What the traceback of a program ends with, and the line of the program where it began to go wrong."""
    line, at = 0, error.__traceback__
    while at is not None:
        line = at.tb_lineno if at.tb_frame.f_code.co_filename == "program" else line
        at = at.tb_next
    said = f"{type(error).__name__}: {error}".removesuffix(": ")[:LAST_WORDS]
    return f"{said} (line {line})" if line else said


class Nowhere(io.TextIOBase):
    """Where a program's prints go: a log would be an output that nobody declared."""

    def write(self, text: str) -> int:
        return len(text)


def write(names: list[str], batches: Iterable[list[list[Any]]], most: int) -> None:
    """Write the answer, at most `most` bytes of it; a longer one is a failure, not a shorter answer."""
    with os.fdopen(1, "wb", closefd=False) as out:
        size = out.write(b'{"columns":' + _json(names) + b',"rows":[')
        for number, rows in enumerate(batches):
            size += out.write((b"," if number else b"") + _json(rows)[1:-1])
            if size > most:
                raise ValueError
        out.write(b"]}")


def _json(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def limit(limits: Mapping[str, int]) -> None:
    """Set every limit, soft and hard, so that nothing in here can raise it again."""
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory"], limits["memory"]))
    # One second between the signal, which says why, and the kill, which cannot be ignored.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits["files"], limits["files"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def lock_in(plan: Mapping[str, Any]) -> Layers:
    """Apply Landlock and the inner seccomp program, and return what holds afterwards, all of it tried from here."""
    libc = ctypes.CDLL(None)
    before = look_around(plan["namespaces"], own_kernel=is_own_kernel(libc, plan["kernel"]))
    # For the levels without bubblewrap, which sees to both itself.
    _control(libc, PR_SET_PDEATHSIG, SIGKILL)
    _control(libc, PR_SET_NO_NEW_PRIVS, 1)
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - closed to us by the next line
        landlock = restrict_paths(libc, plan["readable"])
        if plan["filter"]:
            filter_calls(libc, bytes.fromhex(plan["filter"]))
        said = dict(line.split(":\t", 1) for line in status.read().splitlines())
    return {
        **before,
        "landlock": landlock,
        "seccomp": int(said.get("Seccomp_filters", said.get("Seccomp", "0"))),
        "noNewPrivileges": said.get("NoNewPrivs") == "1",
        "noCapabilities": int(said["CapEff"], 16) == int(said["CapPrm"], 16) == 0,
        "memoryBytes": resource.getrlimit(resource.RLIMIT_AS)[1],
        "cpuSeconds": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "fileBytes": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
        "openFiles": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "coreBytes": resource.getrlimit(resource.RLIMIT_CORE)[1],
        **try_doors(),
    }


def is_own_kernel(libc: Any, outside: list[str]) -> bool:
    """Whether the kernel that answers here is gVisor's and not the one the parent runs on, whose release and version
    are `outside`. Asked by system call: files under /proc are whatever a launcher mounted there.
    """
    said = os.uname()
    # The release alone would not do: personality(2) changes it, but nothing changes the version.
    if said.release == outside[0] or said.version == outside[1]:
        return False  # nor is the host's log read, where it could be
    log = ctypes.create_string_buffer(SYSLOG_BYTES)
    libc.klogctl(SYSLOG_ACTION_READ_ALL, log, SYSLOG_BYTES)
    return GVISOR_GREETS in log.value.partition(b"\n")[0]


def look_around(outside: Mapping[str, int], *, own_kernel: bool) -> Layers:
    """What can be seen from here: namespaces that are not the parent's, processes, files, variables."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:  # noqa: PTH123 - see main
        mounts = [line.split() for line in file]
    writable = [m[4] for m in mounts if "ro" not in m[5].split(",")]
    inside = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in os.listdir("/proc/self/ns")}  # noqa: PTH116, PTH208
    private = [name for name in NAMESPACES if inside.get(name, outside[name]) != outside[name]]
    made_up = {m[4] for m in mounts if own_kernel and m[m.index("-") + 1] != GVISOR_FILES_OF_THE_HOST}
    variables = {name for name, value in os.environ.items() if (name, value) != NO_HOME}
    return {
        "ownKernel": own_kernel,
        "namespaces": ",".join(private),
        "uid": os.getuid(),
        "processes": sum(entry.isdigit() for entry in os.listdir("/proc")),  # noqa: PTH208 - see main
        "privateFiles": not any(map(os.path.exists, set(HOST_PATHS) - (KERNEL_PATHS & made_up))),
        "readOnlyFiles": not writable,
        "emptyEnvironment": variables <= HARMLESS_VARIABLES,
    }


def try_doors() -> Layers:
    """Try what must not work: a socket, a file for writing, another process, another program, reading /proc."""
    return {
        "noSockets": _refused(_try_socket),
        "noWriting": _refused(_try_writing),
        "noProcesses": _refused(_try_fork),
        "noPrograms": _refused(lambda: os.execv("/nonexistent", ["nonexistent"])),  # noqa: S606
        "noProc": _refused(lambda: os.close(os.open("/proc/self/maps", os.O_RDONLY))),
    }


def _refused(attempt: Any) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _try_socket() -> None:
    import _socket

    _socket.socket().close()


def _try_writing() -> None:
    # O_EXCL with a name that is there: even where it is allowed, nothing is made and nothing is changed.
    os.close(os.open(__file__, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def _try_fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def restrict_paths(libc: Any, readable: Iterable[str]) -> int:
    """Landlock: nothing but reading, and only beneath `readable`. Returns the interface's version, 0 where absent."""
    version = _call(libc, LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return 0
    bits = next(bits for since, bits in LANDLOCK_FS_BITS if version >= since)
    rights = [(1 << bits) - 1]
    rights += [LANDLOCK_NET_TCP] if version >= LANDLOCK_NET_SINCE else []
    rights += [LANDLOCK_SCOPES] if version >= LANDLOCK_SCOPES_SINCE else []
    attributes = struct.pack(f"={len(rights)}Q", *rights)
    ruleset = _call(libc, LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path in readable:
        _allow_beneath(libc, ruleset, path)
    restricted = _call(libc, LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return version if restricted == 0 else 0


def _allow_beneath(libc: Any, ruleset: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = LANDLOCK_READ_FILE | (LANDLOCK_READ_DIR if os.path.isdir(path) else 0)  # noqa: PTH112 - see main
        _call(libc, LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
        os.close(beneath)


def filter_calls(libc: Any, program: bytes) -> None:
    """Load a seccomp program on top of what is there. Its absence shows in the measurement, not here."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of 8-byte instructions, and where they are (native alignment).
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    _control(libc, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(header))


def _control(libc: Any, option: int, value: int, pointer: Any = None) -> int:
    return int(
        libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), *[ctypes.c_ulong(0)] * 2)
    )


def _call(libc: Any, number: int, *arguments: int | bytes | None) -> int:
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *given))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except BaseException:  # noqa: BLE001 - step 6
        os._exit(1)
    os._exit(0)  # without taking the engine down in good order: there is nothing to save
