"""The test bench: the whole road of a run on one machine, without services and without a contract.

Whoever prepares a product, or wants to attack one, asks queries here and gets what a consumer would get: the same
review, isolation, disclosure control, differencing and signed receipt. Only the permit is the bench's own, and it does
not run out.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hexi.canonical import Clock, Json, digest, instant, parse
from hexi.database import Database
from hexi.errors import Malformed
from hexi.keys import SigningKey, VerifyingKey
from ledger.documents import SignedDocument
from registry.catalogue import Disclosure, Product, Table
from registry.controlled import Analysts, Controlled
from registry.controlled import check as check_controlled
from registry.errors import ParticipantUnknown
from registry.identity import Identity
from registry.participants import Participant
from sandbox.airlock.airlock import Airlock
from sandbox.airlock.decisions import Reviewer
from sandbox.cubes.noise_key import noise_key
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable
from sandbox.lanes.chosen import Lanes
from sandbox.messages import RunAnswer
from sandbox.permits import Permit, seal_permit
from sandbox.preview import DryRun
from sandbox.preview.offered import Preview
from sandbox.programs.source import MAX_PROGRAM_CHARACTERS
from sandbox.queries.query import MAX_QUERY_CHARACTERS, PROGRAM_MODE, SQL_MODE
from sandbox.requests import RunRequest, seal_request
from sandbox.runs import Sandbox
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from sandbox.preview.twin import Twin

DID = "did:web:localhost"
# On the bench one and the same asks and owns; who reviews speaks for somebody else.
REVIEWERS = "did:web:localhost:reviewers"
# Where a bench remembers what was released.
STATE_FILE = "sandbox.sqlite"
FORMATS = (".csv", ".parquet")
# Queries that one bench may be asked: more than anybody will, and not what the bench is there to limit.
_RUNS = 2**31 - 1


class _OwnWord:
    """Trust in ourselves alone: on the bench, provider and consumer are one."""

    operator = DID

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def participant(self, did: str) -> Participant:
        raise ParticipantUnknown(f"{did} is not known on the test bench")

    def resolve(self, kid: str) -> VerifyingKey:
        if kid != self._identity.kid:
            raise ParticipantUnknown(f"{kid} is not known on the test bench")
        return self._identity.key.public


class Bench:
    """Asks queries of one product. `database` remembers what was released; build one with `open_bench`."""

    def __init__(
        self,
        database: Database,
        identity: Identity,
        dataset: Dataset,
        clock: Clock,
        key: bytes,
        settings: SandboxSettings | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock
        # Why the last program failed, in its own words: a provider tells nobody, the bench its owner.
        self.said: str | None = None
        product = dataset.product
        self._permit = Permit(
            id=f"urn:uuid:{uuid.uuid4()}",
            issuer=DID,
            holder=DID,
            product=product.identifier,
            version=product.version,
            product_digest=dataset.digest,
            agreement="bench",
            operations=(SQL_MODE, PROGRAM_MODE),
            runs=_RUNS,
            not_before=instant(clock()),
            expires=instant(clock() + timedelta(days=1)),
            minimum_isolation=product.disclosure.minimum_isolation,
        )
        self._sandbox = Sandbox(
            database,
            identity,
            _OwnWord(identity),
            lambda *_: dataset,
            lambda *_: None,
            clock,
            settings or SandboxSettings(program_overhead_seconds=0),
            key=key,
            unsafe_hear=self._hear,
        )

    @property
    def airlock(self) -> Airlock:
        """Where programs' outputs are held."""
        return self._sandbox.airlock

    def reviewer(self, name: str) -> Reviewer:
        """Somebody who may look at what is held here."""
        return Reviewer(name, REVIEWERS, frozenset({self._permit.product}))

    def ask(self, query: str) -> RunAnswer:
        """The answer to one query. Raises as `Sandbox.run` does."""
        # Review refuses a longer one for its length, whatever it says.
        return self._run(query[: MAX_QUERY_CHARACTERS + 1], SQL_MODE)

    def run_program(self, text: str) -> RunAnswer:
        """The answer to a program: held, or refused for its text. Raises as `Sandbox.run` does."""
        return self._run(text[: MAX_PROGRAM_CHARACTERS + 1], PROGRAM_MODE)

    def answer(self, run: str) -> RunAnswer:
        """The answer to an earlier run."""
        return self._sandbox.answer(run, DID)

    def _hear(self, said: str) -> None:
        self.said = said

    def _run(self, query: str, mode: str) -> RunAnswer:
        self.said = None
        key, kid = self._identity.key, self._identity.kid
        request = RunRequest(
            run=f"urn:uuid:{uuid.uuid4()}",
            permit=self._permit.id,
            mode=mode,
            query=query,
            at=instant(self._clock()),
        )
        return self._sandbox.run(seal_permit(self._permit, key, kid), seal_request(request, key, kid))


@contextmanager
def open_bench(product: Product, tables: Path, state: Path | None, clock: Clock) -> Iterator[Bench]:
    """A bench over the files in `tables`. With `state` it keeps its key and what was released there, else nowhere."""
    with TemporaryDirectory() as scratch:
        home = state or Path(scratch)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = Database(f"sqlite:///{home / STATE_FILE}")
        try:
            database.migrate("sandbox")
            identity = Identity(DID, SigningKey.load_or_create(home / "bench.pem"))
            yield Bench(database, identity, _dataset(product, tables), clock, noise_key(home))
        finally:
            database.dispose()


