"""What does one negotiation cost, and one transfer start? Two connectors that deal with each other, against EDC's.

    python -m benchmarks.exchange             everything, under a quarter of an hour; ends with the table of ratios
    python -m benchmarks.exchange --quick     the same in three minutes, with figures to match
    python -m benchmarks.exchange --only hexi --seconds 20

Ours stand on one PostgreSQL with durable commits (that is checked), with a space beside them. Eclipse EDC is measured
at its own ticks and at 50 ms in memory, and at 50 ms on PostgreSQL. Both ends, what they need and this client share the
machine's cores, one pair at a time. A negotiation has ended when the consumer's management API says FINALIZED, a
transfer start when it says STARTED; every one that was begun is followed to its end, and failed if it ended otherwise
or not within half a minute. CPU is the kernel's count for both ends, the database and the space. `others` are the
cores that everybody else on the machine kept busy meanwhile: figures are good where it is next to nothing.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.load import HEADING, Load, Outcome
from benchmarks.machine import description, resident_megabytes
from benchmarks.peers import Pair
from benchmarks.peers.edc import edc_pair
from benchmarks.peers.ours import our_pair

IN_FLIGHT = (1, 8, 64)
# How long a load begins new processes, in seconds; transfers need agreements, so they get half of it.
SECONDS, QUICK_SECONDS = 20.0, 5.0
# Ours must not lose one of so many negotiations at the highest load; EDC is not asked for as many.
LONG_RUN, QUICK_LONG_RUN = 10_000, 300
ENDLESS = 1_000_000

# What EDC reached when nobody else was on a machine of two cores: its latency at 50 ms ticks, in milliseconds, and its
# best durable rate at 64 in flight. The goals are relative to EDC, and others' load must not lower them.
EDC_MILLISECONDS, EDC_RATE = 141.0, 23.4

OPENERS: dict[str, Callable[[Path], AbstractContextManager[Pair]]] = {
    "hexi": our_pair,
    "edc-default": edc_pair,
    "edc-50ms": partial(edc_pair, tick_milliseconds=50),
    "edc-50ms-postgresql": partial(edc_pair, tick_milliseconds=50, on_postgresql=True),
}
OURS, DEFAULT, FAST, DURABLE = OPENERS


@dataclass
class Measured:
    """What one pair came to: loads by in flight, seconds to the first answer, megabytes of the larger end."""

    name: str
    start: float
    idle: float
    after: float = 0.0
    negotiations: dict[int, Outcome] = field(default_factory=dict)
    transfers: dict[int, Outcome] = field(default_factory=dict)


def measure(pair: Pair, seconds: float, long_run: int | None) -> Measured:
    """Every load of `IN_FLIGHT`: negotiations, and then a transfer start under each.

    With `long_run`, the highest load begins that many negotiations, however long it takes.
    """
    print(f"\n{pair.name}; started in {', '.join(f'{s:.1f} s' for s in pair.start_seconds)}")
    found = Measured(pair.name, max(pair.start_seconds), max(pair.idle_megabytes))
    negotiate(pair, 8, ENDLESS, seconds / 2)  # warm: connections, caches, and Java's compiler
    print(HEADING)
    for in_flight in IN_FLIGHT:
        lasting = long_run is not None and in_flight == max(IN_FLIGHT)
        count, limit = (long_run or 0, float("inf")) if lasting else (ENDLESS, seconds)
        found.negotiations[in_flight] = _shown(negotiate(pair, in_flight, count, limit))
        agreements = found.negotiations[in_flight].agreements
        found.transfers[in_flight] = _shown(transfer(pair, in_flight, agreements, seconds / 2))
    found.after = max(resident_megabytes(pid) for pid in pair.ends.values())
    print(f"memory of the larger end: {found.idle:.0f} MB idle, {found.after:.0f} MB after the load", flush=True)
    return found


def negotiate(pair: Pair, in_flight: int, count: int, seconds: float) -> Outcome:
    """At most `count` negotiations, begun within `seconds`."""
    return Load(pair, "negotiation", in_flight).run(
        count, seconds, lambda client, _: client.negotiate(), lambda client, process: client.negotiation(process)
    )


def transfer(pair: Pair, in_flight: int, agreements: list[str], seconds: float) -> Outcome:
    """A transfer start under each agreement, as far as `seconds` last."""
    return Load(pair, "transfer", in_flight).run(
        len(agreements),
        seconds,
        lambda client, number: client.transfer(agreements[number]),
        lambda client, process: client.transfer_status(process),
    )


def _shown(outcome: Outcome) -> Outcome:
    print(outcome.row(), flush=True)
    for why, often in outcome.failures.most_common(3):
        print(f"    {often} x {why}", flush=True)
    return outcome


@dataclass(frozen=True)
class Line:
    """A line of the table: a figure of each make, and what ours must reach. `fewer`: less is better."""

    what: str
    figures: dict[str, float]
    form: str = "{:.0f}"
    fewer: bool = True
    goal: float | None = None

    @property
    def reached(self) -> bool:
        """Whether ours reaches the goal, if there are both."""
        if self.goal is None or OURS not in self.figures:
            return True
        return self.figures[OURS] <= self.goal if self.fewer else self.figures[OURS] >= self.goal

    def cell(self, make: str) -> str:
        """The figure, and in brackets how many times better ours is."""
        shown = self.form.format(self.figures[make])
        if make == OURS or OURS not in self.figures or "failed" in self.what:
            return shown
        better, worse = (OURS, make) if self.fewer else (make, OURS)
        return f"{shown} ({self.figures[worse] / self.figures[better]:.1f}x)" if self.figures[better] > 0 else shown

    def markdown(self) -> str:
        """The line."""
        goal = "" if self.goal is None else f"{'≤' if self.fewer else '≥'} {self.form.format(self.goal)}"
        verdict = "" if self.goal is None else "reached" if self.reached else "**missed**"
        return f"| {self.what} | {' | '.join(map(self.cell, self.figures))} | {goal} | {verdict} |"


def compare(found: dict[str, Measured]) -> Iterator[Line]:
    """The table's lines. Goals relative to EDC are so to the EDC of this run, or to its undisturbed figures."""

    def each(figure: Callable[[Measured], float]) -> dict[str, float]:
        return {make: figure(measured) for make, measured in found.items()}

    latency = each(lambda pair: pair.negotiations[1].percentile(0.5))
    shares = ((DEFAULT, 10), (FAST, 3), (DURABLE, 3))
    goal = min([EDC_MILLISECONDS / 3, *(latency[make] / share for make, share in shares if make in latency)])
    yield Line("one negotiation, p50 ms", latency, goal=goal)
    yield Line("one negotiation, p95 ms", each(lambda pair: pair.negotiations[1].percentile(0.95)))
    yield Line("one transfer start, p50 ms", each(lambda pair: pair.transfers[1].percentile(0.5)))
    yield Line("one transfer start, p95 ms", each(lambda pair: pair.transfers[1].percentile(0.95)))
    durable = found[DURABLE].negotiations.values() if DURABLE in found else ()
    wanted = 5 * max([EDC_RATE, *(load.rate for load in durable)])
    for number in IN_FLIGHT:
        for what, loads in (
            ("negotiations", {make: pair.negotiations[number] for make, pair in found.items()}),
            ("transfer starts", {make: pair.transfers[number] for make, pair in found.items()}),
        ):
            rates = {make: load.rate for make, load in loads.items()}
            failed = {make: 100 * load.failed for make, load in loads.items()}
            aimed = wanted if what == "negotiations" and number == max(IN_FLIGHT) else None
            yield Line(f"{what} a second, {number} in flight", rates, "{:.1f}", False, aimed)
            yield Line(f"{what} that failed, %, {number} in flight", failed, "{:.2f}", goal=0.0)
    yield Line("CPU a negotiation, ms, 64 in flight", each(lambda pair: pair.negotiations[64].cpu_each), "{:.1f}")
    yield Line("CPU a transfer start, ms, 64 in flight", each(lambda pair: pair.transfers[64].cpu_each), "{:.1f}")
    yield Line("start to the first answer, s", each(lambda pair: pair.start), "{:.1f}", goal=1.0)
    yield Line("memory idle, MB", each(lambda pair: pair.idle), goal=100.0)
    yield Line("memory after the load, MB", each(lambda pair: pair.after), goal=200.0)


