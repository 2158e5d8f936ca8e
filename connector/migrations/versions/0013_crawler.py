"""The federated catalogue: whose catalogues are crawled, and what was found in them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _counted() -> sa.Column[int]:
    # AUTOINCREMENT is not asked of SQLite: a sequence may come again once its dataset is gone.
    return sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def upgrade() -> None:
    op.create_table(
        "connector_crawled_peer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("did", sa.Text, nullable=False, unique=True),
        *_texts("added", "address", "state", "first", "tag", "left_out_why"),
        *_texts("due", "reason", "progress", "checked", "completed", "lease", "holder", "leased_until", nullable=True),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("by_hand", "member", "slow")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("failures", "left_out")),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_connector_crawled_peer_due", "connector_crawled_peer", ["due"])
    op.create_table(
        "connector_crawled",
        _counted(),
        sa.Column("peer", sa.BigInteger, nullable=False),
        *_texts("identifier", "digest", "theme"),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("peer", "identifier"),
        # Each crawl writes its generation into every row; where there is room beside it, no index need be told.
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_connector_crawled_theme", "connector_crawled", ["theme", "sequence"])
    op.create_index("ix_connector_crawled_identifier", "connector_crawled", ["identifier"])
    op.create_table(
        "connector_crawled_content",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        *_texts("title", "name", "other_name", "words", "dataset", "changed"),
    )
    op.create_table(
        "connector_crawled_keyword",
        sa.Column("keyword", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.create_index("ix_connector_crawled_keyword_sequence", "connector_crawled_keyword", ["sequence"])
