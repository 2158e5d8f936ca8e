"""The same question of two versions of a product: what they differ by is nobody's in particular, or is not told."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest
from hexi.database import Database
from registry.controlled import Controlled
from sandbox.datasets import Dataset
from sandbox.messages import RunAnswer
from sandbox.permits import Permit, seal_permit
from sandbox.runs import Sandbox
from tests.sandbox.builders import Clinic, codes
from tests.sandbox.controlled.builders import CLINIC, POLICY, clinic_product, write_clinic

BY_COUNTY = "SELECT county, count(*) AS n, sum(cost) AS s FROM patients WHERE county <> 'Zhengning' GROUP BY county"
OF_HESHUI = "SELECT count(*) AS n, sum(cost) AS s FROM patients WHERE county = 'Heshui'"
JOINED = "SELECT sum(price) AS s FROM patients JOIN visits ON person = patient WHERE county <> 'Zhengning'"
Rows = list[list[str]]


class Versions:
    """A clinic's product in versions that differ by the patients that are in it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder, self.datasets, self.query_sets = folder, dict[int, Dataset](), 400
        self.clinic = Clinic(database, folder)
        self.sandbox = Sandbox(
            database,
            self.clinic.identity,
            self.clinic.people,
            lambda _, product, version: self.datasets[version],
            self.clinic.evidence,
            self.clinic.clock,
        )

    def publish(self, version: int, change: Callable[[Rows], Rows] = lambda rows: rows) -> None:
        folder = self.folder / str(version)
        write_clinic(folder)
        with (folder / "patients.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        with (folder / "patients.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *change(rows)])
        controlled = Controlled.model_validate({**POLICY, "querySets": self.query_sets})
        product = clinic_product(self.folder / f"described-{version}").model_copy(
            update={"version": version, "controlled": controlled}
        )
        files = {table["name"]: folder / f"{table['name']}.csv" for table in CLINIC}
        self.datasets[version] = Dataset(product, digest({"version": version}), files)

    def ask(self, version: int, query: str) -> RunAnswer:
        permit = Permit.model_validate(
            self.clinic.permit().payload()
            | {"id": f"permit of {version}", "product": "p", "version": version}
            | {"productDigest": self.datasets[version].digest}
        )
        signed = seal_permit(permit, self.clinic.identity.key, self.clinic.identity.kid)
        return self.sandbox.run(signed, self.clinic.request_jws(query, permit=permit.id))


@pytest.fixture
def versions(database: Database, tmp_path: Path) -> Versions:
    database.migrate("sandbox")
    found = Versions(database, tmp_path)
    found.publish(1)
    return found


def patient(number: int, county: str) -> list[str]:
    return [f"N{number:03d}", county, "fm"[number % 2], "abc"[number % 3], "1980", "500", "3", "50", f"New {number}"]


def appended(rows: Rows) -> Rows:
    return [*rows, patient(0, "Heshui")]


def put_first(rows: Rows) -> Rows:
    """As a table is that is sorted by something else: every row stands in another place."""
    return [["A000", *patient(0, "Heshui")[1:]], *reversed(rows)]


def corrected(rows: Rows) -> Rows:
    return [[*row[:5], "999", *row[6:]] if row[0] == "P009" else row for row in rows]


def corrected_and_sorted(rows: Rows) -> Rows:
    return list(reversed(corrected(rows)))


def left(rows: Rows) -> Rows:
    return [row for row in rows if row[0] != "P009"]


@pytest.mark.parametrize("change", [appended, put_first, corrected, corrected_and_sorted, left])
@pytest.mark.parametrize("query", [BY_COUNTY, OF_HESHUI])
def test_one_patient_more_less_or_corrected_is_not_told_by_a_second_version(
    versions: Versions, change: Callable[[Rows], Rows], query: str
) -> None:
    versions.publish(2, change)
    assert versions.ask(1, query).verdict == "released"
    assert codes(versions.ask(2, query)) == ["sandbox.too-close-to-earlier"]


def test_nor_the_other_way_round_nor_through_a_join(versions: Versions) -> None:
    versions.publish(2, left)
    assert versions.ask(2, JOINED).verdict == "released"
    assert codes(versions.ask(1, JOINED)) == ["sandbox.too-close-to-earlier"]


def test_what_a_second_version_leaves_over_of_a_first_is_not_told(versions: Versions) -> None:
    """Three counties of the first, and all patients of the second, who are one more."""
    versions.publish(2, lambda rows: [*rows, *(patient(number, "Zhengning") for number in range(2))])
    assert len(versions.ask(1, BY_COUNTY).rows) == 3
    assert codes(versions.ask(2, "SELECT count(*) AS n FROM patients")) == ["sandbox.too-close-to-earlier"]


def many_more(rows: Rows) -> Rows:
    counties = ("Heshui", "Huan", "Ning")
    return [*reversed(rows), *(patient(number, counties[number % 3]) for number in range(60))]


@pytest.mark.parametrize("change", [lambda rows: rows, many_more])
def test_versions_that_differ_by_nobody_or_by_many_are_both_answered(
    versions: Versions, change: Callable[[Rows], Rows]
) -> None:
    versions.publish(2, change)
    answers: list[Any] = [versions.ask(version, BY_COUNTY) for version in (1, 2)]
    assert [answer.verdict for answer in answers] == ["released", "released"]
    assert (answers[0].rows == answers[1].rows) is (change is not many_more)


def test_the_cap_of_a_group_is_over_all_versions(versions: Versions) -> None:
    versions.query_sets = 6
    versions.publish(1)
    versions.publish(2, many_more)
    assert versions.ask(1, BY_COUNTY).verdict == "released"
    assert codes(versions.ask(2, BY_COUNTY)) == ["sandbox.query-sets-used-up"]
