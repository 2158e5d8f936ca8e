"""The rules of an aggregation job: who contributes, how often, and when there is a total. Pure.

A job collects one contribution from each of its contributors and then has a total; nothing else ever comes of it.
At least three contributors, and the one who reads the total is none of them: of two, each would learn the other's
number by subtracting his own.

    >>> job = Job.start("did:web:planner", ["did:web:a", "did:web:b", "did:web:c"])
    >>> job = job.contributed("did:web:a").contributed("did:web:b")
    >>> job.state, job.contributed("did:web:c").state
    (<State.COLLECTING: 'collecting'>, <State.COMPLETE: 'complete'>)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from privacy.errors import IllegalTransition, TooFewContributors

MINIMUM_CONTRIBUTORS = 3
# More would not be wrong, but no agreement we know of has them; a cap keeps a job's storage bounded.
MAXIMUM_CONTRIBUTORS = 200


class State(StrEnum):
    """Where a job stands."""

    COLLECTING = "collecting"
    COMPLETE = "complete"


class Event(StrEnum):
    """What happens to a job."""

    CONTRIBUTION = "contribution"
    LAST_CONTRIBUTION = "last-contribution"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.COLLECTING, Event.CONTRIBUTION): State.COLLECTING,
    (State.COLLECTING, Event.LAST_CONTRIBUTION): State.COMPLETE,
}


def next_state(state: State, event: Event) -> State:
    """The state after `event`. Raises `IllegalTransition`."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a job that is {state} takes no {event}") from None


@dataclass(frozen=True)
class Job:
    """Who reads the total, who contributes, who has contributed."""

    reader: str
    contributors: tuple[str, ...]
    received: frozenset[str] = frozenset()
    state: State = State.COLLECTING

    @classmethod
    def start(cls, reader: str, contributors: Sequence[str]) -> "Job":
        """A job nobody has contributed to. Raises `TooFewContributors`."""
        check_contributors(reader, contributors)
        return cls(reader, tuple(contributors))

    @property
    def missing(self) -> tuple[str, ...]:
        """Who has not contributed yet."""
        return tuple(name for name in self.contributors if name not in self.received)

    def contributed(self, contributor: str) -> "Job":
        """The job with a contribution of `contributor`. Raises `IllegalTransition` for a second one or a stranger."""
        if contributor not in self.missing:
            raise IllegalTransition("only a contributor who has not contributed yet may contribute")
        event = Event.LAST_CONTRIBUTION if self.missing == (contributor,) else Event.CONTRIBUTION
        return replace(self, received=self.received | {contributor}, state=next_state(self.state, event))


def check_contributors(reader: str, contributors: Sequence[str]) -> None:
    """Raise `TooFewContributors` unless these are enough, distinct, and do not include the one who reads the total."""
    if len(set(contributors)) != len(contributors):
        raise TooFewContributors("a contributor is named twice; name each once")
    if reader in contributors:
        raise TooFewContributors("the one who reads the total may not contribute to it: it would subtract its own part")
    if not MINIMUM_CONTRIBUTORS <= len(contributors) <= MAXIMUM_CONTRIBUTORS:
        raise TooFewContributors(
            f"a sum needs {MINIMUM_CONTRIBUTORS} to {MAXIMUM_CONTRIBUTORS} contributors, not {len(contributors)}"
        )
