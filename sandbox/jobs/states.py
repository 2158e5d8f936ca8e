"""The states of a job, as data."""

from collections.abc import Mapping
from enum import StrEnum

from sandbox.errors import JobEnded


class JobState(StrEnum):
    """Where a job stands. ``done`` has an answer, released or refused; ``failed`` has a reason instead."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


# Back to the queue goes what its worker lost, or could not do where it was. A job ends once.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.DONE, JobState.QUEUED, JobState.CANCELLED, JobState.FAILED}),
    JobState.DONE: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.FAILED: frozenset(),
}
ENDED = frozenset(state for state, ways in TRANSITIONS.items() if not ways)


def next_state(state: JobState, wanted: JobState) -> JobState:
    """`wanted`, if a job in `state` may go there. Raises `JobEnded`."""
    if wanted not in TRANSITIONS[state]:
        raise JobEnded(f"a job that is {state} cannot become {wanted}")
    return wanted
