"""A table with everything that engines could read differently, and the policy that publishes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from privacy.lattice.plan import Plan, plan
from privacy.lattice.policy import Attribute, Family, LatticePolicy, Level, Measure

DISTRICTS = ("Huan 环", "Ning's", "back\\slash", 'quo"te', "other")
AGES = tuple(str(age) for age in range(0, 100, 5))
# How values are written in a text column, whose meaning is to be the same everywhere.
WRITTEN = (
    *("12.5", "-3", "+7.25", ".5", "5.", " 8 ", "0.0000005", "0.00000049", "1e2", "1.5E-3", "2e400", "1234567890123"),
    *("", "n/a", "NaN", "Infinity", "1_000", "0x10", "١٢", "--3", "1,5", "99999999999999999999999999999999999999999"),
)


def declared(people: int, **changes: object) -> LatticePolicy:
    """The policy of the table `write` makes."""
    bands = Level("age_band", ("young", "old"), tuple(int(age) // 50 for age in AGES))
    given: dict[str, object] = {
        "entity": "person",
        "attributes": (
            Attribute("age_tree", (bands, Level("age", AGES, tuple(range(len(AGES))))), "age"),
            Attribute.flat("district", DISTRICTS, other="other"),
            Attribute.flat("smoker", ("false", "true")),
            Attribute.flat("admitted", ("2025-01-01", "2025-06-30", "2026-02-28")),
        ),
        "measures": (
            Measure("cost", "money", -10, 1000.1, square=True),
            Measure("visits", "money", 0, 7, square=True),
            Measure("written", "money", -5, 500),
            Measure("price", "money", 0, 99.99),
            Measure("cost_band", "money", 0, 1, "cost", labels=("little", "some", "much"), edges=(20.5, 300)),
            Measure("ill", "health", 0, 1, labels=("no", "yes"), other="no"),
            Measure("diagnosis", "health", 0, 1, labels=("none", "A1", "B2"), other="none"),
        ),
        "families": (Family("money", 1.0), Family("health", 0.5)),
        "size": people,
        "mincell": 20,
        "correlations": (("cost", "visits"),),
    }
    return LatticePolicy(**{**given, **changes})  # type: ignore[arg-type]


def write(folder: Path, people: int, seed: int = 1) -> Path:
    """One row or two for each of `people`, in Parquet."""
    rng = np.random.default_rng(seed)
    person = np.concatenate([np.arange(people), rng.integers(0, people, people // 4)])
    many = len(person)
    cost = rng.lognormal(4, 1.5, many)
    cost[::97], cost[1::97], cost[2::97], cost[3::97] = np.nan, np.inf, -np.inf, 0.1234565
    columns = {
        "person": pa.array([f"{number:032d}" if number % 1000 else None for number in person]),
        "age": pa.array(rng.integers(0, 20, many) * 5, pa.int32()),
        "district": pa.array(rng.choice([*DISTRICTS, "Nowhere", ""], many)),
        "smoker": pa.array(rng.random(many) < 0.3),
        "admitted": pa.array(rng.choice(np.array(["2025-01-01", "2025-06-30", "2026-02-28"], "M8[D]"), many)),
        "cost": pa.array(cost, mask=rng.random(many) < 0.05),
        "visits": pa.array(rng.integers(-2, 9, many), pa.int16()),
        "written": pa.array(rng.choice(WRITTEN, many)),
        "price": pa.array(np.rint(rng.random(many) * 1e6).astype(np.int64)).cast(pa.decimal128(19, 0)),
        "ill": pa.array(rng.choice(["no", "yes", "?"], many)),
        "diagnosis": pa.array(rng.choice(["none", "A1", "B2", "Z9"], many)),
    }
    path = folder / "people.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def split(path: Path) -> Path:
    """The costs and visits of the table in `path` taken out of it, into a table of their own beside it, in whose rows
    nobody has anything else; the entities' key is called otherwise there."""
    table = parquet.read_table(path)
    bills = table.select(["person", "cost", "visits"]).rename_columns(["whose", "cost", "visits"])
    parquet.write_table(bills, path.with_name("bills.parquet"))
    parquet.write_table(table.drop_columns(["cost", "visits"]), path)
    return path.with_name("bills.parquet")


def from_bills(policy: LatticePolicy) -> LatticePolicy:
    """The policy of the tables `split` makes."""
    moved = {"cost", "visits"}
    measures = tuple(
        replace(one, column=f"bills.{name}") if (name := one.column or one.name) in moved else one
        for one in policy.measures
    )
    return replace(policy, measures=measures)


def planned(people: int, **changes: object) -> Plan:
    """The plan of the table."""
    return plan(declared(people, **changes))
