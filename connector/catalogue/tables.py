"""The catalogue's index: one row for each product in its newest version, ready to be shown.

`store` keeps it in step with the products as signed (`connector_product`), which remain the truth.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Text
from sqlmodel import Field, SQLModel


class CatalogueRow(SQLModel, table=True):
    """A dataset. `sequence` counts first publications and is the catalogue's order; `dataset` is what a page shows."""

    __tablename__ = "connector_catalogue"
    __table_args__ = (
        # A far offset is counted off in this index alone.
        Index("ix_connector_catalogue_order", "sequence", "audience", "terms"),
        Index("ix_connector_catalogue_by_id", "identifier", "audience", "terms"),
        Index("ix_connector_catalogue_theme", "theme", "sequence"),
        Index("ix_connector_catalogue_region", "region", "sequence"),
    )

    sequence: int | None = Field(
        default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )
    # In the order of its characters' numbers, as SQLite has it; PostgreSQL would take that of its language.
    identifier: str = Field(sa_type=Text, unique=True)
    identifier_folded: str = Field(sa_type=Text)
    version: int
    # The digest of its terms (`TermsRow`), and their audience once more, for it is asked about in every search.
    terms: str = Field(sa_type=Text, index=True)
    audience: str = Field(sa_type=Text)
    provider: str = Field(sa_type=Text)
    theme: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    title_zh: str = Field(sa_type=Text, index=True)
    title_en: str = Field(sa_type=Text, index=True)
    # Title, description and keywords, folded, for searches by words.
    words: str = Field(sa_type=Text)
    dataset: str = Field(sa_type=Text)


# The index of grams (`registry.words`) over `CatalogueRow.words`.
CATALOGUE_GRAMS = "connector_catalogue_grams"


class KeywordRow(SQLModel, table=True):
    """A keyword of a dataset, folded."""

    __tablename__ = "connector_catalogue_keyword"

    keyword: str = Field(primary_key=True, sa_type=Text)
    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})


class TermsRow(SQLModel, table=True):
    """Terms that datasets are offered on, by digest, with their audience."""

    __tablename__ = "connector_catalogue_terms"

    digest: str = Field(primary_key=True, sa_type=Text)
    audience: str = Field(sa_type=Text, index=True)
    terms: str = Field(sa_type=Text)


class ListedRow(SQLModel, table=True):
    """A participant who may see what is offered on these terms."""

    __tablename__ = "connector_catalogue_listed"

    participant: str = Field(primary_key=True, sa_type=Text)
    terms: str = Field(primary_key=True, sa_type=Text)


class RevisionRow(SQLModel, table=True):
    """How often the catalogue has changed. One row; locking it lets changes commit in the order they are counted."""

    __tablename__ = "connector_catalogue_revision"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    value: int = Field(sa_type=BigInteger)
