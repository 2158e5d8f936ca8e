"""When a product ceased to be offered."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_product", sa.Column("withdrawn", sa.Text))
