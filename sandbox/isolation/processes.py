"""Jobs in isolation: one process per job, with nothing but its inputs, and with a level that is measured, not assumed.

    >>> tables = {"visits": Path("visits.parquet")}
    >>> result = run_isolated(Job(tables, "SELECT count(*) FROM visits"), minimum_level=2)  # doctest: +SKIP
    >>> result.rows, result.isolation.level  # doctest: +SKIP
    ([[1200]], 2)

====== ===================================================================================================
level  what stands between a job and the machine
====== ===================================================================================================
3      all of level 2 under a kernel of its own (gVisor, where it is installed); only where it is demanded
2      bubblewrap (own file system, processes, network, users), seccomp, limits, and Landlock where it is
1      seccomp and limits, and Landlock where it is, which the worker puts on itself
0      limits only
====== ===================================================================================================

The worker says what it measured before it touches an input, and waits. The parent compares this with what the level
requires, and only then lets it go on; what does not reach the minimum is killed without having seen the data.
"""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import which
from typing import Any, Literal, Protocol

from hexi.canonical import Json, encode, parse
from hexi.errors import Malformed
from sandbox.errors import IsolationUnavailable, JobFailed, JobTimedOut
from sandbox.isolation import bubblewrap, files, gvisor, seccomp
from sandbox.isolation.children import Child, Limits, failed
from sandbox.isolation.levels import BUILT, Isolation, Layers, lacking, level_of
from sandbox.isolation.spares import Spares, Surroundings
from sandbox.isolation.stopping import Stop

__all__ = [
    "IsolatedProgram",
    "Isolation",
    "IsolationSettings",
    "IsolationUnavailable",
    "Job",
    "JobFailed",
    "JobResult",
    "JobTimedOut",
    "Limits",
    "ProgramResult",
    "isolated_program",
    "lacking",
    "level_of",
    "probe",
    "run_isolated",
    "run_program",
]

# Open files of a job: the engine reads one input at a time; the rest is room for libraries.
OPEN_FILES = 64

# What the worker reaches in bubblewrap, and not alone.
BWRAP_LEVEL = 2

FORMATS = frozenset({".csv", ".parquet"})

GET_SECCOMP = "install libseccomp (`apt-get install libseccomp2`)"


@dataclass(frozen=True)
class IsolationSettings:
    """Which bubblewrap, and which gVisor (``runsc``): a path, ``"auto"`` (the system's; of bubblewrap first the
    wheel's), or None to do as if there were none.
    """

    bwrap: Path | Literal["auto"] | None = "auto"
    runsc: Path | Literal["auto"] | None = "auto"


@dataclass(frozen=True)
class Job:
    """One SELECT over `tables` (name to CSV or Parquet file).

    `columns` may name, per table, the columns to load and their Hexi datatype (string, integer, number, boolean, date);
    then nothing else of that file enters the engine. Where it is silent, the file decides. `readable` are the files
    that the worker may be given beside: those of the product, so that its next job may have the same worker.
    """

    tables: Mapping[str, Path]
    sql: str
    limits: Limits = field(default_factory=Limits)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    readable: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Packages:
    """What a program may import besides the standard library: a folder, mounted read-only. `hexi_outputs` is there too,
    and is told `schema` (per table, the columns and their datatypes) and `parameters`. Libraries start threads, so
    threads are allowed.

    `unsafe_tells`: a program that ends with an exception has not failed, but says ``{"raised": ...}``. That may carry
    data, so it is for tables that whoever reads it may see anyhow.
    """

    folder: Path
    schema: Mapping[str, Json]
    parameters: Mapping[str, Json] = field(default_factory=dict)
    unsafe_tells: bool = False


@dataclass(frozen=True)
class JobResult:
    """What the query answered, before any disclosure control: never to be shown as it is."""

    columns: list[str]
    rows: list[list[Json]]
    isolation: Isolation
    seconds: float


