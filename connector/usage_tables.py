"""The table of grants. Rows are shapes for the database only; `usage_store` turns them into values."""

from sqlmodel import Field, SQLModel


class GrantRow(SQLModel, table=True):
    """The account of one transfer served by a data plane."""

    __tablename__ = "connector_grant"

    transfer: str = Field(primary_key=True)
    agreement: str = Field(index=True)
    product: str
    version: int
    format: str
    state: str = Field(index=True)
    count: int
    volume: int
    ended: str | None
    created: str
    updated: str
