"""The register of families: which population a charge is about, under which cap, of which columns and cohort.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name, default in (("population", ""), ("cap", ""), ("columns", "[]"), ("cohort", "")):
        op.add_column("sandbox_lattice_charge", sa.Column(name, sa.String, nullable=False, server_default=default))
    op.create_index("ix_sandbox_lattice_charge_population", "sandbox_lattice_charge", ["population"])
