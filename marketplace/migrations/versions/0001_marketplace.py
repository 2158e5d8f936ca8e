"""Certificates, listings, orders, meters, statements, settlements, postings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _string(name: str, **options: object) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False, **options)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _integer(name: str, **options: object) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, **options)


def _big(name: str, **options: object) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, **options)


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def upgrade() -> None:
    _certificates()
    _listings()
    _orders()
    _books()


def _certificates() -> None:
    op.create_table("market_serial", _string("month", primary_key=True), _integer("last"))
    op.create_table(
        "market_certificate",
        _string("number", primary_key=True),
        _string("product"),
        _integer("version"),
        _string("holder"),
        _string("digest"),
        _string("valid_until"),
        _text("signed"),
        _text("report"),
        _big("log_index"),
    )
    _index("market_certificate", "product")


def _listings() -> None:
    op.create_table(
        "market_listing",
        _string("id", primary_key=True),
        _string("product"),
        _integer("version"),
        _string("provider"),
        _string("certificate"),
        _string("title_zh"),
        _string("title_en"),
        _text("terms_zh"),
        _text("terms_en"),
        _big("unit_price_fen"),
        _string("state"),
        _string("created"),
        _string("living", unique=True),
    )
    _index("market_listing", "product", "state")
    op.create_table(
        "market_listing_event",
        sa.Column("listing", sa.String(), sa.ForeignKey("market_listing.id"), primary_key=True),
        _integer("number", primary_key=True, autoincrement=False),
        _string("step"),
        _string("state"),
        _big("unit_price_fen"),
        _string("by"),
        _string("at"),
    )


def _orders() -> None:
    op.create_table(
        "market_order",
        _string("id", primary_key=True),
        sa.Column("listing", sa.String(), sa.ForeignKey("market_listing.id"), nullable=False),
        _string("product"),
        _string("agreement"),
        _string("consumer"),
        _string("provider"),
        _big("unit_price_fen"),
        _integer("runs"),
        _string("placed_at"),
        _string("expires"),
        _text("confirmation"),
        _string("state"),
        _integer("used"),
    )
    _index("market_order", "agreement", "consumer", "provider")
    op.create_table("market_cursor", _string("name", primary_key=True), _big("position"))
    op.create_table(
        "market_meter",
        _string("run", primary_key=True),
        _big("log_index"),
        sa.Column("order_id", sa.String(), sa.ForeignKey("market_order.id"), primary_key=True),
        _string("consumer"),
        _string("request"),
        _integer("units"),
        _big("amount_fen"),
        _string("at"),
        _string("statement"),
    )
    _index("market_meter", "order_id", "statement")
    op.create_table(
        "market_anomaly",
        _big("log_index", primary_key=True, autoincrement=False),
        _string("run"),
        _string("issuer"),
        _string("reason"),
        _text("detail"),
    )


def _books() -> None:
    op.create_table(
        "market_statement",
        _string("id", primary_key=True),
        _string("consumer"),
        _string("until"),
        _big("total_fen"),
        _text("signed"),
    )
    _index("market_statement", "consumer")
    op.create_table(
        "market_settlement",
        _string("id", primary_key=True),
        sa.Column("statement", sa.String(), sa.ForeignKey("market_statement.id"), nullable=False, unique=True),
        _text("signed"),
    )
    op.create_table(
        "market_posting",
        _string("journal", primary_key=True),
        _integer("number", primary_key=True, autoincrement=False),
        _string("account"),
        _big("fen"),
        _string("at"),
    )
    _index("market_posting", "account")
