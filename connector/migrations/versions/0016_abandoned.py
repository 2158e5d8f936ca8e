"""Uploads that are noted and will not be finished are found without looking at every push."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    noted = sa.text("upload IS NOT NULL")
    op.create_index("ix_connector_push_upload", "connector_push", ["due"], postgresql_where=noted, sqlite_where=noted)
