"""The life of a participant, as a table: each step from each state."""

from itertools import product

import pytest

from registry.errors import StepImpossible
from registry.participants import TRANSITIONS, ParticipantStatus, Step, next_status

ALLOWED = {
    ("applied", "approve"): "active",
    ("applied", "reject"): "rejected",
    ("active", "revoke"): "revoked",
}


@pytest.mark.parametrize(("status", "step"), list(product(ParticipantStatus, Step)))
def test_each_step_from_each_state(status: ParticipantStatus, step: Step) -> None:
    if (status.value, step.value) in ALLOWED:
        assert next_status(status, step).value == ALLOWED[status.value, step.value]
    else:
        with pytest.raises(StepImpossible, match=status.value):
            next_status(status, step)


def test_the_table_is_all_there_is() -> None:
    assert {(str(s), str(t)): str(to) for (s, t), to in TRANSITIONS.items()} == ALLOWED
