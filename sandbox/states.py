"""The states of a run, as data."""

from collections.abc import Mapping
from enum import StrEnum

from sandbox.errors import RunConflict


class State(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    # Computed, and waiting for people of the provider (`sandbox.airlock`).
    HELD = "held"
    RELEASED = "released"
    REFUSED = "refused"


# A run ends once. An orphan is still running; who takes it over becomes its owner.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RUNNING: frozenset({State.HELD, State.RELEASED, State.REFUSED}),
    State.HELD: frozenset({State.RELEASED, State.REFUSED}),
    State.RELEASED: frozenset(),
    State.REFUSED: frozenset(),
}


def next_state(state: State, wanted: State) -> State:
    """`wanted`, if a run in `state` may go there. Raises `RunConflict`."""
    if wanted not in TRANSITIONS[state]:
        raise RunConflict(f"a run that is {state} cannot become {wanted}")
    return wanted
