"""What is known of an upload in parts, so that it is taken up where it was."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_push", sa.Column("upload", sa.Text))
