"""Permits in use, runs, released cells and answers, aggregation jobs.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sandbox_permit",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("revoked", sa.Text),
    )
    op.create_table(
        "sandbox_run",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("permit", sa.String, nullable=False, index=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("request_digest", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("permit_jws", sa.Text, nullable=False),
        sa.Column("request_jws", sa.Text, nullable=False),
        sa.Column("context", sa.Text),
        sa.Column("ciphertext", sa.Text),
        sa.Column("isolation", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("finished", sa.String),
    )
    op.create_table(
        "sandbox_data",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data_digest", sa.String, nullable=False),
    )
    op.create_table(
        "sandbox_release",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("query_digest", sa.String, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "sandbox_released_cell",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("basis", sa.String, primary_key=True),
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
    )
    op.create_index("sandbox_released_cell_by_size", "sandbox_released_cell", ["product", "version", "basis", "size"])
    op.create_table(
        "sandbox_aggregation",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("planner", sa.String, nullable=False),
        sa.Column("contributors", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("total", sa.Text),
        sa.Column("receipt", sa.Text),
        sa.Column("opened", sa.String, nullable=False),
    )
    op.create_table(
        "sandbox_contribution",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("contributor", sa.String, primary_key=True),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("ciphertext", sa.Text),
        sa.Column("received", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("contribution", "aggregation", "released_cell", "release", "data", "run", "permit"):
        op.drop_table(f"sandbox_{table}")
