"""Attacks by the text of a query, at the SQL door of every lane. Every one must be refused."""

from collections.abc import Iterator

import pytest

from hexi.errors import DataspaceError
from sandbox.bench import Bench
from tests.attacks.clinic import clinic
from tests.attacks.scoreboard import BOARD, REFUSED, THROUGH

ATTACKS: dict[str, tuple[str, ...]] = {
    "Q1 differencing: leave one person out": (
        "SELECT avg(cost) FROM patients WHERE county = 'Huan' AND person <> 'P0001'",
        "SELECT avg(cost) FROM patients WHERE county = 'Huan' AND name <> 'Name 1'",
        "SELECT sum(ill) FROM patients WHERE NOT person = 'P0001'",
    ),
    "Q2 reconstruction: subsets of one's own choice": (
        "SELECT count(*) FROM patients WHERE hash(person) % 2 = 0",
        "SELECT sum(ill) FROM patients WHERE person IN ('P0001', 'P0002', 'P0003')",
        "SELECT sum(ill) FROM patients WHERE substr(person, 4, 1) = '7'",
        "SELECT sum(ill) FROM patients WHERE random() < 0.5",
        "SELECT sum(ill) FROM patients WHERE person LIKE 'P00%'",
    ),
    "Q3 singling out by groups": (
        "SELECT person, count(*) FROM patients GROUP BY person",
        "SELECT name, avg(cost) FROM patients GROUP BY name",
        "SELECT sex, count(*) FROM patients GROUP BY CUBE (sex, age)",
        "SELECT sex, count(*) FROM patients GROUP BY GROUPING SETS ((sex), (age))",
        "SELECT sex, count(*) FROM patients GROUP BY sex, person",
        "SELECT cost, count(*) FROM patients GROUP BY cost",
    ),
    "Q4 rows multiplied until they are many": (
        "SELECT count(*) FROM patients CROSS JOIN range(10)",
        "SELECT count(*) FROM patients, patients",
        "SELECT count(*) FROM patients JOIN patients p USING (county)",
        "SELECT count(*) FROM (SELECT * FROM patients UNION ALL SELECT * FROM patients)",
    ),
    "Q5 constants mixed in": (
        "SELECT count(*) FROM patients UNION ALL SELECT 1",
        "SELECT count(*) FROM (VALUES (1), (2)) AS t(x)",
        "WITH p AS (SELECT 'P0001' AS person) SELECT count(*) FROM patients JOIN p USING (person)",
    ),
    "Q6 an aggregate of one person's value": (
        "SELECT sum(CASE WHEN person = 'P0001' THEN cost END) FROM patients",
        "SELECT sum(cost) FILTER (WHERE person = 'P0001') FROM patients",
        "SELECT avg(cost * (person = 'P0001')) FROM patients",
        "SELECT sum(if(sex = 'f', cost, 0)) FROM patients",
        "SELECT sum(cost * ill) FROM patients",
    ),
    "Q7 functions that hand out a value": (
        *(
            f"SELECT {call} FROM patients"
            for call in (
                "min(cost)", "max(cost)", "arg_max(name, cost)", "first(cost)", "any_value(name)", "mode(cost)",
                "quantile(cost, 0.99)", "median(cost)", "list(cost)", "string_agg(name, ',')", "histogram(cost)",
                "approx_top_k(cost, 3)", "bit_xor(hash(name))", "array_agg(cost)",
            )
        ),
        "SUMMARIZE patients",
        "SELECT * FROM patients USING SAMPLE 1",
        "SELECT cost FROM patients ORDER BY cost LIMIT 1",
    ),
    "Q8 windows": (
        "SELECT sum(cost) OVER (ROWS CURRENT ROW) FROM patients",
        "SELECT lag(cost) OVER () FROM patients",
        "SELECT sex, count(*) FROM patients GROUP BY sex QUALIFY row_number() OVER () = 1",
    ),
    "Q14 errors that speak": (
        "SELECT sum(CAST(name AS INT)) FROM patients",
        "SELECT error(name) FROM patients",
        "SELECT count(*) FROM patients WHERE 1 / (ill - 1) > 0",
        "SELECT count(*) FROM patients WHERE TRY_CAST(name AS INT) = 1",
        "SELECT sum(cost + 1e308 * 10) FROM patients",
    ),
    "Q15 time as a channel": (
        "SELECT count(*) FROM patients WHERE CASE WHEN ill = 1 THEN (SELECT count(*) FROM range(1000000000)) > 0 END",
        "SELECT sum(CASE WHEN ill = 1 THEN sleep(5) END) FROM patients",
    ),
    "Q16 metadata, and names that carry data": (
        "EXPLAIN ANALYZE SELECT count(*) FROM patients",
        "SELECT * FROM duckdb_settings()",
        "SELECT count(*) FROM information_schema.tables",
        "DESCRIBE patients",
        'SELECT count(*) AS "P0001 is ill" FROM patients',
    ),
    "S1 files": tuple(
        f"SELECT count(*) FROM {source}"
        for source in (
            "'/etc/passwd'", "read_csv('/etc/passwd')", "read_text('/etc/passwd')", "read_blob('x')", "glob('*')",
            "sniff_csv('x')", "parquet_metadata('x')", "read_json_auto('x')",
        )
    ),
    "S2 writing": ("COPY patients TO 'x.csv'", "EXPORT DATABASE 'x'", "ATTACH 'x.db'", "PRAGMA profiling_output='x'"),
    "S3 extensions": ("INSTALL httpfs", "LOAD httpfs", "FORCE INSTALL x FROM community"),
    "S4 the network": (
        "SELECT count(*) FROM read_csv('http://169.254.169.254/latest')",
        "CREATE SECRET s (TYPE s3)",
        "SELECT count(*) FROM 's3://bucket/key'",
    ),
    "S5 variables of the surrounding process": ("SELECT count(*) FROM dataset", "SELECT count(*) FROM frame"),
    "S6 ways around a reader of texts": (
        "SELECT count(*) FROM query('SELECT 1')",
        "SELECT count(*) FROM query_table('patients')",
        "SELECT json_execute_serialized_sql('x') FROM patients",
        "CREATE MACRO m() AS 1",
        "PREPARE q AS SELECT 1",
        "SET VARIABLE x = 1",
        "SELECT count(*) FROM patients; SELECT * FROM patients",
        "SELECT count(*) FROM patients -- \n; COPY patients TO 'x'",
        'SELECT count(*) FROM "patients" WHERE "PERSON" = \'P0001\'',
        "ＳＥＬＥＣＴ * FROM patients",
    ),
    "S6 what DuckDB understands and a list of nodes might not": (
        "SELECT COLUMNS('cost') FROM patients",
        "SELECT sum(COLUMNS('.*')) FROM patients",
        "SELECT count(*) FROM (PIVOT patients ON sex USING sum(cost))",
        "PIVOT patients ON sex USING sum(cost)",
        "UNPIVOT patients ON cost INTO NAME n VALUE v",
        "SELECT * EXCLUDE (person) FROM patients",
        "SELECT count(DISTINCT (person, cost)) FROM patients",
        "SELECT sum(DISTINCT cost) FROM patients",
        "SELECT sum(cost ORDER BY person) FROM patients",
        "SELECT sum(TRY(cost)) FROM patients",
        "SELECT sum(cost) FROM patients WHERE getvariable('x') = 1",
        "SELECT sum(cost) FROM patients WHERE current_setting('threads') = 1",
        "SELECT sum(cost) FROM patients WHERE sex = $1",
        "SELECT sum(cost) FROM patients WHERE sex = ?",
        "SELECT sum(cost) FROM patients WHERE (sex, age) IN (('f', '10'))",
        "SELECT sum(cost) FROM patients WHERE sex COLLATE NOCASE = 'F'",
        "SELECT sum(cost) FROM patients WHERE sex ILIKE 'F'",
        "SELECT sum(cost) FROM patients WHERE regexp_matches(sex, '(a+)+$')",
        "SELECT sum(cost) FROM patients WHERE sex IS DISTINCT FROM 'f'",
        "SELECT list_transform([1], x -> x + 1) FROM patients",
        "SELECT {'a': sum(cost)} FROM patients",
        "SELECT sum(rowid) FROM patients",
        "SELECT count(patients) FROM patients",
        "SELECT count(*) FROM patients ASOF JOIN patients p ON patients.age >= p.age",
        "SELECT count(*) FROM patients POSITIONAL JOIN patients p",
        "SELECT count(*) FROM patients, LATERAL (SELECT 1)",
        "SELECT age, sum(cost) FROM patients GROUP BY ALL",
        "SELECT age, sum(cost) FROM patients GROUP BY age HAVING min(cost) > 1",
        "SELECT age, sum(cost) FROM patients GROUP BY age ORDER BY min(cost)",
        "SELECT sum(cost) FROM patients LIMIT 1 OFFSET 1",
        "SELECT #1 FROM patients",
        "SELECT count() FROM patients",
        "SELECT count(*) FROM patients WHERE \uff53\uff45\uff58 = 'f'",
    ),
    "S6 numbers that break a reader": tuple(
        f"SELECT age, sum(cost) FROM patients GROUP BY age LIMIT {number}"
        for number in ("1e400", "-1", "1.5", "9" * 26, "9" * 5000, "'1'", "(SELECT 1)", "50%", "\u0663")
    ),
    "S7 bombs": (
        "SELECT count(*) FROM range(1000000000000)",
        "SELECT sum(length(repeat('x', 2000000000))) FROM patients",
        "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM patients WHERE " + "NOT " * 2000 + "sex = 'f'",
    ),
}  # fmt: skip
TRIES = [(attack, query) for attack, queries in ATTACKS.items() for query in queries]


@pytest.fixture(scope="module", params=["lattice", "table", "controlled"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Bench]]:
    folder = tmp_path_factory.mktemp(request.param)
    with clinic(folder / "tables").bench(request.param, folder / "state") as bench:
        yield request.param, bench


@pytest.mark.parametrize(("attack", "query"), TRIES)
def test_the_door_refuses(door: tuple[str, Bench], attack: str, query: str) -> None:
    lane, bench = door
    outcome = THROUGH
    try:
        answer = bench.ask(query)
        assert answer.verdict == "refused", answer.rows[:3]
        assert answer.rows == ()
        assert answer.reasons
        assert all(reason.code.startswith("sandbox.") for reason in answer.reasons)
        # Refused by its text: no data were touched, so nothing about them can have decided.
        assert answer.receipt["document"]["isolation"] is None
        assert answer.receipt["document"]["dataDigest"] is None
        outcome = REFUSED
    except DataspaceError as error:
        pytest.fail(f"not an answer but an error: {error.code}")
    finally:
        BOARD.count(lane, attack, outcome)
