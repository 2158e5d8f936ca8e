"""The table of calls. Rows are shapes for the database only; `call_store` turns them into values."""

from sqlmodel import BigInteger, Column, Field, Index, SQLModel


class CallRow(SQLModel, table=True):
    """One call of an API product: what metering and the provider may want to know, and nothing of its content."""

    __tablename__ = "connector_call"
    __table_args__ = (Index("ix_connector_call_transfer", "transfer", "begun"),)

    id: str = Field(primary_key=True)
    transfer: str
    operation: str
    # None: still under way, or cut off by a crash of ours.
    status: int | None
    request_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    answer_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    milliseconds: int | None
    begun: str
