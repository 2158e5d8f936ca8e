"""The table of subscriptions. Deliveries stand in the outbox (`protocol.tables`), under the subscription's id."""

from sqlmodel import Field, SQLModel


class SubscriptionRow(SQLModel, table=True):
    """Somebody who is told of events. `patterns` is a JSON list; `ended` says when and why no more is sent."""

    __tablename__ = "connector_subscription"

    id: str = Field(primary_key=True)
    url: str
    patterns: str
    created: str
    ended: str | None = None
