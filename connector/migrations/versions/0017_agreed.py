"""The negotiation that led to an agreement is found by all that is asked of it.

PostgreSQL took the index of the peers' process ids before it had counted anything, because more of what was asked for
stands there, and went through every negotiation with that peer for each transfer.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_connector_process_agreement", "connector_process")
    columns = ["agreement_id", "kind", "role", "counterparty", "created"]
    op.create_index("ix_connector_process_agreement", "connector_process", columns)
