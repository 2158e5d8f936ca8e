"""The tables of grants and uses. Rows are shapes for the database only; `usage_store` turns them into values."""

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
    records: int
    under_way: int
    digest: str | None
    ended: str | None
    party: str | None
    order_id: str | None = Field(index=True)
    paid: str | None
    created: str
    updated: str


class UseRow(SQLModel, table=True):
    """When uses began; kept only where the terms count them within a period, and only as long as that."""

    __tablename__ = "connector_use"

    id: int | None = Field(default=None, primary_key=True)
    agreement: str = Field(index=True)
    at: str
    count: int
