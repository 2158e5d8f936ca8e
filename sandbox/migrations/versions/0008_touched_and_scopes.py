"""Whether an attempt at a job may have read data; the products whose outputs a reviewer of another organisation sees.

Of jobs that were attempted before, it is taken for granted; and such reviewers see none until the provider names some.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sandbox_job", sa.Column("touched", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(sa.text("UPDATE sandbox_job SET touched = :yes WHERE attempts > 0").bindparams(yes=True))
    op.add_column("sandbox_reviewer", sa.Column("products", sa.Text, nullable=False, server_default="[]"))
