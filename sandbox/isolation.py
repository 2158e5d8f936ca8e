"""Jobs in isolation: one process per job, with nothing but its inputs, and with a level that is measured, not assumed.

    >>> tables = {"visits": Path("visits.parquet")}
    >>> result = run_isolated(Job(tables, "SELECT count(*) FROM visits"), minimum_level=2)  # doctest: +SKIP
    >>> result.rows, result.isolation.level  # doctest: +SKIP
    ([[1200]], 2)

====== ===================================================================================================
level  what stands between a job and the machine
====== ===================================================================================================
3      a kernel or a machine of its own (gVisor, a virtual machine): not built
2      bubblewrap (own file system, processes, network, users), seccomp, limits, and Landlock where it is
1      seccomp and limits, and Landlock where it is, which the worker puts on itself
0      limits only
====== ===================================================================================================

The worker says what it measured before it touches an input, and waits. The parent compares this with what the level
requires, and only then lets it go on; what does not reach the minimum is killed without having seen the data.
"""

import contextlib
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any, Literal

import structlog

from hexi.canonical import Json, encode, parse
from hexi.errors import Malformed
from sandbox import bubblewrap, seccomp
from sandbox.errors import IsolationUnavailable, JobFailed, JobTimedOut
from sandbox.levels import BUILT, Isolation, Layers, lacking, level_of
from sandbox.stopping import Stop, Stopped

__all__ = [
    "Isolation",
    "IsolationSettings",
    "IsolationUnavailable",
    "Job",
    "JobFailed",
    "JobResult",
    "JobTimedOut",
    "Limits",
    "ProgramResult",
    "lacking",
    "level_of",
    "probe",
    "run_isolated",
    "run_program",
]

log = structlog.get_logger(__name__)

# Open files of a job: the engine reads one input at a time; the rest is room for libraries.
OPEN_FILES = 64

# The worker's line about itself; it has some twenty facts.
HELLO_BYTES = 16_384
# What we read of a launcher's complaint.
COMPLAINT_BYTES = 4_096
# How long the last processes of a killed job may take to be gone before we stop looking.
AFTERLIFE_SECONDS = 2.0
READ_BYTES = 65_536

# Less, and the interpreter with the engine does not start.
LEAST_MEMORY_BYTES = 384 * 2**20

FORMATS = frozenset({".csv", ".parquet"})

GET_SECCOMP = "install libseccomp (`apt-get install libseccomp2`)"


@dataclass(frozen=True)
class Limits:
    """What one job may use. Over any of them it is killed."""

    memory_bytes: int = 2 * 2**30
    cpu_seconds: int = 20
    wall_seconds: float = 30.0
    output_bytes: int = 4 * 2**20

    def __post_init__(self) -> None:
        if self.memory_bytes < LEAST_MEMORY_BYTES or min(self.cpu_seconds, self.output_bytes) < 1:
            raise Malformed(
                f"a job needs at least {LEAST_MEMORY_BYTES} bytes of memory, a second, and a byte of output"
            )


@dataclass(frozen=True)
class IsolationSettings:
    """Which bubblewrap: a path, ``"auto"`` (the wheel's, else the system's), or None to do as if there were none."""

    bwrap: Path | Literal["auto"] | None = "auto"


@dataclass(frozen=True)
class Job:
    """One SELECT over `tables` (name to CSV or Parquet file).

    `columns` may name, per table, the columns to load and their Hexi datatype (string, integer, number, boolean, date);
    then nothing else of that file enters the engine. Where it is silent, the file decides.
    """

    tables: Mapping[str, Path]
    sql: str
    limits: Limits = field(default_factory=Limits)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Packages:
    """What a program may import besides the standard library: a folder, mounted read-only. `hexi_outputs` is there too,
    and is told `schema`: per table, the columns and their datatypes. Libraries start threads, so threads are allowed.
    """

    folder: Path
    schema: Mapping[str, Json]


@dataclass(frozen=True)
class JobResult:
    """What the query answered, before any disclosure control: never to be shown as it is."""

    columns: list[str]
    rows: list[list[Json]]
    isolation: Isolation
    seconds: float


@dataclass(frozen=True)
class ProgramResult:
    """What a program printed."""

    output: bytes
    isolation: Isolation
    seconds: float


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    deadline: float
    limits: Limits
    stop: Stop | None


def run_isolated(
    job: Job,
    *,
    minimum_level: int,
    settings: IsolationSettings = IsolationSettings(),
    stop: Stop | None = None,
) -> JobResult:
    """Run `job` at the highest level this machine has, which must be at least `minimum_level`.

    Raises `IsolationUnavailable` (nothing was read), `JobTimedOut`, and `JobFailed` for everything that goes wrong
    inside, in the same words: the reason could carry data. Raises `Stopped`, with everything killed, once `stop` is
    told.
    """
    start = time.monotonic()
    with _isolated(_Task(job.tables, _query(job), job.limits, stop), minimum_level, settings) as (child, isolation):
        output = _answer(child)
    columns, rows = _read_answer(output)
    return JobResult(columns, rows, isolation, time.monotonic() - start)


