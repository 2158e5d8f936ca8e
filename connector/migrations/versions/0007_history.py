"""What the history of a process is read from: when messages were settled, what they gave as reason, what opened it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connector_process", sa.Column("opening_id", sa.Text))
    op.add_column("connector_inbox", sa.Column("reason", sa.Text))
    op.create_index("ix_connector_inbox_pid", "connector_inbox", ["pid"])
    op.add_column("connector_outbox", sa.Column("settled", sa.Text))
    op.create_index("ix_connector_outbox_process", "connector_outbox", ["process_pid"])
