"""What may become of an algorithm, as data, and what votes come to. Pure.

>>> ann, bo, cy = (Judge(*one) for one in (("ann", "did:a"), ("bo", "did:a"), ("cy", "did:b")))
>>> decide("did:author", [Judgement(ann, True), Judgement(bo, True)])
<AlgorithmState.PARTIALLY_REVIEWED: 'partially-reviewed'>
>>> decide("did:author", [Judgement(ann, True), Judgement(cy, True)])
<AlgorithmState.ACCEPTED: 'accepted'>
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sandbox.errors import AlgorithmConflict, ReviewerExcluded

# People, and organisations they speak for, that must agree. After vantage6's algorithm store.
MIN_PERSONS, MIN_ORGANISATIONS = 2, 2


class AlgorithmState(StrEnum):
    """Where an algorithm stands."""

    # Waits for a trial on synthetic tables of each of its products that it passes. It may be rejected before.
    SUBMITTED = "submitted"
    # Passed them; people may judge it.
    TRIED = "tried"
    PARTIALLY_REVIEWED = "partially-reviewed"
    # May be run, by its digest.
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    # Taken back by its author or the provider; runs that were made stay what they were.
    WITHDRAWN = "withdrawn"


TRANSITIONS: Mapping[AlgorithmState, frozenset[AlgorithmState]] = {
    AlgorithmState.SUBMITTED: frozenset({AlgorithmState.TRIED, AlgorithmState.REJECTED, AlgorithmState.WITHDRAWN}),
    AlgorithmState.TRIED: frozenset(
        {AlgorithmState.PARTIALLY_REVIEWED, AlgorithmState.REJECTED, AlgorithmState.WITHDRAWN}
    ),
    AlgorithmState.PARTIALLY_REVIEWED: frozenset(
        {AlgorithmState.ACCEPTED, AlgorithmState.REJECTED, AlgorithmState.WITHDRAWN}
    ),
    AlgorithmState.ACCEPTED: frozenset({AlgorithmState.WITHDRAWN}),
    AlgorithmState.REJECTED: frozenset(),
    AlgorithmState.WITHDRAWN: frozenset(),
}

# Where a word against it counts; one for it counts from the trials on.
OPEN = frozenset(state for state, onward in TRANSITIONS.items() if AlgorithmState.REJECTED in onward)


@dataclass(frozen=True)
class Judge:
    """A person, and the organisation (a DID) that the person speaks for."""

    name: str
    organisation: str


@dataclass(frozen=True)
class Judgement:
    """Whether a person agrees."""

    judge: Judge
    agrees: bool


def next_state(state: AlgorithmState, wanted: AlgorithmState) -> AlgorithmState:
    """`wanted`, if an algorithm in `state` may go there; staying is always possible. Raises `AlgorithmConflict`."""
    if wanted != state and wanted not in TRANSITIONS[state]:
        raise AlgorithmConflict(f"an algorithm that is {state} cannot become {wanted}")
    return wanted


def decide(author: str, judgements: Sequence[Judgement]) -> AlgorithmState:
    """What the judgements come to. Raises `ReviewerExcluded` for one who speaks for the author.

    One against is enough to reject. To accept, two people of two organisations agree.
    """
    for one in judgements:
        if one.judge.organisation == author:
            raise ReviewerExcluded(f"{one.judge.name} speaks for the algorithm's author")
    if not all(one.agrees for one in judgements):
        return AlgorithmState.REJECTED
    persons = {one.judge.name for one in judgements}
    organisations = {one.judge.organisation for one in judgements}
    enough = len(persons) >= MIN_PERSONS and len(organisations) >= MIN_ORGANISATIONS
    return AlgorithmState.ACCEPTED if enough else AlgorithmState.PARTIALLY_REVIEWED
