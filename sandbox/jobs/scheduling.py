"""Whose job is next, whether there is room for one more, and when a failed attempt is made again. Pure.

Fair between consumers, however many jobs one of them sends: next is whoever has the fewest jobs under way, and among
those whoever was given one the longest ago. With jobs of like length that is round robin; with unlike ones it is an
equal share of the workers, for a long job holds its owner's place while others take turns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sandbox.errors import QueueFull


@dataclass(frozen=True)
class Limits:
    """What the queue takes. Counts; seconds where it says so."""

    # Jobs of one consumer under way at once, over all workers: one consumer never holds every worker of a large site.
    under_way: int = 8
    # Jobs that wait, of one consumer and of all. Each keeps two signed documents, some ten kilobytes.
    waiting: int = 2_000
    waiting_of_all: int = 20_000
    # Attempts at one job. What has taken three workers down with it will take a fourth.
    attempts: int = 3
    # How long a worker holds a job without saying that it still lives. Clocks of hosts may differ by less than that.
    lease_seconds: float = 30.0
    # The rest after an attempt that failed for want of something, doubled each time.
    again_seconds: float = 2.0


@dataclass(frozen=True)
class Turn:
    """A consumer's place: jobs that wait and that are under way, and the number of the lease it was last given."""

    consumer: str
    waiting: int = 0
    under_way: int = 0
    last: int = 0


def may_lease(turn: Turn, limits: Limits) -> bool:
    """Whether a job of this consumer may be leased now."""
    return turn.waiting > 0 and turn.under_way < limits.under_way


def in_order(turns: Iterable[Turn], limits: Limits) -> list[Turn]:
    """Those whose job may be leased now, the next one first."""
    return sorted(
        (turn for turn in turns if may_lease(turn, limits)), key=lambda turn: (turn.under_way, turn.last, turn.consumer)
    )


def check_room(turn: Turn, waiting_of_all: int, limits: Limits) -> None:
    """Raise `QueueFull` unless one more job of this consumer may wait."""
    if turn.waiting >= limits.waiting:
        raise QueueFull(
            f"{turn.waiting} jobs of yours wait here, and more may not; send the next one when some have ended"
        )
    if waiting_of_all >= limits.waiting_of_all:
        raise QueueFull(f"the queue is full ({limits.waiting_of_all} jobs); send the job again later")


def rest_before_again(attempts: int, limits: Limits) -> timedelta | None:
    """How long to wait after `attempts` attempts before the next one; None: there will be no next one."""
    if attempts >= limits.attempts:
        return None
    return timedelta(seconds=limits.again_seconds * 2 ** (attempts - 1))
