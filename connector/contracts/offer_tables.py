"""The tables of offers. Rows are shapes for the database only; `offer_store` turns them into values."""

from sqlmodel import Field, SQLModel


class OfferRow(SQLModel, table=True):
    """An offer definition in its newest revision; `withdrawn` ones are kept, so that no revision is used twice."""

    __tablename__ = "connector_offer"

    name: str = Field(primary_key=True)
    revision: int
    definition: str
    withdrawn: bool
    created: str
    updated: str


class BargainRow(SQLModel, table=True):
    """The last offer that a person of ours made in a negotiation, which from then on no program answers."""

    __tablename__ = "connector_bargain"

    negotiation: str = Field(primary_key=True)
    offer: str
    updated: str