@dataclass(frozen=True)
class IsolatedProgram:
    """A process that waits for its program. `run` gives what the program declared or printed, and may be called once;
    raises `JobTimedOut`, `JobFailed`, `Stopped`.
    """

    isolation: Isolation
    run: Callable[[str], bytes]


@dataclass(frozen=True)
class ProgramResult:
    """What a program printed."""

    output: bytes
    isolation: Isolation
    seconds: float


def run_isolated(
    job: Job,
    *,
    minimum_level: int,
    settings: IsolationSettings = IsolationSettings(),
    stop: Stop | None = None,
    spares: Spares | None = None,
) -> JobResult:
    """Run `job` at level 2 where this machine has it, else at the next lower one; at level 3 where that is demanded.

    With `spares` a worker that waits may do it, and another is started for the next one. Raises `IsolationUnavailable`
    (nothing was read), `JobTimedOut`, and `JobFailed` for everything that goes wrong inside, in the same words: the
    reason could carry data. Raises `Stopped`, with everything killed, once `stop` is told.
    """
    start = time.monotonic()
    task, query = _Task({**job.readable, **job.tables}, job.limits, stop), _query(job)
    with _ready(task, minimum_level, settings, spares) as (child, isolation):
        output = child.answer(query, stop)
    columns, rows = _read_answer(output)
    return JobResult(columns, rows, isolation, time.monotonic() - start)


@contextlib.contextmanager
def isolated_program(
    *,
    minimum_level: int,
    tables: Mapping[str, Path] | None = None,
    limits: Limits | None = None,
    settings: IsolationSettings = IsolationSettings(),
    stop: Stop | None = None,
    packages: Packages | None = None,
) -> Iterator[IsolatedProgram]:
    """The very isolation that queries get, started and measured, for one Python program; gone when the block ends. How
    long starting it takes is neither the program's choice nor any of its time.

    With `packages` what the program declares is its output; without them what it prints. Raises `IsolationUnavailable`,
    and `Stopped` once `stop` is told.
    """
    task = _Task(tables or {}, limits or Limits(), stop, packages)
    with _isolated(task, minimum_level, settings) as (child, isolation):
        yield IsolatedProgram(isolation, lambda source: child.answer({"program": source}, stop))


def run_program(source: str, *, minimum_level: int, **given: Any) -> ProgramResult:
    """Run a program in an `isolated_program`, which is told the rest (the tests send hostile programs through this).

    Raises as `run_isolated` does; a program that ends with an exception has failed.
    """
    start = time.monotonic()
    with isolated_program(minimum_level=minimum_level, **given) as program:
        output = program.run(source)
    return ProgramResult(output, program.isolation, time.monotonic() - start)


def probe(settings: IsolationSettings = IsolationSettings(), minimum_level: int = 0) -> Isolation:
    """What a job that demands `minimum_level` would have on this machine now, by starting a worker and letting it
    measure. Raises `IsolationUnavailable`.
    """
    with _isolated(_Task({}, Limits()), minimum_level, settings) as (_, isolation):
        return isolation


