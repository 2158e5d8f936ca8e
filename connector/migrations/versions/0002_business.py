"""The business side: resources, products, agreements, receipts, permits, requests, runs asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_resource",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("tables", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_product",
        sa.Column("identifier", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("resource", sa.Text, nullable=False, index=True),
        sa.Column("request_digest", sa.Text, nullable=False),
        sa.Column("signed", sa.Text, nullable=False),
        sa.Column("published", sa.Text),
        sa.Column("receipt", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_agreement",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("negotiation", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("counterparty", sa.Text, nullable=False, index=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("odrl", sa.Text, nullable=False),
        sa.Column("signed", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_receipt",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("receipt", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_permit",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("transfer", sa.Text, nullable=False, index=True),
        sa.Column("agreement", sa.Text, nullable=False, index=True),
        sa.Column("order_id", sa.Text, index=True),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer),
        sa.Column("jws", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_request",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_asked",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
    )
