"""``hexi sandbox try``, as a subprocess: its streams, its memory across processes, its exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import encode, parse
from sandbox.bench import open_bench, read_bench_product
from sandbox.errors import ProductUnusable
from tests.builders import SettableClock
from tests.sandbox.builders import TABLES, write_visits

BY_COUNTY = "SELECT county, count(*) AS n FROM visits GROUP BY county"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with a minimal product file and its table."""
    (tmp_path / "tables").mkdir()
    write_visits(tmp_path / "tables" / "visits.csv")
    document = {"tables": TABLES[:1], "disclosure": {"minimumIsolation": 0}, "hasPersonalInformation": False}
    (tmp_path / "product.json").write_bytes(encode(document))
    return tmp_path


def hexi(bench: Path, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program, product = str(Path(sys.executable).parent / "hexi"), ["--product", str(bench / "product.json")]
    command = [program, "sandbox", arguments[0], *product, *arguments[1:]]
    return subprocess.run(command, input=text, capture_output=True, timeout=120, check=False)


def tried(bench: Path, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return hexi(bench, "try", "--tables", str(bench / "tables"), *arguments, text=text)


def lines(output: bytes) -> list[dict[str, Any]]:
    return [parse(line) for line in output.splitlines()]


def test_the_stream_answers_every_line_and_survives_each(bench: Path) -> None:
    given = [
        encode(BY_COUNTY),
        b"junk",
        b"17",
        b'"\\ud800"',
        b"\xff\xfe",
        encode("SELECT count(*) FROM visits WHERE person = 'P0001'"),
        encode("x" * 200_000),
        b"[" * 5000,
        encode(BY_COUNTY.lower()),
    ]
    done = tried(bench, "--query", "-", "--state", str(bench / "state"), text=b"\n".join(given) + b"\n\n")
    answers = lines(done.stdout)
    assert done.returncode == 0
    assert [answer["verdict"] for answer in answers] == ["released", *["refused"] * 7, "released"]
    assert all(set(answer) >= {"verdict", "columns", "rows", "reasons", "receipt"} for answer in answers)
    assert answers[0]["rows"] == answers[-1]["rows"] == [["Huan", 80], ["Ning", 50]]
    assert answers[5]["reasons"][0]["code"] == "sandbox.singling-out"
    assert answers[0]["receipt"]["document"]["type"] == "run-receipt"


def test_what_was_released_is_remembered_across_processes(bench: Path) -> None:
    state = ["--state", str(bench / "state")]
    everybody, without_nine = "SELECT count(*) FROM visits", "SELECT count(*) FROM visits WHERE county <> 'Zhengning'"
    assert tried(bench, *state, "--query", everybody).returncode == 0
    refused = tried(bench, *state, "--query", without_nine)
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"sandbox.too-close-to-earlier" in refused.stderr
    assert tried(bench, "--query", without_nine).returncode == 0


def test_json_and_explanations_and_wrong_input(bench: Path) -> None:
    released = tried(bench, "--query", BY_COUNTY, "--json")
    assert parse(released.stdout)["rows"] == [["Huan", 80], ["Ning", 50]]
    assert b"--query" in tried(bench).stdout
    explained = hexi(bench, "explain")
    assert b"county" in explained.stdout
    (bench / "product.json").write_text("{}")
    wrong = tried(bench, "--query", BY_COUNTY)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"sandbox.product-unusable" in wrong.stderr


@pytest.mark.parametrize(
    "document",
    [
        {"tables": TABLES[:1]},
        {"tables": TABLES[:1], "disclosure": {"minimumEntities": 20}},
        {
            "document": {"type": "data-product", "identifier": "6x", "version": 2, "tables": TABLES[:1]},
            "signatures": {},
        },
        {"type": "data-product", "title": {"zh": "就诊", "en": "visits"}, "tables": TABLES[:1], "policy": {}},
    ],
    ids=["tables only", "with disclosure", "signed", "a whole document"],
)
def test_product_files_that_can_be_used(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(encode(document))
    product = read_bench_product(tmp_path / "p.json")
    assert product.tables[0].name == "visits"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"tables": []}', '{"tables": [1]}', '{"tables": [{"name": "v"}]}', '{"tables": 5}'],
)
def test_product_files_that_cannot(text: str, tmp_path: Path) -> None:
    from hexi.errors import Malformed

    (tmp_path / "p.json").write_text(text)
    with pytest.raises(Malformed):
        read_bench_product(tmp_path / "p.json")


def test_a_bench_without_its_table_says_so(bench: Path) -> None:
    product = read_bench_product(bench / "product.json")
    (bench / "tables" / "visits.csv").unlink()
    with pytest.raises(ProductUnusable, match=r"visits\.csv"), open_bench(product, bench, None, SettableClock()):
        pass


def test_a_parquet_file_answers_like_the_csv_file(bench: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.csv.read_csv(bench / "tables" / "visits.csv")
    (bench / "parquet").mkdir()
    pyarrow.parquet.write_table(table, bench / "parquet" / "visits.parquet")
    product = read_bench_product(bench / "product.json")
    chosen = "county, smoker, count(*), sum(cost), avg(cost)"
    query = f"SELECT {chosen} FROM visits WHERE day > '2024-03-05' GROUP BY county, smoker"
    answers = []
    for folder in ("tables", "parquet"):
        with open_bench(product, bench / folder, None, SettableClock()) as opened:
            answers.append(opened.ask(query))
    assert answers[0].verdict == "released"
    assert answers[0].rows == answers[1].rows


def test_who_does_not_say_that_there_are_no_persons_is_told_the_ways_out(bench: Path) -> None:
    (bench / "product.json").write_bytes(encode({"tables": TABLES[:1]}))
    answer = parse(tried(bench, "--query", BY_COUNTY, "--json").stdout)
    assert (answer["verdict"], answer["rows"]) == ("refused", [])
    assert [reason["code"] for reason in answer["reasons"]] == ["sandbox.no-lane"]
    explained = hexi(bench, "explain")
    assert explained.returncode != 0
    assert b"lattice" in explained.stderr