@dataclass(frozen=True)
class _Task:
    tables: Mapping[str, Path]
    limits: Limits
    stop: Stop | None = None
    packages: Packages | None = None

    def inputs(self) -> dict[str, Path]:
        """Names under /in for the tables' files: numbered, since a table's name may be anything."""
        return {f"{number}{path.suffix.lower()}": path for number, path in enumerate(self.tables.values())}

    def plan(self, *, bound: bool) -> bytes:
        """What the worker is told (`sandbox.isolation.worker`); `bound` says whether the inputs are under /in."""
        names = [f"{files.INPUTS}/{n}" if bound else str(p.absolute()) for n, p in self.inputs().items()]
        limits = {
            "memory": self.limits.memory_bytes,
            "cpu": self.limits.cpu_seconds,
            "files": OPEN_FILES,
            "output": self.limits.output_bytes,
        }
        return encode(
            {
                "tables": dict(zip(self.tables, names, strict=True)),
                "limits": limits,
                "readable": files.readable(names),
                "filter": (seccomp.program(seccomp.INNER_THREADS if self.packages else seccomp.INNER) or b"").hex(),
                **self._packages(),
                "namespaces": {p.name: p.stat().st_ino for p in Path("/proc/self/ns").iterdir()},
                "kernel": [os.uname().release, os.uname().version],
            }
        )

    def surroundings(self, minimum: int, settings: IsolationSettings) -> Surroundings:
        """What its isolation is made of; a file that was changed or replaced is another one."""
        files = [(name, path, *_identity(path)) for name, path in self.tables.items()]
        return Surroundings((*files, self.limits, minimum, settings))

    def _packages(self) -> dict[str, Json]:
        if self.packages is None:
            return {}
        return {
            "environment": files.ENVIRONMENT,
            "inside": files.INSIDE,
            "schema": dict(self.packages.schema),
            "parameters": dict(self.packages.parameters),
            "tells": self.packages.unsafe_tells,
        }


def _identity(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _query(job: Job) -> dict[str, Json]:
    for name, path in job.tables.items():
        if path.suffix.lower() not in FORMATS or not path.is_file():
            # Without the path: it says something about the provider's machine.
            raise Malformed(f"the table {name!r} is not a CSV or Parquet file that is there")
    columns = {name: dict(columns) for name, columns in job.columns.items()}
    return {"sql": job.sql, "open": list(job.tables), "columns": columns}


@contextlib.contextmanager
def _ready(
    task: _Task, minimum: int, settings: IsolationSettings, spares: Spares | None
) -> Iterator[tuple[Child, Isolation]]:
    """A worker that waits for its job: one of `spares`, or one that is started now."""
    if spares is None:
        with _isolated(task, minimum, settings) as started:
            yield started
        return
    surroundings = task.surroundings(minimum, settings)
    spare = spares.take(surroundings)
    # The next one is for whoever comes; this run's `stop` is not theirs.
    spares.refill(surroundings, lambda: _isolated(replace(task, stop=None), minimum, settings))
    with spare.held if spare else contextlib.nullcontext():
        if spare and spare.worker[0].waits:
            yield spare.worker
            return
    with _isolated(task, minimum, settings) as started:
        yield started


@contextlib.contextmanager
def _isolated(task: _Task, minimum: int, settings: IsolationSettings) -> Iterator[tuple[Child, Isolation]]:
    """A worker that has shown at least `minimum` and waits to be told to go on. Killed when the block ends."""
    launchers, reasons = _launchers(settings, minimum)
    for launcher in launchers:
        with _worker(task, launcher) as child:
            layers, complaint = child.hello()
            level = level_of(layers)
            if layers and level >= max(minimum, 0):
                yield child, Isolation(level, layers)
                return
            reasons.append(launcher.explained(complaint) if not layers else _explained_lack(layers, minimum))
    raise IsolationUnavailable(
        f"the product demands isolation of level {minimum}: {'; '.join(reasons)}", demanded=minimum
    )


@dataclass(frozen=True)
class _Launch:
    """A command that starts the worker, and the descriptors it is handed."""

    command: Sequence[str]
    descriptors: Sequence[int]


class _Launcher(Protocol):
    def __call__(self, task: _Task, held: contextlib.ExitStack) -> _Launch: ...

    def explained(self, complaint: str) -> str: ...


@dataclass(frozen=True)
class _Gvisor:
    """Without limits around it: gVisor's kernel needs more of everything than a job may have; the worker's own hold."""

    runsc: Path

    def __call__(self, task: _Task, held: contextlib.ExitStack) -> _Launch:
        memory = gvisor.MEMORY if gvisor.MEMORY.is_dir() else None
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="hexi-", dir=memory)))
        gvisor.bundle(folder, task.inputs(), task.packages.folder if task.packages else None)
        plan = _memory_file(held, task.plan(bound=True))
        return _Launch(gvisor.arguments(self.runsc, folder, plan), [plan])

    def explained(self, complaint: str) -> str:
        return gvisor.explained(complaint)


