"""The gVisor bundle and command line: the file system that bubblewrap shows, under a kernel of the job's own.

gVisor answers a job's system calls in a process of its own instead of passing them to this machine's kernel, so that a
flaw of that kernel is one more wall away. Rootless, without a network, on the platform that needs no virtual machine
(systrap). Sources: the OCI runtime specification 1.2 (``config.json``); ``runsc flags``; gVisor's ``runsc/boot``.
"""

from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Literal

from hexi.canonical import Json, encode
from sandbox.isolation.bubblewrap import SYSTEM_PATH
from sandbox.isolation.files import PACKAGES, WORKER, Bound, Link, visible, worker
from sandbox.isolation.levels import NOBODY

# The descriptor under which the worker finds its plan.
PLAN = 3

# Where bundles lie: a file system in memory, where the machine has one.
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a random name is made in it, for its owner only

GET_GVISOR = (
    "install gVisor (https://gvisor.dev/docs/user_guide/install/) so that `runsc` is in /usr/bin or /usr/local/bin, or "
    "name it by HEXI_SANDBOX_RUNSC; `unshare` of util-linux is needed beside it"
)

# What gVisor mounts of its own whether it is asked to or not; asked, it mounts it read-only.
_OWN = {"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/dev/pts": "devpts", "/tmp": "tmpfs"}  # noqa: S108


def find(wanted: Path | Literal["auto"] | None) -> Path | None:
    """The runsc to use: the one wanted, or the system's; else None, as without the `unshare` that goes around it."""
    if wanted is None or _unshare() is None:
        return None
    if wanted != "auto":
        return wanted if wanted.is_file() else None
    system = which("runsc", path=SYSTEM_PATH)
    return Path(system) if system else None


def bundle(folder: Path, inputs: Mapping[str, Path], packages: Path | None = None) -> None:
    """Write the bundle into the empty `folder`; the arguments are `sandbox.isolation.files.visible`'s."""
    root = folder / "root"
    root.mkdir()
    parts = visible(inputs, packages)
    for link in parts:
        if isinstance(link, Link):
            place = root / link.target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(link.to)
    bound = [part for part in parts if isinstance(part, Bound)]
    (folder / "config.json").write_bytes(encode(_config(root, bound)))


def arguments(runsc: Path, folder: Path, plan: int) -> list[str]:
    """The command that runs the worker in the bundle; `plan` is the descriptor of its plan."""
    flags = ["--rootless", "--network=none", "--platform=systrap", "--ignore-cgroups", "--host-uds=none"]
    run = ["run", "--bundle", str(folder), f"--pass-fd={plan}:{PLAN}", "job"]
    # Started by root, runsc would mount things on this machine. In here it is root of nothing, and one death ends all.
    around = [str(_unshare()), "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    around += ["--mount-proc", "--"]
    return [*around, str(runsc), "--root", str(folder / "state"), *flags, *run]


def explained(complaint: str) -> str:
    """What is to be done about a runsc that would not start; not the complaint, which names paths of this machine."""
    if any(sign in complaint for sign in ("namespace", "not permitted", "permission denied")):
        return "gVisor is here, but this machine refuses it a user namespace or ptrace; see docs/reference/isolation.md"
    return "gVisor did not start; the log says what it complained of"


def _unshare() -> str | None:
    return which("unshare", path=SYSTEM_PATH)


def _config(root: Path, bound: list[Bound]) -> Json:
    binds: list[Json] = [
        {"destination": part.target, "type": "bind", "source": str(part.source), "options": ["rbind", "ro"]}
        for part in bound
    ]
    own: list[Json] = [
        {"destination": place, "type": kind, "source": kind, "options": ["ro"]} for place, kind in _OWN.items()
    ]
    return {
        "ociVersion": "1.2.0",
        "hostname": "job",
        "root": {"path": str(root), "readonly": True},
        "mounts": [*own, *binds],
        "process": {
            "user": {"uid": NOBODY, "gid": NOBODY},
            "cwd": "/",
            "env": [],
            "args": [*worker(WORKER, PACKAGES, PLAN)],
            "noNewPrivileges": True,
            "capabilities": {},
        },
        # Around gVisor's processes; the job sees gVisor's own. The user namespace is made by --rootless.
        "linux": {"namespaces": [{"type": kind} for kind in ("ipc", "mount", "network", "pid", "uts")]},
    }
