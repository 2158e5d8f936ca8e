"""The queue's tables: jobs, what happened to them, and whose turn it is."""

from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field, SQLModel


class JobRow(SQLModel, table=True):
    """A job. `due`: when a waiting one may be leased, and when the lease of one under way runs out."""

    __tablename__ = "sandbox_job"
    __table_args__ = (
        Index("sandbox_job_next", "consumer", "state", "due"),
        Index("sandbox_job_due", "state", "due"),
        Index("sandbox_job_of_consumer", "consumer", "submitted"),
    )

    run: str = Field(primary_key=True)
    consumer: str
    product: str
    request_digest: str
    state: str
    attempts: int = 0
    due: str
    # Who leases it, for this attempt only.
    holder: str | None = None
    reason: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    # Whether an attempt that was put back may have read data.
    touched: bool = False
    # The number of its newest event.
    events: int = 0
    submitted: str
    finished: str | None = None


class JobEventRow(SQLModel, table=True):
    """One thing that happened to a job; `number` counts from 1."""

    __tablename__ = "sandbox_job_event"

    run: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    state: str
    attempt: int
    reason: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    at: str


class TurnRow(SQLModel, table=True):
    """A consumer's place (`sandbox.jobs.scheduling.Turn`). Whoever changes the state of its jobs holds this row."""

    __tablename__ = "sandbox_job_turn"

    consumer: str = Field(primary_key=True)
    waiting: int = 0
    under_way: int = 0
    last: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
