"""A clinic whose patients are attacked: the tables, the secrets, and a bench for either lane over the same file."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexi.canonical import encode, system_clock
from sandbox.bench import Bench, open_bench, read_bench_product

AGES = tuple(f"{age}" for age in range(0, 80, 10))
COUNTIES = ("Heshui", "Huan", "Ning", "Zhengning")
PEOPLE = 2_000
COLUMNS = {
    "person": {"datatype": "string", "role": "entity-key"},
    "sex": {"datatype": "string", "role": "dimension", "domain": ["f", "m"]},
    "age": {"datatype": "string", "role": "dimension", "domain": list(AGES)},
    "county": {"datatype": "string", "role": "dimension", "domain": list(COUNTIES)},
    "cost": {"datatype": "number", "role": "measure", "range": [0, 1000]},
    "ill": {"datatype": "integer", "role": "measure", "range": [0, 1]},
    "name": {"datatype": "string", "role": "hidden"},
}
LATTICE: dict[str, Any] = {
    "type": "lattice-policy",
    "entity": "person",
    "size": PEOPLE,
    "mincell": 150,
    "attributes": [
        {"name": "sex", "levels": [{"name": "sex", "labels": ["f", "m"]}]},
        {"name": "county", "levels": [{"name": "county", "labels": list(COUNTIES)}]},
        {
            "name": "age_tree",
            "column": "age",
            "levels": [
                {"name": "age_band", "labels": ["young", "old"], "of": [0, 0, 0, 0, 1, 1, 1, 1]},
                {"name": "age", "labels": list(AGES)},
            ],
        },
    ],
    "measures": [
        {"name": "cost", "family": "money", "range": [0, 1000]},
        {"name": "ill", "family": "health", "range": [0, 1]},
    ],
    "families": [{"name": "money", "mu": 0.66}, {"name": "health", "mu": 0.33}],
}
# The same with the illness as a sensitive column, so that it may stand in WHERE and GROUP BY.
LABELLED: dict[str, Any] = LATTICE | {
    "measures": [LATTICE["measures"][0], {"name": "ill", "family": "health", "labels": ["0", "1"]}]
}

CONTROLLED: dict[str, Any] = {
    "airlock": False,
    "querySets": 400,
    "literals": ["patients.sex", "patients.age", "patients.county"],
    "sensitive": ["patients.age"],
}


@dataclass(frozen=True)
class Clinic:
    """Everybody's attributes and secrets, and where their table is."""

    folder: Path
    codes: dict[str, NDArray[np.int64]]
    ill: NDArray[np.int64]
    cost: NDArray[np.float64]

    @contextmanager
    def bench(self, lane: str, state: Path, lattice: dict[str, Any] = LATTICE) -> Iterator[Bench]:
        """A bench that answers from the cube (`lattice`), from the one table (`table`) or in the `controlled` lane."""
        described: dict[str, Any] = {"identifier": "p", "version": 1, "tables": [_table()]}
        if lane == "lattice":
            described["lattice"] = lattice
        if lane == "table":
            described["hasPersonalInformation"] = False  # the lane of what is counted like persons, and is none
        if lane == "controlled":
            described["controlled"] = CONTROLLED
        state.mkdir(parents=True, exist_ok=True)
        (state / "product.json").write_bytes(encode(described))
        with open_bench(read_bench_product(state / "product.json"), self.folder, state, system_clock) as bench:
            yield bench


def clinic(folder: Path, *, without: int | None = None, seed: int = 3) -> Clinic:
    """A clinic of `PEOPLE` patients; `without` leaves one of them out of the table."""
    rng = np.random.default_rng(seed)
    codes = {
        name: rng.integers(0, len(domain), PEOPLE)
        for name, domain in (("sex", "fm"), ("age", AGES), ("county", COUNTIES))
    }
    ill = (rng.random(PEOPLE) < 0.5).astype(np.int64)
    cost = np.clip(rng.lognormal(5, 1, PEOPLE), 0, 1000).round(2)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "patients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in range(PEOPLE):
            if i != without:
                shown = ["fm"[codes["sex"][i]], AGES[codes["age"][i]], COUNTIES[codes["county"][i]]]
                writer.writerow([f"P{i:04d}", *shown, cost[i], ill[i], f"Name {i}"])
    return Clinic(folder, codes, ill, cost)


def _table() -> dict[str, Any]:
    columns = [{"name": name, **described} for name, described in COLUMNS.items()]
    return {"name": "patients", "entityKey": "person", "columns": columns}
