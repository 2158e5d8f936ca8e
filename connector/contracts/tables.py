"""The tables of the business side. Rows are shapes for the database only; `business_store` turns them into values."""

from sqlmodel import Field, SQLModel


class ResourceRow(SQLModel, table=True):
    """A data resource at this connector: names of tables and where their files lie."""

    __tablename__ = "connector_resource"

    name: str = Field(primary_key=True)
    tables: str
    source: str | None = None
    created: str


class ProductRow(SQLModel, table=True):
    """A version of a product we published, as signed."""

    __tablename__ = "connector_product"

    identifier: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    resource: str = Field(index=True)
    # What the request said, so that publishing the same again is known for what it is.
    request_digest: str
    signed: str
    published: str | None
    receipt: str | None
    # When it ceased to be offered. Agreements about it go on.
    withdrawn: str | None = None
    created: str


class AgreementRow(SQLModel, table=True):
    """An agreement, in either role. `signed` carries one signature while AGREED, both once CONCLUDED."""

    __tablename__ = "connector_agreement"

    id: str = Field(primary_key=True)
    negotiation: str = Field(unique=True)
    role: str
    counterparty: str = Field(index=True)
    state: str
    odrl: str
    signed: str
    created: str


class EvidenceRow(SQLModel, table=True):
    """A ledger entry we sealed, and the ledger's receipt once it has come back."""

    __tablename__ = "connector_receipt"

    kind: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    digest: str
    entry: str
    receipt: str | None
    created: str


class PermitRow(SQLModel, table=True):
    """A permit we issued. `used` is set when it ends: from then on only the runs made count as granted."""

    __tablename__ = "connector_permit"

    id: str = Field(primary_key=True)
    transfer: str = Field(index=True)
    agreement: str = Field(index=True)
    order_id: str | None = Field(index=True)
    runs: int
    used: int | None
    jws: str
    ended: str | None
    created: str


class RequestRow(SQLModel, table=True):
    """A process the management client asked for under an id of its own, so that asking again starts nothing."""

    __tablename__ = "connector_request"

    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    digest: str
    process: str


class AskedRow(SQLModel, table=True):
    """A run or an encrypted sum asked for from here. `answer` is set once it came, and never changes."""

    __tablename__ = "connector_asked"

    id: str = Field(primary_key=True)
    kind: str
    # What was asked for: the same id with another question is refused.
    digest: str
    # The signed request as sent, so that sending it again sends the same bytes.
    request: str
    answer: str | None
    created: str
