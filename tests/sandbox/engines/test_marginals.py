"""DuckDB adds a table up exactly, whatever its values are, and within the memory it is given."""

from pathlib import Path

import numpy as np
import pytest

from privacy.lattice.plan import GRID, plan
from privacy.lattice.policy import Attribute, Family, Measure
from sandbox.engines.local import Local
from sandbox.engines.marginals import Marginals
from sandbox.errors import ProductUnusable
from tests.sandbox.engines.reference import Reference
from tests.sandbox.engines.tables import from_bills, planned, split, write

MEGABYTE = 2**20
PEOPLE = 2_000


def every(marginals: Marginals | Reference, plan: object) -> dict[object, bytes]:
    """Everything that is published of a table, before noise."""
    variances = plan.variances  # type: ignore[attr-defined]
    return {(m, c): marginals.marginal(m, c).tobytes() for m, of in variances.items() for c in of}


def test_every_sum_is_that_of_python_s_own_numbers(tmp_path: Path) -> None:
    path, plan = write(tmp_path, PEOPLE), planned(PEOPLE)
    with Marginals(Local(256 * MEGABYTE), path, plan) as marginals:
        found = every(marginals, plan)
    assert found == every(Reference(path, plan), plan)


def test_threads_and_the_order_of_rows_change_no_bit(tmp_path: Path) -> None:
    from pyarrow import parquet

    path, plan = write(tmp_path, PEOPLE), planned(PEOPLE)
    table = parquet.read_table(path)
    shuffled = tmp_path / "shuffled.parquet"
    parquet.write_table(table.take(np.random.default_rng(2).permutation(len(table))), shuffled, row_group_size=100)
    with Marginals(Local(256 * MEGABYTE, threads=1), path, plan) as marginals:
        one = every(marginals, plan)
    with Marginals(Local(256 * MEGABYTE, threads=4), shuffled, plan) as marginals:
        assert every(marginals, plan) == one


def test_rows_of_another_table_about_the_same_people_add_up_as_if_they_were_in_one(tmp_path: Path) -> None:
    path, plan_ = write(tmp_path, PEOPLE), planned(PEOPLE)
    with Marginals(Local(256 * MEGABYTE), path, plan_) as marginals:
        one = every(marginals, plan_)
    bills, joined = split(path), plan(from_bills(plan_.policy))
    with Marginals(Local(256 * MEGABYTE), path, joined, others={"bills": (bills, "whose")}) as marginals:
        assert every(marginals, joined) == one
    with pytest.raises(ProductUnusable, match="no column person that says whose a row is"):
        Marginals(Local(256 * MEGABYTE), path, joined, others={"bills": (bills, "person")})


def test_whoever_has_no_row_there_counts_with_nought(tmp_path: Path) -> None:
    from pyarrow import parquet

    path, plan_ = write(tmp_path, PEOPLE), planned(PEOPLE)
    bills, joined = split(path), plan(from_bills(plan_.policy))
    parquet.write_table(parquet.read_table(bills).slice(0, 10), bills)
    with Marginals(Local(256 * MEGABYTE), path, joined, others={"bills": (bills, "whose")}) as marginals:
        people = int(marginals.marginal("count", ())) // GRID
        visits = int(marginals.marginal("visits", ()))
        little, *_ = marginals.marginal("cost_band", ()) // GRID
    assert people > PEOPLE * 0.99  # nobody is lost for having no bill
    assert 0 < visits <= 10 * GRID
    assert little >= people - 10


def test_a_table_larger_than_the_memory_is_published_out_of_core(tmp_path: Path) -> None:
    people, spill = 200_000, tmp_path / "spill"
    spill.mkdir()
    path, plan = write(tmp_path, people), planned(people)
    with Marginals(Local(1024 * MEGABYTE), path, plan) as marginals:
        roomy = every(marginals, plan)
    with Marginals(Local(64 * MEGABYTE, spill, threads=1), path, plan) as marginals:
        assert every(marginals, plan) == roomy
    assert list(spill.iterdir()) == []  # nothing of the table stays on disk
    nowhere = Local(64 * MEGABYTE, spill, threads=1)
    nowhere._engine.execute("SET max_temp_directory_size = '1KB'")
    with pytest.raises(ProductUnusable, match="HEXI_SANDBOX_PUBLISHING_SPILL"):
        Marginals(nowhere, path, plan)  # so it did not fit before either
    assert list(spill.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entity": "who"}, "no column who"),
        ({"attributes": (Attribute.flat("height", ("1", "2")),)}, "no column height"),
        ({"attributes": (Attribute.flat("cost_", ("1", "2"), column="cost"),)}, "floating-point"),
        ({"attributes": (Attribute.flat("district", ("Ning's", "x")),)}, "district has values outside"),
        ({"measures": (Measure("ill", "health", 0, 1, labels=("no", "yes")),)}, "ill has values outside"),
    ],
)
def test_a_policy_that_does_not_fit_the_table_is_told_where(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = write(tmp_path, PEOPLE)
    given = {"measures": (), "families": (Family("health", 0.5),), "correlations": (), **changes}
    with pytest.raises(ProductUnusable, match=message):
        Marginals(Local(256 * MEGABYTE), path, planned(PEOPLE, **given))
