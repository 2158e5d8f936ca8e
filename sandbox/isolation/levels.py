"""Which level of isolation the facts amount to that a worker measured from inside. Pure.

>>> level_of({})
-1
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The highest level there is code for.
BUILT = 3

# The user inside: nobody.
NOBODY = 65_534

# Namespaces that must not be the parent's at level 2. The cgroup one is made too, where the kernel has it.
NAMESPACES = frozenset({"ipc", "mnt", "net", "pid", "user", "uts"})

Layers = Mapping[str, bool | int | str]


@dataclass(frozen=True)
class Isolation:
    """A level and the facts it rests on, measured from inside by the worker."""

    level: int
    layers: Layers


def level_of(layers: Layers) -> int:
    """The level that `layers` amount to; -1 if they are not even limits. A fact that is missing counts as a no."""
    return next((level - 1 for level in range(BUILT + 1) if lacking(layers, level)), BUILT)


def lacking(layers: Layers, level: int) -> list[str]:
    """What `layers` lack of `level` and the levels under it."""
    found = {
        0: [name for name in ("memoryBytes", "cpuSeconds", "openFiles") if not _positive(layers.get(name))]
        + [name for name in ("fileBytes", "coreBytes") if layers.get(name) != 0],
        1: _unmet(layers, "noNewPrivileges noSockets noWriting noProcesses noPrograms emptyEnvironment")
        + ([] if _positive(layers.get("seccomp")) else ["seccomp"]),
        2: _unmet(layers, "privateFiles readOnlyFiles noCapabilities")
        + [f"{name} namespace" for name in sorted(NAMESPACES - set(str(layers.get("namespaces", "")).split(",")))]
        # Process 1 is bubblewrap's, the other is the worker.
        + ([] if layers.get("processes") in {1, 2} else ["processes"])
        + ([] if layers.get("uid") == NOBODY else ["uid"]),
        3: _unmet(layers, "ownKernel"),
    }
    return [name for step in range(level + 1) for name in found.get(step, [f"level {step}"])]


def _positive(value: bool | int | str | None) -> bool:
    return isinstance(value, int) and value > 0


def _unmet(layers: Layers, names: str) -> list[str]:
    return [name for name in names.split() if layers.get(name) is not True]
