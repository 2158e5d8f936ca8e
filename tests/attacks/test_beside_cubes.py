"""Attacks on a cube beside its numbers: receipts, descriptions, a second draw, registers that are told other names."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connector.contracts.products import complete
from connector.contracts.resources import Resource
from hexi.canonical import digest, encode, system_clock
from hexi.database import Database
from privacy.errors import PolicyUnusable
from privacy.lattice.plan import GRID
from registry.catalogue import Product
from sandbox.bench import read_bench_product
from sandbox.cubes.cubes import Cubes
from sandbox.datasets import Dataset
from sandbox.errors import BudgetSpent, ProductUnusable
from sandbox.receipts import commitment, salt_of
from tests.attacks.clinic import COLUMNS, LATTICE, Clinic, clinic
from tests.attacks.scoreboard import BLOCKED, BOARD, HARMLESS, REFUSED, THROUGH
from tests.registry.builders import HOSPITAL, PRODUCT, product_document

QUERY = "SELECT sex, count(*) FROM patients GROUP BY sex"
KEY = b"k" * 32
# A column of the table that says something secret, with a domain.
ILLNESS = {"name": "illness", "column": "ill", "levels": [{"name": "illness", "labels": ["0", "1"]}]}


def counted(attack: str, outcome: str, *, held: bool) -> None:
    """Count it on the board, and fail if it came through."""
    BOARD.count("cube", attack, outcome if held else THROUGH)
    assert held, attack


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    return clinic(tmp_path_factory.mktemp("clinic"))


def product(folder: Path, identifier: str = "p", version: int = 1, **lattice: Any) -> Product:
    columns = [{"name": name, **described} for name, described in COLUMNS.items()]
    table = {"name": "patients", "entityKey": "person", "columns": columns}
    described = {"identifier": identifier, "version": version, "tables": [table], "lattice": LATTICE | lattice}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product.json").write_bytes(encode(described))
    return read_bench_product(folder / "product.json")


def corrected(patients: Clinic, folder: Path) -> Path:
    """The table with another illness of the first patient: two candidates for whoever knows all the rest."""
    file = shutil.copytree(patients.folder, folder) / "patients.csv"
    header, first, *rest = file.read_text().splitlines()
    fields = first.split(",")
    fields[5] = str(1 - int(fields[5]))
    file.write_text("\n".join([header, ",".join(fields), *rest]) + "\n")
    return file


def published(tmp_path: Path, *products: tuple[Product, Path], key: bytes = KEY) -> list[bool]:
    """Which of the products were published, one after another, over one ledger."""
    database = Database(f"sqlite:///{tmp_path / 'register.sqlite'}")
    database.migrate("sandbox")
    came = []
    for described, file in products:
        try:
            Cubes(database, key, system_clock).published(Dataset(described, digest("p"), {"patients": file}))
            came.append(True)
        except (BudgetSpent, ProductUnusable):
            came.append(False)
    database.dispose()
    return came


def test_a_receipt_does_not_tell_which_of_two_tables_is_the_true_one(patients: Clinic, tmp_path: Path) -> None:
    """Who knows all rows but one hashes the two tables it may be; the theorem allows a coin that is hardly bent."""
    true = patients.folder / "patients.csv"
    with patients.bench("lattice", tmp_path / "state") as bench:
        receipt = bench.ask(QUERY).receipt
    guesses = {}
    for name, file in (("true", true), ("other", corrected(patients, tmp_path / "other"))):
        content = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        guesses[name] = {content, digest({"patients": content})}
    told = {name for name, digests in guesses.items() if any(one in encode(receipt).decode() for one in digests)}
    counted("Q16 the digest of the table in a receipt", BLOCKED, held=not told)
    # The provider, and nobody else, shows afterwards which files they were.
    key = (tmp_path / "state" / "lattice.key").read_bytes()
    fingerprint = digest({"patients": f"sha256:{hashlib.sha256(true.read_bytes()).hexdigest()}"})
    said: Mapping[str, Any] = receipt["document"]
    assert said["dataDigest"] == commitment(key, fingerprint)
    assert said["dataDigest"] == digest({"files": fingerprint, "salt": salt_of(key, fingerprint)})


def test_noise_does_not_cancel_where_a_backup_is_published_over_corrected_files(
    patients: Clinic, tmp_path: Path
) -> None:
    """The ledger is restored from before it was published, the files were corrected meanwhile, and the key is the
    same: with the same noise, the totals would differ by exactly what was corrected."""
    totals = []
    for name, file in (
        ("before", patients.folder / "patients.csv"),
        ("after", corrected(patients, tmp_path / "corrected")),
    ):
        database = Database(f"sqlite:///{tmp_path / name}.sqlite")
        database.migrate("sandbox")
        dataset = Dataset(product(tmp_path / "described"), digest("p"), {"patients": file})
        cube = Cubes(database, KEY, system_clock).published(dataset).cube
        totals.append({measure: int(np.asarray(tables[()]).item()) for measure, tables in cube.residuals.items()})
        database.dispose()
    moved = {measure: abs(totals[1][measure] - totals[0][measure]) for measure in totals[0]}
    held = moved["ill"] != GRID and moved["cost"] != 0 and moved["count"] != 0
    counted("Q17 a restored ledger over corrected files", BLOCKED, held=held)


def test_a_secret_is_not_sold_again_as_an_attribute(patients: Clinic, tmp_path: Path) -> None:
    """Counts by illness would be paid by membership, with a mu of 1, beside the 0.33 of the family health."""
    attributes = [*LATTICE["attributes"][:2], ILLNESS]
    costs = {"measures": LATTICE["measures"][:1], "attributes": attributes}
    file = patients.folder / "patients.csv"
    secret = product(tmp_path / "1", measures=LATTICE["measures"][1:])
    attribute = product(tmp_path / "2", "q", **costs)
    for name, order in (("a", (secret, attribute)), ("b", (attribute, secret))):
        (tmp_path / name).mkdir()
        came = published(tmp_path / name, *((one, file) for one in order))
        counted("Q12 a secret as an attribute of another product", REFUSED, held=came == [True, False])
    with pytest.raises((PolicyUnusable, ProductUnusable)) as refused:
        published(tmp_path, (product(tmp_path / "3", attributes=attributes), file))
    counted("Q12 a secret as an attribute of the same product", REFUSED, held="ill" in str(refused.value))


def test_a_column_is_one_whatever_it_is_written_like(patients: Clinic, tmp_path: Path) -> None:
    file = patients.folder / "patients.csv"
    first = product(tmp_path / "1", measures=LATTICE["measures"][1:])
    for number, column in enumerate(("patients.ill", "ILL")):
        sick = {"name": "sick", "column": column, "family": "wellbeing", "range": [0, 1]}
        renamed = {"measures": [sick], "families": [{"name": "wellbeing", "mu": 0.33}]}
        (folder := tmp_path / f"ledger {number}").mkdir()
        came = published(folder, (first, file), (product(tmp_path / f"q{number}", "q", **renamed), file))
        counted("Q12 a column under another spelling", REFUSED, held=came == [True, False])


def test_the_next_version_is_about_the_same_people(patients: Clinic, tmp_path: Path) -> None:
    file = patients.folder / "patients.csv"
    second = product(tmp_path / "2", version=2, population="somebody else")
    came = published(tmp_path, (product(tmp_path / "1"), file), (second, file))
    counted("Q17 the next version about another population", REFUSED, held=came == [True, False])


@pytest.mark.parametrize(
    "text",
    [
        f"{QUERY} LIMIT 1e999",
        f"{QUERY} LIMIT {'9' * 5_000}",
        f"{QUERY} HAVING count(*) > 1e",
        QUERY.replace("GROUP", f"WHERE sex = 'f'{' = 1 <> 1' * 190} GROUP"),
    ],
)
def test_no_text_breaks_the_door(patients: Clinic, tmp_path: Path, text: str) -> None:
    with patients.bench("lattice", tmp_path / "state") as bench:
        verdict = bench.ask(text).verdict
    counted("Q14 texts at which reading breaks", REFUSED, held=verdict == "refused")


def test_the_description_of_people_in_a_cube_has_no_exact_number(tmp_path: Path) -> None:
    """Rows, persons and quality are counted from files; published exactly, they are a release beside the cube."""
    described, told = product_document(), []
    del described["quality"]
    for missing in (None, 7):
        file = tmp_path / f"without {missing}.csv"
        people = [f"p{n},{'男女'[n % 2]},{n % 90 if n % 50 else ''},2025-05-01" for n in range(400) if n != missing]
        file.write_text("\n".join(["person,sex,age,paid_on", *people]) + "\n", encoding="utf-8")
        made = complete(
            described,
            Resource("claims", {"claims": file}),
            identifier=PRODUCT,
            version=1,
            provider=HOSPITAL,
            today=date(2026, 11, 26),
        )
        told.append(made.document())
    assert told[0]["quality"]["completeness"] == 0.99  # measured still, and told in whole per cents
    counted("Q16 exact numbers in a product's description", HARMLESS, held=told[0] == told[1])
