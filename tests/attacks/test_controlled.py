"""Attacks on the controlled lane: columns under false names, persons multiplied or made up, tables that add up.

Beside the refusals stand honest queries that must be answered: whatever refuses everything holds anything.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hexi.canonical import system_clock
from hexi.database import Database
from registry.controlled import Controlled
from sandbox.bench import Bench, open_bench
from sandbox.datasets import Dataset
from sandbox.errors import IsolationUnavailable
from sandbox.lanes import controlled
from tests.attacks.scoreboard import BLOCKED, BOARD, HARMLESS, REFUSED, THROUGH
from tests.sandbox.builders import Clinic
from tests.sandbox.controlled.builders import POLICY, clinic_product, shop_product, write_clinic, write_shop

DOOR = "controlled"


@contextmanager
def counted(attack: str, outcome: str) -> Iterator[None]:
    """One case on the board: it came to `outcome`, or through."""
    try:
        yield
    except AssertionError:
        outcome = THROUGH
        raise
    finally:
        BOARD.count(DOOR, attack, outcome)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controlled")
    write_clinic(folder)
    write_shop(folder)
    return folder


@pytest.fixture
def clinic(tables: Path, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(clinic_product(tmp_path), tables, None, system_clock) as bench:
        yield bench


@pytest.fixture(scope="module")
def shop(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(shop_product(tmp_path_factory.mktemp("shop")), tables, None, system_clock) as bench:
        yield bench


ZHENGNING = "WHERE county = 'Zhengning'"
LAUNDERED = {
    "a column under another name": (
        "SELECT id FROM (SELECT id, margin AS price FROM orders) t WHERE price > 700",
        "WITH t(id, price) AS (SELECT id, margin FROM orders) SELECT id FROM t WHERE price > 700",
        "WITH a AS (SELECT id, margin AS x FROM orders), b AS (SELECT id, x AS price FROM a) SELECT price FROM b",
        "SELECT x FROM (SELECT rating AS x FROM orders UNION ALL SELECT price FROM orders) t",
        "SELECT price AS rating FROM (SELECT rating AS price FROM orders) t",
        "SELECT town AS id FROM orders GROUP BY town HAVING max(margin) > 0",
    ),
    "a column inside a function": (
        "SELECT abs(margin) AS x FROM orders",
        "SELECT substring(branch, 2, 1) AS x, count(*) FROM orders GROUP BY x",
        "SELECT round(margin / price, 2) AS x FROM orders",
        "SELECT CASE WHEN rating > 3 THEN 1 ELSE 0 END AS x FROM orders",
        "SELECT coalesce(nullif(branch, 'B1'), 'hit') AS x FROM orders",
        "SELECT CAST(margin AS VARCHAR) AS x FROM orders",
        "SELECT greatest(rating, 3) AS x FROM orders",
    ),
    "a column that decides who is counted": (
        "SELECT count(*) FROM orders WHERE margin BETWEEN 700 AND 800",
        "SELECT count(*) FROM orders WHERE branch IN ('B1')",
        "SELECT count(*) FROM orders WHERE coalesce(margin > 700, FALSE)",
        "SELECT count(*) FROM orders WHERE CASE WHEN margin > 700 THEN TRUE END",
        "SELECT town, count(*) FROM orders GROUP BY town HAVING sum(margin * (id = 7)) > 1",
        "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM orders p WHERE p.margin = o.price)",
        "SELECT id FROM orders WHERE open",
        "SELECT id FROM orders ORDER BY margin DESC LIMIT 1",
        "SELECT id FROM orders o JOIN (SELECT 'B1' AS branch) b ON o.branch = b.branch",
    ),
    "one value as an aggregate": (
        "SELECT id, max(margin) FROM orders GROUP BY id",
        "SELECT sum(margin) FROM (SELECT margin FROM orders WHERE id = 7 UNION ALL SELECT price FROM orders) t",
        "SELECT sum(x) FROM (SELECT margin + price AS x FROM orders) t",
        "SELECT avg(margin - id) FROM orders",
    ),
}


@pytest.mark.parametrize(("attack", "query"), [(a, q) for a, queries in LAUNDERED.items() for q in queries])
def test_a_level_holds_under_whatever_name(shop: Bench, attack: str, query: str) -> None:
    with counted(f"levels: {attack}", REFUSED):
        answer = shop.ask(query)
        assert answer.verdict == "refused", answer.rows[:3]
        assert answer.receipt is not None
        assert answer.receipt["document"]["dataDigest"] is None


def test_levels_leave_honest_queries_alone(shop: Bench) -> None:
    assert shop.ask("SELECT town, avg(margin) FROM orders WHERE rating > 0 GROUP BY town").verdict == "released"


def test_one_value_of_a_group_of_one(shop: Bench) -> None:
    with counted("levels: one value as an aggregate", BLOCKED):
        assert shop.ask("SELECT id, sum(margin) FROM orders GROUP BY id").rows == ()


def test_a_count_of_nothing_is_a_refusal(shop: Bench) -> None:
    with counted("S6 texts that break a reader", REFUSED):
        assert [reason.code for reason in shop.ask("SELECT count() FROM orders").reasons] == ["sandbox.query-function"]


def test_q1_leaving_few_out_in_other_shapes(clinic: Bench) -> None:
    assert clinic.ask("SELECT sum(cost) FROM patients").verdict == "released"
    few = "WHERE county <> 'Zhengning'"
    shapes = (
        f"SELECT sum(cost) FROM patients {few}",
        f"SELECT sum(p.cost) FROM patients p JOIN regions r ON p.county = r.county {few.replace('county', 'p.county')}",
        f"SELECT sum(c) FROM (SELECT person, sum(cost) AS c FROM patients {few} GROUP BY person) t",
        f"WITH t AS (SELECT person, county, cost FROM patients) SELECT sum(cost) FROM t {few}",
    )
    for shape in shapes:
        with counted("Q1 differencing through joins and sub-queries", REFUSED):
            assert clinic.ask(shape).verdict == "refused", shape


def test_q1_cells_that_overlap_and_add_up_to_few(clinic: Bench) -> None:
    """Women, Ning, and either of them, make the women of Ning; with those of Zhengning, they leave the few there."""
    for allowed in ("sex = 'f'", "county = 'Ning'", "sex = 'f' OR county = 'Ning'"):
        assert clinic.ask(f"SELECT sum(cost) FROM patients WHERE {allowed}").verdict == "released"
    with counted("Q1 differencing through cells that overlap", REFUSED):
        last = clinic.ask("SELECT sum(cost) FROM patients WHERE sex = 'f' AND county IN ('Ning', 'Zhengning')")
        assert [reason.code for reason in last.reasons] == ["sandbox.too-close-to-earlier"], last.rows
    assert clinic.ask("SELECT sum(cost) FROM patients WHERE sex = 'f' AND county = 'Huan'").verdict == "released"


def test_q2_subsets_run_out(tables: Path, tmp_path: Path) -> None:
    product = clinic_product(tmp_path, policy={"querySets": 20})
    with open_bench(product, tables, None, system_clock) as bench, counted("Q2 subsets without end", BLOCKED):
        answers = [bench.ask(f"SELECT sum(cost) FROM patients WHERE born > {1950 + year}") for year in range(25)]
        used_up = [answer for answer in answers if {r.code for r in answer.reasons} == {"sandbox.query-sets-used-up"}]
        assert len(used_up) == 5


def test_q4_rows_multiplied_by_joins_stay_as_many_persons(clinic: Bench) -> None:
    with counted("Q4 rows multiplied by joins", HARMLESS):
        few = "SELECT count(*) FROM patients p JOIN visits v ON p.person = v.patient WHERE p.county = 'Zhengning'"
        assert clinic.ask(few).rows == ()
    for query in (
        "SELECT sum(cost) FROM (SELECT cost FROM patients UNION ALL SELECT cost FROM patients) t",
        "SELECT sum(a.price) FROM visits a JOIN visits b ON a.patient = b.patient",
    ):
        with counted("Q4 rows multiplied until rounding does not matter", REFUSED):
            assert clinic.ask(query).verdict == "refused"


# Six people live in Zhengning. Whoever is counted twice in one sum and once in another is their difference, and the two
# sums are of the same people.
TWICE = {
    "of a table without persons": "SELECT sum(p.cost) FROM patients p LEFT JOIN (SELECT a.county FROM regions a "
    "JOIN regions b ON a.region = b.region WHERE a.county = 'Zhengning') z ON p.county = z.county",
    "of another table with persons": "SELECT sum(p.cost) FROM patients p LEFT JOIN visits v ON p.person = v.patient",
    "through a sub-query": "SELECT sum(c) FROM (SELECT person, cost AS c FROM patients) p LEFT JOIN visits v "
    "ON p.person = v.patient",
}


@pytest.mark.parametrize("way", TWICE)
def test_q4_whoever_a_join_repeats_counts_once(clinic: Bench, way: str) -> None:
    with counted("Q4 some rows multiplied, and a sum in which they are not", HARMLESS):
        once = clinic.ask("SELECT sum(cost) FROM patients").rows
        assert clinic.ask(TWICE[way]).rows == once


def test_q4_records_are_counted_and_not_the_rows_a_join_makes_of_them(clinic: Bench) -> None:
    with counted("Q4 some rows multiplied, and a count in which they are not", HARMLESS):
        repeated = TWICE["of a table without persons"].replace("sum(p.cost)", "count(*)")
        assert clinic.ask(repeated).rows == clinic.ask("SELECT count(*) FROM patients").rows


def test_q4_what_could_not_be_counted_once_is_refused(clinic: Bench) -> None:
    some = "SELECT person, sum(cost) AS c FROM patients {} GROUP BY person"
    for query in (
        f"SELECT sum(c) FROM ({some.format('')} UNION ALL {some.format(ZHENGNING)}) t",
        "SELECT sum(c) FROM (SELECT person, sum(cost) AS c FROM patients JOIN visits ON person = patient "
        "GROUP BY person) t",
    ):
        with counted("Q4 some rows multiplied, and a sum in which they are not", REFUSED):
            assert clinic.ask(query).verdict == "refused"


def test_q5_persons_made_up(clinic: Bench) -> None:
    for query in (
        "SELECT count(*) FROM (SELECT person FROM patients UNION ALL SELECT 'P999' AS person) t",
        "SELECT count(*) FROM (SELECT county FROM patients UNION ALL SELECT county FROM regions) t",
        "SELECT count(*) FROM regions r LEFT JOIN patients p ON r.county = p.county",
        "WITH made AS (SELECT 'P001' AS person) SELECT count(*) FROM patients p JOIN made m ON p.person = m.person",
    ):
        with counted("Q5 persons made up", REFUSED):
            assert clinic.ask(query).verdict == "refused"


def test_q9_whoever_dominates_a_sum_hides_it(tmp_path: Path) -> None:
    write_clinic(tmp_path / "tables")
    lines = (tmp_path / "tables" / "patients.csv").read_text().splitlines()
    # Everybody in Huan costs 1, but for one who costs 1,000.
    changed = [
        ",".join([*fields[:5], "1000" if fields[0] == "P007" else "1", *fields[6:]]) if fields[1] == "Huan" else line
        for line in lines
        for fields in [line.split(",")]
    ]
    (tmp_path / "tables" / "patients.csv").write_text("\n".join(changed) + "\n")
    query = "SELECT sum(cost) FROM patients WHERE county = 'Huan'"
    product = clinic_product(tmp_path)
    with (
        counted("Q9 one dominates a sum", BLOCKED),
        open_bench(product, tmp_path / "tables", None, system_clock) as bench,
    ):
        assert bench.ask(query).rows == ((None,),)


def test_q18_and_totals_that_say_what_was_left_out(clinic: Bench) -> None:
    with counted("Q18 groups of one class", BLOCKED):
        shown = clinic.ask("SELECT county, disease, count(*) FROM patients GROUP BY county, disease").rows
        assert not [row for row in shown if row[0] == "Heshui"]
    with counted("totals less what is shown", BLOCKED):
        total = clinic.ask("SELECT count(*) FROM patients").rows[0][0]
        rows = clinic.ask("SELECT county, count(*) FROM patients GROUP BY county").rows
        assert total - sum(row[1] for row in rows) > 100  # type: ignore[operator, misc]


def test_q18_a_class_asked_for_beside_the_whole(tables: Path, tmp_path: Path) -> None:
    """Everybody in Heshui has the disease a: as many with it as there are say so, without any group of one class."""
    product = clinic_product(tmp_path, policy={"literals": [*POLICY["literals"], "patients.disease"]})
    with open_bench(product, tables, None, system_clock) as bench:
        assert bench.ask("SELECT count(*) FROM patients WHERE county = 'Heshui'").verdict == "released"
        for query in (
            "SELECT count(*) FROM patients WHERE county = 'Heshui' AND disease = 'a'",
            "SELECT count(*) FROM patients WHERE county = 'Heshui' AND NOT disease IN ('b', 'c')",
            "SELECT sum(c) FROM (SELECT person, cost AS c FROM patients WHERE disease = 'a') t",
        ):
            with counted("Q18 a class asked for beside the whole", REFUSED):
                assert [reason.code for reason in bench.ask(query).reasons] == ["sandbox.query-column-level"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 2, 3, 0, 4)])
def test_what_was_left_out_does_not_come_out_as_what_others_leave_over(clinic: Bench, order: tuple[int, ...]) -> None:
    """Six people live in Zhengning: the total less the three other counties, however they are come by."""
    questions = (
        "SELECT sum(cost) FROM patients",
        "SELECT county, sum(cost) FROM patients GROUP BY county",
        *(f"SELECT sum(cost) FROM patients WHERE county = '{county}'" for county in ("Heshui", "Huan", "Ning")),
    )
    with counted("totals less what is shown, and what was hidden with it", REFUSED):
        verdicts = [clinic.ask(questions[place]).verdict for place in order]
        # All but one may be known, and the one before the last is enough to stop at.
        assert verdicts.count("refused") >= 1
        assert verdicts[0] == "released"


def test_an_id_that_comes_again_answers_no_other_question(sqlite: Database, tables: Path, tmp_path: Path) -> None:
    """A run that was given back leaves its id to its consumer, who asks something else under it."""
    sqlite.migrate("sandbox")
    clinic = Clinic(sqlite, tmp_path)
    described = clinic_product(tmp_path / "described")
    clinic.product = described.model_copy(update={"controlled": Controlled.model_validate(POLICY)})
    clinic.dataset = Dataset(
        clinic.product, "digest", {one.name: tables / f"{one.name}.csv" for one in clinic.product.tables}
    )
    one, other = "SELECT count(*) FROM patients", "SELECT count(*) FROM patients WHERE sex = 'f'"
    run = f"urn:uuid:{uuid.uuid4()}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(controlled, "execute", _unavailable)
        with pytest.raises(IsolationUnavailable):
            clinic.ask(one, run=run)
    assert clinic.ask(other, run=run).rows == ((200,),)
    with counted("S16 another question under an old id", BLOCKED):
        assert clinic.ask(one).rows == ((400,),)


def _unavailable(*_: object) -> None:
    raise IsolationUnavailable("not now")


def test_a_total_and_its_breakdowns_are_honest_questions(clinic: Bench) -> None:
    for query in (
        "SELECT sum(cost) FROM patients",
        "SELECT county, sum(cost) FROM patients GROUP BY county",
        "SELECT sex, sum(cost) FROM patients GROUP BY sex",
        "SELECT county, sex, sum(cost) FROM patients GROUP BY county, sex",
    ):
        assert clinic.ask(query).verdict == "released", query
