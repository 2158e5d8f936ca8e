"""JOIN at the door: what comes through means in the cube what it means in SQL, the rest is refused with a way out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hexi.canonical import digest, encode
from hexi.database import Database
from privacy.lattice.answers import answer
from privacy.lattice.plan import GRID, Plan, plan
from privacy.lattice.policy import Attribute, Family, LatticePolicy, Measure, read_policy
from privacy.lattice.publication import Cube, residual
from sandbox.bench import read_bench_product
from sandbox.cubes.cubes import Cubes, ask
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuery, Statistic
from sandbox.datasets import Dataset
from sandbox.engines.local import Local
from sandbox.engines.marginals import Marginals
from sandbox.errors import ProductUnusable
from sandbox.reasons import Refusal
from tests.builders import SettableClock

KEYS = {"insured": "id", "visits": "patient"}
MEGABYTE = 1 << 20


def declared(*, kind_other: str | None = "none", one_row: tuple[str, ...] = ("patients", "insured")) -> LatticePolicy:
    return LatticePolicy(
        "id",
        (
            Attribute.flat("sex", ("f", "m")),
            Attribute.flat("kind", ("basic", "full", "none"), column="insured.kind", other=kind_other),
            Attribute.flat("reason", ("check", "ill", "never"), column="visits.reason", other="never"),
        ),
        (
            Measure("weight", "m", 0, GRID, square=True),
            Measure("premium", "m", 0, GRID, column="insured.premium"),
            Measure("age", "m", 1, 1 + GRID, column="insured.age"),
            Measure("cost", "m", 0, 8 * GRID, column="visits.cost"),
            Measure("grade", "s", 0, 1, column="insured.grade", labels=("a", "b"), other="b"),
        ),
        (Family("m", 2.0), Family("s", 2.0)),
        size=2_000,
        mincell=20,
        one_row=one_row,
    )


@cache
def planned(**given: Any) -> Plan:
    return plan(declared(**given))


def read(text: str, **given: Any) -> CubeQuery | Refusal:
    found = read_query(text, planned(**given), "patients", KEYS)
    assert isinstance(found, CubeQuery | Refusal)
    return found


P_V = "FROM patients p LEFT JOIN visits v ON v.patient = p.id"
P_I = "FROM patients p JOIN insured i ON i.id = p.id"
ANSWERED = [
    f"SELECT p.sex, count(DISTINCT p.id) {P_V} GROUP BY p.sex",
    f"SELECT sex, sum(v.cost) AS spent {P_V} GROUP BY sex HAVING sum(cost) > 0 ORDER BY spent",
    "SELECT sum(cost) FROM patients JOIN visits ON (patients.id = visits.patient) WHERE sex = 'f'",
    f"SELECT i.kind, count(*), avg(i.premium) {P_I} WHERE i.kind <> 'none' GROUP BY i.kind",
    "SELECT count(*) FROM patients LEFT JOIN insured USING (id)",
    "SELECT avg(weight), stddev_pop(weight), sum(premium) FROM patients LEFT OUTER JOIN insured USING (id)",
    "SELECT sum(premium) FROM insured i JOIN patients p ON p.id = i.id",
    f"SELECT count(*) {P_I} WHERE i.grade = 'a'",
    "SELECT count(DISTINCT p.id), sum(v.cost) FROM patients p JOIN insured i USING (id) "
    "LEFT JOIN visits v ON v.patient = i.id WHERE kind IN ('basic', 'full')",
    "SELECT count(DISTINCT i.id) FROM patients p JOIN insured i ON p.id = i.id WHERE kind = 'full'",
]


@pytest.mark.parametrize("text", ANSWERED)
def test_joins_that_the_cube_can_answer_come_through(text: str) -> None:
    assert isinstance(read(text), CubeQuery), read(text)


REFUSED = {
    # Rows multiply, so these are over rows and not over people.
    f"SELECT p.sex, count(*) {P_V} GROUP BY p.sex": ("query-function", "count(DISTINCT id)"),
    f"SELECT avg(p.weight) {P_V}": ("query-function", "several of one entity"),
    f"SELECT sum(p.weight) {P_V}": ("query-function", "visits"),
    f"SELECT avg(v.cost) {P_V}": ("query-function", "sum of a measure"),
    f"SELECT count(DISTINCT p.id) {P_V} HAVING count(*) > 10": ("query-function", "count(DISTINCT id)"),
    f"SELECT count(DISTINCT p.id) {P_V} ORDER BY avg(weight)": ("query-function", "oneRow"),
    # A condition chooses among rows of which one label each is published.
    f"SELECT count(DISTINCT p.id) {P_V} WHERE v.reason = 'ill'": ("query-column-role", "FROM patients alone"),
    f"SELECT reason, sum(cost) {P_V} GROUP BY reason": ("query-column-role", "reason"),
    # Whoever has no row there.
    "SELECT count(DISTINCT id) FROM patients JOIN visits ON patient = id": ("query-clause", "LEFT JOIN visits"),
    f"SELECT count(*) {P_I}": ("query-clause", "WHERE kind <> 'none'"),
    f"SELECT count(*) {P_I} WHERE kind <> 'full'": ("query-clause", "WHERE kind <> 'none'"),
    "SELECT kind, count(*) FROM patients p LEFT JOIN insured i USING (id) GROUP BY kind": ("query-clause", "none"),
    "SELECT avg(premium) FROM patients p LEFT JOIN insured i USING (id)": ("query-clause", "avg"),
    "SELECT sum(i.age) FROM patients p LEFT JOIN insured i USING (id)": ("query-clause", "sum of it leaves them out"),
    f"SELECT count(DISTINCT v.patient) {P_V}": ("query-clause", "visits"),
    f"SELECT sum(v.cost) {P_I} LEFT JOIN visits v ON v.patient = p.id": ("query-clause", "insured"),
    # What is no join on entity keys.
    "SELECT count(*) FROM patients, insured": ("query-clause", "entity key"),
    "SELECT count(*) FROM patients CROSS JOIN insured": ("query-clause", "CROSS JOIN"),
    "SELECT count(*) FROM patients NATURAL JOIN insured": ("query-clause", "JOIN"),
    "SELECT count(*) FROM patients p FULL JOIN insured i ON i.id = p.id": ("query-clause", "FULL"),
    "SELECT count(*) FROM patients p RIGHT JOIN insured i ON i.id = p.id": ("query-clause", "RIGHT"),
    "SELECT count(*) FROM patients p SEMI JOIN insured i ON i.id = p.id": ("query-clause", "SEMI"),
    "SELECT count(*) FROM patients p ANTI JOIN insured i ON i.id = p.id": ("query-clause", "ANTI"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.kind = p.sex": ("query-clause", "i.id"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.id <> p.id": ("query-clause", "entity key"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.id = i.id": ("query-clause", "entity key"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.id = p.id AND i.kind = 'full'": ("query-clause", "WHERE"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.id = p.id OR true": ("query-clause", "WHERE"),
    "SELECT count(*) FROM patients p JOIN insured i USING (kind)": ("query-clause", "entity key"),
    "SELECT count(*) FROM patients p JOIN insured i USING (id, kind)": ("query-clause", "entity key"),
    "SELECT count(*) FROM patients p JOIN insured i ON i.id = lower(p.id)": ("query-function", "lower"),
    "SELECT count(*) FROM patients p JOIN patients q ON p.id = q.id": ("query-clause", "twice"),
    "SELECT count(*) FROM patients p LEFT JOIN visits p ON p.patient = p.id": ("query-clause", "twice"),
    "SELECT count(*) FROM patients p JOIN secrets s ON s.id = p.id": ("query-table", "insured"),
    "SELECT count(*) FROM patients p JOIN (SELECT id FROM insured) i ON i.id = p.id": ("query-clause", "SUBQUERY"),
    "SELECT count(DISTINCT id) FROM insured i LEFT JOIN patients p ON p.id = i.id": ("query-clause", "first"),
    "SELECT sum(cost) FROM insured i LEFT JOIN visits v ON v.patient = i.id": ("query-table", "FROM patients"),
    f"SELECT sum(cost) {P_V} JOIN insured i ON i.id = v.patient": ("query-clause", "kept"),
    # Columns that are not where the query says.
    f"SELECT v.sex, count(DISTINCT p.id) {P_V} GROUP BY v.sex": ("query-column-unknown", "patients"),
    f"SELECT kind, count(DISTINCT p.id) {P_V} GROUP BY kind": ("query-column-unknown", "join it"),
    f"SELECT count(DISTINCT p.id) {P_V} WHERE x.sex = 'f'": ("query-column-unknown", "x"),
    f"SELECT count(DISTINCT p.id) {P_V} WHERE v.patient = 'p1'": ("singling-out", "id"),
    f"SELECT p.id, count(*) {P_I} WHERE kind = 'full' GROUP BY p.id": ("singling-out", "id"),
    f"SELECT p.* {P_I}": ("query-rows", "rows"),
    f"SELECT linear_regression(weight, sex) {P_I}": ("query-clause", "JOIN"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_all_other_joins_are_refused_with_the_way_out(text: str) -> None:
    refusal, (code, way_out) = read(text), REFUSED[text]
    assert isinstance(refusal, Refusal), refusal
    found = {reason.code: reason.message for reason in refusal.reasons}
    assert f"sandbox.{code}" in found, found
    assert way_out in found[f"sandbox.{code}"]


def test_a_table_without_a_label_for_others_has_everybody() -> None:
    for text in (f"SELECT count(*) {P_I}", f"SELECT kind, avg(premium) {P_I} GROUP BY kind", f"SELECT sum(age) {P_I}"):
        assert isinstance(read(text), Refusal)
        assert isinstance(read(text, kind_other=None), CubeQuery)


def test_tables_have_several_rows_unless_the_policy_says_one() -> None:
    text = "SELECT count(*) FROM patients LEFT JOIN insured USING (id)"
    assert isinstance(read(text), CubeQuery)
    assert isinstance(read(text, one_row=("patients",)), Refusal)
    assert isinstance(read(text, one_row=("insured",)), Refusal)
    assert read_policy(declared().document()) == read_policy(read_policy(declared().document()).document())
    assert read_policy(declared().document()).one_row == ("patients", "insured")


# Against SQL itself


@dataclass(frozen=True)
class World:
    """Small tables drawn by a seed, in DuckDB as they are, and the cube made of them with no noise."""

    plan: Plan
    cube: Cube
    raw: duckdb.DuckDBPyConnection


def tables(rng: np.random.Generator, *, everybody: bool) -> dict[str, dict[str, list[Any]]]:
    """People, one insurance each or at most one, any number of visits; and rows about people who are not there."""
    many = int(rng.integers(40, 90))
    ids = [f"p{number}" for number in range(many + 6)]
    insured = ids if everybody else [one for one in ids if rng.random() < 0.7]
    visited = [str(one) for one in rng.choice(ids, int(rng.integers(1, 150)))]
    return {
        "patients": {
            "id": ids[:many],
            "sex": ["fm"[i] for i in rng.integers(0, 2, many)],
            "weight": rng.integers(0, GRID + 1, many).tolist(),
        },
        "insured": {
            "id": insured,
            "kind": [("basic", "full", "none")[i] for i in rng.integers(0, 3, len(insured))],
            "premium": rng.integers(0, 1001, len(insured)).tolist(),
            "age": rng.integers(1, 101, len(insured)).tolist(),
            "grade": ["ab"[i] for i in rng.integers(0, 2, len(insured))],
        },
        "visits": {
            "patient": visited,
            "reason": [("check", "ill", "never")[i] for i in rng.integers(0, 3, len(visited))],
            "cost": (8 * rng.integers(0, 60, len(visited))).tolist(),
        },
    }


def made(folder: Path, seed: int) -> World:
    rng = np.random.default_rng(seed)
    everybody = bool(rng.integers(2))
    given = planned(kind_other=None if everybody else "none")
    raw, paths = duckdb.connect(), {}
    for name, columns in tables(rng, everybody=everybody).items():
        paths[name] = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(pa.table(columns), paths[name])
        raw.execute(f"CREATE TABLE {name} AS FROM '{paths[name]}'")
    others = {name: (paths[name], key) for name, key in KEYS.items()}
    engine = Local(256 * MEGABYTE, threads=1)
    with Marginals(engine, paths["patients"], given, others=others, own="patients") as marginals:
        exact = {
            measure: {part: residual(given, part, marginals.marginal(measure, part)) for part in of}
            for measure, of in given.variances.items()
        }
    return World(given, Cube(given, exact, is_smoothed=False), raw)


SOURCES = [
    "patients p LEFT JOIN insured i ON i.id = p.id",
    "patients p JOIN insured i USING (id)",
    "insured i JOIN patients p ON p.id = i.id",
    "patients p LEFT JOIN visits v ON v.patient = p.id",
    "patients p JOIN visits v ON v.patient = p.id",
    "visits v JOIN patients p ON v.patient = p.id",
    "patients p JOIN insured i USING (id) LEFT JOIN visits v ON v.patient = p.id",
    "patients p JOIN insured i ON p.id = i.id JOIN visits v ON v.patient = i.id",
    "patients p LEFT JOIN insured i ON p.id = i.id JOIN visits v ON v.patient = p.id",
    "insured i JOIN visits v ON v.patient = i.id JOIN patients p ON p.id = v.patient",
]
GROUPS = ["p.sex", "i.kind", "v.reason", "i.grade"]
WHERE = ["p.sex = 'f'", "i.kind <> 'none'", "i.kind = 'none'", "i.kind IN ('full', 'none')", "i.grade = 'a'"]
WHERE += ["v.reason <> 'never'", "NOT i.kind = 'full'", "i.grade <> 'a'"]
AGGREGATES = ["count(*)", "count(DISTINCT p.id)", "count(DISTINCT i.id)", "count(DISTINCT v.patient)"]
AGGREGATES += [f"{name}({m})" for name in ("sum", "avg") for m in ("p.weight", "i.premium", "i.age", "v.cost")]
AGGREGATES += ["stddev_pop(p.weight)"]


def queries(rng: np.random.Generator, many: int) -> Iterator[str]:
    """Random queries: one aggregate, by some groups, of some of the tables."""
    for _ in range(many):
        source = SOURCES[rng.integers(len(SOURCES))]
        there = {"p", *(alias for alias in "iv" if f" {alias} " in f"{source} ")}

        def some(of: list[str], most: int, there: set[str] = there) -> list[str]:
            fitting = [one for one in of if one.split(".")[0][-1] in there or one == "count(*)"]
            return [fitting[i] for i in rng.permutation(len(fitting))[: rng.integers(0, most + 1)]]

        groups, where = some(GROUPS, 2), some(WHERE, 2)
        aggregate = (some(AGGREGATES, 1) or ["count(*)"])[0]
        text = f"SELECT {', '.join([*groups, f'{aggregate} AS n'])} FROM {source}"
        text += f" WHERE {' AND '.join(where)}" if where else ""
        yield text + (f" GROUP BY {', '.join(groups)}" if groups else "")


def of_cube(world: World, query: CubeQuery) -> Mapping[tuple[str, ...], float]:
    """The answer of the cube, cell by cell, where there is anybody."""
    cells = answer(world.cube, query.question, query.moments)
    cells = cells.take(np.flatnonzero(np.rint(cells.people.value) > 0).tolist())
    (statistic,) = (column.item for column in query.columns if isinstance(column.item, Statistic))
    return dict(zip(map(tuple, cells.labels), statistic.of(cells).value.tolist(), strict=True))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_admitted_query_means_what_it_means_in_sql(tmp_path: Path, seed: int) -> None:
    world, rng, admitted = made(tmp_path, seed), np.random.default_rng(seed + 1), 0
    for text in queries(rng, 200):
        query = read_query(text, world.plan, "patients", KEYS)
        if isinstance(query, Refusal):
            continue
        assert isinstance(query, CubeQuery)
        admitted += 1
        of_sql = {tuple(row[:-1]): row[-1] for row in world.raw.execute(text).fetchall()}
        found = of_cube(world, query)
        for cell in {*found, *of_sql}:
            # A sum over no rows is null in SQL, or its group is not there; the cube says nought.
            exact = 0.01 if "stddev" in text else 1e-6  # all values are on the grid, their squares are not
            assert found.get(cell, 0.0) == pytest.approx(of_sql.get(cell) or 0.0, rel=exact, abs=1e-6), (text, cell)
    assert admitted > 3


def test_each_refusal_of_rows_is_for_a_difference_that_is_there(tmp_path: Path) -> None:
    """Of the refused kinds, asked of the entities' table alone, SQL over the joined rows says something else."""
    world = made(tmp_path, 3)
    inner = "FROM patients p JOIN visits v ON v.patient = p.id"
    alone_of = {
        f"SELECT count(*) {P_V}": "SELECT count(*) FROM patients",
        f"SELECT count(DISTINCT id) {inner} WHERE reason = 'ill'": "SELECT count(*) FROM patients WHERE reason = 'ill'",
        f"SELECT sum(p.weight) {P_V}": "SELECT sum(weight) FROM patients",
        f"SELECT count(DISTINCT p.id) {inner}": "SELECT count(*) FROM patients",
    }
    for refused, alone in alone_of.items():
        assert isinstance(read_query(refused, world.plan, "patients", KEYS), Refusal)
        query = read_query(alone, world.plan, "patients", KEYS)
        assert isinstance(query, CubeQuery)
        (truth,) = world.raw.execute(refused).fetchone() or (None,)
        (found,) = of_cube(world, query).values()
        assert found != pytest.approx(truth, rel=0.02)


