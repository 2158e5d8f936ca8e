"""Offers: definitions, and what persons offered in negotiations."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_offer",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_bargain",
        sa.Column("negotiation", sa.Text, primary_key=True),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
