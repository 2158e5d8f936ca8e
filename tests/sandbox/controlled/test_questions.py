"""What may be asked in the controlled lane: what is permitted beside each attempt to launder a column's level."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue import Product
from sandbox.controlled.questions import Question, explained, review
from sandbox.queries.query import SQL_MODE, SUM_MODE
from sandbox.reasons import Refusal
from tests.sandbox.controlled.builders import clinic_product, shop_product

LEVEL, CARRIED = "sandbox.query-column-level", "sandbox.entity-not-carried"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return clinic_product(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return shop_product(tmp_path_factory.mktemp("shop"))


PERSONS_PERMITTED = [
    "SELECT count(*) FROM patients",
    "SELECT county, count(*) AS n, avg(cost) FROM patients GROUP BY county ORDER BY n DESC LIMIT 3",
    "SELECT p.county, sum(v.price) FROM patients p JOIN visits v ON p.person = v.patient GROUP BY p.county",
    "SELECT region, count(DISTINCT person) FROM patients p JOIN regions r ON r.county = p.county GROUP BY region",
    "SELECT p.sex, count(*) FROM patients p LEFT JOIN visits v ON p.person = v.patient GROUP BY p.sex",
    "SELECT count(*) FROM patients WHERE sex = 'f' AND born BETWEEN 1950 AND 1960 AND income >= 50",
    "WITH women AS (SELECT person, cost FROM patients WHERE sex = 'f') SELECT avg(cost) FROM women",
    "SELECT county, avg(n) FROM (SELECT person, county, count(*) AS n FROM patients JOIN visits ON person = patient "
    "GROUP BY person, county) AS t GROUP BY county",
    "WITH w AS (SELECT patient, sum(price) AS total FROM visits GROUP BY patient) "
    "SELECT sex, avg(total) FROM patients JOIN w ON person = w.patient GROUP BY sex",
    "SELECT count(DISTINCT k) FROM (SELECT person AS k FROM patients UNION ALL SELECT patient FROM visits) AS u",
    "SELECT county, sex, count(*), sum(cost) FROM patients GROUP BY ROLLUP (county, sex)",
]  # fmt: skip

PERSONS_REFUSED: dict[str, tuple[str, ...]] = {
    LEVEL: (
        "SELECT sum(cost) FROM patients WHERE cost > 900",
        "SELECT sum(cost) FROM (SELECT cost AS born, cost FROM patients) t WHERE born > 900",
        "WITH t AS (SELECT income AS county FROM patients) SELECT county, count(*) FROM t GROUP BY county",
        "WITH t AS (SELECT income AS cost FROM patients) SELECT sum(cost) FROM t",
        "SELECT disease, count(*) FROM patients WHERE disease = 'a' GROUP BY disease",
        "WITH t AS (SELECT disease AS sex FROM patients) SELECT count(*) FROM t WHERE sex = 'a'",
        "SELECT count(*) FROM patients WHERE person = 'P001'",
        "SELECT count(*) FROM (SELECT person AS sex FROM patients) t WHERE sex = 'P001'",
        "SELECT count(*) FROM (SELECT person, count(*) AS n FROM patients GROUP BY person) t WHERE n > 2",
        "SELECT cost, count(*) FROM patients GROUP BY cost",
        "SELECT doctor, count(*) FROM visits GROUP BY doctor",
        "SELECT count(*) FROM visits v JOIN regions r ON v.doctor = r.county",
        "SELECT count(*) FROM patients p JOIN visits v ON p.person = v.patient AND p.county = v.ward",
        "SELECT sum(x) FROM (SELECT cost AS x, person FROM patients UNION ALL SELECT price, patient FROM visits) t",
    ),
    CARRIED: (
        "SELECT count(*) FROM regions",
        "SELECT avg(n) FROM (SELECT county, count(*) AS n FROM patients GROUP BY county) t",
        "SELECT avg(n) FROM (SELECT count(*) AS n FROM patients) t",
        "SELECT count(*) FROM regions r LEFT JOIN patients p ON p.county = r.county",
        "SELECT count(*) FROM (SELECT county FROM patients UNION ALL SELECT county FROM regions) t",
        "SELECT count(*) FROM patients p JOIN (SELECT person, county FROM patients) q ON p.county = q.county",
    ),
    "sandbox.query-clause": (
        "SELECT count(*) FROM patients CROSS JOIN regions",
        "SELECT count(*) FROM patients, regions",
        "SELECT count(*) FROM patients p RIGHT JOIN visits v ON p.person = v.patient",
        "SELECT sum(cost) FROM (SELECT cost FROM patients UNION ALL SELECT cost FROM patients) t",
        "SELECT sum(a.price) FROM visits a JOIN visits b ON a.patient = b.patient",
        "SELECT count(*) FROM (SELECT person FROM patients UNION SELECT patient FROM visits) t",
        "SELECT count(*) FROM (SELECT person FROM patients ORDER BY cost LIMIT 1) t",
        "SELECT county, count(*) FROM patients GROUP BY county HAVING count(*) = 1",
        "SELECT count(*) FROM patients UNION ALL SELECT count(*) FROM visits",
        "SELECT count(*) FROM patients WHERE county IN (SELECT county FROM regions)",
    ),
    "sandbox.query-group": (
        "SELECT born, count(*) FROM patients GROUP BY born",
        "SELECT county, count(*) FROM patients",
    ),
    "sandbox.query-expression": (
        "SELECT sum(cost * 2) FROM patients",
        "SELECT sum(CASE WHEN sex = 'f' THEN cost END) FROM patients",
        "SELECT max(cost) FROM patients",
        "SELECT count(*) FROM patients p JOIN visits v ON p.person = v.patient AND p.sex = 'f'",
    ),
    "sandbox.query-function": ("SELECT substr(county, 1, 1), count(*) FROM patients GROUP BY substr(county, 1, 1)",),
    "sandbox.query-no-range": ("SELECT sum(score) FROM patients",),
    "sandbox.query-column-unknown": ("SELECT count(*) FROM patients WHERE name = 'Name 1'",),
    "sandbox.singling-out": (
        "SELECT person, count(*) FROM patients GROUP BY person",
        "SELECT k, count(*) FROM (SELECT person AS k FROM patients) t GROUP BY k",
    ),
}  # fmt: skip


@pytest.mark.parametrize("query", PERSONS_PERMITTED)
def test_over_persons_these_may_be_asked(clinic: Product, query: str) -> None:
    question = review(query, clinic, SQL_MODE)
    assert isinstance(question, Question), question
    assert question.cells is not None


@pytest.mark.parametrize(("code", "query"), [(c, q) for c, queries in PERSONS_REFUSED.items() for q in queries])
def test_over_persons_these_may_not(clinic: Product, code: str, query: str) -> None:
    refusal = review(query, clinic, SQL_MODE)
    assert isinstance(refusal, Refusal), query
    codes = {reason.code for reason in refusal.reasons}
    assert code in codes, refusal
    assert all(len(reason.message) > 30 for reason in refusal.reasons)


PLAIN_PERMITTED = [
    "SELECT id, price * 2 AS double FROM orders WHERE price > 3",
    "SELECT town, count(*) AS n, sum(price), min(price) FROM orders GROUP BY town HAVING count(*) > 1 ORDER BY n DESC",
    "SELECT DISTINCT town FROM orders",
    "SELECT count(*) FROM orders o JOIN items i ON o.branch = i.branch",
    "SELECT count(DISTINCT branch) FROM orders",
    "SELECT count(*) FROM orders WHERE rating >= 4",
    "SELECT count(*) FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)",
    "SELECT id FROM orders WHERE id IN (SELECT order_id FROM items) AND price > (SELECT avg(price) FROM orders)",
    "WITH a AS (SELECT id AS k FROM orders) SELECT k FROM a UNION SELECT order_id FROM items",
    "SELECT extract(year FROM day) AS y, sum(CASE WHEN price > 3 THEN price ELSE 0 END) AS s FROM orders GROUP BY y",
]

# Questions that name a column which may only be summed: every row of its table counts as one.
GUARDED_PERMITTED = [
    "SELECT sum(margin) FROM orders",
    "SELECT town, avg(margin) FROM orders GROUP BY town",
    "SELECT day, count(*), sum(margin) FROM orders WHERE price > 3 GROUP BY day ORDER BY day LIMIT 5",
    "SELECT i.part, sum(o.margin) FROM orders o JOIN items i ON o.id = i.order_id GROUP BY i.part",
    "WITH dear AS (SELECT town, margin AS m FROM orders WHERE price > 30) SELECT town, sum(m) FROM dear GROUP BY town",
]

PLAIN_REFUSED = [
    # group-by: shown only once it is grouped by, compared with nothing
    "SELECT town FROM orders",
    "SELECT id, town FROM (SELECT id, town AS town FROM orders) t",
    "SELECT upper(town) AS x FROM orders",
    "SELECT town FROM orders UNION ALL SELECT town FROM orders",
    "WITH t AS (SELECT town || '' AS x FROM orders) SELECT x FROM t",
    "SELECT count(*) FROM orders WHERE town = 'Huan'",
    "SELECT count(*) FROM (SELECT town AS x FROM orders) t WHERE lower(x) LIKE 'h%'",
    "SELECT sum(CASE WHEN town = 'Huan' THEN price END) FROM orders",
    "SELECT count(nullif(town, 'Huan')) FROM orders",
    "SELECT id FROM orders ORDER BY town",
    "SELECT max(town) FROM orders",
    "WITH g AS (SELECT town FROM orders GROUP BY town) SELECT count(*) FROM orders o JOIN g ON o.town = g.town",
    "SELECT id FROM orders WHERE town IN (SELECT town FROM orders GROUP BY town)",
    # join-only: joined on and counted
    "SELECT branch FROM orders",
    "SELECT branch, count(*) FROM orders GROUP BY branch",
    "SELECT DISTINCT branch FROM orders",
    "SELECT count(*) FROM orders WHERE branch = 'B1'",
    "SELECT count(*) FROM orders o JOIN items i ON o.branch = i.part",
    "SELECT count(*) FROM orders o JOIN items i ON o.branch < i.branch",
    "SELECT count(*) FROM orders o JOIN items i ON o.branch || '' = i.branch",
    "SELECT id, EXISTS (SELECT 1 FROM items i WHERE i.branch = o.branch AND i.part = 'part 1') AS x FROM orders o",
    "SELECT coalesce(branch, 'none') AS x FROM orders",
    "SELECT x FROM (SELECT branch AS x, count(*) AS n FROM orders GROUP BY branch) t",
    "SELECT branch FROM orders INTERSECT SELECT branch FROM items",
    # compare-only
    "SELECT rating FROM orders",
    "SELECT rating > 3 AS x FROM orders",
    "SELECT sum(rating) FROM orders",
    "SELECT sum(CASE WHEN rating > 3 THEN 1 ELSE 0 END) FROM orders",
    "SELECT rating, count(*) FROM orders GROUP BY rating",
    "SELECT min(rating) FROM orders",
    "SELECT count(rating) FROM orders",
    "SELECT count(*) FROM orders o JOIN items i ON o.rating = i.order_id",
    "SELECT rating + 0 AS x FROM orders",
    # aggregate-only: plain in sum and avg
    "SELECT margin FROM orders",
    "SELECT max(margin) FROM orders",
    "SELECT sum(margin * (id = 7)) FROM orders",
    "SELECT sum(CASE WHEN id = 7 THEN margin END) FROM orders",
    "SELECT sum(margin + 0) FROM orders",
    "SELECT count(*) FROM orders WHERE margin > 700",
    "SELECT count(*) FROM orders WHERE open",
    "SELECT count(*) FROM orders WHERE NOT open OR open",
    "SELECT sum(CASE WHEN open THEN 1 END) FROM orders",
    "SELECT id FROM orders ORDER BY margin LIMIT 1",
    "SELECT id FROM orders WHERE margin = (SELECT margin FROM orders WHERE id = 7)",
    "SELECT sum(x) FROM (SELECT margin AS x FROM orders UNION ALL SELECT price FROM orders) t",
    "SELECT sum(x) FROM (SELECT margin AS x FROM orders WHERE id = 7 UNION ALL SELECT 1) t",
    "SELECT margin FROM orders GROUP BY margin",
    "SELECT (SELECT margin FROM orders WHERE id = 7) AS x FROM items",
    "SELECT greatest(margin, 0) AS x FROM orders",
    "SELECT count(margin) FROM orders",
    "SELECT count(DISTINCT margin) FROM orders WHERE id IN (7, 8)",
    "SELECT stddev(margin) FROM orders",
    "SELECT town, sum(margin) FROM orders GROUP BY town HAVING sum(margin) > 700",
    "SELECT CASE WHEN sum(margin) > 700 THEN 1 END AS x FROM orders",
    "SELECT (SELECT sum(margin) FROM orders) - (SELECT sum(margin) FROM orders WHERE id <> 7) AS x",
    "SELECT id FROM orders WHERE (SELECT sum(margin) FROM orders) > 700",
    "SELECT sum(a.margin) FROM orders a JOIN orders b ON a.id = b.price",
    "SELECT sum(x) FROM (SELECT id, sum(margin) AS x FROM orders GROUP BY id) t",
    "SELECT sum(o.margin) FROM orders o JOIN items i ON o.id < i.order_id",
    "SELECT sum(margin) FROM (SELECT margin FROM orders UNION ALL SELECT margin FROM orders) t",
    # never
    "SELECT clerk FROM orders",
    "SELECT count(clerk) FROM orders",
    "SELECT count(*) FROM orders WHERE clerk = 'Clerk 1'",
    "SELECT * FROM orders",
    "SELECT o.* FROM orders o",
    # names and functions
    "SELECT price AS \"Clerk 1\" FROM orders",
    "SELECT sum(price) OVER () AS x FROM orders",
    "SELECT string_agg(part, ',') FROM items",
    "SELECT repeat(part, 1000000) AS x FROM items",
    "SELECT CAST(part AS BLOB) AS x FROM items",
    "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x FROM r) SELECT x FROM r",
    "SELECT x FROM range(10) t(x)",
    "SELECT id FROM orders TABLESAMPLE 1",
]  # fmt: skip


@pytest.mark.parametrize("query", PLAIN_PERMITTED)
def test_without_persons_these_may_be_asked(shop: Product, query: str) -> None:
    question = review(query, shop, SQL_MODE)
    assert isinstance(question, Question), question
    assert question.cells is None


@pytest.mark.parametrize("query", GUARDED_PERMITTED)
def test_what_may_only_be_summed_is_asked_for_in_cells(shop: Product, query: str) -> None:
    question = review(query, shop, SQL_MODE)
    assert isinstance(question, Question), question
    assert question.cells is not None
    assert (question.report()["persons"], question.report()["guarded"]) == (False, "orders")
    assert isinstance(review(query, shop, SUM_MODE), Refusal)


@pytest.mark.parametrize("query", PLAIN_REFUSED)
def test_levels_hold_under_any_name(shop: Product, query: str) -> None:
    refusal = review(query, shop, SQL_MODE)
    assert isinstance(refusal, Refusal), refusal
    assert all(reason.code.startswith("sandbox.") for reason in refusal.reasons)


def test_two_spellings_are_one_question(clinic: Product) -> None:
    one = review(
        "SELECT county, count(*) AS n FROM patients WHERE sex = 'f' AND born > 1960 GROUP BY county", clinic, SQL_MODE
    )
    two = review(
        "select p.COUNTY, count(*) as n from patients as p where (born > 1960) and p.sex in ('f') group by p.county",
        clinic,
        SQL_MODE,
    )
    assert isinstance(one, Question)
    assert isinstance(two, Question)
    assert one.digest == two.digest


def test_only_literals_of_the_query_reach_the_engine(clinic: Product) -> None:
    question = review(
        "WITH secret_name AS (SELECT person, cost AS other_name FROM patients AS third_name) "
        "SELECT sum(other_name) AS shown FROM secret_name",
        clinic,
        SQL_MODE,
    )
    assert isinstance(question, Question)
    assert "_name" not in question.job_sql
    assert "shown" not in question.job_sql


@given(st.text(alphabet="SELECTFROMWHERE ()*,'.=<>_abcpatientsvisitscount1", max_size=80))
def test_no_text_makes_it_raise(clinic: Product, text: str) -> None:
    assert isinstance(review(text, clinic, SQL_MODE), Question | Refusal)


def test_deep_nesting_is_refused(shop: Product) -> None:
    for text in ("SELECT id FROM orders WHERE " + "(" * 300 + "id = 1" + ")" * 300, "SELECT " + "-" * 350 + "1 AS x"):
        assert isinstance(review(text, shop, SQL_MODE), Refusal)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT count(*) FROM patients", "sandbox.query-not-one-sum"),
        ("SELECT sum(cost), count(*) FROM patients", "sandbox.query-not-one-sum"),
        ("SELECT sex, sum(cost) FROM patients GROUP BY sex", "sandbox.query-not-one-sum"),
        ("SELECT sum(p.cost) FROM patients p JOIN visits v ON p.person = v.patient", "sandbox.query-not-one-sum"),
        ("SELECT sum(score) FROM patients", "sandbox.query-no-range"),
        ("SELECT sum(cost) FROM patients WHERE disease = 'a'", "sandbox.query-column-level"),
        ("SELECT sum(cost) FROM patients WHERE person = 'P1'", "sandbox.query-column-level"),
        ("SELECT sum(income) FROM patients", "sandbox.query-column-level"),
    ],
)
def test_an_encrypted_sum_is_one_number_under_the_same_policy(clinic: Product, query: str, code: str) -> None:
    assert isinstance(review("SELECT sum(cost) FROM patients WHERE sex = 'f'", clinic, SUM_MODE), Question)
    refusal = review(query, clinic, SUM_MODE)
    assert isinstance(refusal, Refusal)
    assert refusal.reasons[0].code == code


def test_without_a_policy_or_entities_or_in_other_modes_nothing_is_asked(clinic: Product, shop: Product) -> None:
    for product, mode in ((clinic, "sandbox-program"), (clinic.model_copy(update={"controlled": None}), SQL_MODE)):
        refusal = review("SELECT sum(cost) FROM patients", product, mode)
        assert isinstance(refusal, Refusal)
        assert refusal.reasons[0].code == "sandbox.no-lane"
    assert isinstance(review("SELECT sum(price) FROM orders", shop, SUM_MODE), Refusal)


def test_levels_are_explained(clinic: Product) -> None:
    shown = explained(clinic)
    levels = {column["name"]: column["level"] for column in shown["tables"][0]["columns"]}
    assert levels["income"] == "compare-only"
    assert "name" not in levels
