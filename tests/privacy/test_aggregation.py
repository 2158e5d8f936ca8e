"""An aggregation job: at least three, each once, nobody else, and the reader is none of them."""

import pytest

from privacy.aggregation import MAXIMUM_CONTRIBUTORS, TRANSITIONS, Event, Job, State, next_state
from privacy.errors import IllegalTransition, TooFewContributors

THREE = ["did:web:a", "did:web:b", "did:web:c"]


@pytest.mark.parametrize(
    ("contributors", "enough"),
    [
        (THREE, True),
        ([*THREE, "did:web:d"], True),
        (THREE[:2], False),
        ([], False),
        ([THREE[0]] * 3, False),
        ([*THREE[:2], "did:web:reader"], False),
        ([*THREE, "did:web:reader"], False),
        ([f"did:web:{n}" for n in range(MAXIMUM_CONTRIBUTORS + 1)], False),
    ],
    ids=["three", "four", "two", "none", "one thrice", "two and the reader", "three and the reader", "too many"],
)
def test_who_may_contribute_together(contributors: list[str], enough: bool) -> None:
    if enough:
        assert Job.start("did:web:reader", contributors).missing == tuple(contributors)
        return
    with pytest.raises(TooFewContributors):
        Job.start("did:web:reader", contributors)


def test_a_job_is_complete_when_all_have_contributed() -> None:
    job = Job.start("did:web:reader", THREE)
    states = [job.state]
    for name in THREE:
        job = job.contributed(name)
        states.append(job.state)
    assert states == [State.COLLECTING, State.COLLECTING, State.COLLECTING, State.COMPLETE]


def test_nobody_contributes_twice_and_strangers_never() -> None:
    job = Job.start("did:web:reader", THREE).contributed("did:web:a")
    for name in ("did:web:a", "did:web:reader", "did:web:x"):
        with pytest.raises(IllegalTransition):
            job.contributed(name)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_transitions(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(IllegalTransition):
        next_state(state, event)
