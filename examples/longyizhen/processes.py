"""The services as real processes on loopback: started, awaited, and surely stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

HEXI = Path(sys.executable).parent / "hexi"
# How long a service may take to answer its first health check, in seconds; it takes about one.
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class ServiceDidNotStart(Exception):
    """A service ended, or did not answer in time; its log says why."""


@dataclass
class Service:
    """One process of ours."""

    name: str
    url: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises `ServiceDidNotStart`."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers. Raises `ServiceDidNotStart`."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServiceDidNotStart(f"{self.name} did not start; see {self.log}:\n{self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """SIGKILL to the whole group: what a power cut does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2.0).is_success
        except httpx.HTTPError:
            return False

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])


class Services(ExitStack):
    """All processes of a scenario below one folder. Leaving the block stops every one of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def launch(self, name: str, arguments: Sequence[str], *, port: int, environment: Mapping[str, str]) -> Service:
        """Start ``hexi ARGUMENTS`` listening on `port`, with nothing in its environment but `environment` and PATH.

        It may not answer yet: `Service.wait` for it.
        """
        service = Service(
            name=name,
            url=f"http://127.0.0.1:{port}",
            command=[str(HEXI), *arguments],
            environment={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(self.folder),
                "LANG": "C.UTF-8",
                **environment,
            },
            log=self.folder / "logs" / f"{name}.log",
        )
        self.callback(service.stop)
        service.launch()
        return service


def run_hexi(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One ``hexi`` command to its end; the caller looks at the exit code."""
    return subprocess.run(
        [str(HEXI), *arguments],
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
