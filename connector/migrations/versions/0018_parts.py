"""Part files are known by their inode, so that those of deliveries that have ended are found and removed."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_arrival", sa.Column("part", sa.String))
    noted = sa.text("part IS NOT NULL")
    op.create_index(
        "ix_connector_arrival_part", "connector_arrival", ["due"], postgresql_where=noted, sqlite_where=noted
    )