@dataclass(frozen=True)
class _Bubblewrap:
    bwrap: Path

    def __call__(self, task: _Task, held: contextlib.ExitStack) -> _Launch:
        plan = _memory_file(held, task.plan(bound=True))
        program = seccomp.program(seccomp.OUTER_THREADS if task.packages else seccomp.OUTER)
        filter_ = _memory_file(held, program) if program else None
        folder = task.packages.folder if task.packages else None
        command = bubblewrap.arguments(self.bwrap, task.inputs(), (plan, filter_), folder)
        return _Launch([*_limited(task.limits), *command], [plan] if filter_ is None else [plan, filter_])

    def explained(self, complaint: str) -> str:
        return bubblewrap.explained(complaint)


@dataclass(frozen=True)
class _Alone:
    """The worker alone, which cannot reach more than level 1."""

    def __call__(self, task: _Task, held: contextlib.ExitStack) -> _Launch:
        plan = _memory_file(held, task.plan(bound=False))
        packages = next((str(file.parent) for file in files.engine_files()), "")
        command = files.worker(str(Path(__file__).parent / "worker.py"), packages, plan)
        return _Launch([*_limited(task.limits), *command], [plan])

    def explained(self, complaint: str) -> str:
        return bubblewrap.explained(complaint)


def _launchers(settings: IsolationSettings, minimum: int) -> tuple[list[_Launcher], list[str]]:
    """The ways to try, best first, and why others are none. gVisor only where it is demanded: it costs much time."""
    if minimum > BUILT:
        return [], [f"level {minimum} is not built; the highest is {BUILT}"]
    if minimum == BUILT:
        runsc = gvisor.find(settings.runsc)
        return ([_Gvisor(runsc)], []) if runsc else ([], [f"there is no gVisor; {gvisor.GET_GVISOR}"])
    bwrap = bubblewrap.find(settings.bwrap)
    alone: list[_Launcher] = [_Alone()] if minimum < BWRAP_LEVEL else []
    if bwrap is None:
        return alone, [f"level 2 is not to be had: there is no bubblewrap; {bubblewrap.GET_BWRAP}"]
    return [_Bubblewrap(bwrap), *alone], []


@contextlib.contextmanager
def _worker(task: _Task, launcher: _Launcher) -> Iterator[Child]:
    with contextlib.ExitStack() as held:
        launch = launcher(task, held)
        process = subprocess.Popen(
            launch.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Not bubblewrap's --clearenv: process 1 in there is bubblewrap itself, and its environment can be read.
            env={},
            cwd="/",
            pass_fds=launch.descriptors,
            start_new_session=True,
        )
        child = Child(process, task.limits, task.stop)
        try:
            yield child
        finally:
            child.end()


def _memory_file(held: contextlib.ExitStack, data: bytes) -> int:
    descriptor = os.memfd_create("hexi")
    held.callback(os.close, descriptor)
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


def _explained_lack(layers: Layers, minimum: int) -> str:
    facts = lacking(layers, max(minimum, 0))
    ways = [GET_SECCOMP] if "seccomp" in facts else []
    return "; ".join([f"measured from inside, it lacks {', '.join(facts)}", *ways])


def _read_answer(output: bytes) -> tuple[list[str], list[list[Json]]]:
    """The worker ran someone's SQL, so its words are no longer trusted: read strictly, or it failed."""
    try:
        value: Any = parse(output)
        columns, rows = value["columns"], value["rows"]
    except (Malformed, KeyError, TypeError):
        raise failed() from None
    if not all(isinstance(name, str) for name in columns):
        raise failed()
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise failed()
    return columns, rows
