"""The newest tokens of a transfer, for everybody who fetches under it, not for downloads alone."""

import sqlalchemy as sa
from alembic import op

from hexi.canonical import encode, parse

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kept = op.create_table(
        "connector_access",
        sa.Column("transfer", sa.Text, primary_key=True),
        sa.Column("given", sa.Text, nullable=False),
        sa.Column("tokens", sa.Text, nullable=False),
        sa.Column("renewing", sa.Text),
    )
    arrivals = sa.table("connector_arrival", sa.column("transfer", sa.Text), sa.column("access", sa.Text))
    for transfer, access in op.get_bind().execute(sa.select(arrivals).where(arrivals.c.access.is_not(None))).all():
        tokens = parse(access)
        given = f"Bearer {tokens.pop('given')}"
        op.bulk_insert(kept, [{"transfer": transfer, "given": given, "tokens": encode(tokens).decode()}])
    op.drop_column("connector_arrival", "access")
