"""The engine's tables: processes, what came in, what goes out. The business side has `connector.contracts.tables`.

JSON is stored as canonical text, instants as ISO text, which sorts.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel


class ProcessRow(SQLModel, table=True):
    """One end of a negotiation or transfer, ours."""

    __tablename__ = "connector_process"
    # The same opening message twice is the same process, not a second one. A peer_pid not known yet (NULL) is no key.
    __table_args__ = (
        Index("ix_connector_process_peer", "kind", "role", "counterparty", "peer_pid", unique=True),
        Index("ix_connector_process_agreement", "agreement_id", "kind", "role", "counterparty", "created"),
        Index("ix_connector_process_created", "kind", "created"),
    )

    pid: str = Field(primary_key=True)
    kind: str
    role: str
    state: str
    counterparty: str
    callback_address: str
    peer_pid: str | None = None
    opening_id: str | None = None
    dataset_id: str | None = None
    offer: str | None = Field(default=None, sa_column=Column(Text))
    agreement: str | None = Field(default=None, sa_column=Column(Text))
    agreement_id: str | None = None
    format: str | None = None
    data_address: str | None = Field(default=None, sa_column=Column(Text))
    suspended_by: str | None = None
    properties: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    version: int
    created: str
    updated: str


class InboxRow(SQLModel, table=True):
    """A message that was taken, so that its repetition is answered alike and changes nothing.

    Keyed by who sent it too: nobody can use up another's message ids.
    """

    __tablename__ = "connector_inbox"

    counterparty: str = Field(primary_key=True)
    message_key: str = Field(primary_key=True)
    pid: str = Field(index=True)
    received: str
    # What it gave as its reason, as a JSON list; None for most messages.
    reason: str | None = None


class OutboxRow(SQLModel, table=True):
    """A message to be sent until the other end has taken or refused it."""

    __tablename__ = "connector_outbox"
    __table_args__ = (
        Index("ix_connector_outbox_due", "state", "due"),
        Index("ix_connector_outbox_process", "process_pid"),
        # At most one message of a process is under way, so they arrive in the order of its states.
        Index(
            "ix_connector_outbox_pending",
            "process_pid",
            unique=True,
            sqlite_where=text("state = 'pending' AND process_pid IS NOT NULL"),
            postgresql_where=text("state = 'pending' AND process_pid IS NOT NULL"),
        ),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )
    destination: str
    process_pid: str | None = None
    # Whose address it is: the presentation that goes with it names them.
    audience: str | None = None
    message_id: str
    url: str
    body: str = Field(sa_column=Column(Text, nullable=False))
    reference: str | None = None
    state: str
    attempts: int = 0
    # When it was meant to go out first; patience is counted from here.
    not_before: str
    # When to try (again). A lease is nothing but a `due` in the future: when its holder dies, it comes due by itself,
    # or as soon as a process on the holder's host starts and sees that the holder is gone.
    due: str
    holder: str | None = None
    last_error: str | None = Field(default=None, sa_column=Column(Text))
    # When it ceased to be pending.
    settled: str | None = None


class SubscriptionRow(SQLModel, table=True):
    """Somebody who is told of events (`connector.webhooks`). With every state entered it is asked if there is anybody.

    `patterns` is a JSON list; `ended` says when and why no more is sent.
    """

    __tablename__ = "connector_subscription"

    id: str = Field(primary_key=True)
    url: str
    patterns: str
    created: str
    ended: str | None = None
