"""The queue: jobs, what happened to them, and whose turn it is.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sandbox_job",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("consumer", sa.String, nullable=False),
        sa.Column("product", sa.String, nullable=False),
        sa.Column("request_digest", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.String, nullable=False),
        sa.Column("holder", sa.String),
        sa.Column("reason", sa.Text),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("submitted", sa.String, nullable=False),
        sa.Column("finished", sa.String),
    )
    op.create_index("sandbox_job_next", "sandbox_job", ["consumer", "state", "due"])
    op.create_index("sandbox_job_due", "sandbox_job", ["state", "due"])
    op.create_index("sandbox_job_of_consumer", "sandbox_job", ["consumer", "submitted"])
    op.create_table(
        "sandbox_job_event",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "sandbox_job_turn",
        sa.Column("consumer", sa.String, primary_key=True),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("under_way", sa.Integer, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("job_turn", "job_event", "job"):
        op.drop_table(f"sandbox_{table}")
