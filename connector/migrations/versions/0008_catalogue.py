"""The catalogue's index: datasets ready to be shown, what they are found by, and who may see them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_catalogue",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("identifier", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("terms", "audience", "provider", "theme", "region", "title_zh", "title_en", "words", "dataset")
        ),
    )
    for columns in (["sequence", "audience", "terms"], ["theme", "sequence"], ["region", "sequence"]):
        name = "order" if columns[0] == "sequence" else columns[0]
        op.create_index(f"ix_connector_catalogue_{name}", "connector_catalogue", columns)
    for column in ("terms", "title_zh", "title_en"):
        op.create_index(f"ix_connector_catalogue_{column}", "connector_catalogue", [column])
    op.create_table(
        "connector_catalogue_keyword",
        sa.Column("keyword", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "connector_catalogue_terms",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("audience", sa.Text, nullable=False, index=True),
        sa.Column("terms", sa.Text, nullable=False),
    )
    op.create_table(
        "connector_catalogue_listed",
        sa.Column("participant", sa.Text, primary_key=True),
        sa.Column("terms", sa.Text, primary_key=True),
    )
    revision_table = op.create_table(
        "connector_catalogue_revision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])
