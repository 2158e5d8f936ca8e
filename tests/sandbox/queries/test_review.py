"""What may be asked: one table of truth, each refused attack with its code beside what is permitted.

Q and S are the numbers of the attacks in the privacy survey: queries that disclose, and queries that escape.
"""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.catalogue import Product
from sandbox.queries.review import SUM_MODE, Reviewed, review
from sandbox.reasons import Refusal
from tests.sandbox.builders import product as a_product

PERMITTED = [
    "SELECT count(*) FROM visits",
    "SELECT count(*) AS n FROM visits;",
    "select COUNT(*) from VISITS",
    "SELECT count(*) FROM visits -- with a comment\n/* and another */",
    "SELECT county, count(*) FROM visits GROUP BY county",
    "SELECT count(*), county FROM visits GROUP BY county",
    "SELECT county AS c, count(*) AS n FROM visits GROUP BY county",
    'SELECT "county", count(*) FROM "visits" GROUP BY "county"',
    "SELECT v.county, count(*) FROM visits AS v WHERE v.year = 2024 GROUP BY v.county",
    "SELECT visits.county, count(*) FROM visits GROUP BY visits.county",
    "SELECT county, year, sex, count(*), count(DISTINCT person), sum(cost), avg(cost) FROM visits "
    "GROUP BY county, year, sex",
    "SELECT avg(cost) FROM visits",
    "SELECT county, count(*) FROM visits GROUP BY county ORDER BY county",
    "SELECT county, year, count(*) FROM visits GROUP BY county, year ORDER BY county",
    "SELECT count(*) FROM visits WHERE county = 'Huan'",
    "SELECT count(*) FROM visits WHERE county <> 'Huan' AND county != 'Ning'",
    "SELECT count(*) FROM visits WHERE county IN ('Huan', 'Ning')",
    "SELECT count(*) FROM visits WHERE county NOT IN ('Huan')",
    "SELECT count(*) FROM visits WHERE year >= 2024 AND year < 2026 OR sex = 'f'",
    "SELECT count(*) FROM visits WHERE 2024 <= year",
    "SELECT count(*) FROM visits WHERE year BETWEEN 2024 AND 2025",
    "SELECT count(*) FROM visits WHERE NOT (year BETWEEN -1 AND 2025)",
    "SELECT count(*) FROM visits WHERE day = '2024-03-01'",
    "SELECT count(*) FROM visits WHERE day > DATE '2024-03-01'",
    "SELECT count(*) FROM visits WHERE smoker = TRUE",
    "SELECT count(*) FROM visits WHERE bmi > 20 AND bmi <= 25.5",
    "SELECT count(*) FROM visits WHERE sex IS NULL",
    "SELECT count(*) FROM visits WHERE sex IS NOT NULL",
    "SELECT count(*) FROM visits WHERE sex = 'it''s; DROP TABLE visits --'",
    "SELECT count(*) FROM visits WHERE county = 'Huan'" + " OR county = 'Ning'" * 90,
]

