"""Twins: drawn from what is public already, the same to the byte, and good for trying every lane on."""

import csv
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from hexi.canonical import digest, encode
from hexi.database import Database
from registry.catalogue import Product
from sandbox.bench import bench_twin, open_bench, read_bench_product
from sandbox.cli import app
from sandbox.cubes.cubes import Cubes, Published
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable
from sandbox.preview import MAX_TWIN_ROWS, TwinFormat, TwinSidecar
from sandbox.preview.twin import Twin, twin
from tests.builders import SettableClock
from tests.sandbox.builders import TABLES
from tests.sandbox.cubes.test_cubes import LATTICE, described, patients

__all__ = ["patients"]  # the fixture

KEY = b"k" * 32
SENSITIVE = {"name": "cause", "family": "health", "labels": ["none", "heart", "lung"], "other": "none"}
WITH_LABELS = {**LATTICE, "mincell": 100, "measures": [*LATTICE["measures"], SENSITIVE]}


def published(table: Path, folder: Path, product: Product) -> Published:
    """The cube of `table`, published in a database of its own."""
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    found = Cubes(database, KEY, SettableClock()).published(Dataset(product, digest("p"), {"patients": table}))
    database.dispose()
    return found


def whole(made: Twin) -> dict[str, bytes]:
    return {f"{name}.{kind}": made.file(name, kind) for name in made.tables for kind in TwinFormat}


def rows_of(made: Twin, table: str = "patients") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.file(table, TwinFormat.CSV).decode())))


def test_two_tables_with_one_cube_have_one_twin(patients: Path, tmp_path: Path) -> None:
    product = described(tmp_path)
    header, *lines = patients.read_text().splitlines()
    # Other people, in another order: everybody has another name, and the cube does not know names.
    renamed = [f"q{line.removeprefix('p')}" for line in reversed(lines)]
    (tmp_path / "others.csv").write_text("\n".join([header, *renamed]) + "\n")
    ours = published(patients, tmp_path / "a", product)
    theirs = published(tmp_path / "others.csv", tmp_path / "b", product)
    twins = [twin(product, digest("p"), one.cube) for one in (ours, theirs)]
    assert twins[0].sidecar == twins[1].sidecar
    assert whole(twins[0]) == whole(twins[1])
    assert twins[0].sidecar.source == "published-cube"
    assert not {row["person"] for row in rows_of(twins[0])} & {line.split(",")[0] for line in (*lines, *renamed)}


def test_a_twin_is_drawn_without_any_table(patients: Path, tmp_path: Path) -> None:
    product = described(tmp_path)
    home = tmp_path / "state"
    shutil.copytree(patients.parent, tmp_path / "tables")
    with open_bench(product, tmp_path / "tables", home, SettableClock()) as bench:
        bench.ask("SELECT count(*) FROM patients")
    shutil.rmtree(tmp_path / "tables")
    made = bench_twin(product, home, SettableClock())
    assert made.sidecar.source == "published-cube"
    assert made.sidecar.rows == {"patients": 2_000}
    assert bench_twin(product, None, SettableClock()).sidecar.source == "schema"
    assert not (tmp_path / "elsewhere").exists()


