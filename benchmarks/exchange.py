"""What does one negotiation cost, and one transfer start? Two connectors that deal with each other, against EDC's.

    uv run python -m benchmarks.exchange                 ours, at 1, 8 and 64 in flight
    uv run python -m benchmarks.exchange --quick         a short run of the same
    uv run python -m benchmarks.exchange --count 10000 --in-flight 64

Both ends, the database, the space and this client share the machine's cores. A negotiation counts as ended when the
consumer's management API says so; every one that was started is followed to its end. CPU is what the processes used
between the first start and the last end, by the kernel's count. `failed` are those that ended otherwise or not at all.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import Client, Pair, Refused, Seen
from benchmarks.peers.ours import our_pair

# One process may take this long before it counts as failed, in seconds.
PATIENCE_SECONDS = 60.0
# The wait between two looks, in seconds: at least, and as a share of how long a process has lately taken. Looking
# more often would measure the looking.
LOOK_SECONDS = 0.003
LOOK_SHARE = 0.12


@dataclass
class Outcome:
    """What a load of one kind came to."""

    what: str
    in_flight: int
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    agreements: list[str] = field(default_factory=list)
    wall: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many were started."""
        return len(self.seconds) + self.failures.total()

    def row(self) -> str:
        """A line of the table."""
        ordered = sorted(self.seconds) or [float("nan")]
        each = {name: 1000 * used / max(1, self.count) for name, used in self.cpu.items()}
        return (
            f"{self.what:<12} {self.in_flight:>9} {self.count:>7} {self.count / self.wall:>8.1f} "
            f"{100 * self.failures.total() / max(1, self.count):>8.2f} "
            f"{1000 * statistics.median(ordered):>8.1f} {1000 * ordered[int(0.95 * (len(ordered) - 1))]:>8.1f} "
            + "  ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in each.items())
        )


HEADING = (
    f"{'what':<12} {'in flight':>9} {'count':>7} {'per s':>8} {'failed %':>8} {'p50 ms':>8} {'p95 ms':>8} CPU ms each"
)


class Load:
    """`in_flight` threads that each follow one process after the other to its end."""

    def __init__(self, pair: Pair, what: str, in_flight: int) -> None:
        self._pair = pair
        self._lock = threading.Lock()
        self._lately = 0.02
        self.outcome = Outcome(what, in_flight)

    def run(self, count: int, start: Callable[[Client, int], str], look: Callable[[Client, str], Seen]) -> Outcome:
        """Start `count` processes, `in_flight` at a time, and follow each to its end."""
        numbers = iter(range(count))
        before, begun = _cpu(self._pair), time.monotonic()
        threads = [
            threading.Thread(target=self._follow, args=(numbers, start, look)) for _ in range(self.outcome.in_flight)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.outcome.wall = time.monotonic() - begun
        self.outcome.cpu = {name: used - before[name] for name, used in _cpu(self._pair).items()}
        self.outcome.memory = {name: _memory(pid) for name, pid in self._pair.ends.items()}
        return self.outcome

    def _follow(
        self,
        numbers: Iterator[int],
        start: Callable[[Client, int], str],
        look: Callable[[Client, str], Seen],
    ) -> None:
        client = self._pair.client()
        while True:
            with self._lock:
                number = next(numbers, None)
            if number is None:
                return
            begun = time.monotonic()
            try:
                seen = self._await(client, start(client, number), look, begun)
                why = None if seen.done else f"{seen.state}: {seen.why}"
            except (OSError, Refused) as error:
                seen, why = None, f"{type(error).__name__}: {error}"
            took = time.monotonic() - begun
            with self._lock:
                if why is not None or seen is None:
                    self.outcome.failures[str(why)[:200]] += 1
                else:
                    self.outcome.seconds.append(took)
                    self._lately += (took - self._lately) / 20
                    if seen.agreement:
                        self.outcome.agreements.append(seen.agreement)

    def _await(self, client: Client, process: str, look: Callable[[Client, str], Seen], begun: float) -> Seen:
        # The first look comes when most of them are through half of it; before that there is nothing to see.
        time.sleep(max(LOOK_SECONDS, self._lately / 2 - (time.monotonic() - begun)))
        while True:
            seen = look(client, process)
            if seen.done or seen.failed or time.monotonic() - begun > PATIENCE_SECONDS:
                return seen
            time.sleep(max(LOOK_SECONDS, self._lately * LOOK_SHARE))


def negotiate(pair: Pair, count: int, in_flight: int) -> Outcome:
    """`count` negotiations."""
    return Load(pair, "negotiation", in_flight).run(
        count, lambda client, _: client.negotiate(), lambda client, process: client.negotiation(process)
    )


def transfer(pair: Pair, agreements: list[str], in_flight: int) -> Outcome:
    """A transfer start under each agreement."""
    return Load(pair, "transfer", in_flight).run(
        len(agreements),
        lambda client, number: client.transfer(agreements[number]),
        lambda client, process: client.transfer_status(process),
    )


def measure(pair: Pair, counts: Mapping[int, int]) -> list[Outcome]:
    """Every load of `counts` (in flight -> how many), negotiations and then a transfer start under each."""
    print(f"\n{pair.name}; started in {', '.join(f'{s:.1f} s' for s in pair.start_seconds)}")
    idle = {name: _memory(pid) for name, pid in pair.ends.items()}
    print("memory idle, MB:", "  ".join(f"{name} {used:.0f}" for name, used in idle.items()))
    negotiate(pair, 20, 4)  # warm: connections, caches, code paths
    print(HEADING)
    outcomes = []
    for in_flight, count in counts.items():
        negotiated = negotiate(pair, count, in_flight)
        print(negotiated.row(), flush=True)
        started = transfer(pair, negotiated.agreements, in_flight)
        print(started.row(), flush=True)
        outcomes += [negotiated, started]
        for outcome in (negotiated, started):
            for why, often in outcome.failures.most_common(5):
                print(f"    {often} x {why}")
    after = {name: _memory(pid) for name, pid in pair.ends.items()}
    print("memory after, MB:", "  ".join(f"{name} {used:.0f}" for name, used in after.items()))
    return outcomes


def _cpu(pair: Pair) -> dict[str, float]:
    """CPU seconds used so far, by whom."""
    return {name: _cpu_of(pid) for name, pid in {**pair.ends, **pair.others, "client": os.getpid()}.items()}


def _cpu_of(pid: int) -> float:
    """Of a process and its children: those that live by themselves, those that ended through who waited for them."""
    ticks = 0
    for member in {pid} if pid == os.getpid() else _tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        own = fields[11:13] if pid == os.getpid() else fields[11:15]
        ticks += sum(map(int, own))
    return ticks / os.sysconf("SC_CLK_TCK")


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


def _memory(pid: int) -> float:
    """Resident megabytes of a process and its children."""
    total = 0.0
    for member in _tree(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return total


def main() -> None:
    """Parse, start, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a short run")
    parser.add_argument("--count", type=int, help="negotiations per load, in place of our own choice")
    parser.add_argument("--in-flight", type=int, action="append", help="only this many at a time; may be repeated")
    given = parser.parse_args()
    usual = {1: 40, 8: 200, 64: 400} if given.quick else {1: 200, 8: 1_000, 64: 3_000}
    chosen = given.in_flight or list(usual)
    counts = {number: given.count or usual.get(number, 1_000) for number in chosen}
    with (
        tempfile.TemporaryDirectory(prefix="hexi-exchange-", ignore_cleanup_errors=True) as folder,
        our_pair(Path(folder)) as pair,
    ):
        measure(pair, counts)


if __name__ == "__main__":
    main()
