"""A load on a pair of connectors: so many negotiations or transfers at a time, each followed to its end."""

import math
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.machine import busy_seconds, cpu_seconds, resident_megabytes
from benchmarks.peers import Client, Pair, Refused, Seen

# One process may take this long before it counts as failed, in seconds.
PATIENCE_SECONDS = 30.0
# The wait between two looks, in seconds: at least, and as a share of how long a process has lately taken. Looking
# more often would measure the looking; where one is alone its latency is the question, else how many there are.
LOOK_SECONDS = 0.003
LOOK_SHARE_ALONE = 0.1
LOOK_SHARE = 0.25


@dataclass
class Outcome:
    """What a load of one kind came to."""

    what: str
    in_flight: int
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    agreements: list[str] = field(default_factory=list)
    # From the first start until the last one that ended well.
    span: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    # CPU that others on the machine used meanwhile, in cores.
    others: float = 0.0

    @property
    def count(self) -> int:
        """How many were started."""
        return len(self.seconds) + self.failures.total()

    @property
    def rate(self) -> float:
        """Those that ended well, a second. Waiting for one that never ends makes it no lower; it has failed."""
        return len(self.seconds) / self.span if self.span else 0.0

    @property
    def failed(self) -> float:
        """The share that did not end well."""
        return self.failures.total() / max(1, self.count)

    def percentile(self, share: float) -> float:
        """Of the time from asking until it was seen to have ended well, in milliseconds."""
        ordered = sorted(self.seconds) or [float("nan")]
        return 1000 * (statistics.median(ordered) if share == 0.5 else ordered[math.ceil(share * len(ordered)) - 1])

    @property
    def cpu_each(self) -> float:
        """CPU milliseconds of both ends and of what they need, for each that was started."""
        return 1000 * sum(used for name, used in self.cpu.items() if name != "client") / max(1, self.count)

    def row(self) -> str:
        """A line of `HEADING`'s table."""
        each = "  ".join(f"{name} {1000 * used / max(1, self.count):.1f}" for name, used in self.cpu.items())
        return (
            f"{self.what:<12} {self.in_flight:>9} {self.count:>7} {self.rate:>8.1f} {100 * self.failed:>8.2f} "
            f"{self.percentile(0.5):>8.1f} {self.percentile(0.95):>8.1f} {self.others:>7.1f}  {each}"
        )


HEADING = (
    f"{'what':<12} {'in flight':>9} {'count':>7} {'per s':>8} {'failed %':>8} {'p50 ms':>8} {'p95 ms':>8} "
    f"{'others':>7}  CPU ms each"
)

Start = Callable[[Client, int], str]
Look = Callable[[Client, str], Seen]


class Load:
    """`in_flight` threads that each follow one process after the other to its end."""

    def __init__(self, pair: Pair, what: str, in_flight: int) -> None:
        self._pair = pair
        self._lock = threading.Lock()
        self._lately = 0.02
        self._begun = self._until = 0.0
        self.outcome = Outcome(what, in_flight)

    def run(self, count: int, seconds: float, start: Start, look: Look) -> Outcome:
        """Start processes, `in_flight` at a time, until it is `count` or `seconds` are over; follow each to its end."""
        numbers = iter(range(count))
        before, busy, begun = self._cpu(), busy_seconds(), time.monotonic()
        self._begun, self._until = begun, begun + seconds
        threads = [
            threading.Thread(target=self._follow, args=(numbers, start, look)) for _ in range(self.outcome.in_flight)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = self.outcome
        wall = time.monotonic() - begun
        found.cpu = {name: used - before[name] for name, used in self._cpu().items()}
        found.others = max(0.0, busy_seconds() - busy - sum(found.cpu.values())) / wall
        found.memory = {name: resident_megabytes(pid) for name, pid in self._pair.ends.items()}
        return found

    def _follow(self, numbers: Iterator[int], start: Start, look: Look) -> None:
        client = self._pair.client()
        while time.monotonic() < self._until:
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
                    self.outcome.span = time.monotonic() - self._begun
                    self._lately += (took - self._lately) / 20
                    if seen.agreement:
                        self.outcome.agreements.append(seen.agreement)

    def _await(self, client: Client, process: str, look: Look, begun: float) -> Seen:
        share = LOOK_SHARE_ALONE if self.outcome.in_flight == 1 else LOOK_SHARE
        # The first look comes when most of them are nearly through; before that there is nothing to see.
        time.sleep(max(LOOK_SECONDS, self._lately * 0.75 - (time.monotonic() - begun)))
        while True:
            seen = look(client, process)
            if seen.done or seen.failed or time.monotonic() - begun > PATIENCE_SECONDS:
                return seen
            time.sleep(max(LOOK_SECONDS, self._lately * share))

    def _cpu(self) -> dict[str, float]:
        counted = {**self._pair.ends, **self._pair.others, "client": os.getpid()}
        return {name: cpu_seconds(pid) for name, pid in counted.items()}
