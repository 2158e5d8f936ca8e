"""A clinic with patients, their visits and regions, and a shop without persons, as products of the controlled lane."""

import csv
from pathlib import Path
from typing import Any

from hexi.canonical import encode
from registry.catalogue import Product
from sandbox.bench import read_bench_product

COUNTIES = ("Heshui", "Huan", "Ning", "Zhengning")

CLINIC: list[dict[str, Any]] = [
    {
        "name": "patients",
        "entityKey": "person",
        "columns": [
            {"name": "person", "datatype": "string", "role": "entity-key"},
            {"name": "county", "datatype": "string", "role": "dimension", "domain": list(COUNTIES)},
            {"name": "sex", "datatype": "string", "role": "dimension", "domain": ["f", "m"]},
            {"name": "disease", "datatype": "string", "role": "dimension", "domain": ["a", "b", "c"]},
            {"name": "born", "datatype": "integer", "role": "dimension"},
            {"name": "cost", "datatype": "number", "role": "measure", "range": [0, 1000]},
            {"name": "score", "datatype": "number", "role": "measure"},
            {"name": "income", "datatype": "number", "role": "measure", "range": [0, 100]},
            {"name": "name", "datatype": "string", "role": "hidden"},
        ],
    },
    {
        "name": "visits",
        "entityKey": "patient",
        "columns": [
            {"name": "patient", "datatype": "string", "role": "entity-key"},
            {"name": "ward", "datatype": "string", "role": "dimension", "domain": ["x", "y"]},
            {"name": "doctor", "datatype": "string", "role": "dimension"},
            {"name": "price", "datatype": "number", "role": "measure", "range": [0, 100]},
        ],
    },
    {
        "name": "regions",
        "columns": [
            {"name": "county", "datatype": "string", "role": "dimension", "domain": list(COUNTIES)},
            {"name": "region", "datatype": "string", "role": "dimension", "domain": ["north", "south"]},
        ],
    },
]
POLICY: dict[str, Any] = {
    "type": "controlled-policy",
    "analysts": [{"group": "planning", "members": ["did:web:planner.example"]}],
    "querySets": 400,
    "airlock": False,
    "levels": {"patients.income": "compare-only", "visits.doctor": "join-only", "regions.county": "group-by"},
    "literals": ["patients.sex", "patients.county", "regions.county", "patients.born", "patients.income"],
    "joins": [["patients.county", "regions.county"], ["patients.person", "visits.patient"]],
    "sensitive": ["patients.disease"],
}

SHOP: list[dict[str, Any]] = [
    {
        "name": "orders",
        "columns": [
            {"name": "id", "datatype": "integer", "role": "dimension"},
            {"name": "day", "datatype": "date", "role": "dimension"},
            {"name": "town", "datatype": "string", "role": "dimension"},
            {"name": "price", "datatype": "number", "role": "dimension"},
            {"name": "margin", "datatype": "number", "role": "measure", "range": [0, 1000]},
            {"name": "branch", "datatype": "string", "role": "dimension"},
            {"name": "rating", "datatype": "integer", "role": "dimension"},
            {"name": "open", "datatype": "boolean", "role": "dimension"},
            {"name": "clerk", "datatype": "string", "role": "hidden"},
        ],
    },
    {
        "name": "items",
        "columns": [
            {"name": "order_id", "datatype": "integer", "role": "dimension"},
            {"name": "branch", "datatype": "string", "role": "dimension"},
            {"name": "part", "datatype": "string", "role": "dimension"},
        ],
    },
]
SHOP_POLICY: dict[str, Any] = {
    "airlock": False,
    "levels": {
        "orders.town": "group-by",
        "orders.branch": "join-only",
        "items.branch": "join-only",
        "orders.rating": "compare-only",
        "orders.open": "aggregate-only",
    },
    "literals": ["orders.rating"],
    "joins": [["orders.branch", "items.branch"]],
}


def clinic_product(folder: Path, *, policy: dict[str, Any] | None = None, **disclosure: Any) -> Product:
    """The clinic's product."""
    return _product(folder, CLINIC, {**POLICY, **(policy or {})}, {"minimumIsolation": 0, **disclosure})


def shop_product(folder: Path, *, policy: dict[str, Any] | None = None) -> Product:
    """The shop's product: nobody to protect."""
    return _product(folder, SHOP, {**SHOP_POLICY, **(policy or {})}, {"minimumIsolation": 0})


def _product(folder: Path, tables: list[dict[str, Any]], policy: dict[str, Any], disclosure: dict[str, Any]) -> Product:
    folder.mkdir(parents=True, exist_ok=True)
    described = {"identifier": "p", "version": 1, "tables": tables, "controlled": policy, "disclosure": disclosure}
    (folder / "product.json").write_bytes(encode(described))
    return read_bench_product(folder / "product.json")


def write_clinic(folder: Path, people: int = 400) -> None:
    """Patients spread over counties, every second a woman; patient i has i % 4 visits; Zhengning has 6 patients."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "patients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in CLINIC[0]["columns"]])
        for i in range(people):
            county = COUNTIES[3] if i < 6 else COUNTIES[i % 3]
            # Whoever lives in Heshui has the disease a.
            disease = "a" if county == "Heshui" else "abc"[i % 3]
            row = [f"P{i:03d}", county, "fm"[i % 2], disease, 1950 + i % 50, 10 * (i % 50), i % 7, i % 100, f"Name {i}"]
            writer.writerow(row)
    with (folder / "visits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "ward", "doctor", "price"])
        for i in range(people):
            for visit in range(i % 4):
                writer.writerow([f"P{i:03d}", "xy"[visit % 2], f"D{i % 5}", i % 100])
    regions = "".join(f"{county},{'north' if n < 2 else 'south'}\n" for n, county in enumerate(COUNTIES))
    (folder / "regions.csv").write_text(f"county,region\n{regions}")


def write_shop(folder: Path, orders: int = 60) -> None:
    """Orders of three towns; order 7 has a margin like no other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "orders.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in SHOP[0]["columns"]])
        for i in range(orders):
            day, town = f"2026-01-{1 + i % 28:02d}", ("Heshui", "Huan", "Ning")[i % 3]
            margin = 777 if i == 7 else i / 10
            writer.writerow([i, day, town, i, margin, f"B{i % 4}", i % 5, i % 2 == 0, f"Clerk {i}"])
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in SHOP[1]["columns"]])
        writer.writerows([i % orders, f"B{i % 4}", f"part {i % 9}"] for i in range(3 * orders))
