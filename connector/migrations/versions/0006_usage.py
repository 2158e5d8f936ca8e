"""Usage: what grants count beyond uses and bytes, and when uses began."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_grant", sa.Column("records", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("connector_grant", sa.Column("under_way", sa.BigInteger, nullable=False, server_default="0"))
    for name in ("digest", "party", "order_id", "paid"):
        op.add_column("connector_grant", sa.Column(name, sa.Text))
    op.create_index("ix_connector_grant_order_id", "connector_grant", ["order_id"])
    op.create_table(
        "connector_use",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("agreement", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_connector_use_agreement", "connector_use", ["agreement", "at"])
