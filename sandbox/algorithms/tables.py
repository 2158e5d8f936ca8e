"""The repository's tables: algorithms, their trials on synthetic tables, and what people said of them."""

from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


def _text() -> Column[str]:
    return Column(Text, nullable=False)


class AlgorithmRow(SQLModel, table=True):
    """An algorithm. `digest` is that of `document`, which never changes; only `state` does."""

    __tablename__ = "sandbox_algorithm"
    __table_args__ = (UniqueConstraint("name", "version"),)

    digest: str = Field(primary_key=True)
    name: str = Field(index=True)
    version: int
    author: str
    state: str = Field(index=True)
    document: str = Field(sa_column=_text())
    submitted: str


class TrialRow(SQLModel, table=True):
    """One try on a twin: `report` says rule by rule what was found."""

    __tablename__ = "sandbox_algorithm_trial"

    digest: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    product: str
    version: int
    parameters: str = Field(sa_column=_text())
    environment: str
    passed: bool
    report: str = Field(sa_column=_text())
    at: str


class JudgementRow(SQLModel, table=True):
    """What a person said of an algorithm."""

    __tablename__ = "sandbox_algorithm_judgement"

    digest: str = Field(primary_key=True)
    reviewer: str = Field(primary_key=True)
    organisation: str
    agrees: bool
    reason: str = Field(sa_column=_text())
    at: str
