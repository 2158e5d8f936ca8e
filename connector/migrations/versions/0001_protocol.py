"""Processes, inbox and outbox of the Dataspace Protocol engine."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

PENDING = sa.text("state = 'pending' AND process_pid IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "connector_process",
        sa.Column("pid", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("kind", "role", "state", "counterparty")),
        sa.Column("callback_address", sa.String, nullable=False),
        sa.Column("peer_pid", sa.String),
        sa.Column("dataset_id", sa.String),
        sa.Column("offer", sa.Text),
        sa.Column("agreement", sa.Text),
        sa.Column("agreement_id", sa.String),
        sa.Column("format", sa.String),
        sa.Column("data_address", sa.Text),
        sa.Column("suspended_by", sa.String),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("updated", sa.String, nullable=False),
    )
    op.create_index(
        "ix_connector_process_peer", "connector_process", ["kind", "role", "counterparty", "peer_pid"], unique=True
    )
    op.create_index("ix_connector_process_agreement", "connector_process", ["agreement_id"])
    op.create_index("ix_connector_process_created", "connector_process", ["kind", "created"])
    op.create_table(
        "connector_inbox",
        sa.Column("counterparty", sa.String, primary_key=True),
        sa.Column("message_key", sa.String, primary_key=True),
        sa.Column("pid", sa.String, nullable=False),
        sa.Column("received", sa.String, nullable=False),
    )
    op.create_table(
        "connector_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("process_pid", sa.String),
        sa.Column("audience", sa.String),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("reference", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.String, nullable=False),
        sa.Column("due", sa.String, nullable=False),
        sa.Column("holder", sa.String),
        sa.Column("last_error", sa.Text),
    )
    op.create_index("ix_connector_outbox_due", "connector_outbox", ["state", "due"])
    op.create_index(
        "ix_connector_outbox_pending",
        "connector_outbox",
        ["process_pid"],
        unique=True,
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
