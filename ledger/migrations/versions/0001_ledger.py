"""The log, its tiles, its anchors."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    head = op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
    )
    # The row exists from the start, so that even the first two writers have something to queue at.
    op.bulk_insert(head, [{"id": 1, "size": 0, "checkpoint": ""}])
    op.create_table(
        "ledger_entry",
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("logged", sa.Text(), nullable=False),
        sa.UniqueConstraint("issuer", "kind", "subject", name="ledger_entry_once"),
    )
    op.create_index("ledger_entry_kind", "ledger_entry", ["kind", "index"])
    op.create_index("ledger_entry_subject", "ledger_entry", ["subject", "kind"])
    op.create_index("ledger_entry_digest", "ledger_entry", ["digest"])
    op.create_table(
        "ledger_tile",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_anchor",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("rights_contract", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
    )
    op.create_index("ix_ledger_anchor_size", "ledger_anchor", ["size"])