def run_program(
    source: str,
    *,
    minimum_level: int,
    tables: Mapping[str, Path] | None = None,
    limits: Limits | None = None,
    settings: IsolationSettings = IsolationSettings(),
    stop: Stop | None = None,
    packages: Packages | None = None,
) -> ProgramResult:
    """Run Python in the very isolation that queries get. With `packages` what it declared is its output; without them
    what it printed (the tests send hostile programs through this).

    Raises as `run_isolated` does; a program that ends with an exception has failed.
    """
    start = time.monotonic()
    task = _Task(tables or {}, {"program": source}, limits or Limits(), stop, packages)
    with _isolated(task, minimum_level, settings) as (child, isolation):
        output = _answer(child)
    return ProgramResult(output, isolation, time.monotonic() - start)


def probe(settings: IsolationSettings = IsolationSettings()) -> Isolation:
    """What this machine can do now, by starting a worker and letting it measure. Raises `IsolationUnavailable`."""
    with _isolated(_Task({}, {"program": ""}, Limits()), 0, settings) as (_, isolation):
        return isolation


@dataclass(frozen=True)
class _Task:
    tables: Mapping[str, Path]
    body: Mapping[str, Json]
    limits: Limits
    stop: Stop | None = None
    packages: Packages | None = None

    def inputs(self) -> dict[str, Path]:
        """Names under /in for the tables' files: numbered, since a table's name may be anything."""
        return {f"{number}{path.suffix.lower()}": path for number, path in enumerate(self.tables.values())}

    def plan(self, *, bound: bool) -> bytes:
        """What the worker is told (`sandbox.worker`); `bound` says whether the inputs are under /in."""
        names = [f"{bubblewrap.INPUTS}/{n}" if bound else str(p.absolute()) for n, p in self.inputs().items()]
        limits = {
            "memory": self.limits.memory_bytes,
            "cpu": self.limits.cpu_seconds,
            "files": OPEN_FILES,
            "output": self.limits.output_bytes,
        }
        return encode(
            {
                **self.body,
                "tables": dict(zip(self.tables, names, strict=True)),
                "limits": limits,
                "readable": bubblewrap.readable(names),
                "filter": (seccomp.program(seccomp.INNER_THREADS if self.packages else seccomp.INNER) or b"").hex(),
                **self._surroundings(),
                "namespaces": {p.name: p.stat().st_ino for p in Path("/proc/self/ns").iterdir()},
            }
        )

    def _surroundings(self) -> dict[str, Json]:
        if self.packages is None:
            return {}
        return {
            "environment": bubblewrap.ENVIRONMENT,
            "inside": bubblewrap.INSIDE,
            "schema": dict(self.packages.schema),
        }


def _query(job: Job) -> dict[str, Json]:
    for name, path in job.tables.items():
        if path.suffix.lower() not in FORMATS or not path.is_file():
            # Without the path: it says something about the provider's machine.
            raise Malformed(f"the table {name!r} is not a CSV or Parquet file that is there")
    return {"sql": job.sql, "columns": {name: dict(columns) for name, columns in job.columns.items()}}


@contextlib.contextmanager
def _isolated(task: _Task, minimum: int, settings: IsolationSettings) -> Iterator[tuple[_Child, Isolation]]:
    """A worker that has shown at least `minimum` and waits to be told to go on. Killed when the block ends."""
    bwrap = bubblewrap.find(settings.bwrap)
    reasons = [] if bwrap else [f"level 2 is not to be had: there is no bubblewrap; {bubblewrap.GET_BWRAP}"]
    if minimum > BUILT:
        reasons = [f"level {minimum} (gVisor or a virtual machine) is not built"]
    for launcher in _launchers(bwrap, minimum):
        with _worker(task, launcher) as child:
            layers, complaint = _hello(child)
            level = level_of(layers)
            if layers and level >= max(minimum, 0):
                yield child, Isolation(level, layers)
                return
            reasons.append(
                bubblewrap.explained(complaint) if not layers else _explained_lack(lacking(layers, max(minimum, 0)))
            )
    raise IsolationUnavailable(
        f"the product demands isolation of level {minimum}: {'; '.join(reasons)}", demanded=minimum
    )


def _launchers(bwrap: Path | None, minimum: int) -> list[Path | None]:
    """The ways to try, best first: None is the worker alone, which cannot reach more than level 1."""
    if minimum > BUILT:
        return []
    return ([bwrap] if bwrap else []) + ([None] if minimum < BUILT else [])


