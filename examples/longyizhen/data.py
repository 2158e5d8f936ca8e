"""The real data, and how three invented hospitals come to hold a third of it each.

statsmodels' ``randhie`` has one row a person-year and no person number. The RAND experiment enrolled people for three
or five years, and in the file the years of one person stand together with the same plan and health: runs of equal rows
are three or five long almost everywhere. We take each such run (longer ones cut into fives or threes) for one person,
number the persons, and call a row's place in its run the plan year, i.e. the age of the plan. So several rows belong to
one person, as in any register of visits. A seeded hash of the person number says which hospital holds the person.
"""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path

SEED = "longyizhen-2026"
HOSPITALS = 3
TABLE = "visits"
# RAND enrolled people for three or for five years.
ENROLMENTS = (5, 3)


@dataclass(frozen=True)
class Row:
    """One person-year."""

    person_id: str
    plan_year: int
    coinsurance: int
    plan: str
    health: str
    limitation: str
    chronic_diseases: float
    visits: int


COLUMNS = [field.name for field in fields(Row)]


def person_years() -> list[Row]:
    """All 20,190 rows, with the synthetic person numbers."""
    from statsmodels.datasets import randhie

    records = randhie.load_pandas().data.to_dict("records")
    runs = (list(run) for _, run in groupby(records, key=_same_person))
    people = (person for run in runs for person in _people(run))
    return [row for number, person in enumerate(people) for row in _rows_of(number, person)]


def hospital_of(person_id: str) -> int:
    """Which hospital (0, 1, 2) holds this person: a seeded hash."""
    return int.from_bytes(hashlib.sha256(f"{SEED}:{person_id}".encode()).digest()[:4], "big") % HOSPITALS


def write_shares(folder: Path) -> list[Path]:
    """Write each hospital's third as ``hospital-N/visits.csv`` below `folder`; the same bytes on every run."""
    everything = person_years()
    paths = [folder / f"hospital-{number}" / f"{TABLE}.csv" for number in range(1, HOSPITALS + 1)]
    for hospital, path in enumerate(paths):
        write_table(path, [row for row in everything if hospital_of(row.person_id) == hospital])
    return paths


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write `rows` as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)


def _same_person(record: dict[str, float]) -> tuple[float, ...]:
    return tuple(record[name] for name in ("lncoins", "idp", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"))


def _people(run: list[dict[str, float]]) -> Iterator[list[dict[str, float]]]:
    years = next((n for n in ENROLMENTS if len(run) % n == 0), ENROLMENTS[0])
    for start in range(0, len(run), years):
        yield run[start : start + years]


def _rows_of(number: int, person: list[dict[str, float]]) -> Iterator[Row]:
    # Hashed, so that the number says nothing of the place in the file.
    person_id = "LYZ-" + hashlib.sha256(f"{SEED}:{number}".encode()).hexdigest()[:10]
    for year, record in enumerate(person, start=1):
        yield Row(
            person_id=person_id,
            plan_year=year,
            coinsurance=round(math.exp(record["lncoins"]) - 1),
            plan="individual" if record["idp"] else "family",
            health=_health(record),
            limitation="yes" if record["physlm"] >= 0.5 else "no",
            chronic_diseases=round(record["disea"], 2),
            visits=int(record["mdvis"]),
        )


def _health(record: dict[str, float]) -> str:
    for name, column in (("good", "hlthg"), ("fair", "hlthf"), ("poor", "hlthp")):
        if record[column]:
            return name
    return "excellent"
