"""The lattice's ledger and its published tables."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sandbox_lattice_charge",
        sa.Column("product", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("measure", sa.Text, primary_key=True),
        sa.Column("family", sa.Text, nullable=False, index=True),
        sa.Column("spent", sa.Text, nullable=False),
        sa.Column("plan_digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("charged", sa.Text, nullable=False),
    )
    op.create_table(
        "sandbox_lattice_table",
        sa.Column("product", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("measure", sa.Text, primary_key=True),
        sa.Column("component", sa.Text, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