@contextlib.contextmanager
def _worker(task: _Task, bwrap: Path | None) -> Iterator[_Child]:
    with contextlib.ExitStack() as files:
        plan = _memory_file(files, task.plan(bound=bwrap is not None))
        outer = seccomp.program(seccomp.OUTER_THREADS if task.packages else seccomp.OUTER) if bwrap else None
        filter_ = _memory_file(files, outer) if outer else None
        if bwrap:
            folder = task.packages.folder if task.packages else None
            command = bubblewrap.arguments(bwrap, task.inputs(), (plan, filter_), folder)
        else:
            packages = next((str(file.parent) for file in bubblewrap.engine_files()), "")
            command = bubblewrap.worker(str(Path(__file__).parent / "worker.py"), packages, plan)
        process = subprocess.Popen(
            [*_limited(task.limits), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Not bubblewrap's --clearenv: process 1 in there is bubblewrap itself, and its environment can be read.
            env={},
            cwd="/",
            pass_fds=[plan] if filter_ is None else [plan, filter_],
            start_new_session=True,
        )
    try:
        yield _Child(process, time.monotonic() + task.limits.wall_seconds, task.limits, task.stop)
    finally:
        _end(process)


def _memory_file(files: contextlib.ExitStack, data: bytes) -> int:
    descriptor = os.memfd_create("hexi")
    files.callback(os.close, descriptor)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _limited(limits: Limits) -> list[str]:
    """Limits around the launcher too. The worker sets its own, which are the ones that count, so it may be missing."""
    prlimit = which("prlimit", path=bubblewrap.SYSTEM_PATH)
    if prlimit is None:
        return []
    cpu = f"{limits.cpu_seconds}:{limits.cpu_seconds + 1}"
    return [prlimit, f"--as={limits.memory_bytes}", f"--cpu={cpu}", f"--nofile={OPEN_FILES}", "--core=0", "--"]


def _hello(child: _Child) -> tuple[Layers, str]:
    """What the worker measured; or nothing, and what the launcher complained of."""
    try:
        line = _receive(child, HELLO_BYTES, until=b"\n")
    except JobFailed:
        line = b""
    if line.endswith(b"\n"):
        # Trusted: up to here only our own program has run, and it has read nothing but the plan.
        return parse(line), ""
    _end(child.process, close=False)
    said = os.read(_fileno(child.process.stderr), COMPLAINT_BYTES).decode("utf-8", "replace").strip()
    log.warning("isolation-did-not-start", said=said)
    return {}, said


def _explained_lack(facts: Sequence[str]) -> str:
    ways = [GET_SECCOMP] if "seccomp" in facts else []
    return "; ".join([f"measured from inside, it lacks {', '.join(facts)}", *ways])


def _answer(child: _Child) -> bytes:
    """Let the job run and return what it wrote. Raises `JobFailed`, `JobTimedOut`."""
    with contextlib.suppress(BrokenPipeError):
        os.write(_fileno(child.process.stdin), b"go\n")
    output = _receive(child, child.limits.output_bytes)
    ended = os.pidfd_open(child.process.pid)
    try:
        # Whoever closes the pipe and stays is stopped at the time limit as well.
        _wait_for(ended, child)
    finally:
        os.close(ended)
    status = child.process.wait()
    # bubblewrap passes a death by signal on as 128 + its number.
    if status in {-signal.SIGXCPU, 128 + signal.SIGXCPU}:
        raise _timed_out(child.limits)
    if status != 0:
        raise _failed()
    return output


def _receive(child: _Child, limit: int, until: bytes | None = None) -> bytes:
    """Everything up to the end, or up to `until` at the end of a read. Raises `JobFailed` over `limit`."""
    descriptor = _fileno(child.process.stdout)
    got = bytearray()
    while until is None or not got.endswith(until):
        _wait_for(descriptor, child)
        chunk = os.read(descriptor, READ_BYTES)
        if not chunk:
            break
        got += chunk
        if len(got) > limit:
            raise _failed()
    return bytes(got)


def _wait_for(descriptor: int, child: _Child) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if child.stop:
        poller.register(child.stop, select.POLLIN)
    left = child.deadline - time.monotonic()
    ready = poller.poll(math.ceil(left * 1000)) if left > 0 else []
    if child.stop and any(found == child.stop.fileno() for found, _ in ready):
        raise Stopped
    if not ready:
        raise _timed_out(child.limits)


def _end(process: subprocess.Popen[bytes], *, close: bool = True) -> None:
    """Kill what still runs, and return when all of it is gone: the pipe ends with its last holder."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if not close:
        return
    _drain(_fileno(process.stdout), time.monotonic() + AFTERLIFE_SECONDS)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _drain(descriptor: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and poller.poll(math.ceil(left * 1000)):
        if not os.read(descriptor, READ_BYTES):
            return


def _read_answer(output: bytes) -> tuple[list[str], list[list[Json]]]:
    """The worker ran someone's SQL, so its words are no longer trusted: read strictly, or it failed."""
    try:
        value: Any = parse(output)
        columns, rows = value["columns"], value["rows"]
    except (Malformed, KeyError, TypeError):
        raise _failed() from None
    if not all(isinstance(name, str) for name in columns):
        raise _failed()
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise _failed()
    return columns, rows


def _fileno(pipe: Any) -> int:
    return int(pipe.fileno())


def _failed() -> JobFailed:
    return JobFailed("the computation failed inside the sandbox; what went wrong in there stays in there")


def _timed_out(limits: Limits) -> JobTimedOut:
    return JobTimedOut(
        f"the computation was stopped at its limit of {limits.wall_seconds:g} s, or {limits.cpu_seconds} s of "
        "processor time; ask for less at a time"
    )
