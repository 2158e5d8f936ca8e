"""A clinic with a product, a planner who asks, and a sandbox between them. The common case takes no arguments."""

import csv
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session

from hexi.canonical import digest, digest_bytes, instant, system_clock
from hexi.database import Database
from hexi.keys import SigningKey, VerifyingKey
from ledger.entries import Kind
from registry.catalogue import Disclosure, Product
from registry.errors import ParticipantUnknown
from registry.identity import Identity
from registry.participants import Participant
from sandbox import store
from sandbox.bench import read_bench_product
from sandbox.datasets import Dataset
from sandbox.messages import to_base64
from sandbox.permits import Permit, seal_permit
from sandbox.queries.review import SQL_MODE, SUM_MODE
from sandbox.requests import EncryptedSum, RunRequest, seal_request
from sandbox.runs import Contribute, Sandbox
from sandbox.settings import SandboxSettings
from tests.builders import SettableClock

POINT = "http://space.example"

TABLES: list[dict[str, Any]] = [
    {
        "name": "visits",
        "entityKey": "person",
        "columns": [
            {"name": "person", "datatype": "string", "role": "entity-key"},
            {"name": "county", "datatype": "string", "role": "dimension", "domain": ["Huan", "Ning", "Zhengning"]},
            {"name": "year", "datatype": "integer", "role": "dimension"},
            {"name": "day", "datatype": "date", "role": "dimension"},
            {"name": "smoker", "datatype": "boolean", "role": "dimension"},
            {"name": "bmi", "datatype": "number", "role": "dimension"},
            {"name": "sex", "datatype": "string", "role": "dimension"},
            {"name": "cost", "datatype": "number", "role": "measure", "range": [0, 1000]},
            {"name": "stay", "datatype": "integer", "role": "measure"},
            {"name": "name", "datatype": "string", "role": "hidden"},
        ],
    },
    {"name": "codes", "columns": [{"name": "code", "datatype": "string", "role": "dimension"}]},
]


def product(folder: Path, **disclosure: Any) -> Product:
    """The clinic's product, out of a minimal product file."""
    from hexi.canonical import encode

    file = folder / "product.json"
    given = {"minimumIsolation": 0, **disclosure}
    described = {
        "identifier": "p",
        "version": 3,
        "tables": TABLES,
        "disclosure": given,
        "hasPersonalInformation": False,
    }
    file.write_bytes(encode(described))
    return read_bench_product(file)


def write_visits(
    path: Path, people: Sequence[tuple[str, int]] = (("Huan", 40), ("Ning", 25), ("Zhengning", 9))
) -> None:
    """Two visits of each person; every tenth has no cost; costs rise with the person's number."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in TABLES[0]["columns"]])
        number = 0
        for county, count in people:
            for _ in range(count):
                number += 1
                cost = "" if number % 10 == 0 else number * 10
                for year in (2024, 2025):
                    day = f"{year}-03-{1 + number % 28:02d}"
                    row = [f"P{number:04d}", county, year, day, number % 2 == 0, 20.5, "f" if number % 2 else "m"]
                    writer.writerow([*row, cost, number % 7, f"Name {number}"])


def identity(name: str) -> Identity:
    """Somebody with a key."""
    return Identity(f"did:web:{name}.example", SigningKey.generate())


@dataclass
class People:
    """A `registry.trust.Trust` in those it was given."""

    known: dict[str, VerifyingKey] = field(default_factory=dict)
    operator: str = "did:web:operator.example"

    def add(self, *identities: Identity) -> None:
        self.known.update({one.kid: one.key.public for one in identities})

    def participant(self, did: str) -> Participant:
        raise ParticipantUnknown(did)

    def resolve(self, kid: str) -> VerifyingKey:
        if kid not in self.known:
            raise ParticipantUnknown(f"{kid} is unknown")
        return self.known[kid]


@dataclass
class Recorded:
    """An `Evidence` that remembers; entries of a transaction that fails are told apart by the caller."""

    entries: list[tuple[Kind, str, str, dict[str, str | int]]] = field(default_factory=list)

    def __call__(self, session: Session, kind: Kind, subject: str, document: str, facts: dict[str, str | int]) -> None:
        self.entries.append((kind, subject, document, facts))


class Clinic:
    """A provider with a sandbox over `database`; `again` is another process over the same database."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        clock: SettableClock | None = None,
        *,
        name: str = "clinic",
        contribute: Contribute | None = None,
        planner: Identity | None = None,
        **disclosure: Any,
    ) -> None:
        self.database = database
        self.folder = folder
        self.clock: Callable[[], Any] = clock or SettableClock()
        self.identity, self.planner = identity(name), planner or identity("planner")
        self.people = People()
        self.people.add(self.planner)
        self.file = folder / f"{name}.csv"
        if not self.file.exists():
            write_visits(self.file)
        self.product = product(folder, **disclosure)
        self.dataset = Dataset(self.product, digest({"product": name}), {"visits": self.file})
        self.evidence = Recorded()
        self.contribute = contribute
        self.sandbox = self.again()

    def again(self) -> Sandbox:
        return Sandbox(
            self.database,
            self.identity,
            self.people,
            lambda *_: self.dataset,
            self.evidence,
            self.clock,
            SandboxSettings(aggregation_point=POINT),
            contribute=self.contribute,
        )

    def permit(self, **changes: Any) -> Permit:
        given: dict[str, Any] = {
            "id": "urn:uuid:permit",
            "issuer": self.identity.did,
            "holder": self.planner.did,
            "product": self.product.identifier,
            "version": self.product.version,
            "product_digest": self.dataset.digest,
            "agreement": "urn:uuid:agreement",
            "order": "urn:uuid:order",
            "operations": (SQL_MODE, SUM_MODE),
            "runs": 5,
            "not_before": "2026-11-01T00:00:00.000Z",
            "expires": "2026-12-01T00:00:00.000Z",
            "minimum_isolation": 0,
        }
        return Permit(**{**given, **changes})

    def permit_jws(self, **changes: Any) -> str:
        return seal_permit(self.permit(**changes), self.identity.key, self.identity.kid)

    def request(self, query: str, **changes: Any) -> RunRequest:
        given: dict[str, Any] = {
            "run": f"urn:uuid:{uuid.uuid4()}",
            "permit": "urn:uuid:permit",
            "mode": SQL_MODE,
            "query": query,
            "at": instant(self.clock()),
        }
        return RunRequest(**{**given, **changes})

    def request_jws(self, query: str, **changes: Any) -> str:
        return seal_request(self.request(query, **changes), self.planner.key, self.planner.kid)

    def sum_request(self, query: str, contributors: Sequence[str], context: bytes, **changes: Any) -> str:
        wanted = EncryptedSum(job="job-1", point=POINT, contributors=tuple(contributors), context=digest_bytes(context))
        return self.request_jws(query, mode=SUM_MODE, encrypted_sum=wanted, **changes)

    def ask(self, query: str, **changes: Any) -> Any:
        return self.sandbox.run(self.permit_jws(), self.request_jws(query, **changes))


__all__ = [
    "POINT",
    "TABLES",
    "Clinic",
    "Disclosure",
    "People",
    "Recorded",
    "identity",
    "product",
    "system_clock",
    "to_base64",
]


def used(clinic: Clinic, permit: str = "urn:uuid:permit") -> int:
    """How many runs a permit has been used for."""
    with clinic.database.reading() as session:
        return store.permit(session, permit).used


def codes(answer: Any) -> list[str]:
    """Why an answer was refused."""
    return [reason.code for reason in answer.reasons]
