"""Delivery: sources of resources, what was handed over of a download, pushes, and what arrives here."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_resource", sa.Column("source", sa.Text))
    op.create_table(
        "connector_handover",
        sa.Column("transfer", sa.Text, primary_key=True),
        sa.Column("serial", sa.Integer, nullable=False),
        sa.Column("serial_shown", sa.Boolean, nullable=False),
        sa.Column("begun", sa.Boolean, nullable=False),
        sa.Column("volume", sa.BigInteger, nullable=False),
        sa.Column("finished", sa.Boolean, nullable=False),
    )
    op.create_table(
        "connector_push",
        sa.Column("transfer", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_connector_push_due", "connector_push", ["state", "due"])
    op.create_table(
        "connector_arrival",
        sa.Column("transfer", sa.Text, primary_key=True),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("token_digest", sa.Text),
        sa.Column("access", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("digest", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("path", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
    op.create_index("ix_connector_arrival_due", "connector_arrival", ["state", "due"])
