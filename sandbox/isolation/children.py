"""A worker's process, seen from outside: it says hello, is told its job, answers within its limits, and is ended."""

import contextlib
import math
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from hexi.canonical import Json, encode, parse
from hexi.errors import Malformed
from sandbox.errors import JobFailed, JobTimedOut
from sandbox.isolation.levels import Layers
from sandbox.isolation.stopping import Stop, Stopped

log = structlog.get_logger(__name__)

# The worker's line about itself; it has some twenty facts.
HELLO_BYTES = 16_384
# How long a worker may take to start and to measure itself, in seconds: a kernel of its own takes one, and several on a
# machine that has much to do. It is none of the job's time.
START_SECONDS = 30.0
# What we read of a launcher's complaint.
COMPLAINT_BYTES = 4_096
# How long the last processes of a killed job may take to be gone before we stop looking.
AFTERLIFE_SECONDS = 2.0
READ_BYTES = 65_536

# Less, and the interpreter with the engine does not start.
LEAST_MEMORY_BYTES = 384 * 2**20


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


class Child:
    """A worker's process. The job's time begins when it is told its job: it may have waited for one."""

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits, stop: Stop | None = None) -> None:
        self._process = process
        self._limits = limits
        self._stop = stop
        self._deadline = time.monotonic() + START_SECONDS

    @property
    def waits(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def hello(self) -> tuple[Layers, str]:
        """What the worker measured; or nothing, and what the launcher complained of."""
        try:
            line = self._receive(HELLO_BYTES, until=b"\n")
        except JobFailed:
            line = b""
        if line.endswith(b"\n"):
            # Trusted: up to here only our own program has run, and it has read nothing but the plan.
            return parse(line), ""
        self.end(close=False)
        said = os.read(_fileno(self._process.stderr), COMPLAINT_BYTES).decode("utf-8", "replace").strip()
        log.warning("isolation-did-not-start", said=said)
        return {}, said

    def answer(self, job: Json, stop: Stop | None = None) -> bytes:
        """Let it do the job, and return what it wrote. Raises `JobFailed`, `JobTimedOut`, `Stopped`."""
        self._stop, self._deadline = stop, time.monotonic() + self._limits.wall_seconds
        with contextlib.suppress(BrokenPipeError):
            left = memoryview(encode(job) + b"\n")
            while left:
                left = left[os.write(_fileno(self._process.stdin), left) :]
        output = self._receive(self._limits.output_bytes)
        ended = os.pidfd_open(self._process.pid)
        try:
            # Whoever closes the pipe and stays is stopped at the time limit as well.
            self._wait_for(ended)
        finally:
            os.close(ended)
        status = self._process.wait()
        # bubblewrap passes a death by signal on as 128 + its number.
        if status in {-signal.SIGXCPU, 128 + signal.SIGXCPU}:
            raise self._timed_out()
        if status != 0:
            raise failed()
        return output

    def end(self, *, close: bool = True) -> None:
        """Kill what still runs, and return when all of it is gone: each process, and the pipe's last holder."""
        process, deadline = self._process, time.monotonic() + AFTERLIFE_SECONDS
        if process.poll() is None:
            # These are in sessions of their own: the launcher's death takes them along, a moment later.
            below = [handle for pid in descendants(process.pid) if (handle := _handle(pid)) is not None]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for handle in below:
                _wait_until_ended(handle, deadline)
                os.close(handle)
        if not close:
            return
        _drain(_fileno(process.stdout), deadline)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def _receive(self, limit: int, until: bytes | None = None) -> bytes:
        """Everything up to the end, or up to `until` at the end of a read. Raises `JobFailed` over `limit`."""
        descriptor = _fileno(self._process.stdout)
        got = bytearray()
        while until is None or not got.endswith(until):
            self._wait_for(descriptor)
            chunk = os.read(descriptor, READ_BYTES)
            if not chunk:
                break
            got += chunk
            if len(got) > limit:
                raise failed()
        return bytes(got)

    def _wait_for(self, descriptor: int) -> None:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if self._stop:
            poller.register(self._stop, select.POLLIN)
        left = self._deadline - time.monotonic()
        ready = poller.poll(math.ceil(left * 1000)) if left > 0 else []
        if self._stop and any(found == self._stop.fileno() for found, _ in ready):
            raise Stopped
        if not ready:
            raise self._timed_out()

    def _timed_out(self) -> JobTimedOut:
        return JobTimedOut(
            f"the computation was stopped at its limit of {self._limits.wall_seconds:g} s, or "
            f"{self._limits.cpu_seconds} s of processor time; ask for less at a time"
        )


def failed() -> JobFailed:
    """The one thing that is said of everything that goes wrong inside."""
    return JobFailed("the computation failed inside the sandbox; what went wrong in there stays in there")


def descendants(process: int) -> list[int]:
    """The processes below `process`, nearest first; none where it is gone."""
    found, todo = [], [process]
    while todo:
        below = _children(todo.pop(0))
        found += below
        todo += below
    return found


def _children(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _handle(process: int) -> int | None:
    try:
        return os.pidfd_open(process)
    except ProcessLookupError:
        return None


def _wait_until_ended(handle: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.poll(math.ceil(max(0.0, deadline - time.monotonic()) * 1000))


def _drain(descriptor: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and poller.poll(math.ceil(left * 1000)):
        if not os.read(descriptor, READ_BYTES):
            return


def _fileno(pipe: Any) -> int:
    return int(pipe.fileno())
