"""The airlock's tables: reviewers, reviews, votes, and the audit of every step."""

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel


def _text(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)


class ReviewerRow(SQLModel, table=True):
    """Somebody who may decide. The token itself is known to the reviewer only."""

    __tablename__ = "sandbox_reviewer"

    name: str = Field(primary_key=True)
    organisation: str
    # Of another organisation's: the products whose outputs and algorithms the person sees, as a JSON list.
    products: str = Field(default="[]", sa_column=_text())
    token_digest: str = Field(index=True)
    added: str
    removed: str | None = None


class ReviewRow(SQLModel, table=True):
    """The review of one run's output. `sealed` is gone when the review has ended; its digest stays."""

    __tablename__ = "sandbox_review"

    run: str = Field(primary_key=True)
    product: str = Field(index=True)
    version: int
    holder: str
    state: str = Field(index=True)
    required: int
    sealed: bytes | None = None
    sealed_digest: str
    opened: str
    expires: str
    ended: str | None = None


class VoteRow(SQLModel, table=True):
    """One reviewer's vote on one output."""

    __tablename__ = "sandbox_review_vote"

    run: str = Field(primary_key=True)
    reviewer: str = Field(primary_key=True)
    organisation: str
    decision: str
    reason: str = Field(sa_column=_text())
    at: str


class ReviewEventRow(SQLModel, table=True):
    """One line of the audit. `who` is a reviewer's name, the consumer's DID, or the provider's own DID."""

    __tablename__ = "sandbox_review_event"

    run: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    event: str
    who: str
    at: str
