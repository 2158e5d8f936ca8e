"""The states of a review, as data."""

from collections.abc import Mapping
from enum import StrEnum

from sandbox.errors import ReviewEnded


class ReviewState(StrEnum):
    """Where a review stands."""

    # Nobody has voted.
    AWAITING = "awaiting-review"
    # Somebody has, and more votes are needed. What the votes say is not shown before all are cast.
    PARTIALLY_REVIEWED = "partially-reviewed"
    # Every reviewer agreed: the output was released.
    APPROVED = "approved"
    # A reviewer said no: the output is gone, the consumer has the reasons.
    REJECTED = "rejected"
    # The consumer did not want it any more.
    WITHDRAWN = "withdrawn"
    # The time declared for the review is over.
    EXPIRED = "expired"


_ENDS = frozenset({ReviewState.APPROVED, ReviewState.REJECTED, ReviewState.WITHDRAWN, ReviewState.EXPIRED})

TRANSITIONS: Mapping[ReviewState, frozenset[ReviewState]] = {
    ReviewState.AWAITING: _ENDS | {ReviewState.PARTIALLY_REVIEWED},
    ReviewState.PARTIALLY_REVIEWED: _ENDS,
    **{end: frozenset() for end in _ENDS},
}

# Where a vote, a withdrawal or the clock may still change something.
OPEN = frozenset(state for state, onward in TRANSITIONS.items() if onward)


class Event(StrEnum):
    """What the audit says happened."""

    HELD = "held"
    SEEN = "seen"
    VOTED = "voted"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


ENDING_EVENTS: Mapping[ReviewState, Event] = {end: Event(end.value) for end in _ENDS}


def next_state(state: ReviewState, wanted: ReviewState) -> ReviewState:
    """`wanted`, if a review in `state` may go there. Raises `ReviewEnded`."""
    if wanted not in TRANSITIONS[state]:
        raise ReviewEnded(f"a review that is {state} cannot become {wanted}")
    return wanted
