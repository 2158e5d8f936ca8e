"""What groups of analysts asked for in the controlled lane.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "sandbox_query_set",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("consumers", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("query_digest", sa.String, primary_key=True),
        sa.Column("cells", sa.Integer, nullable=False),
        sa.Column("run", sa.String, nullable=False),
    )
    op.create_index("sandbox_query_set_by_question", "sandbox_query_set", ["product", "version", "query_digest"])
