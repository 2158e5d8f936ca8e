"""The ledger's tables. Bytes are kept as they were signed; only the growing edge ever changes."""

from sqlalchemy import BigInteger, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


class HeadRow(SQLModel, table=True):
    """The one row every writer locks: how long the log is, and its newest checkpoint."""

    __tablename__ = "ledger_head"

    id: int = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    checkpoint: str = Field(sa_type=Text)


class EntryRow(SQLModel, table=True):
    """An entry. Everything but `jws` and `logged` repeats what the JWS says, to search by."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        UniqueConstraint("issuer", "kind", "subject", name="ledger_entry_once"),
        Index("ledger_entry_kind", "kind", "index"),
        Index("ledger_entry_subject", "subject", "kind"),
        Index("ledger_entry_digest", "digest"),
    )

    index: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    issuer: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    digest: str = Field(sa_type=Text)
    jws: str = Field(sa_type=Text)
    logged: str = Field(sa_type=Text)


class TileRow(SQLModel, table=True):
    """A tile, full or still growing."""

    __tablename__ = "ledger_tile"

    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    index: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    hashes: bytes = Field(sa_type=LargeBinary)


class AnchorRow(SQLModel, table=True):
    """A checkpoint that stands on a chain, with the record that proves it."""

    __tablename__ = "ledger_anchor"

    id: int | None = Field(default=None, primary_key=True)
    size: int = Field(sa_type=BigInteger, index=True)
    checkpoint: str = Field(sa_type=Text)
    rights_contract: str = Field(sa_type=Text)
    record: str = Field(sa_type=Text)
    at: str = Field(sa_type=Text)
