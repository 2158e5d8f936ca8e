"""The sandbox's tables: permits in use, runs, what was released, and aggregation jobs."""

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel


def _text(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)


class PermitRow(SQLModel, table=True):
    """A permit that was used or revoked: how many of its runs are gone."""

    __tablename__ = "sandbox_permit"

    id: str = Field(primary_key=True)
    used: int = 0
    revoked: str | None = Field(default=None, sa_column=_text(nullable=True))


class RunRow(SQLModel, table=True):
    """A run, from the moment it is taken on. `owner` is the process that executes it; `answer` is there at its end."""

    __tablename__ = "sandbox_run"

    id: str = Field(primary_key=True)
    permit: str = Field(index=True)
    holder: str
    request_digest: str
    state: str = Field(index=True)
    owner: str
    # Both JWS and the public encryption context, to execute the run again after a crash.
    permit_jws: str = Field(sa_column=_text())
    request_jws: str = Field(sa_column=_text())
    context: str | None = Field(default=None, sa_column=_text(nullable=True))
    # An encrypted contribution that may have been sent: it is sent again as it is, never made anew.
    ciphertext: str | None = Field(default=None, sa_column=_text(nullable=True))
    isolation: str | None = Field(default=None, sa_column=_text(nullable=True))
    answer: str | None = Field(default=None, sa_column=_text(nullable=True))
    started: str
    finished: str | None = None


class DataRow(SQLModel, table=True):
    """Which data a product version is; the lock that makes releases from it one after another."""

    __tablename__ = "sandbox_data"

    product: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    data_digest: str


class ReleaseRow(SQLModel, table=True):
    """What was released for a query, to be answered alike from then on."""

    __tablename__ = "sandbox_release"

    product: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    query_digest: str = Field(primary_key=True)
    body: str = Field(sa_column=_text())


class ReleasedCellRow(SQLModel, table=True):
    """The sketch of a released cell. `basis` is the measure, or empty for counts; like is compared with like.

    Cells of all products about one population are compared: it does not matter through which one somebody is told.
    """

    __tablename__ = "sandbox_released_cell"
    __table_args__ = (Index("sandbox_released_cell_of_population", "population", "basis", "size"),)

    product: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    basis: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    population: str = ""
    size: int
    sketch: str = Field(sa_column=_text())


class AggregationRow(SQLModel, table=True):
    """An aggregation job. `total` and `receipt` are there when all have contributed."""

    __tablename__ = "sandbox_aggregation"

    job: str = Field(primary_key=True)
    planner: str
    contributors: str = Field(sa_column=_text())
    context: str = Field(sa_column=_text())
    state: str
    total: str | None = Field(default=None, sa_column=_text(nullable=True))
    receipt: str | None = Field(default=None, sa_column=_text(nullable=True))
    opened: str


class ContributionRow(SQLModel, table=True):
    """One contribution. The ciphertext is forgotten once the total is there; its digest stays."""

    __tablename__ = "sandbox_contribution"

    job: str = Field(primary_key=True)
    contributor: str = Field(primary_key=True)
    run: str
    digest: str
    ciphertext: str | None = Field(default=None, sa_column=_text(nullable=True))
    received: str


class LatticeChargeRow(SQLModel, table=True):
    """What publishing a measure of a version costs every person. Written, and durable, before any noise is drawn."""

    __tablename__ = "sandbox_lattice_charge"

    product: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    measure: str = Field(primary_key=True)
    family: str = Field(index=True)
    # The square of mu, as a fraction.
    spent: str
    # Whom it is about: products of one population share their families' ledgers; and the cap this one declared.
    population: str = Field(default="", index=True)
    cap: str = ""
    # The table's columns that the measure says something of, as a JSON list.
    columns: str = "[]"
    # The cohort, for one that is published by itself; its version is then a number below nought.
    cohort: str = ""
    plan_digest: str
    state: str
    charged: str
    # What its tables were built from, as `sandbox_data` has it; None before, and where it was not kept yet.
    data_digest: str | None = None


class LatticeTableRow(SQLModel, table=True):
    """A noisy residual table, as 64-bit integers."""

    __tablename__ = "sandbox_lattice_table"

    product: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    measure: str = Field(primary_key=True)
    component: str = Field(primary_key=True)
    body: bytes


class QuerySetRow(SQLModel, table=True):
    """A question that a group of analysts asked in the controlled lane, the cells it asked for, and its newest run."""

    __tablename__ = "sandbox_query_set"
    __table_args__ = (Index("sandbox_query_set_by_question", "product", "version", "query_digest"),)

    product: str = Field(primary_key=True)
    consumers: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    query_digest: str = Field(primary_key=True)
    cells: int
    run: str
