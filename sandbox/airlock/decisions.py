"""Who may decide over an output, and what the votes come to. Pure.

>>> review = Review("run", "did:web:planner.example", ReviewState.AWAITING, 2, "2026-12-01T00:00:00.000Z", ())
>>> wang = Reviewer("wang", "did:web:clinic.example")
>>> cast(review, Vote(wang, Decision.APPROVE, "counts over 10 only", "2026-11-26T00:00:00.000Z"))
<ReviewState.PARTIALLY_REVIEWED: 'partially-reviewed'>
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.airlock.states import OPEN, ReviewState, next_state
from sandbox.errors import ReviewEnded, ReviewerExcluded, ReviewVoteInvalid, VotedAlready
from sandbox.reasons import Reason

# A reason is for a person at the other end: a few sentences, in characters.
MAX_REASON_CHARACTERS = 2_000


class Decision(StrEnum):
    """A reviewer's word."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True)
class Reviewer:
    """A person who decides, and the organisation (a DID) that the person speaks for. The name is unique.

    `products` are those that the provider named for the person, if of another organisation than its own.
    """

    name: str
    organisation: str
    products: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Vote:
    """What a reviewer decided, and why."""

    reviewer: Reviewer
    decision: Decision
    reason: str
    at: str


@dataclass(frozen=True)
class Review:
    """A review as decisions need it. `holder` is who asked for the run; `required` votes end it."""

    run: str
    holder: str
    state: ReviewState
    required: int
    expires: str
    votes: Sequence[Vote]


def cast(review: Review, vote: Vote) -> ReviewState:
    """The state after one more vote. Raises `ReviewEnded`, `ReviewerExcluded`, `VotedAlready`, `ReviewVoteInvalid`.

    (1) The review is open, and (2) its time is not over. (3) The reviewer does not speak for who asked. (4) The
    reviewer has not voted: two votes are two persons. (5) There is a reason. Votes are independent: the last one
    decides, and one that is against outweighs all others.
    """
    if review.state not in OPEN or is_overdue(review, vote.at):  # (1) (2)
        raise ReviewEnded(f"the review is {review.state}, and its time ends at {review.expires}")
    check_independent(review, vote.reviewer)  # (3)
    if any(cast_.reviewer.name == vote.reviewer.name for cast_ in review.votes):  # (4)
        raise VotedAlready(f"{vote.reviewer.name} has voted on this output; another reviewer's vote is needed")
    if not vote.reason.strip() or len(vote.reason) > MAX_REASON_CHARACTERS:  # (5)
        raise ReviewVoteInvalid(f"a vote needs a reason of 1 to {MAX_REASON_CHARACTERS} characters")
    votes = [*review.votes, vote]
    if len(votes) < review.required:
        return next_state(review.state, ReviewState.PARTIALLY_REVIEWED)
    agreed = all(one.decision is Decision.APPROVE for one in votes)
    return next_state(review.state, ReviewState.APPROVED if agreed else ReviewState.REJECTED)


def check_independent(review: Review, reviewer: Reviewer) -> None:
    """Raises `ReviewerExcluded` if the reviewer speaks for who asked: such a one neither decides nor looks."""
    if reviewer.organisation == review.holder:
        raise ReviewerExcluded(f"{reviewer.name} speaks for the participant that asked for this run")


def may_see(reviewer: Reviewer, provider: str, products: Collection[str]) -> bool:
    """Whether what concerns `products` is for this reviewer at all: the provider's own see everything, others what
    concerns only products that were named for them.
    """
    return reviewer.organisation == provider or (bool(products) and reviewer.products.issuperset(products))


def is_overdue(review: Review, now: str) -> bool:
    """Whether an open review's time is over. Instants compare as text."""
    return review.state in OPEN and now >= review.expires


def visible_votes(review: Review, reviewer: Reviewer) -> Sequence[Vote]:
    """The votes `reviewer` may see: one's own, and all of them once the review has ended."""
    if review.state not in OPEN:
        return review.votes
    return [vote for vote in review.votes if vote.reviewer.name == reviewer.name]


def reasons_for_consumer(review: Review) -> tuple[Reason, ...]:
    """Why the consumer does not get the output. Reviewers' names stay with the provider."""
    match review.state:
        case ReviewState.REJECTED:
            against = [vote.reason for vote in review.votes if vote.decision is Decision.REJECT]
            return tuple(Reason("sandbox.output-rejected", reason) for reason in against)
        case ReviewState.WITHDRAWN:
            return (Reason("sandbox.output-withdrawn", "you withdrew this run while it was held for review"),)
        case ReviewState.EXPIRED:
            return (
                Reason(
                    "sandbox.review-expired",
                    f"the provider's reviewers did not decide by {review.expires}, so nothing is released; ask the "
                    "provider, then send a fresh run",
                ),
            )
        case _:
            return ()