def test_publishing_holds_a_table_to_its_one_row(tmp_path: Path) -> None:
    path, bills = tmp_path / "patients.csv", tmp_path / "insured.csv"
    policy = LatticePolicy(
        "id",
        (Attribute.flat("sex", ("f", "m")),),
        (Measure("premium", "m", 0, 10, column="insured.premium"),),
        (Family("m", 1.0),),
        size=200,
        one_row=("patients", "insured"),
    )
    others, people, one = {"insured": (bills, "id")}, "id,sex\n1,f\n", "id,premium\n1,2\n"

    def publish(of_people: str, of_insured: str, own: str = "patients") -> None:
        path.write_text(of_people)
        bills.write_text(of_insured)
        Marginals(Local(256 * MEGABYTE), path, plan(policy), others=others, own=own).__exit__(None, None, None)

    publish(people, one)
    for of_people, of_insured in ((people + "1,m\n", one), (people, one + "1,3\n")):
        with pytest.raises(ProductUnusable, match="several rows of one entity"):
            publish(of_people, of_insured)
    with pytest.raises(ProductUnusable, match="no table of its own"):
        publish(people, one, own="somebody")


def test_a_product_of_several_tables_is_published_and_joined(
    database: Database, clock: SettableClock, tmp_path: Path
) -> None:
    database.migrate("sandbox")
    rng, many = np.random.default_rng(4), 2_000
    written = {
        "patients": ["id,sex,weight", *(f"p{i},{'fm'[i % 2]},{rng.integers(1024)}" for i in range(many))],
        "insured": ["id,kind,premium,age,grade", *(f"p{i},full,{i % 900},40,a" for i in range(0, many, 4))],
        "visits": ["patient,reason,cost", *(f"p{rng.integers(many)},ill,80" for _ in range(3 * many))],
    }
    for name, lines in written.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    keys = {"patients": "id", **KEYS}
    described = [
        {
            "name": name,
            "entityKey": keys[name],
            "columns": [
                {"name": one, "datatype": "string", "role": "entity-key" if one == keys[name] else "dimension"}
                for one in lines[0].split(",")
            ],
        }
        for name, lines in written.items()
    ]
    file = tmp_path / "product.json"
    file.write_bytes(encode({"identifier": "p", "version": 1, "tables": described, "lattice": declared().document()}))
    cubes = Cubes(database, b"k" * 32, clock)
    dataset = Dataset(read_bench_product(file), digest("p"), {name: tmp_path / f"{name}.csv" for name in written})
    for text, truth, within in (
        (f"SELECT count(*) {P_I} WHERE kind = 'full'", many / 4, 30),
        (f"SELECT sum(v.cost) {P_V}", 3 * many * 80, 60_000),
        (f"SELECT count(DISTINCT p.id) {P_V} WHERE p.sex = 'f'", many / 2, 30),
    ):
        query = cubes.review(dataset, text)
        assert isinstance(query, CubeQuery), query
        assert " JOIN " in query.canonical_sql
        ((value, low, high),) = ask(cubes.published(dataset), query).rows
        assert low <= value <= high
        assert value == pytest.approx(truth, abs=within)
    assert isinstance(cubes.review(dataset, f"SELECT count(*) {P_V}"), Refusal)
