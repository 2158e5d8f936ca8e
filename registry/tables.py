"""The registry's tables. Documents and signatures are kept as they came; the catalogue is an index over them."""

from sqlalchemy import BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel

_LIVE = text("status <> 'rejected'")


class ParticipantRow(SQLModel, table=True):
    """An application and what became of it. A DID has one that was not rejected, at most."""

    __tablename__ = "registry_participant"
    __table_args__ = (
        Index("registry_participant_live", "did", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
        Index("registry_participant_status", "status", "applied"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    did: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    name_zh: str = Field(sa_type=Text)
    owner_code: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    roles: str = Field(sa_type=Text)
    dsp_url: str = Field(sa_type=Text)
    contact: str = Field(sa_type=Text)
    document: str = Field(sa_type=Text)
    application: str = Field(sa_type=Text)
    application_digest: str = Field(sa_type=Text)
    applied: str = Field(sa_type=Text)
    identifier: str = Field(default="", sa_type=Text)
    credential: str = Field(default="", sa_type=Text)
    reason: str = Field(default="", sa_type=Text)
    decided: str = Field(default="", sa_type=Text)


class IdentifierRow(SQLModel, table=True):
    """An identifier once given: to whom, for what. It is never changed and never given again."""

    __tablename__ = "registry_identifier"

    identifier: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    holder: str = Field(sa_type=Text)
    allocated: str = Field(sa_type=Text)


class ProductRow(SQLModel, table=True):
    """A product in one version, with its provider's signature. Never changed."""

    __tablename__ = "registry_product"

    identifier: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    provider: str = Field(sa_type=Text, index=True)
    digest: str = Field(sa_type=Text)
    signed: str = Field(sa_type=Text)
    published: str = Field(sa_type=Text)


class CatalogueRow(SQLModel, table=True):
    """The newest version of a product whose provider is active: what searches see. `position` counts publications.

    `modes` are set off by bars, ``|file|api|``; `words` is what searches look through (its grams are indexed in
    `CATALOGUE_GRAMS` under the position), `summary` what a page shows.
    """

    __tablename__ = "registry_catalogue"
    __table_args__ = (
        # What is far down, or found by facets, is counted off in this index alone.
        Index("registry_catalogue_order", "position", "theme", "region", "provider", "personal", "modes"),
        Index("registry_catalogue_theme", "theme", "position"),
        Index("registry_catalogue_region", "region", "position"),
        Index("registry_catalogue_provider", "provider", "position"),
    )

    position: int | None = Field(
        default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )
    identifier: str = Field(sa_type=Text, unique=True)
    provider: str = Field(sa_type=Text)
    theme: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    personal: bool
    modes: str = Field(sa_type=Text)
    words: str = Field(sa_type=Text)
    summary: str = Field(sa_type=Text)


# The index of grams (`registry.words`) over `CatalogueRow.words`.
CATALOGUE_GRAMS = "registry_catalogue_grams"


class DivisionRow(SQLModel, table=True):
    """How many products of the catalogue have a value of a facet, within all of them or those with another value.

    `registry.search.divisions` says what there is. `name` is a provider's, as JSON in both languages.
    """

    __tablename__ = "registry_catalogue_division"
    __table_args__ = (Index("registry_catalogue_division_order", "within", "facet", "products"),)

    within: str = Field(primary_key=True, sa_type=Text)
    facet: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    products: int