def main() -> int:
    """Measure each pair in turn, and print the table. 1 where ours failed in a negotiation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a short run of the same")
    parser.add_argument("--only", action="append", choices=list(OPENERS), help="only this pair; may be repeated")
    parser.add_argument("--seconds", type=float, help="how long each load begins new negotiations")
    given = parser.parse_args()
    seconds = given.seconds or (QUICK_SECONDS if given.quick else SECONDS)
    long_run = QUICK_LONG_RUN if given.quick else LONG_RUN
    begun, before = time.monotonic(), os.getloadavg()[0]
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="hexi-exchange-", ignore_cleanup_errors=True) as folder:
        for make in given.only or OPENERS:
            with OPENERS[make](Path(folder) / make) as pair:
                found[make] = measure(pair, seconds, long_run if make == OURS else None)
    loads = [load for each in found.values() for load in (*each.negotiations.values(), *each.transfers.values())]
    command = " ".join(["python -m benchmarks.exchange", *sys.argv[1:]])
    print(f"\n`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {(time.monotonic() - begun) / 60:.0f} minutes.")
    print(f"{description()}. Load average before {before:.1f}; others used up to", end=" ")
    print(f"{max(load.others for load in loads):.1f} cores meanwhile. In brackets: how many times better ours is.\n")
    print("| | " + " | ".join(measured.name for measured in found.values()) + " | goal | |")
    print("|---" + "|---:" * (len(found) + 1) + "|---|")
    print("\n".join(line.markdown() for line in compare(found)))
    # A goal missed is told in the table; a negotiation lost is a fault.
    return 1 if OURS in found and any(load.failures for load in found[OURS].negotiations.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
