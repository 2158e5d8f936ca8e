"""What a published measure was built from, for receipts that do not look at the files.

A version's cube was built from the files that the version was held to with its first question; from which version's
files a cohort was built is not known of those published before.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KNOWN = """
    UPDATE sandbox_lattice_charge SET data_digest = (
        SELECT data_digest FROM sandbox_data
        WHERE sandbox_data.product = sandbox_lattice_charge.product
          AND sandbox_data.version = sandbox_lattice_charge.version
    ) WHERE state = 'published' AND version > 0
"""


def upgrade() -> None:
    op.add_column("sandbox_lattice_charge", sa.Column("data_digest", sa.String, nullable=True))
    op.execute(sa.text(KNOWN))
