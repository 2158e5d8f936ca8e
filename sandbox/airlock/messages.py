"""What travels between reviewers, the provider and its airlock."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from hexi.canonical import Wire
from sandbox.airlock.decisions import MAX_REASON_CHARACTERS
from sandbox.airlock.states import ReviewState


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [members]})


_RUN = "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000006"
_SUMMARY: dict[str, Any] = {
    "run": _RUN,
    "state": "awaiting-review",
    "holder": "did:web:planner.example",
    "product": "91620000MA00000000/visits",
    "version": 1,
    "required": 2,
    "votes": 0,
    "opened": "2026-11-26T08:00:00.000Z",
    "expires": "2026-12-10T08:00:00.000Z",
    "ended": None,
}


class NewReviewer(Wire):
    """A reviewer to add: a unique name, and the DID of the organisation the person speaks for (the provider's own).

    One of another organisation sees the held outputs of `products` and the algorithms that are for them alone.
    """

    model_config = _example(
        name="wang.li", organisation="did:web:university.example", products=["91620000MA00000000/visits"]
    )

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    organisation: str | None = Field(default=None, pattern=r"^did:[a-z0-9]+:\S+$", max_length=500)
    products: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=200)


class ReviewerBody(Wire):
    """A reviewer. The token is told once, when it is made; showing it is what lets the person decide."""

    model_config = _example(
        name="wang.li",
        organisation="did:web:university.example",
        products=["91620000MA00000000/visits"],
        added="2026-11-26T08:00:00.000Z",
        token="h3xi...s",  # noqa: S106 - an example
    )

    name: str
    organisation: str
    products: tuple[str, ...] = ()
    added: str
    removed: str | None = None
    token: str | None = None


class VoteBody(Wire):
    """A vote. The reasons of votes against are what the consumer gets to read."""

    model_config = _example(decision="reject", reason="Table 2 lists single patients; group by year instead.")

    decision: Literal["approve", "reject"]
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARACTERS)


class CastVote(VoteBody):
    """A vote that was cast."""

    model_config = _example(
        decision="approve",
        reason="Counts over 10 only.",
        reviewer="wang.li",
        organisation="did:web:university.example",
        at="2026-11-26T09:00:00.000Z",
    )

    reviewer: str
    organisation: str
    at: str


class ReviewSummary(Wire):
    """A review without what is reviewed. `votes` counts; what they say is shown when all are cast."""

    model_config = _example(**_SUMMARY)

    run: str
    state: ReviewState
    holder: str
    product: str
    version: int
    required: int
    votes: int
    opened: str
    expires: str
    ended: str | None = None


class ReviewBody(ReviewSummary):
    """All that a reviewer sees: the output, how it came about, what the rules say of it, and what was released before.

    `output` is None once the review has ended. `votes_seen` are the reviewer's own, and all of them in the end.
    """

    model_config = _example(
        **_SUMMARY,
        output={"columns": ["sex", "n"], "rows": [["f", 100]], "outputs": []},
        lineage={"mode": "sandbox-program", "dataDigest": "sha256:0", "source": "..."},
        report=[{"rule": "minimum-entities", "passed": True, "says": "every count stands on 10 entities or more"}],
        earlier=[{"run": _RUN, "holder": "did:web:planner.example", "ended": "2026-11-25T08:00:00.000Z", "output": {}}],
        votesSeen=[],
        audit=[{"event": "held", "who": "did:web:clinic.example", "at": "2026-11-26T08:00:00.000Z"}],
    )

    output: dict[str, Any] | None
    lineage: dict[str, Any] | None
    report: tuple[dict[str, Any], ...]
    earlier: tuple[dict[str, Any], ...]
    votes_seen: tuple[CastVote, ...]
    audit: tuple[dict[str, Any], ...]
