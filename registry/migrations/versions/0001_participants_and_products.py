"""Participants, identifiers, products, and the catalogue that searches read."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text("status <> 'rejected'")


def _texts(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "registry_participant",
        sa.Column("id", sa.Text(), primary_key=True),
        *_texts("did", "status", "name", "name_zh", "owner_code", "region", "roles", "dsp_url", "contact", "document"),
        *_texts("application", "application_digest", "applied", "identifier", "credential", "reason", "decided"),
    )
    op.create_index(
        "registry_participant_live",
        "registry_participant",
        ["did"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index("registry_participant_status", "registry_participant", ["status", "applied"])
    op.create_table(
        "registry_identifier",
        sa.Column("identifier", sa.Text(), primary_key=True),
        *_texts("kind", "holder", "allocated"),
    )
    op.create_table(
        "registry_product",
        sa.Column("identifier", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        *_texts("provider", "digest", "signed", "published"),
    )
    op.create_index("ix_registry_product_provider", "registry_product", ["provider"])
    op.create_table(
        "registry_catalogue",
        sa.Column("identifier", sa.Text(), primary_key=True),
        *_texts("provider", "provider_name", "theme", "region"),
        sa.Column("personal", sa.Boolean(), nullable=False),
        *_texts("words", "summary", "published"),
    )
    op.create_index("registry_catalogue_order", "registry_catalogue", ["published", "identifier"])
    for facet in ("provider", "theme", "region", "personal"):
        op.create_index(f"ix_registry_catalogue_{facet}", "registry_catalogue", [facet])
    op.create_table(
        "registry_catalogue_mode",
        sa.Column("identifier", sa.Text(), primary_key=True),
        sa.Column("mode", sa.Text(), primary_key=True),
    )
    op.create_index("registry_catalogue_mode_mode", "registry_catalogue_mode", ["mode", "identifier"])
