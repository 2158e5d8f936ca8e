"""Tables of the marketplace. Money is whole fen; documents are canonical JSON; instants are ISO text."""

from sqlalchemy import BigInteger, Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


def _text() -> Column[str]:
    return Column(Text, nullable=False)


def _big() -> Column[int]:
    return Column(BigInteger, nullable=False)


class SerialRow(SQLModel, table=True):
    """The last certificate number of a month. Its row is the lock under which certificates are issued."""

    __tablename__ = "market_serial"

    month: str = Field(primary_key=True)
    last: int


class CertificateRow(SQLModel, table=True):
    """A certificate as signed, its compliance report, and where the log has it."""

    __tablename__ = "market_certificate"

    number: str = Field(primary_key=True)
    product: str = Field(index=True)
    version: int
    holder: str
    digest: str
    valid_until: str
    signed: str = Field(sa_column=_text())
    report: str = Field(sa_column=_text())
    log_index: int = Field(sa_column=_big())


class ListingRow(SQLModel, table=True):
    """A listing as it stands; its history is in `ListingEventRow`."""

    __tablename__ = "market_listing"

    id: str = Field(primary_key=True)
    product: str = Field(index=True)
    version: int
    provider: str
    certificate: str
    title_zh: str
    title_en: str
    terms_zh: str = Field(sa_column=_text())
    terms_en: str = Field(sa_column=_text())
    unit_price_fen: int = Field(sa_column=_big())
    state: str = Field(index=True)
    created: str
    # The product while the listing lives, its own id once withdrawn: at most one living listing a product.
    living: str = Field(unique=True)


class ListingEventRow(SQLModel, table=True):
    """One step of a listing, with the price after it."""

    __tablename__ = "market_listing_event"

    listing: str = Field(primary_key=True, foreign_key="market_listing.id")
    number: int = Field(primary_key=True)
    step: str
    state: str
    unit_price_fen: int = Field(sa_column=_big())
    by: str
    at: str


class OrderRow(SQLModel, table=True):
    """An order. Only `state` and `used` ever change."""

    __tablename__ = "market_order"

    id: str = Field(primary_key=True)
    listing: str = Field(foreign_key="market_listing.id")
    product: str
    agreement: str = Field(index=True)
    consumer: str = Field(index=True)
    provider: str = Field(index=True)
    unit_price_fen: int = Field(sa_column=_big())
    runs: int
    placed_at: str
    expires: str
    confirmation: str = Field(sa_column=_text())
    state: str
    used: int


class CursorRow(SQLModel, table=True):
    """How far the log was read for metering. Its row is the lock under which runs are metered."""

    __tablename__ = "market_cursor"

    name: str = Field(primary_key=True)
    position: int = Field(sa_column=_big())


class MeterRow(SQLModel, table=True):
    """A run of an order, metered once. `statement` is empty until it stands on one.

    Consumers choose run ids, and may choose one twice at two providers: only with its order is a run's id its own.
    """

    __tablename__ = "market_meter"

    run: str = Field(primary_key=True)
    log_index: int = Field(sa_column=_big())
    order_id: str = Field(foreign_key="market_order.id", index=True, primary_key=True)
    consumer: str
    request: str
    units: int
    amount_fen: int = Field(sa_column=_big())
    at: str
    statement: str = Field(index=True)


class AnomalyRow(SQLModel, table=True):
    """A logged run that was not charged, and why."""

    __tablename__ = "market_anomaly"

    log_index: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    run: str
    issuer: str
    reason: str
    detail: str = Field(sa_column=_text())


class StatementRow(SQLModel, table=True):
    """A statement as signed."""

    __tablename__ = "market_statement"

    id: str = Field(primary_key=True)
    consumer: str = Field(index=True)
    until: str
    total_fen: int = Field(sa_column=_big())
    signed: str = Field(sa_column=_text())


class SettlementRow(SQLModel, table=True):
    """A settlement as signed; one for a statement, ever."""

    __tablename__ = "market_settlement"
    __table_args__ = (UniqueConstraint("statement"),)

    id: str = Field(primary_key=True)
    statement: str = Field(foreign_key="market_statement.id")
    signed: str = Field(sa_column=_text())


class PostingRow(SQLModel, table=True):
    """One posting of a journal; a journal is named by the statement or settlement it books."""

    __tablename__ = "market_posting"

    journal: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    account: str = Field(index=True)
    fen: int = Field(sa_column=_big())
    at: str
