"""The airlock: reviewers, reviews, votes, audit.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sandbox_reviewer",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("token_digest", sa.String, nullable=False, index=True),
        sa.Column("added", sa.String, nullable=False),
        sa.Column("removed", sa.String),
    )
    op.create_table(
        "sandbox_review",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("product", sa.String, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("required", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("sealed_digest", sa.String, nullable=False),
        sa.Column("opened", sa.String, nullable=False),
        sa.Column("expires", sa.String, nullable=False),
        sa.Column("ended", sa.String),
    )
    op.create_table(
        "sandbox_review_vote",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("reviewer", sa.String, primary_key=True),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("decision", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "sandbox_review_event",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
