"""Preview: what a query would come to before anybody orders it, and a synthetic twin to try it on.

Nothing here touches a table. A dry run is a matter of the query's text and the published description; a twin is drawn
from the description, or from numbers that were released already.
"""

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from hexi.canonical import Json, Wire
from registry.catalogue import Name
from sandbox.messages import ReasonBody
from sandbox.queries.query import MAX_QUERY_CHARACTERS, SQL_MODE

# The product's description, beside the tables of its twin: there 'hexi sandbox try' looks for it.
PRODUCT_FILE = "product.json"
# Rows of one table of a twin: enough to try on, and soon drawn.
MAX_TWIN_ROWS = 20_000


class TwinFormat(StrEnum):
    """How a twin's tables are written."""

    CSV = "csv"
    PARQUET = "parquet"


class TwinSidecar(Wire):
    """What a twin says of itself. `source` is ``schema`` or ``published-cube``; `policy` and `plan` name the latter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "synthetic-twin",
                    "product": "691620000000000000X6210A1B2C3D41",
                    "version": 1,
                    "productDigest": "sha256:0",
                    "source": "schema",
                    "seed": 7,
                    "rows": {"visits": 1000},
                    "notice": "Synthetic: no row is a person.",
                }
            ]
        }
    )

    type: Literal["synthetic-twin"] = "synthetic-twin"
    product: str
    version: int
    product_digest: str
    source: Literal["schema", "published-cube"]
    policy: str | None = None
    plan: str | None = None
    seed: int
    # By table. Whoever writes files named for them can rely on their being names.
    rows: dict[Name, int]
    notice: str


class AskDryRun(Wire):
    """POST /sandbox/dry-runs: a product of this provider, and a query."""

    product: str = Field(max_length=200)
    # A longer one is refused by review, with a reason; this is only against nonsense.
    query: str = Field(max_length=8 * MAX_QUERY_CHARACTERS)
    mode: str = Field(default=SQL_MODE, max_length=100)


class Rule(Wire):
    """A rule that a run of this query will be held to."""

    rule: str
    says: str


class ExpectedError(Wire):
    """How far off a column's numbers will be: standard errors, and half of the 95 % interval's width, cell by cell.

    `assumes` is empty where only noise decides; a mean's error depends on how many people are in a cell, and then it
    says what was assumed of them. Null where noise would leave open whether there is an answer at all.
    """

    column: str
    smallest: float | None
    largest: float | None
    half_width: float | None = Field(description="Of the 95 % interval, in the worst cell.")
    assumes: str = ""


class ExpectedCell(Wire):
    """A cell of the answer: its labels, and half of the 95 % interval's width of every column. `shown`: whether it
    would be if the declared size were spread evenly."""

    labels: tuple[str, ...]
    half_widths: tuple[float | None, ...]
    shown: bool


class Price(Wire):
    """What a run costs, in hundredths of the currency's unit."""

    amount: int = Field(ge=0)
    currency: str = "CNY"


class DryRun(Wire):
    """What would come of a query. `cells` is how many there are; `expected` lists them where there are few."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "product": "691620000000000000X6210A1B2C3D41",
                    "version": 1,
                    "lane": "lattice",
                    "verdict": "admissible",
                    "query": "SELECT sex, COUNT(*) FROM patients GROUP BY sex",
                    "reasons": [],
                    "cells": 2,
                    "errors": [{"column": "count", "smallest": 3.1, "largest": 3.1, "halfWidth": 6.0, "assumes": ""}],
                    "expected": [
                        {"labels": ["f"], "halfWidths": [6.0], "shown": True},
                        {"labels": ["m"], "halfWidths": [6.0], "shown": True},
                    ],
                    "rules": [{"rule": "published-cube", "says": "numbers come from the published cube"}],
                    "runTime": "under 1 s",
                    "price": {"amount": 50000, "currency": "CNY"},
                }
            ]
        }
    )

    product: str
    version: int
    lane: str
    # admissible or refused: whether the query may be asked at all. What it releases may still be refused.
    verdict: str
    query: str | None = None
    reasons: tuple[ReasonBody, ...] = ()
    cells: int | None = None
    errors: tuple[ExpectedError, ...] = ()
    expected: tuple[ExpectedCell, ...] = ()
    rules: tuple[Rule, ...] = ()
    run_time: str
    # Whoever knows the listing puts it in; a sandbox sells nothing.
    price: Price | None = None
    price_unknown: str | None = Field(default=None, description="Where the price was looked for: why there is none.")

    def priced(self, amount: int) -> "DryRun":
        """The same with the price of a run, in hundredths of a yuan, for whoever knows the product's listing."""
        return self.model_copy(update={"price": Price(amount=amount), "price_unknown": None})

    def unpriced(self, why: str) -> "DryRun":
        """The same without a price, for whoever looked for one and knows why there is none."""
        return self.model_copy(update={"price": None, "price_unknown": why})

    def to_json(self) -> dict[str, Json]:
        """As it travels."""
        return self.model_dump(mode="json", by_alias=True)