def test_a_twin_of_a_cube_resembles_it(patients: Path, tmp_path: Path) -> None:
    product = described(tmp_path, lattice=LATTICE)
    lines = list(csv.DictReader(io.StringIO(patients.read_text())))
    skewed = [line for line in lines if line["age"] != "10" and not (line["sex"] == "m" and line["age"] >= "40")]
    with (tmp_path / "skewed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(skewed)
    made = twin(product, digest("p"), published(tmp_path / "skewed.csv", tmp_path / "a", product).cube)
    real = Counter((line["sex"], line["age"] >= "40") for line in skewed)
    drawn = Counter((row["sex"], row["age"] >= "40") for row in rows_of(made))
    for cell in [(sex, old) for sex in "fm" for old in (False, True)]:
        assert abs(drawn[cell] / drawn.total() - real[cell] / real.total()) < 0.03
    assert Counter(row["age"] for row in rows_of(made))["10"] < 0.02 * drawn.total()
    costs = [float(row["cost"]) for row in rows_of(made)]
    assert 220 < sum(costs) / len(costs) < 380  # 300 a person, in two rows each


def test_a_sensitive_column_is_drawn_from_its_labels(patients: Path, tmp_path: Path) -> None:
    columns = ("person", "sex", "age", "cost", "ill", "cause")
    lines = list(csv.DictReader(io.StringIO(patients.read_text())))
    with (tmp_path / "causes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for line in lines:
            cause = "heart" if line["sex"] == "f" else "none"
            writer.writerow([*(line[name] for name in columns[:-1]), cause])
    product = with_cause(tmp_path)
    made = twin(product, digest("p"), published(tmp_path / "causes.csv", tmp_path / "a", product).cube)
    found = Counter((row["sex"], row["cause"]) for row in rows_of(made))
    assert found["f", "heart"] > 0.95 * (found["f", "heart"] + found["f", "none"] + found["f", "lung"])
    assert found["m", "none"] > 0.95 * (found["m", "heart"] + found["m", "none"] + found["m", "lung"])


def with_cause(folder: Path) -> Product:
    roles = dict.fromkeys(("sex", "age"), "dimension") | dict.fromkeys(("cost", "ill", "cause"), "measure")
    columns = [{"name": name, "datatype": "string", "role": role} for name, role in roles.items()]
    columns = [{"name": "person", "datatype": "string", "role": "entity-key"}, *columns]
    table = {"name": "patients", "entityKey": "person", "columns": columns}
    (folder / "cause.json").write_bytes(
        encode({"identifier": "p", "version": 1, "tables": [table], "lattice": WITH_LABELS})
    )
    return read_bench_product(folder / "cause.json")


def simple(folder: Path, **members: Any) -> Product:
    described = {"identifier": "p", "version": 3, "tables": TABLES, "hasPersonalInformation": False, **members}
    (folder / "simple.json").write_bytes(encode(described))
    return read_bench_product(folder / "simple.json")


def test_a_twin_of_the_schema_keeps_to_what_is_declared(tmp_path: Path) -> None:
    made = twin(simple(tmp_path, rows=500), digest("p"))
    visits = rows_of(made, "visits")
    assert (made.sidecar.source, made.sidecar.rows) == ("schema", {"visits": 500, "codes": 500})
    assert {row["county"] for row in visits} == {"Huan", "Ning", "Zhengning"}
    assert all(0 <= float(row["cost"]) <= 1000 for row in visits)
    assert {row["smoker"] for row in visits} == {"true", "false"}
    assert {row["name"] for row in visits} == {""}  # hidden
    assert len({row["person"] for row in visits}) == 500
    types = pyarrow.parquet.read_schema(io.BytesIO(made.file("visits", TwinFormat.PARQUET)))
    assert [str(types.field(name).type) for name in ("person", "year", "day", "smoker", "cost")] == [
        "string",
        "int64",
        "date32[day]",
        "bool",
        "double",
    ]


def test_the_seed_decides(tmp_path: Path) -> None:
    product = simple(tmp_path)
    assert whole(twin(product, digest("p"))) == whole(twin(product, digest("p")))
    assert whole(twin(product, digest("p"), seed=1)) == whole(twin(product, digest("other"), seed=1))
    assert whole(twin(product, digest("p"), seed=1)) != whole(twin(product, digest("p"), seed=2))
    assert twin(product, digest("p"), rows=10**9).sidecar.rows["visits"] == MAX_TWIN_ROWS
    with pytest.raises(ProductUnusable):
        twin(product, digest("p")).file("../secrets", TwinFormat.CSV)
    said = twin(product, digest("p")).sidecar.model_dump(by_alias=True)
    with pytest.raises(ValidationError):
        TwinSidecar.model_validate({**said, "rows": {"../../etc/cron": 1}})


CONTROLLED = {
    "type": "controlled-policy",
    "airlock": False,
    "literals": ["visits.year"],
    "levels": {"visits.name": "never"},
}
ON_TABLES = "SELECT county, count(*) AS n, sum(cost) FROM visits GROUP BY county"
LANES: list[tuple[str, dict[str, Any], str]] = [
    ("tables", {}, ON_TABLES),
    ("controlled", {"controlled": CONTROLLED}, "SELECT county, count(*) AS n FROM visits GROUP BY county"),
]


@pytest.mark.parametrize(("lane", "members", "query"), LANES, ids=[lane for lane, _, _ in LANES])
@pytest.mark.parametrize("kind", TwinFormat)
def test_every_lane_answers_on_a_twin(
    lane: str, members: dict[str, Any], query: str, kind: TwinFormat, tmp_path: Path
) -> None:
    product = simple(tmp_path, disclosure={"minimumIsolation": 0}, rows=600, **members)
    twin(product, digest("p")).write(tmp_path / "twin", kind)
    with open_bench(product, tmp_path / "twin", None, SettableClock()) as bench:
        answer = bench.ask(query)
    assert (answer.verdict, len(answer.rows)) == ("released", 3), answer.reasons


@pytest.mark.parametrize("kind", TwinFormat)
def test_the_lattice_answers_on_its_twin(kind: TwinFormat, tmp_path: Path) -> None:
    product = with_cause(tmp_path)
    twin(product, digest("p"), rows=2_000).write(tmp_path / "twin", kind)
    with open_bench(product, tmp_path / "twin", None, SettableClock()) as bench:
        answer = bench.ask("SELECT sex, count(*), avg(cost) FROM patients GROUP BY sex")
    assert (answer.verdict, len(answer.rows)) == ("released", 2), answer.reasons


def test_the_command_writes_a_twin_and_says_what_it_is(tmp_path: Path) -> None:
    described(tmp_path)
    words = ["twin", "--product", str(tmp_path / "product.json"), "--out", str(tmp_path / "twin"), "--rows", "50"]
    said = CliRunner().invoke(app, words)
    assert (said.exit_code, "drawn from the schema" in said.stdout) == (0, True)
    sidecar = json.loads((tmp_path / "twin" / "twin.json").read_text())
    assert (sidecar["type"], sidecar["source"], sidecar["rows"]) == ("synthetic-twin", "schema", {"patients": 50})
    assert sidecar["files"].keys() == {"patients.csv"}
    before = (tmp_path / "twin" / "patients.csv").read_bytes()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "twin" / "patients.csv").read_bytes() == before
