"""The tables of delivery. Rows are shapes for the database only; `delivery_store` turns them into values."""

from sqlmodel import BigInteger, Column, Field, Index, SQLModel, text


class HandoverRow(SQLModel, table=True):
    """How far the present download of a transfer is at the provider, and which token counts for it."""

    __tablename__ = "connector_handover"

    transfer: str = Field(primary_key=True)
    serial: int
    # Whether a token of this serial was ever shown: until then the one before it counts too.
    serial_shown: bool
    begun: bool
    # Bytes handed over since the download began.
    volume: int = Field(sa_column=Column(BigInteger, nullable=False))
    finished: bool


class PushRow(SQLModel, table=True):
    """A push to be carried out. A lease is a `due` in the future and its holder's name, as in the outbox."""

    __tablename__ = "connector_push"
    __table_args__ = (
        Index("ix_connector_push_due", "state", "due"),
        # Few pushes are uploads, and fewer still are not finished.
        Index(
            "ix_connector_push_upload",
            "due",
            postgresql_where=text("upload IS NOT NULL"),
            sqlite_where=text("upload IS NOT NULL"),
        ),
    )

    transfer: str = Field(primary_key=True)
    # The consumer's data address, with what it wants to see (authCode); never shown.
    destination: str
    # The state of the source that `upload` is an upload of.
    version: str | None
    # What storage must be told to go on with an upload in parts.
    upload: str | None = None
    state: str
    attempts: int
    due: str
    holder: str | None
    error: str | None


class ArrivalRow(SQLModel, table=True):
    """A delivery that comes in here, fetched or pushed."""

    __tablename__ = "connector_arrival"
    __table_args__ = (
        Index("ix_connector_arrival_due", "state", "due"),
        Index(
            "ix_connector_arrival_part",
            "due",
            postgresql_where=text("part IS NOT NULL"),
            sqlite_where=text("part IS NOT NULL"),
        ),
    )

    transfer: str = Field(primary_key=True)
    way: str
    state: str
    # Where our own side wants it; None: below the connector's home.
    target: str | None
    # What a pushing provider must show, as a digest.
    token_digest: str | None
    size: int | None = Field(default=None, sa_column=Column(BigInteger))
    digest: str | None
    version: str | None
    # The file, once it is complete.
    path: str | None
    # The inode of the part file that we made, until it is known to be gone.
    part: str | None = None
    attempts: int
    due: str
    holder: str | None
    error: str | None
    created: str
    updated: str


class AccessRow(SQLModel, table=True):
    """The newest tokens of a transfer that we fetch under, once those it was started with were renewed."""

    __tablename__ = "connector_access"

    transfer: str = Field(primary_key=True)
    given: str
    tokens: str
    renewing: str | None
