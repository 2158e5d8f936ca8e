"""Runs in the controlled lane, over real files and in real isolation: what comes out, what it costs, who may ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest, system_clock
from hexi.database import Database
from registry.catalogue import Product
from registry.controlled import Controlled
from registry.identity import Identity
from sandbox.airlock.decisions import Decision, Reviewer
from sandbox.bench import Bench, open_bench
from sandbox.datasets import Dataset
from sandbox.messages import RunAnswer
from sandbox.permits import Permit, seal_permit
from sandbox.requests import seal_request
from sandbox.runs import Sandbox
from tests.sandbox.builders import Clinic, identity
from tests.sandbox.controlled.builders import CLINIC, POLICY, clinic_product, shop_product, write_clinic, write_shop

BY_COUNTY = "SELECT county, count(*) AS n, sum(cost) FROM patients GROUP BY county"


def bench_of(product: Product, folder: Path, state: Path | None = None) -> Any:
    return open_bench(product, folder, state, system_clock)


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Bench]:
    write_clinic(tmp_path / "tables")
    with bench_of(clinic_product(tmp_path), tmp_path / "tables") as bench:
        yield bench


def codes(answer: RunAnswer) -> set[str]:
    return {reason.code for reason in answer.reasons}


def test_small_cells_go_and_take_a_neighbour_along(clinic: Bench) -> None:
    # Zhengning has 6 patients: it is left out, and so is the smallest other county, or the total would tell.
    answer = clinic.ask(BY_COUNTY)
    assert answer.verdict == "released"
    assert [row[0] for row in answer.rows] == ["Heshui", "Ning"]
    assert all(row[1] % 5 == row[2] % 5 == 0 for row in answer.rows)


def test_persons_are_counted_across_joins_and_not_their_rows(clinic: Bench) -> None:
    (row,) = clinic.ask(
        "SELECT count(*) AS visits, count(DISTINCT person) AS people FROM patients JOIN visits ON person = patient"
    ).rows
    assert row == (600, 300)
    # Six patients with nine visits are too few, whatever else they are joined with.
    few = clinic.ask(
        "SELECT region, count(*) FROM patients p JOIN visits v ON p.person = v.patient JOIN regions r "
        "ON p.county = r.county WHERE p.county = 'Zhengning' GROUP BY region"
    )
    assert (few.verdict, few.rows) == ("released", ())


def test_of_a_sensitive_column_two_classes_are_shown_or_none(clinic: Bench) -> None:
    answer = clinic.ask("SELECT county, disease, count(*) FROM patients GROUP BY county, disease")
    assert answer.verdict == "released"
    # In this table every county has one disease alone.
    assert answer.rows == ()


def test_means_and_totals_are_made_of_rounded_numbers(clinic: Bench) -> None:
    rows = clinic.ask(
        "SELECT county, sex, count(*) AS n, sum(cost) AS s, avg(cost) AS m FROM patients "
        "WHERE county <> 'Zhengning' GROUP BY ROLLUP (county, sex)"
    ).rows
    cells = [row for row in rows if row[1] is not None]
    assert cells
    assert all(row[4] == pytest.approx(row[3] / row[2], abs=0.01) for row in cells)
    (total,) = [row for row in rows if row[0] is None]
    assert total[2:] == (sum(row[2] for row in cells), sum(row[3] for row in cells), None)


def test_the_same_question_is_answered_from_the_store_and_costs_nothing(tmp_path: Path) -> None:
    write_clinic(tmp_path / "tables")
    # Ten cells: counties and a missing one, twice.
    product = clinic_product(tmp_path, policy={"querySets": 6})
    with bench_of(product, tmp_path / "tables", tmp_path / "state") as bench:
        first = bench.ask(BY_COUNTY)
        again = bench.ask("select p.county, count(*) n, sum(p.cost) from patients p group by p.county")
        assert (again.rows, again.verdict) == (first.rows, "released")
        refused = bench.ask("SELECT sex, count(*) FROM patients GROUP BY sex")
        assert codes(refused) == {"sandbox.query-sets-used-up"}
        assert refused.receipt["document"]["dataDigest"] is not None
    with bench_of(product, tmp_path / "tables", tmp_path / "state") as bench:
        # Another process remembers; one cell is left.
        assert codes(bench.ask("SELECT sex, count(*) FROM patients GROUP BY sex")) == {"sandbox.query-sets-used-up"}
        assert bench.ask("SELECT count(*) FROM patients").verdict == "released"
        assert bench.ask(BY_COUNTY).rows == first.rows


def test_a_few_entities_less_are_too_close_also_through_a_join(clinic: Bench) -> None:
    everybody = "SELECT count(*) FROM patients"
    without = "SELECT count(*) FROM patients p JOIN regions r ON p.county = r.county WHERE p.county <> 'Zhengning'"
    nested = (
        "SELECT sum(n) FROM (SELECT person, count(*) AS n FROM patients WHERE county <> 'Zhengning' GROUP BY person) t"
    )
    assert clinic.ask(everybody).verdict == "released"
    assert codes(clinic.ask(without)) == {"sandbox.too-close-to-earlier"}
    assert clinic.ask("SELECT avg(cost) FROM patients").verdict == "released"
    assert codes(clinic.ask(nested.replace("count(*) AS n", "sum(cost) AS n"))) == {"sandbox.too-close-to-earlier"}


def test_people_look_at_answers_unless_the_product_says_otherwise(tmp_path: Path) -> None:
    write_clinic(tmp_path / "tables")
    with bench_of(clinic_product(tmp_path, policy={"airlock": True}), tmp_path / "tables") as bench:
        held = bench.ask(BY_COUNTY)
        assert (held.verdict, held.rows, held.receipt) == ("held", (), None)
        # Not answered from the store: nothing was released.
        assert bench.ask(BY_COUNTY).verdict == "held"


@pytest.mark.parametrize(("group", "verdict"), [("did:web:planner.example", "released"), ("did:web:x", "refused")])
def test_only_named_analysts_are_answered(database: Database, tmp_path: Path, group: str, verdict: str) -> None:
    database.migrate("sandbox")
    write_clinic(tmp_path)
    clinic = Clinic(database, tmp_path)
    policy = {**POLICY, "analysts": [{"group": "planning", "members": [group]}]}
    described = clinic_product(tmp_path / "described")
    clinic.product = described.model_copy(update={"controlled": Controlled.model_validate(policy)})
    files = {table["name"]: tmp_path / f"{table['name']}.csv" for table in CLINIC}
    clinic.dataset = Dataset(clinic.product, digest(policy), files)
    answer = clinic.ask(BY_COUNTY)
    assert answer.verdict == verdict
    if verdict == "refused":
        assert codes(answer) == {"sandbox.not-a-named-analyst"}


def test_what_people_let_out_to_one_group_was_not_let_out_to_others(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("sandbox")
    write_clinic(tmp_path)
    groups = [{"group": name, "members": [f"did:web:{name}.example"]} for name in ("planner", "insurer")]
    policy = {**POLICY, "analysts": groups, "airlock": True}
    product = clinic_product(tmp_path / "described").model_copy(
        update={"controlled": Controlled.model_validate(policy)}
    )
    dataset = Dataset(product, digest(policy), {table["name"]: tmp_path / f"{table['name']}.csv" for table in CLINIC})
    clinic = Clinic(sqlite, tmp_path)
    insurer = identity("insurer")
    clinic.people.add(insurer)
    sandbox = Sandbox(
        sqlite, clinic.identity, clinic.people, lambda *_: dataset, clinic.evidence, clinic.clock, key=b"k" * 32
    )

    def ask(who: Identity) -> RunAnswer:
        permit = Permit.model_validate(
            clinic.permit().payload()
            | {"id": f"permit of {who.did}", "holder": who.did, "product": "p", "version": 1}
            | {"productDigest": dataset.digest}
        )
        request = clinic.request(BY_COUNTY, permit=permit.id)
        return sandbox.run(
            seal_permit(permit, clinic.identity.key, clinic.identity.kid), seal_request(request, who.key, who.kid)
        )

    held = ask(clinic.planner)
    sandbox.airlock.vote(Reviewer("wang", clinic.identity.did), held.run, Decision.APPROVE, "for the planner")
    assert ask(clinic.planner).verdict == "released"
    assert (ask(insurer).verdict, ask(insurer).rows) == ("held", ())


def test_rows_without_persons_leave_as_they_are(tmp_path: Path) -> None:
    write_shop(tmp_path / "tables")
    with bench_of(shop_product(tmp_path), tmp_path / "tables") as bench:
        answer = bench.ask(
            "SELECT o.town, count(*) AS n, sum(o.price) AS s FROM orders o JOIN items i ON o.id = i.order_id "
            "WHERE o.day >= DATE '2026-01-02' AND o.rating > 1 GROUP BY o.town ORDER BY n DESC, o.town"
        )
        assert (answer.verdict, len(answer.rows)) == ("released", 3)
        assert bench.ask("SELECT id FROM orders WHERE price = 7").rows == ((7,),)


def test_what_may_only_be_summed_is_rounded_and_needs_enough_rows(tmp_path: Path) -> None:
    write_shop(tmp_path / "tables")
    with bench_of(shop_product(tmp_path), tmp_path / "tables") as bench:
        # Order 7 makes up most of what Huan's would add up to, and of the whole.
        answer = bench.ask("SELECT town, count(*) AS n, sum(margin) AS s FROM orders GROUP BY town ORDER BY town")
        assert answer.rows == (("Heshui", 20, 55), ("Huan", 20, None), ("Ning", 20, 60))
        assert answer.receipt is not None
        assert answer.receipt["document"]["disclosure"]["guarded"] == "orders"
        # Three items to an order: each order counts once.
        joined = bench.ask(
            "SELECT o.town, count(*) AS n, sum(o.margin) AS s FROM orders o JOIN items i ON o.id = i.order_id "
            "GROUP BY o.town ORDER BY o.town"
        )
        assert joined.rows == answer.rows
        assert bench.ask("SELECT sum(margin) AS s FROM orders WHERE id < 7").rows == ()
        assert bench.ask("SELECT id, sum(margin) AS s FROM orders GROUP BY id").rows == ()
