"""Builders for the ledger's tests: a log with people in it, and the evidence they leave."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hexi.canonical import digest
from hexi.database import Database
from hexi.errors import NotFound
from hexi.keys import SigningKey, VerifyingKey
from ledger.bundle import write_bundle
from ledger.chain import Chain
from ledger.documents import SignedDocument, sign_document
from ledger.entries import Entry, Kind, open_entry, seal
from ledger.log import Log
from ledger.receipts import Receipt
from tests.builders import SettableClock

DIGEST = "sha256:" + "0" * 64
AT = "2026-11-23T08:00:00.000Z"


@dataclass(frozen=True)
class Person:
    """Somebody with a DID and a key."""

    did: str
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def kid(self) -> str:
        return f"{self.did}#key-1"

    @cached_property
    def document(self) -> dict[str, Any]:
        return {
            "id": self.did,
            "verificationMethod": [
                {
                    "id": self.kid,
                    "type": "JsonWebKey2020",
                    "controller": self.did,
                    "publicKeyJwk": self.key.public.jwk(),
                }
            ],
            "assertionMethod": [self.kid],
        }

    def seal(self, kind: Kind, subject: str, of: str = DIGEST, **facts: str | int) -> str:
        return seal(kind, subject, of, key=self.key, kid=self.kid, at=AT, facts=facts)


def resolver(*people: Person) -> Any:
    known: dict[str, VerifyingKey] = {person.kid: person.key.public for person in people}

    def resolve(kid: str) -> VerifyingKey:
        if kid in known:
            return known[kid]
        raise NotFound(f"nobody knows {kid}")

    return resolve


def signed(document: dict[str, Any], *people: Person) -> SignedDocument:
    return SignedDocument(document, {p.did: sign_document(document, p.key, p.kid) for p in people})


def new_log(name: str = "space.example/log") -> Log:
    return Log(name, SigningKey.generate("Ed25519"), SettableClock())


def append(database: Database, log: Log, jws: str, person: Person) -> Receipt:
    with database.transaction() as session:
        return log.append(session, jws, open_entry(jws, resolver(person)))


def fill(database: Database, log: Log, person: Person, count: int) -> list[Receipt]:
    """Log `count` entries by `person`, in a few transactions."""
    sealed: list[tuple[str, Entry]] = []
    for number in range(count):
        jws = person.seal(Kind.RUN_COMPLETED, f"run-{number}")
        sealed.append((jws, open_entry(jws, resolver(person))))
    receipts: list[Receipt] = []
    for start in range(0, count, 97):
        with database.transaction() as session:
            receipts += log.append_all(session, sealed[start : start + 97])
    return receipts


@dataclass
class Space:
    """A log with an operator, a provider and a consumer, and one of every kind of document."""

    database: Database
    log: Log
    key: SigningKey
    operator: Person = field(default_factory=lambda: Person("did:web:space.example"))
    provider: Person = field(default_factory=lambda: Person("did:web:provider.example"))
    consumer: Person = field(default_factory=lambda: Person("did:web:consumer.example"))
    documents: list[SignedDocument] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    @classmethod
    def build(cls, database: Database, fillers: int = 0) -> "Space":
        database.migrate("ledger")
        key = SigningKey.generate("Ed25519")
        space = cls(database, Log("space.example/log", key, SettableClock()), key)
        for person in (space.operator, space.provider, space.consumer):
            space.register(person)
        if fillers:
            fill(database, space.log, space.provider, fillers)
        space._live()
        return space

    @property
    def people(self) -> tuple[Person, ...]:
        return (self.operator, self.provider, self.consumer)

    def say(self, person: Person, kind: Kind, subject: str, of: str = DIGEST, **facts: str | int) -> Receipt:
        jws = person.seal(kind, subject, of, **facts)
        self.receipts.append(append(self.database, self.log, jws, person))
        return self.receipts[-1]

    def register(self, person: Person) -> None:
        of = digest(person.document)
        self.say(self.operator, Kind.PARTICIPANT_REGISTERED, person.did, of, did=person.did, document=of)

    def publish(self, issuer: Person, kind: Kind, document: dict[str, Any], *parties: Person, **facts: str) -> None:
        document = {**document, "parties": [party.did for party in parties]}
        made = signed(document, *parties)
        self.documents.append(made)
        self.say(issuer, kind, document["id"], made.digest, **facts)

    def _live(self) -> None:
        operator, provider, consumer = self.people
        self.publish(operator, Kind.PRODUCT_PUBLISHED, {"type": "data-product", "id": "6" * 32 + "#v1"}, provider)
        self.publish(
            operator,
            Kind.RIGHTS_REGISTERED,
            {"type": "rights-certificate", "id": "SJ621202611000001"},
            operator,
            product="6" * 32,
            rights="holding,processing-use",
        )
        self.publish(provider, Kind.AGREEMENT_CONCLUDED, {"type": "agreement", "id": "agreement-1"}, provider, consumer)
        self.publish(provider, Kind.RUN_COMPLETED, {"type": "run-receipt", "id": "run-a", "title": "人口"}, provider)
        self.publish(operator, Kind.AGGREGATION_COMPLETED, {"type": "aggregation-receipt", "id": "job-1"}, operator)
        self.publish(operator, Kind.STATEMENT_ISSUED, {"type": "statement", "id": "statement-1"}, operator)

    def checkpoint(self) -> tuple[int, bytes]:
        from ledger.checkpoint import open_checkpoint

        with self.database.reading() as session:
            checkpoint = open_checkpoint(self.log.checkpoint(session), self.log.vkey)
        return checkpoint.size, checkpoint.root

    def bundle(self, folder: Path, chain: Chain | None = None, **changes: Any) -> Path:
        with self.database.reading() as session:
            given = {
                "log_files": list(self.log.files(session)),
                "receipts": self.receipts[-3:],
                "documents": self.documents,
                "identities": [person.document for person in self.people],
                "chain_record": chain.publish_checkpoint(*self.checkpoint()) if chain else None,
                "key": self.key,
            }
        write_bundle(folder, **{**given, **changes})
        return folder
