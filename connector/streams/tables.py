"""The tables of streams. Rows are shapes for the database only; `connector.streams.store` turns them into values."""

from sqlmodel import BigInteger, Column, Field, Index, SQLModel


class StreamRow(SQLModel, table=True):
    """A stream: how far it has come, and how much of it was forgotten. Whoever appends holds this row."""

    __tablename__ = "connector_stream"

    name: str = Field(primary_key=True)
    newest: int = Field(sa_column=Column(BigInteger, nullable=False))
    before_oldest: int = Field(sa_column=Column(BigInteger, nullable=False))


class EventRow(SQLModel, table=True):
    """One event. `key` is the appender's own, so that appending again adds nothing."""

    __tablename__ = "connector_event"
    __table_args__ = (
        Index("ix_connector_event_key", "stream", "key", unique=True),
        Index("ix_connector_event_appended", "stream", "appended"),
    )

    stream: str = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, primary_key=True))
    key: str | None
    kind: str
    data: str
    appended: str