REFUSED = [
    # Q1, Q2: choosing whom a cell is about.
    ("sandbox.singling-out", "SELECT avg(cost) FROM visits WHERE county = 'Huan' AND person <> 'P0001'"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE person IN ('P0001', 'P0002')"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE hash(person) % 2 = 0"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE substr(person, 1, 2) = 'P0'"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE person IS NULL"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE visits.person > 'P0005'"),
    ("sandbox.singling-out", "SELECT count(*) FROM visits WHERE \"PERSON\" = 'P' OR Person = 'P0001'"),
    ("sandbox.query-column-role", "SELECT count(*) FROM visits WHERE name <> 'Bob'"),
    ("sandbox.query-column-role", "SELECT count(*) FROM visits WHERE cost > 990"),
    ("sandbox.query-function", "SELECT count(*) FROM visits WHERE random() < 0.5"),
    ("sandbox.query-function", "SELECT count(*) FROM visits WHERE length(sex) = 1"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE year % 2 = 0"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE sex LIKE 'f%'"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE county = sex"),
    # Q3: singling out by groups.
    ("sandbox.singling-out", "SELECT person, count(*) FROM visits GROUP BY person"),
    ("sandbox.singling-out", "SELECT county, count(*) FROM visits GROUP BY county, person"),
    ("sandbox.singling-out", "SELECT county, count(*) FROM visits GROUP BY county HAVING count(*) = 1"),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY county HAVING county = 'Huan'"),
    ("sandbox.query-clause", "SELECT county, sex, count(*) FROM visits GROUP BY CUBE (county, sex)"),
    ("sandbox.query-clause", "SELECT county, sex, count(*) FROM visits GROUP BY ROLLUP (county, sex)"),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY GROUPING SETS ((county), ())"),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY ALL"),
    ("sandbox.query-group", "SELECT county, count(*) FROM visits GROUP BY 1"),
    ("sandbox.query-too-large", "SELECT count(*) FROM visits GROUP BY county, year, day, smoker, bmi, sex"),
    # Q4, Q5: multiplying rows and padding groups.
    ("sandbox.query-clause", "SELECT count(*) FROM visits UNION ALL SELECT count(*) FROM visits"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits INTERSECT SELECT 1"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits EXCEPT SELECT 1"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits, range(10)"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits CROSS JOIN range(10)"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits JOIN visits AS other USING (county)"),
    ("sandbox.query-clause", "WITH v AS (SELECT * FROM visits) SELECT count(*) FROM v"),
    ("sandbox.query-clause", "SELECT count(*) FROM (SELECT * FROM visits)"),
    ("sandbox.query-table", "SELECT count(*) FROM (VALUES (1), (2)) AS t(x)"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits WHERE county IN (SELECT 'Huan')"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits WHERE EXISTS (SELECT 1 FROM visits)"),
    # Q6: expressions that choose whose value counts.
    ("sandbox.singling-out", "SELECT sum(CASE WHEN person = 'P0001' THEN cost END) FROM visits"),
    ("sandbox.query-expression", "SELECT sum(CASE WHEN year = 2024 THEN cost END) FROM visits"),
    ("sandbox.query-clause", "SELECT sum(cost) FILTER (WHERE year = 2024) FROM visits"),
    ("sandbox.query-expression", "SELECT avg(cost * (year = 2024)) FROM visits"),
    ("sandbox.query-expression", "SELECT sum(if(year = 2024, cost, 0)) FROM visits"),
    ("sandbox.query-expression", "SELECT sum(cost + 1) FROM visits"),
    ("sandbox.query-expression", "SELECT sum(DISTINCT cost) FROM visits"),
    ("sandbox.query-clause", "SELECT sum(cost ORDER BY year) FROM visits"),
    ("sandbox.query-expression", "SELECT count(*) + 1 FROM visits"),
    ("sandbox.query-expression", "SELECT -sum(cost) FROM visits"),
    # Q7: functions that return a value of somebody.
    ("sandbox.query-function", "SELECT min(cost) FROM visits"),
    ("sandbox.query-function", "SELECT max(cost) FROM visits"),
    ("sandbox.query-function", "SELECT arg_max(sex, cost) FROM visits"),
    ("sandbox.query-function", "SELECT any_value(sex) FROM visits"),
    ("sandbox.query-function", "SELECT first(cost) FROM visits"),
    ("sandbox.query-function", "SELECT mode(sex) FROM visits"),
    ("sandbox.query-function", "SELECT quantile(cost, 0.5) FROM visits"),
    ("sandbox.query-function", "SELECT median(cost) FROM visits"),
    ("sandbox.query-function", "SELECT list(cost) FROM visits"),
    ("sandbox.query-function", "SELECT string_agg(sex, ',') FROM visits"),
    ("sandbox.query-function", "SELECT histogram(cost) FROM visits"),
    ("sandbox.query-function", "SELECT stddev(cost) FROM visits"),
    ("sandbox.query-function", "SELECT bit_xor(hash(sex)) FROM visits"),
    ("sandbox.query-function", "SELECT no_such_function(cost) FROM visits"),
    ("sandbox.query-function", "SELECT count(cost) FROM visits"),
    ("sandbox.query-function", "SELECT count(DISTINCT sex) FROM visits"),
    (
        "sandbox.query-function",
        "SELECT count(DISTINCT sex, county) FROM visits",
    ),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY county LIMIT 1"),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY county OFFSET 1"),
    (
        "sandbox.query-clause",
        "SELECT county, count(*) AS n FROM visits GROUP BY county ORDER BY n DESC",
    ),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY county ORDER BY county DESC"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits ORDER BY count(*)"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits USING SAMPLE 10"),
    ("sandbox.query-clause", "SELECT count(*) FROM visits TABLESAMPLE 10 PERCENT"),
    ("sandbox.query-clause", "SELECT DISTINCT county, count(*) FROM visits GROUP BY county"),
    ("sandbox.query-clause", "SELECT DISTINCT ON (county) county, count(*) FROM visits GROUP BY county"),
    ("sandbox.query-not-one-select", "SUMMARIZE visits"),
    ("sandbox.query-not-one-select", "PIVOT visits ON county USING count(*)"),
    # Q8: windows.
    ("sandbox.query-clause", "SELECT sum(cost) OVER (ROWS CURRENT ROW) FROM visits"),
    ("sandbox.query-clause", "SELECT lag(cost) OVER () FROM visits"),
    ("sandbox.query-clause", "SELECT county, count(*) FROM visits GROUP BY county QUALIFY row_number() OVER () = 1"),
    # Q14: errors that speak.
    ("sandbox.query-column-role", "SELECT avg(sex) FROM visits"),
    ("sandbox.query-expression", "SELECT sum(CAST(sex AS INT)) FROM visits"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE CAST(sex AS INT) = 1"),
    ("sandbox.query-function", "SELECT error(sex) FROM visits"),
    ("sandbox.query-function", "SELECT count(*) FROM visits WHERE error(sex) = 1"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE 1 / (year - 2024) > 0"),
    ("sandbox.query-function", "SELECT count(*) FROM visits WHERE TRY_CAST(sex AS INT) = 1"),
    # Q16: metadata and names that carry data.
    ("sandbox.query-not-one-select", "EXPLAIN ANALYZE SELECT count(*) FROM visits"),
    ("sandbox.query-not-one-select", "DESCRIBE visits"),
    ("sandbox.query-not-one-select", "SHOW TABLES"),
    ("sandbox.query-table", "SELECT count(*) FROM duckdb_settings()"),
    ("sandbox.query-table", "SELECT count(*) FROM tables"),
    ("sandbox.query-clause", "SELECT count(*) FROM main.visits"),
    ("sandbox.query-alias", 'SELECT count(*) AS "P0001 costs 10" FROM visits'),
    ("sandbox.query-alias", "SELECT count(*) AS N FROM visits"),
    ("sandbox.query-alias", f"SELECT count(*) AS {'n' * 33} FROM visits"),
    ("sandbox.query-alias", "SELECT count(*) AS n, sum(cost) AS n FROM visits"),
    ("sandbox.query-alias", "SELECT count(*), count(*) FROM visits"),
    # S1, S5: files and the surrounding process.
    ("sandbox.query-file-access", "SELECT count(*) FROM '/etc/passwd'"),
    ("sandbox.query-file-access", "SELECT count(*) FROM 'visits.parquet'"),
    ("sandbox.query-file-access", "SELECT count(*) FROM read_csv('/etc/passwd')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM read_text('/etc/passwd')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM read_blob('x')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM read_parquet('x')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM read_json_auto('x')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM glob('*')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM sniff_csv('x')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM parquet_metadata('x')"),
    ("sandbox.query-file-access", "SELECT count(*) FROM visits WHERE read_text('x') = 'y'"),
    ("sandbox.query-table", "SELECT count(*) FROM dataset"),
    ("sandbox.query-table", "SELECT count(*) FROM codes"),
    ("sandbox.query-table", "SELECT count(*)"),
    # S2, S3, S4: statements that write, load and connect.
    ("sandbox.query-file-access", "COPY visits TO 'x.csv'"),
    ("sandbox.query-file-access", "EXPORT DATABASE 'x'"),
    ("sandbox.query-file-access", "ATTACH 'x.db'"),
    ("sandbox.query-file-access", "INSTALL httpfs"),
    ("sandbox.query-file-access", "LOAD httpfs"),
    ("sandbox.query-not-one-select", "CREATE SECRET s (TYPE s3)"),
    ("sandbox.query-not-one-select", "PRAGMA profiling_output='x'"),
    ("sandbox.query-not-one-select", "SET temp_directory='/tmp'"),
    # S6: ways around a scanner.
    ("sandbox.query-table", "SELECT count(*) FROM query('SELECT 1')"),
    ("sandbox.query-table", "SELECT count(*) FROM query_table('visits')"),
    ("sandbox.query-function", "SELECT json_execute_serialized_sql('x') FROM visits"),
    ("sandbox.query-not-one-select", "CREATE MACRO m() AS 1"),
    ("sandbox.query-not-one-select", "PREPARE q AS SELECT 1"),
    ("sandbox.query-not-one-select", "EXECUTE q"),
    ("sandbox.query-not-one-select", "SET VARIABLE x = 1"),
    ("sandbox.query-not-one-select", "CALL pragma_version()"),
    ("sandbox.query-not-one-select", "INSERT INTO visits VALUES (1)"),
    ("sandbox.query-not-one-select", "DROP TABLE visits"),
    ("sandbox.query-not-one-select", "SELECT count(*) FROM visits; SELECT count(*) FROM visits"),
    ("sandbox.query-not-one-select", "SELECT count(*) FROM visits; COPY visits TO 'x'"),
    ("sandbox.query-not-one-select", ""),
    ("sandbox.query-not-one-select", "-- nothing"),
    ("sandbox.query-unreadable", "SELECT count(* FROM visits"),
    ("sandbox.query-unreadable", "SELECT 'unterminated FROM visits"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE county = $1"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE county = ?"),
    # Rows, columns, literals, sizes.
    ("sandbox.query-rows", "SELECT * FROM visits"),
    ("sandbox.query-rows", "FROM visits"),
    ("sandbox.query-rows", "SELECT visits.* FROM visits"),
    ("sandbox.query-rows", "SELECT county FROM visits GROUP BY county"),
    ("sandbox.query-function", "SELECT COLUMNS(*) FROM visits"),
    ("sandbox.query-column-unknown", "SELECT nothing, count(*) FROM visits GROUP BY nothing"),
    ("sandbox.query-column-unknown", "SELECT other.county, count(*) FROM visits GROUP BY other.county"),
    ("sandbox.query-column-unknown", "SELECT rowid, count(*) FROM visits GROUP BY rowid"),
    ("sandbox.query-column-role", "SELECT name, count(*) FROM visits GROUP BY name"),
    ("sandbox.query-column-role", "SELECT cost, count(*) FROM visits GROUP BY cost"),
    ("sandbox.query-column-role", "SELECT sum(year) FROM visits"),
    ("sandbox.query-no-range", "SELECT sum(stay) FROM visits"),
    ("sandbox.query-no-range", "SELECT avg(stay) FROM visits"),
    ("sandbox.query-group", "SELECT county, count(*) FROM visits"),
    ("sandbox.query-group", "SELECT count(*) FROM visits GROUP BY county"),
    ("sandbox.query-outside-domain", "SELECT count(*) FROM visits WHERE county = 'Elsewhere'"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE county = 1"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE year = '2024'"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE year = 2024.5"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE year = 99999999999999999999"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE bmi > 1e999"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE day = 'soon'"),
    ("sandbox.query-literal", "SELECT count(*) FROM visits WHERE smoker = 1"),
    ("sandbox.query-literal", f"SELECT count(*) FROM visits WHERE sex = '{'x' * 201}'"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE smoker"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE TRUE"),
    ("sandbox.query-expression", "SELECT count(*) FROM visits WHERE 1 = 1"),
    ("sandbox.query-too-large", "SELECT count(*) FROM visits WHERE sex = 'f'" + " OR sex = 'f'" * 200),
    ("sandbox.query-too-large", f"SELECT count(*) FROM visits WHERE year IN ({', '.join(['1'] * 201)})"),
    ("sandbox.query-too-large", "SELECT count(*) FROM visits WHERE " + "NOT " * 50 + "sex = 'f'"),
    ("sandbox.query-too-large", "SELECT count(*) FROM visits WHERE " + "NOT " * 2000 + "sex = 'f'"),
    ("sandbox.query-too-large", "SELECT " + "(" * 3000 + "1" + ")" * 3000),
    ("sandbox.query-too-large", "SELECT count(*) FROM visits" + " " * 9000),
]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return a_product(tmp_path_factory.mktemp("product"))


@pytest.mark.parametrize("query", PERMITTED)
def test_permitted(query: str, product: Product) -> None:
    reviewed = review(query, product)
    assert isinstance(reviewed, Reviewed), reviewed
    assert "--" not in reviewed.job_sql or "'it''s; DROP" in reviewed.job_sql


@pytest.mark.parametrize(("code", "query"), REFUSED)
def test_refused(code: str, query: str, product: Product) -> None:
    refusal = review(query, product)
    assert isinstance(refusal, Refusal), refusal
    assert code in {reason.code for reason in refusal.reasons}, refusal
    for reason in refusal.reasons:
        assert len(reason.message) > 20
        assert "P0001" not in reason.message
        assert "Bob" not in reason.message


def test_this_table_is_long_enough() -> None:
    assert len(PERMITTED) + len(REFUSED) >= 150


SAME = [
    (
        "SELECT count(*) AS n FROM visits WHERE county = 'Huan'",
        "select COUNT( * ) n from Visits v where 'Huan' = v.COUNTY",
    ),
    (
        "SELECT count(*) AS n FROM visits WHERE sex = 'f' AND year = 1",
        "SELECT count(*) n FROM visits WHERE year = 1 AND sex = 'f'",
    ),
    (
        "SELECT count(*) AS n FROM visits WHERE sex IN ('a', 'b')",
        "SELECT count(*) n FROM visits WHERE sex IN ('b', 'a', 'b')",
    ),
    (
        "SELECT count(*) AS n FROM visits WHERE year BETWEEN 1 AND 2",
        "SELECT count(*) n FROM visits WHERE 2 >= year AND year >= 1",
    ),
    (
        "SELECT count(*) AS n FROM visits WHERE sex <> 'f'",
        "SELECT count(*) n FROM visits WHERE NOT sex = 'f' AND NOT (sex = 'f')",
    ),
    ("SELECT count(*) AS n FROM visits WHERE bmi > 20", "SELECT count(*) n FROM visits WHERE bmi > 20.0"),
    (
        "SELECT count(*) AS n FROM visits WHERE day = '2024-01-01'",
        "SELECT count(*) n FROM visits WHERE day = DATE '2024-01-01'",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_question_are_one_question(one: str, other: str, product: Product) -> None:
    first, second = review(one, product), review(other, product)
    assert isinstance(first, Reviewed)
    assert isinstance(second, Reviewed)
    assert first.canonical_sql == second.canonical_sql
    assert first.job_sql == second.job_sql


def test_other_questions_are_others(product: Product) -> None:
    queries = ["sex = 'f'", "sex <> 'f'", "sex = 'f' OR year = 1", "sex = 'f' AND year = 1", "year > 1", "year >= 1"]
    reviewed = [review(f"SELECT count(*) FROM visits WHERE {where}", product) for where in queries]
    assert len({one.canonical_sql for one in reviewed if isinstance(one, Reviewed)}) == len(queries)


def test_the_canonical_text_may_be_asked_and_is_itself(product: Product) -> None:
    for query in PERMITTED:
        first = review(query, product)
        assert isinstance(first, Reviewed)
        again = review(first.canonical_sql, product)
        if isinstance(again, Reviewed):
            assert again.canonical_sql == first.canonical_sql


@pytest.mark.parametrize(
    ("query", "permitted"),
    [
        ("SELECT sum(cost) FROM visits", True),
        ("SELECT sum(cost) FROM visits WHERE county = 'Huan'", True),
        ("SELECT count(*) FROM visits", False),
        ("SELECT sum(cost), count(*) FROM visits", False),
        ("SELECT county, sum(cost) FROM visits GROUP BY county", False),
        ("SELECT avg(cost) FROM visits", False),
    ],
)
def test_an_encrypted_sum_is_exactly_one_sum(query: str, permitted: bool, product: Product) -> None:
    verdict = review(query, product, SUM_MODE)
    if permitted:
        assert isinstance(verdict, Reviewed)
    else:
        assert isinstance(verdict, Refusal)
        assert [reason.code for reason in verdict.reasons] == ["sandbox.query-not-one-sum"]


def test_more_groups_than_rows_that_may_leave_are_refused_from_the_domains_alone(tmp_path: Path) -> None:
    few = a_product(tmp_path, maximumRows=2)
    refusal = review("SELECT county, count(*) FROM visits GROUP BY county", few)
    assert isinstance(refusal, Refusal)
    assert [reason.code for reason in refusal.reasons] == ["sandbox.query-too-large"]
    assert isinstance(review("SELECT sex, count(*) FROM visits GROUP BY sex", few), Reviewed)


@given(st.text(max_size=200))
@example("SELECT count(*) FROM visits WHERE \x00")
@example("SELECT\u00a0count(*)\u2003FROM visits")
@example("SELECT count(*) FROM ｖisits")
def test_review_answers_any_text(text: str) -> None:
    assert isinstance(review(text, _PRODUCT), Reviewed | Refusal)


WORDS = (
    "SELECT FROM visits WHERE county person cost count(*) sum( ) ( = 'Huan' 1 AND NOT GROUP BY , * CASE WHEN THEN END "
    "HAVING OVER UNION JOIN read_csv( IN BETWEEN IS NULL DISTINCT AS ; [ ] { } :: -> $x LIMIT"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=25))
def test_review_answers_any_heap_of_words(words: list[str]) -> None:
    verdict = review(" ".join(words), _PRODUCT)
    if isinstance(verdict, Reviewed):
        assert "read_csv" not in verdict.job_sql


def _made() -> Product:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return a_product(Path(folder))


_PRODUCT = _made()
