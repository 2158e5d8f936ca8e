"""What is told of a delivery that has ended, in the transaction in which it ends."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session

from connector.deliveries.store import Arrival, JobState, Push, Way


@dataclass(frozen=True)
class Ended:
    """A delivery, DONE or FAILED. `incoming` is to us; `size` (in bytes), `digest` and `path` are of what came."""

    transfer: str
    way: Way
    incoming: bool
    state: JobState
    size: int | None = None
    digest: str | None = None
    path: str | None = None
    error: str | None = None


# Tells whoever wants to know.
OnEnded = Callable[[Session, Ended], None]


def of_arrival(arrival: Arrival) -> Ended:
    """Of one to us."""
    came = arrival.state is JobState.DONE
    return Ended(
        arrival.transfer,
        arrival.way,
        incoming=True,
        state=arrival.state,
        size=arrival.size if came else None,
        digest=arrival.digest if came else None,
        path=arrival.path if came else None,
        error=arrival.error,
    )


def of_push(push: Push) -> Ended:
    """Of one that we push."""
    return Ended(push.transfer, Way.PUSH, incoming=False, state=push.state, error=push.error)