def dry_bench(product: Product, clock: Clock, mode: str = SQL_MODE) -> Callable[[str], DryRun]:
    """Says what would come of a query, or by `mode` of a program; needs no tables, because it looks at none.

    Raises as `Preview.dry_run` does.
    """
    longest = MAX_PROGRAM_CHARACTERS if mode == PROGRAM_MODE else MAX_QUERY_CHARACTERS
    preview = Preview(Lanes(Database("sqlite://"), SandboxSettings(), None, b"", clock))
    dataset = Dataset(product, _digest(product), {})
    return lambda text: preview.dry_run(dataset, text[: longest + 1], mode)


def bench_twin(
    product: Product, state: Path | None, clock: Clock, *, rows: int | None = None, seed: int | None = None
) -> "Twin":
    """A twin of `product`: from the cube that a bench with this `state` has published, else from the description."""
    database = Database(f"sqlite:///{state / STATE_FILE}" if state else "sqlite://")
    try:
        database.migrate("sandbox")
        preview = Preview(Lanes(database, SandboxSettings(), None, b"", clock))
        return preview.twin(Dataset(product, _digest(product), {}), rows=rows, seed=seed)
    finally:
        database.dispose()


def read_bench_product(path: Path) -> Product:
    """The product in a file: a data-product document, one that is signed, or just its `tables` and `disclosure`.

    Signatures are not checked: the bench asks what a description allows, not who wrote it. Raises `ProductUnusable`.
    """
    try:
        value = parse(path.read_bytes())
    except OSError as error:
        raise ProductUnusable(f"the product file {path} cannot be read: {error.strerror}") from error
    except Malformed as error:
        raise ProductUnusable(f"the product file {path} cannot be read: {error.detail}") from error
    if isinstance(value, dict) and value.keys() == {"document", "signatures"}:
        value = SignedDocument.from_json(value).document
    if not isinstance(value, dict) or not isinstance(value.get("tables"), list):
        raise ProductUnusable("a product file is an object with the member 'tables'; see docs/reference/sandbox.md")
    return _product(value)


def _product(value: dict[str, Json]) -> Product:
    """Only what the sandbox reads; the rest of a product description is not the bench's business."""
    try:
        tables = tuple(Table.model_validate(_titled(table)) for table in value["tables"])
        disclosure = Disclosure.model_validate(value.get("disclosure") or {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise ProductUnusable(f"the product file cannot be used: {wrong}") from error
    if not tables:
        raise ProductUnusable("the product file has no tables")
    identifier, version, rows = value.get("identifier"), value.get("version"), value.get("rows")
    given: dict[str, Any] = {
        "identifier": identifier if isinstance(identifier, str) else f"bench:{digest(value['tables'])}",
        "version": version if isinstance(version, int) else 1,
        "rows": rows if isinstance(rows, int) else 0,
        "tables": tables,
        "disclosure": disclosure,
        "lattice": value.get("lattice"),
        "controlled": _controlled(value, tables),
        # Whoever says nothing is taken to have personal data.
        "has_personal_information": value.get("hasPersonalInformation") is not False,
    }
    # Not validated as a product: a minimal file is none, and the bench needs no more of it.
    return Product.model_construct(**given)


def _controlled(value: dict[str, Json], tables: Sequence[Table]) -> Controlled | None:
    """The policy as the product declares it, with the bench as its only analyst."""
    if (given := value.get("controlled")) is None:
        return None
    try:
        policy = Controlled.model_validate(given)
        check_controlled(policy, tables, personal=value.get("hasPersonalInformation") is True)
    except ValueError as error:  # a ValidationError is one
        raise ProductUnusable(f"the product file cannot be used: {error}") from error
    return policy.model_copy(update={"analysts": (Analysts(group="bench", members=(DID,)),)})


def _titled(table: Json) -> Json:
    """A minimal file need not give titles: then the name is the title."""
    if not isinstance(table, dict):
        return table
    columns = [
        {"title": _title(column.get("name")), **column} if isinstance(column, dict) else column
        for column in table.get("columns") or []
    ]
    return {"title": _title(table.get("name")), **table, "columns": columns}


def _title(name: Json) -> Json:
    return {"zh": str(name), "en": str(name)}


def _dataset(product: Product, folder: Path) -> Dataset:
    files = {
        table.name: path
        for table in product.tables
        for path in (folder / f"{table.name}{suffix}" for suffix in FORMATS)
        if path.is_file()
    }
    if missing := [table.name for table in product.tables if table.name not in files]:
        raise ProductUnusable(f"{folder} has no {missing[0]}.csv or {missing[0]}.parquet")
    return Dataset(product, _digest(product), files)


def _digest(product: Product) -> str:
    """Names what the sandbox reads of a product, in place of the digest of a signed document."""
    described = {
        "tables": [table.model_dump(mode="json", by_alias=True) for table in product.tables],
        "disclosure": product.disclosure.model_dump(mode="json", by_alias=True),
        "lattice": product.lattice,
        "controlled": product.controlled.model_dump(mode="json", by_alias=True) if product.controlled else None,
    }
    return digest(described)
