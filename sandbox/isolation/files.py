"""What a job sees of the file system: the same list for every launcher, each of which says it in its own words.

Pure but for looking at which folders this machine has.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

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


@dataclass(frozen=True)
class Bound:
    """A file or folder of this machine that a job may read at `target`, and never write."""

    source: Path
    target: str


@dataclass(frozen=True)
class Link:
    """A symbolic link at `target`."""

    to: str
    target: str


def visible(inputs: Mapping[str, Path], packages: Path | None = None) -> list[Bound | Link]:
    """All that a job sees. `inputs` maps a name under /in to the file outside; a program's `packages` are a folder."""
    seen = [*_libraries(), *_worker()]
    seen += [Bound(path.absolute(), f"{INPUTS}/{name}") for name, path in inputs.items()]
    if packages is not None:
        seen += [Bound(packages, ENVIRONMENT), Bound(SANDBOX / "programs" / "inside", INSIDE)]
    return seen


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


def worker(program: str, packages: str, plan: int) -> list[str]:
    """The command of the worker itself. -I and -S: no environment, no site-packages, no current folder."""
    return [str(interpreter()), "-I", "-S", program, packages, str(plan)]


def readable(inputs: Sequence[str]) -> list[str]:
    """What the worker may still read once it has closed the door: the inputs, and libraries loaded late."""
    return [*inputs, *interpreter_folders(), *LIBRARIES, ENVIRONMENT, INSIDE]


def _libraries() -> Iterator[Bound | Link]:
    for folder in map(Path, LIBRARIES):
        if folder.is_symlink():
            yield Link(str(folder.readlink()), str(folder))
        elif folder.is_dir():
            yield _as_it_lies(folder)
    if Path(LOADER_CACHE).is_file():
        yield _as_it_lies(Path(LOADER_CACHE))
    yield from map(_as_it_lies, map(Path, interpreter_folders()))
    yield _as_it_lies(interpreter())


def _worker() -> Iterator[Bound]:
    yield Bound(SANDBOX / "isolation" / "worker.py", WORKER)
    yield Bound(SANDBOX / "engines", f"{PROGRAM}/engines")
    for file in engine_files():
        yield Bound(file, f"{PACKAGES}/{file.name}")


def _as_it_lies(path: Path) -> Bound:
    return Bound(path, str(path))
