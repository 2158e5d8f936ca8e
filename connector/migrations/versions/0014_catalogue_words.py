"""The catalogue's index of words, and its order by identifier."""

import sqlalchemy as sa
from alembic import op

from registry.words import fold
from registry.words import store as word_index

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_NAME = "connector_catalogue"


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column(_NAME, sa.Column("identifier_folded", sa.Text, nullable=False, server_default=""))
    if connection.dialect.name == "postgresql":
        op.execute(sa.text('ALTER TABLE connector_catalogue ALTER COLUMN identifier TYPE TEXT COLLATE "C"'))
    op.create_index("ix_connector_catalogue_by_id", _NAME, ["identifier", "audience", "terms"])
    word_index.create(connection, f"{_NAME}_grams")
    known = connection.execute(sa.text("SELECT sequence, identifier, words FROM connector_catalogue")).all()
    word_index.keep(connection, f"{_NAME}_grams", {row.sequence: row.words for row in known})
    named = sa.text("UPDATE connector_catalogue SET identifier_folded = :folded WHERE sequence = :sequence")
    for row in known:
        connection.execute(named, {"folded": fold(row.identifier), "sequence": row.sequence})
