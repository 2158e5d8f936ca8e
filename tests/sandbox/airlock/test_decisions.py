"""Who may decide, and what the votes come to: truth tables."""

import pytest

from hexi.errors import DataspaceError
from sandbox.airlock.decisions import (
    MAX_REASON_CHARACTERS,
    Decision,
    Review,
    Reviewer,
    Vote,
    cast,
    is_overdue,
    reasons_for_consumer,
    visible_votes,
)
from sandbox.airlock.states import ENDING_EVENTS, OPEN, TRANSITIONS, ReviewState, next_state
from sandbox.errors import ReviewEnded, ReviewerExcluded, ReviewVoteInvalid, VotedAlready

CLINIC, UNIVERSITY, PLANNER = (f"did:web:{name}.example" for name in ("clinic", "university", "planner"))
WANG, LI, ZHAO = Reviewer("wang", CLINIC), Reviewer("li", UNIVERSITY), Reviewer("zhao", PLANNER)
NOW, LATER = "2026-11-26T08:00:00.000Z", "2026-12-10T08:00:00.000Z"
YES, NO = Decision.APPROVE, Decision.REJECT


def vote(reviewer: Reviewer = WANG, decision: Decision = YES, reason: str = "seen", at: str = NOW) -> Vote:
    return Vote(reviewer, decision, reason, at)


def review(*votes: Vote, required: int = 1, state: ReviewState | None = None, expires: str = LATER) -> Review:
    if state is None:
        state = ReviewState.PARTIALLY_REVIEWED if votes else ReviewState.AWAITING
    return Review("run", PLANNER, state, required, expires, votes)


@pytest.mark.parametrize(
    ("earlier", "required", "last", "state"),
    [
        ((), 1, vote(), ReviewState.APPROVED),
        ((), 1, vote(decision=NO), ReviewState.REJECTED),
        ((), 2, vote(), ReviewState.PARTIALLY_REVIEWED),
        ((), 2, vote(decision=NO), ReviewState.PARTIALLY_REVIEWED),
        ((vote(),), 2, vote(LI), ReviewState.APPROVED),
        ((vote(),), 2, vote(LI, NO), ReviewState.REJECTED),
        ((vote(decision=NO),), 2, vote(LI), ReviewState.REJECTED),
        ((vote(decision=NO),), 2, vote(LI, NO), ReviewState.REJECTED),
    ],
)
def test_what_votes_come_to(earlier: tuple[Vote, ...], required: int, last: Vote, state: ReviewState) -> None:
    assert cast(review(*earlier, required=required), last) is state


@pytest.mark.parametrize(
    ("given", "last", "error"),
    [
        (review(), vote(ZHAO), ReviewerExcluded),
        (review(vote(), required=2), vote(), VotedAlready),
        (review(vote(decision=NO), required=2), vote(), VotedAlready),
        (review(), vote(reason=""), ReviewVoteInvalid),
        (review(), vote(reason=" \n"), ReviewVoteInvalid),
        (review(), vote(reason="x" * (MAX_REASON_CHARACTERS + 1)), ReviewVoteInvalid),
        (review(), vote(at=LATER), ReviewEnded),
        *((review(state=state), vote(), ReviewEnded) for state in ReviewState if state not in OPEN),
    ],
)
def test_who_may_not_decide(given: Review, last: Vote, error: type[DataspaceError]) -> None:
    with pytest.raises(error):
        cast(given, last)


def test_a_reviewer_sees_no_vote_but_his_own_before_the_end() -> None:
    votes = (vote(decision=NO), vote(LI))
    assert visible_votes(review(*votes, required=3), LI) == [votes[1]]
    assert visible_votes(review(*votes, required=3), ZHAO) == []
    assert visible_votes(review(*votes, required=2, state=ReviewState.REJECTED), ZHAO) == votes


def test_the_consumer_reads_the_reasons_against_and_no_names() -> None:
    ended = review(vote(reason="fine"), vote(LI, NO, "single patients"), required=2, state=ReviewState.REJECTED)
    (reason,) = reasons_for_consumer(ended)
    assert (reason.code, reason.message) == ("sandbox.output-rejected", "single patients")
    assert reasons_for_consumer(review(state=ReviewState.APPROVED)) == ()


def test_the_states_are_one_graph_whose_ends_end() -> None:
    assert set(TRANSITIONS) == set(ReviewState)
    assert set(ENDING_EVENTS) == set(ReviewState) - OPEN
    for end in ENDING_EVENTS:
        with pytest.raises(ReviewEnded):
            next_state(end, ReviewState.APPROVED)
    assert is_overdue(review(expires=NOW), NOW)
    assert not is_overdue(review(expires=NOW, state=ReviewState.APPROVED), LATER)
