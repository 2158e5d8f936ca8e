"""The demo: what it released is right, what it suppressed had to be, and its evidence holds until a byte is changed."""

import csv
import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import duckdb
import pytest

from examples.longyizhen.cast import HOSPITALS, SUM_QUESTION
from examples.longyizhen.processes import run_hexi
from ledger.bundle import verify_bundle
from privacy.disclosure import MINIMUM_ENTITIES, ROUNDING
from tests.end_to_end.conftest import ROOT, Demo

pytestmark = pytest.mark.process

PERSON = re.compile(rb"LYZ-[0-9a-f]{10}")


def rounded(value: float) -> int:
    """To the nearest multiple of five, half away from zero; computed apart from the code under test."""
    return int((abs(value) * 2 + ROUNDING) // (2 * ROUNDING)) * ROUNDING * (1 if value >= 0 else -1)


def table(demo: Demo, hospital: str) -> str:
    return f"read_csv('{demo.out}/work/data/{hospital}/visits.csv')"


@pytest.mark.parametrize("hospital", [member.key for member in HOSPITALS])
def test_released_cells_equal_a_plain_computation_and_small_ones_are_missing_with_company(
    demo: Demo, hospital: str
) -> None:
    answer = demo.json(f"answers/{hospital}-visits")
    plain = duckdb.sql(
        "SELECT plan_year, coinsurance, health, count(DISTINCT person_id), sum(visits), count(visits) "
        f"FROM {table(demo, hospital)} GROUP BY ALL"
    ).fetchall()
    expected = {
        (year, rate, health): (rounded(persons), rounded(visits), rounded(visits) / rounded(rows))
        for year, rate, health, persons, visits, rows in plain
        if persons >= MINIMUM_ENTITIES
    }
    small = {tuple(row[:3]) for row in plain} - expected.keys()
    released = {tuple(row[:3]): tuple(row[3:]) for row in answer["rows"]}
    assert released.keys() <= expected.keys()
    for key, (persons, visits, mean) in released.items():
        # A sum that one or two persons dominate is withheld, and its mean with it.
        shown = () if visits is None else (visits, mean)
        assert persons == expected[key][0]
        assert shown == pytest.approx(expected[key][1:][: len(shown)], abs=0.00501)
    assert sum(visits is not None for _, visits, _ in released.values()) > 20
    assert small, "nothing was suppressed: the test would show nothing"
    # In no line along one column is a small cell the only one left out: it would be the total less the others.
    hidden = {tuple(row[:3]) for row in plain} - released.keys()
    for cell in small:
        for place in range(3):
            line = {other for other in hidden if other[:place] + other[place + 1 :] == cell[:place] + cell[place + 1 :]}
            alone = [
                tuple(row[:3])
                for row in plain
                if (*row[:place], *row[place + 1 : 3]) == (*cell[:place], *cell[place + 1 :])
            ]
            assert len(line) > 1 or len(alone) == 1, (cell, place)


def test_the_encrypted_sum_equals_the_plain_one_of_rounded_contributions(demo: Demo) -> None:
    where = SUM_QUESTION.partition(" FROM visits ")[2]
    sums = [duckdb.sql(f"SELECT sum(visits) FROM {table(demo, m.key)} {where}").fetchall()[0][0] for m in HOSPITALS]
    assert demo.json("answers/encrypted-sum")["total"] == sum(rounded(float(one)) for one in sums)


def test_no_person_left(demo: Demo) -> None:
    persons = set()
    for member in HOSPITALS:
        with (demo.out / "work" / "data" / member.key / "visits.csv").open(encoding="utf-8") as file:
            persons |= {row["person_id"].encode() for row in csv.DictReader(file)}
    assert all(PERSON.fullmatch(person) for person in persons)
    papers = [p for p in demo.out.rglob("*") if p.is_file() and "work" not in p.relative_to(demo.out).parts]
    assert papers, "there is nothing to look at"
    for path in papers:
        assert persons.isdisjoint(PERSON.findall(path.read_bytes())), path


def test_each_hospital_is_paid_for_its_runs_and_the_books_balance(demo: Demo) -> None:
    papers = demo.json("statement")
    lines = papers["statement"]["document"]["lines"]
    # One table's answer and one encrypted number at each; and the first hospital's cube, and its program.
    first = HOSPITALS[0].price_fen
    assert sum(line["amountFen"] for line in lines) == 2 * sum(m.price_fen for m in HOSPITALS) + 2 * first
    assert sum(papers["accounts"].values()) == 0


def test_nothing_keeps_running(demo: Demo) -> None:
    mine = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:
                continue
            if str(demo.out).encode() in environment:
                mine.append(process.name)
    assert mine == []


def test_the_bundle_verifies_with_no_service_running(demo: Demo) -> None:
    done = run_hexi(["ledger", "verify", str(demo.out / "bundle")])
    assert done.returncode == 0, done.stdout + done.stderr


def kinds(bundle: Path) -> dict[str, list[Path]]:
    """The bundle's files by what they are."""
    found = defaultdict(list)
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        parts = path.relative_to(bundle).parts
        name = "/".join(parts[:2]) if parts[0] in {"documents", "log"} else parts[0]
        found["log/tile/entries" if parts[:3] == ("log", "tile", "entries") else name].append(path)
    return found


NAMED = {
    "documents/agreement": "agreement",
    "documents/rights-certificate": "certificate",
    "documents/statement": "statement",
    "documents/run-receipt": "run-receipt",
    "documents/data-product": "product",
    "receipts": "receipt",
    "identities": "identity",
    "log/checkpoint": "checkpoint",
    "log/log.vkey": "vkey",
    "log/tile/entries": "entry",
    "chain.json": "chain record",
}


def test_one_changed_byte_anywhere_is_found_and_each_kind_is_named(demo: Demo, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(demo.out / "bundle", bundle)
    assert all(check.ok for check in verify_bundle(bundle).checks)
    found = kinds(bundle)
    assert set(NAMED) <= set(found)
    for kind, paths in found.items():
        for path in paths:
            original = path.read_bytes()
            position = len(original) // 3
            path.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
            broken = [check for check in verify_bundle(bundle).checks if not check.ok]
            path.write_bytes(original)
            assert broken, f"a changed byte in {path} was not found"
            if kind in NAMED:
                assert NAMED[kind] in {check.name for check in broken}, (kind, broken[:3])


def test_the_go_program_accepts_the_demos_log_and_refuses_a_changed_one(demo: Demo, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: its verifier of tlog-tiles cannot be run here")
    exported = tmp_path / "log"
    shutil.copytree(demo.out / "log", exported)
    program = tmp_path / "verify"
    source = ROOT / "tests" / "ledger" / "go"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=source, check=True, capture_output=True, timeout=280)
    assert subprocess.run([program, exported], check=False, capture_output=True).returncode == 0
    bundles = sorted((exported / "tile" / "entries").rglob("*"))
    victim = next(path for path in bundles if path.is_file())
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(bytes(content))
    assert subprocess.run([program, exported], check=False, capture_output=True).returncode != 0
