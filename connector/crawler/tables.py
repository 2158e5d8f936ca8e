"""What is known of the other participants' catalogues.

A dataset's row is narrow, because every crawl writes its generation into it; what is shown and searched stands beside.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


def _counted() -> "Column[int]":
    return Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


class CrawledPeerRow(SQLModel, table=True):
    """A participant whose catalogue is crawled: `connector.crawler.states.Peer`, and who is just asking it."""

    __tablename__ = "connector_crawled_peer"

    id: int | None = Field(default=None, sa_column=_counted())
    did: str = Field(sa_type=Text, unique=True)
    added: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    by_hand: bool
    member: bool
    state: str = Field(sa_type=Text)
    due: str | None = Field(default=None, sa_type=Text, index=True)
    failures: int
    # JSON, or null.
    reason: str | None = Field(default=None, sa_type=Text)
    progress: str | None = Field(default=None, sa_type=Text)
    checked: str | None = Field(default=None, sa_type=Text)
    completed: str | None = Field(default=None, sa_type=Text)
    generation: int = Field(sa_type=BigInteger)
    first: str = Field(sa_type=Text)
    tag: str = Field(sa_type=Text)
    slow: bool
    left_out: int
    left_out_why: str = Field(sa_type=Text)
    # One attempt at a time: its name, the process that makes it, and until when.
    lease: str | None = Field(default=None, sa_type=Text)
    holder: str | None = Field(default=None, sa_type=Text)
    leased_until: str | None = Field(default=None, sa_type=Text)


class CrawledRow(SQLModel, table=True):
    """A dataset of a peer, as far as each crawl compares it. `sequence` is the order of discovery."""

    __tablename__ = "connector_crawled"
    __table_args__ = (
        UniqueConstraint("peer", "identifier"),
        Index("ix_connector_crawled_theme", "theme", "sequence"),
    )

    sequence: int | None = Field(default=None, sa_column=_counted())
    peer: int = Field(sa_type=BigInteger)
    identifier: str = Field(sa_type=Text, index=True)
    digest: str = Field(sa_type=Text)
    generation: int = Field(sa_type=BigInteger)
    theme: str = Field(sa_type=Text)


class CrawledContentRow(SQLModel, table=True):
    """What is shown of it and searched: `connector.crawler.datasets.Entry`."""

    __tablename__ = "connector_crawled_content"

    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    title: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    other_name: str = Field(sa_type=Text)
    words: str = Field(sa_type=Text)
    dataset: str = Field(sa_type=Text)
    changed: str = Field(sa_type=Text)


class CrawledKeywordRow(SQLModel, table=True):
    """A keyword of it, folded."""

    __tablename__ = "connector_crawled_keyword"

    keyword: str = Field(primary_key=True, sa_type=Text)
    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}, index=True)
