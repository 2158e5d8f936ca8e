"""How long until a service answers, and how much memory it holds when nobody asks anything?

    uv run python -m benchmarks.start

From the start of the process (``hexi connector serve``, ``hexi space serve``) to the first 200 of ``/health``; memory
is the resident set three seconds later. A cold start makes its tables, a warm one finds them. Medians of `STARTS`
starts, on SQLite. The bytecode is there, as after ``make setup`` and as EDC's class files are: without it every start
would compile a thousand modules anew and take three times as long. The peer is Eclipse EDC 0.15.1 on the same kind of
machine (2 cores): 2.4 s and 200 MB. The targets are those of the architecture, section 7.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

STARTS = 5
SETTLE_SECONDS = 3.0
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.005
EDC_SECONDS, EDC_MEGABYTES = 2.4, 200
TARGET_SECONDS, TARGET_MEGABYTES = 1.0, 100

# Ours are installed for editing, so nobody else compiles them.
PACKAGES = ("hexi", "connector", "ledger", "marketplace", "privacy", "registry", "sandbox")
HEXI = Path(sys.executable).parent / "hexi"


def main() -> int:
    """Measure both services, print a table, and fail where a connector misses its targets."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", *PACKAGES], check=True)
    print(f"{'':<30}{'seconds':>6}{'MB':>8}")
    reached = True
    for service in ("connector", "space"):
        with tempfile.TemporaryDirectory() as folder:
            cold = [measure(service, Path(folder) / str(number)) for number in range(STARTS)]
            warm = [measure(service, Path(folder) / "0") for _ in range(STARTS)]
        for name, found in (("cold database", cold), ("existing database", warm)):
            seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"{service + ', ' + name:<30}{seconds:>6.2f}{megabytes:>8.0f}")
            if service == "connector":
                reached &= seconds < TARGET_SECONDS and megabytes < TARGET_MEGABYTES
                print(f"{'  EDC is':<30}{EDC_SECONDS / seconds:>5.1f}x{EDC_MEGABYTES / megabytes:>7.1f}x")
    print(f"targets of a connector: under {TARGET_SECONDS} s, under {TARGET_MEGABYTES} MB")
    return 0 if reached else 1


def measure(service: str, home: Path) -> tuple[float, float]:
    """Start once: seconds until it answers, resident megabytes after it has settled."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/health"
    # The connector takes its port from the environment, the space too.
    environment = {**os.environ, f"HEXI_{service.upper()}_PORT": str(port)}
    started = time.monotonic()
    process = subprocess.Popen(
        [HEXI, service, "serve", "--home", str(home)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(address):
            if process.poll() is not None or time.monotonic() - started > PATIENCE_SECONDS:
                raise RuntimeError(f"hexi {service} serve does not come up")
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - started
        time.sleep(SETTLE_SECONDS)
        return seconds, resident_megabytes(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_SECONDS)


def answers(address: str) -> bool:
    """Whether /health says 200."""
    try:
        with urllib.request.urlopen(address, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def resident_megabytes(pid: int) -> float:
    """The resident set of the process, in megabytes of a million bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
