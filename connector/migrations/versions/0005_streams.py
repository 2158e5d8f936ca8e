"""Streams of events, and the calls of API products."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_stream",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("newest", sa.BigInteger, nullable=False),
        sa.Column("before_oldest", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "connector_event",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("key", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("appended", sa.Text, nullable=False),
    )
    op.create_index("ix_connector_event_key", "connector_event", ["stream", "key"], unique=True)
    op.create_index("ix_connector_event_appended", "connector_event", ["stream", "appended"])
    op.create_table(
        "connector_call",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("transfer", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("request_bytes", sa.BigInteger, nullable=False),
        sa.Column("answer_bytes", sa.BigInteger, nullable=False),
        sa.Column("milliseconds", sa.Integer),
        sa.Column("begun", sa.Text, nullable=False),
    )
    op.create_index("ix_connector_call_transfer", "connector_call", ["transfer", "begun"])
