"""Released cells say which population they are of: they are compared over all products about it.

Those of before are of the one that a product is about that names none. What is about a measure is from now on called by
its table too, as in the controlled lane; of the lane of single tables the cells of before are compared as counts only.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sandbox_released_cell", sa.Column("population", sa.String, nullable=False, server_default=""))
    op.drop_index("sandbox_released_cell_by_size", table_name="sandbox_released_cell")
    op.create_index("sandbox_released_cell_of_population", "sandbox_released_cell", ["population", "basis", "size"])
