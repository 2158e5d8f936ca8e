"""What the kernel says of processes and of the machine: CPU used, memory held, how busy others keep it."""

import os
import platform
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU used so far by a process and its children: the living themselves, the dead through who waited for them.

    Of this very process only its own: its children are what is measured.
    """
    own = pid == os.getpid()
    ticks = 0
    for member in {pid} if own else _tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:13] if own else fields[11:15]))
    return ticks / _TICKS


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and its children; what they share counts for each of them."""
    total = 0.0
    for member in _tree(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return total


def peak_megabytes(pid: int) -> float:
    """The most resident memory that a process, or any of its living children, ever held by itself (``VmHWM``)."""
    lines = [line for member in _tree(pid) for line in _lines(f"/proc/{member}/status")]
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), default=0.0)


def busy_seconds() -> float:
    """CPU used so far by everything on the machine (in a container: by all of its host)."""
    user, nice, system, _idle, _wait, interrupts, soft, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft) / _TICKS


def description() -> str:
    """The processor, how many of it, its memory, and the versions that matter."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return (
        f"{os.cpu_count()} cores of {models[0] if models else platform.processor() or 'an unnamed processor'}, "
        f"{total / 1024 / 1024:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _tree(pid: int) -> set[int]:
    found, todo = {pid}, [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                children = set(map(int, task.read_text().split())) - found
            except OSError:
                continue
            found |= children
            todo += children
    return found
