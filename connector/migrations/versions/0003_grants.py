"""Grants: what data planes hand over, counted per transfer."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_grant",
        sa.Column("transfer", sa.Text, primary_key=True),
        sa.Column("agreement", sa.Text, nullable=False, index=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("volume", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
