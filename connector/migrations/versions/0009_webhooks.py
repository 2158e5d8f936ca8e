"""Subscriptions to events; their deliveries stand in the outbox, found by its reference."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WEBHOOK = sa.text("destination = 'webhook'")


def upgrade() -> None:
    op.create_table(
        "connector_subscription",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("patterns", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
    )
    op.create_index(
        "ix_connector_outbox_webhook",
        "connector_outbox",
        ["reference", "id"],
        sqlite_where=WEBHOOK,
        postgresql_where=WEBHOOK,
    )
