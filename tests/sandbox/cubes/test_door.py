"""The SQL door: ordinary SQL over declared levels comes through, everything else is refused by its text alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.lattice.answers import Sensitive
from privacy.lattice.plan import Plan, plan
from privacy.lattice.policy import Attribute, Level, Measure
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery, RegressionQuery
from sandbox.reasons import Refusal
from tests.privacy.lattice.population import policy

AGES = tuple(str(age) for age in range(0, 80, 10))
AGE = Attribute(
    "age_tree", (Level("age_band", ("young", "old"), (0, 0, 0, 0, 1, 1, 1, 1)), Level("age", AGES, tuple(range(8))))
)
SEX = Attribute.flat("sex", ("f", "m"))


MEASURES = (
    Measure("secret", "secret", 0, 1),
    Measure("cost", "money", 0, 4000, square=True),
    Measure("days", "money", 0, 30, square=True),
    Measure("weight", "money", 0, 200, square=True),
    Measure("ill", "secret", 0, 1, labels=("0", "1")),
    Measure("stage", "secret", 0, 1, labels=("none", "early", "late")),
)


@pytest.fixture(scope="module")
def planned() -> Plan:
    given = policy(size=2_000, mincell=200, attributes=(AGE, SEX), measures=MEASURES, correlations=(("cost", "days"),))
    return plan(given)


def read(planned: Plan, text: str) -> CubeQuery:
    query = read_query(text, planned, "visits")
    assert isinstance(query, CubeQuery), query
    return query


ANSWERED = [
    "SELECT count(*) FROM visits",
    "SELECT count(DISTINCT person) AS n FROM visits v WHERE v.sex = 'f'",
    "SELECT age_band, avg(secret) FROM visits GROUP BY age_band",
    "SELECT AVG(secret), age_band FROM Visits GROUP BY AGE_BAND",
    "SELECT age, sum(cost), stddev_pop(cost), var_pop(cost) FROM visits GROUP BY age ORDER BY sum(cost) DESC LIMIT 3",
    "SELECT sex, count(*) AS n FROM visits WHERE age >= '30' AND age < 60 GROUP BY sex HAVING count(*) > 10 ORDER BY n",
    "SELECT count(*) FROM visits WHERE NOT (age BETWEEN 20 AND 40 OR age = '70') AND sex IN ('f')",
    "SELECT count(*) FROM visits WHERE 'young' = age_band",
    "SELECT avg(cost) FROM visits HAVING avg(secret) > 0.2 AND NOT count(*) < 10",
    "SELECT sex, corr(cost, days), covar_pop(days, cost) FROM visits GROUP BY sex HAVING regr_r2(cost, days) > 0.1",
    "SELECT regr_slope(cost, days) AS slope, regr_intercept(cost, days) FROM visits WHERE sex = 'f'",
    "SELECT stage, sex, count(*) FROM visits GROUP BY stage, sex ORDER BY stage DESC, count(*)",
    "SELECT age, count(*) FROM visits WHERE ill = 1 GROUP BY age",
]


@pytest.mark.parametrize("text", ANSWERED)
def test_ordinary_sql_comes_through(planned: Plan, text: str) -> None:
    read(planned, text)


def test_conditions_mean_what_they_say(planned: Plan) -> None:
    where = dict(
        read(planned, "SELECT count(*) FROM visits WHERE age >= '30' AND age < 60 AND sex <> 'm'").question.where
    )
    assert where == {"age_tree": frozenset({3, 4, 5}), "sex": frozenset({0})}
    where = dict(
        read(planned, "SELECT count(*) FROM visits WHERE NOT (age BETWEEN 20 AND 40 OR age = '70')").question.where
    )
    assert where == {"age_tree": frozenset({0, 1, 5, 6})}
    mirrored = dict(read(planned, "SELECT count(*) FROM visits WHERE '30' <= age").question.where)
    assert mirrored == {"age_tree": frozenset(range(3, 8))}


def test_the_answer_needs_the_measures_of_having_and_order_as_well(planned: Plan) -> None:
    query = read(
        planned, "SELECT sex, count(*) FROM visits GROUP BY sex HAVING avg(secret) > 0 ORDER BY stddev_pop(cost)"
    )
    assert set(query.moments) == {"secret", "cost", "cost_squared"}


def test_a_sensitive_column_restricts_and_divides_by_its_labels(planned: Plan) -> None:
    question = read(
        planned, "SELECT sex, stage, count(*) FROM visits WHERE stage >= 'early' AND sex = 'f' GROUP BY sex, stage"
    ).question
    assert question.sensitive == Sensitive("stage", (1, 2), 1)
    assert question.groups == (("sex", 1),)
    assert read(planned, "SELECT count(*) FROM visits WHERE NOT ill = 0").question.sensitive == Sensitive("ill", (1,))
    assert read(planned, "SELECT avg(cost) FROM visits WHERE ill IN (0, 1)").question.sensitive is None
    # Nobody, but not nothing: a contradiction is answered like every other question.
    nobody = read(planned, "SELECT count(*) FROM visits WHERE ill = 0 AND ill = 1")
    assert nobody.question.sensitive == Sensitive("ill", ())


def test_a_correlation_takes_its_measures_in_either_order(planned: Plan) -> None:
    wanted = {"cost", "days", "cost_squared", "days_squared", "cost_times_days"}
    for text in ("SELECT corr(cost, days) FROM visits", "SELECT corr(days, cost) FROM visits"):
        assert set(read(planned, text).moments) == wanted


def test_a_regression_takes_a_measure_and_levels(planned: Plan) -> None:
    query = read_query(
        "SELECT Linear_Regression(v.cost, age_band, sex) FROM visits v WHERE sex <> 'x'", planned, "visits"
    )
    assert isinstance(query, Refusal)  # the label is not declared
    query = read_query("SELECT Linear_Regression(v.cost, age_band) FROM visits v WHERE sex <> 'f'", planned, "visits")
    assert isinstance(query, RegressionQuery)
    assert (query.measure.name, query.cuts, query.names) == ("cost", (("age_tree", 1),), ("age_band",))
    assert query.where == {"sex": frozenset({1})}
    assert query.canonical_sql == "SELECT LINEAR_REGRESSION(v.cost, age_band) FROM visits AS v WHERE sex <> 'f'"


REFUSED = {
    "SELECT linear_regression() FROM visits": "sandbox.query-function",
    "SELECT linear_regression(cost) FROM visits": "sandbox.query-function",
    "SELECT linear_regression(age, sex) FROM visits": "sandbox.query-column-role",
    "SELECT linear_regression(cost, days) FROM visits": "sandbox.query-column-role",
    "SELECT linear_regression(cost, stage) FROM visits": "sandbox.query-column-role",
    "SELECT linear_regression(cost, sex) FROM visits WHERE ill = 1": "sandbox.query-column-role",
    "SELECT linear_regression(cost, person) FROM visits": "sandbox.singling-out",
    "SELECT linear_regression(cost, age, age_band) FROM visits": "sandbox.query-group",
    "SELECT linear_regression(cost, sex) FROM visits GROUP BY age": "sandbox.query-function",
    "SELECT linear_regression(cost, sex), count(*) FROM visits": "sandbox.query-function",
    "SELECT linear_regression(cost + 1, sex) FROM visits": "sandbox.query-column-role",
    "SELECT linear_regression(cost, sex) FROM secrets": "sandbox.query-table",
    "SELECT linear_regression(secrets.cost, sex) FROM visits": "sandbox.query-column-unknown",
    "SELECT linear_regression((SELECT 1), sex) FROM visits": "sandbox.query-column-role",
    "SELECT linear_regression(cost, sex) FROM visits, visits v": "sandbox.query-clause",
    "SELECT avg(cost) FROM visits WHERE ill = 1": "sandbox.query-column-role",
    "SELECT stage, count(*), sum(cost) FROM visits GROUP BY stage": "sandbox.query-column-role",
    "SELECT stage, count(*) FROM visits GROUP BY stage HAVING avg(cost) > 1": "sandbox.query-column-role",
    "SELECT stage, count(*) FROM visits WHERE ill = 1 GROUP BY stage": "sandbox.query-column-role",
    "SELECT count(*) FROM visits WHERE ill = 1 OR stage = 'late'": "sandbox.query-expression",
    "SELECT count(*) FROM visits WHERE ill = 1 OR sex = 'f'": "sandbox.query-expression",
    "SELECT count(*) FROM visits WHERE stage = 'cured'": "sandbox.query-outside-domain",
    "SELECT avg(ill) FROM visits": "sandbox.query-column-role",
    "SELECT age, count(*) FROM visits WHERE stage = 'late' GROUP BY age": "sandbox.table-not-released",
    "SELECT corr(cost, weight) FROM visits": "sandbox.query-function",
    "SELECT corr(cost, secret) FROM visits": "sandbox.query-function",
    "SELECT corr(cost, stage) FROM visits": "sandbox.query-column-role",
    "SELECT regr_slope(cost, age) FROM visits": "sandbox.query-column-role",
    "SELECT corr(cost, days * 2) FROM visits": "sandbox.query-expression",
    "SELECT regr_count(cost, days) FROM visits": "sandbox.query-function",
    "SELECT * FROM visits": "sandbox.query-rows",
    "SELECT person, count(*) FROM visits GROUP BY person": "sandbox.singling-out",
    "SELECT count(*) FROM visits WHERE person = 'p1'": "sandbox.singling-out",
    "SELECT count(*) FROM visits WHERE secret = 1": "sandbox.query-column-role",
    "SELECT secret, count(*) FROM visits GROUP BY secret": "sandbox.query-column-role",
    "SELECT sum(CASE WHEN sex = 'f' THEN cost END) FROM visits": "sandbox.query-expression",
    "SELECT sum(cost * secret) FROM visits": "sandbox.query-expression",
    "SELECT min(cost) FROM visits": "sandbox.query-function",
    "SELECT max(cost) FROM visits": "sandbox.query-function",
    "SELECT median(cost) FROM visits": "sandbox.query-function",
    "SELECT list(cost) FROM visits": "sandbox.query-function",
    "SELECT sum(cost) OVER () FROM visits": "sandbox.query-clause",
    "SELECT sum(cost) FILTER (WHERE sex = 'f') FROM visits": "sandbox.query-clause",
    "SELECT count(*) FROM visits WHERE hash(person) % 2 = 0": "sandbox.query-expression",
    "SELECT count(*) FROM visits WHERE age = '30' OR sex = 'f'": "sandbox.query-expression",
    "SELECT count(*) FROM visits WHERE age = '31'": "sandbox.query-outside-domain",
    "SELECT count(*) FROM visits WHERE substr(sex, 1) = 'f'": "sandbox.query-function",
    "SELECT count(*) FROM visits, visits": "sandbox.query-clause",
    "SELECT count(*) FROM visits JOIN visits v ON true": "sandbox.query-clause",
    "SELECT count(*) FROM visits UNION SELECT count(*) FROM visits": "sandbox.query-clause",
    "WITH v AS (SELECT * FROM visits) SELECT count(*) FROM v": "sandbox.query-clause",
    "SELECT count(*) FROM (SELECT * FROM visits)": "sandbox.query-clause",
    "SELECT count(*) FROM read_csv('/etc/passwd')": "sandbox.query-file-access",
    "SELECT count(*) FROM secrets": "sandbox.query-table",
    "SELECT count(*) FROM visits; DROP TABLE visits": "sandbox.query-not-one-select",
    "COPY visits TO '/tmp/x'": "sandbox.query-file-access",
    "SELECT age, sex, avg(secret) FROM visits GROUP BY age, sex": "sandbox.table-not-released",
    "SELECT age, age_band, count(*) FROM visits GROUP BY age, age_band": "sandbox.query-group",
    "SELECT stddev_pop(secret) FROM visits": "sandbox.query-function",
    "SELECT age FROM visits GROUP BY age": "sandbox.query-rows",
    "SELECT count(*) FROM visits GROUP BY CUBE (age, sex)": "sandbox.query-clause",
    "SELECT count(*) AS p12345678901234567890123456789012345 FROM visits": "sandbox.query-alias",
    "SELECT count(*) FROM visits LIMIT (SELECT 1)": "sandbox.query-clause",
    "SELECT count(*) FROM visits HAVING count(*) = (SELECT 1)": "sandbox.query-clause",
    "not sql at all": "sandbox.query-unreadable",
}


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused_with_its_reason(planned: Plan, text: str) -> None:
    refusal = read_query(text, planned, "visits")
    assert isinstance(refusal, Refusal)
    assert REFUSED[text] in [reason.code for reason in refusal.reasons]
    assert all(reason.message for reason in refusal.reasons)


@given(
    st.text(max_size=60)
    | st.sampled_from(ANSWERED).flatmap(lambda text: st.integers(0, len(text)).map(lambda i: text[:i] + "'" + text[i:]))
)
def test_no_text_breaks_the_door(text: str) -> None:
    small = plan(policy(size=2_000, mincell=200, attributes=(AGE, SEX), measures=MEASURES))
    assert isinstance(read_query(text, small, "visits"), CubeQuery | Refusal)
