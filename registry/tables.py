"""The registry's tables. Documents and signatures are kept as they came; the catalogue is an index over them."""

from sqlalchemy import Index, Text, text
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
    """The newest version of a product whose provider is active: what searches see.

    `provider_name` is JSON in both languages, `words` what searches look through, `summary` what a page shows.
    """

    __tablename__ = "registry_catalogue"
    __table_args__ = (Index("registry_catalogue_order", "published", "identifier"),)

    identifier: str = Field(primary_key=True, sa_type=Text)
    provider: str = Field(sa_type=Text, index=True)
    provider_name: str = Field(sa_type=Text)
    theme: str = Field(sa_type=Text, index=True)
    region: str = Field(sa_type=Text, index=True)
    personal: bool = Field(index=True)
    words: str = Field(sa_type=Text)
    summary: str = Field(sa_type=Text)
    published: str = Field(sa_type=Text)


class CatalogueModeRow(SQLModel, table=True):
    """A mode of use that a product in the catalogue offers."""

    __tablename__ = "registry_catalogue_mode"
    __table_args__ = (Index("registry_catalogue_mode_mode", "mode", "identifier"),)

    identifier: str = Field(primary_key=True, sa_type=Text)
    mode: str = Field(primary_key=True, sa_type=Text)
