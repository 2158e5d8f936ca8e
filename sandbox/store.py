"""The sandbox's SQL. Sessions come in as arguments; nothing here commits.

Rows that two processes could write at once are taken with FOR UPDATE, which SQLite ignores: its writers queue anyway.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import and_, func, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, select

from privacy.differencing import Sketch, sizes_to_compare, too_close, too_close_across
from sandbox.states import State
from sandbox.tables import (
    AggregationRow,
    ContributionRow,
    DataRow,
    LatticeChargeRow,
    LatticeTableRow,
    PermitRow,
    QuerySetRow,
    ReleasedCellRow,
    ReleaseRow,
    RunRow,
)

# Stands for the ledger of all versions, where a row names a product version; real ones begin with 1.
LEDGER_VERSION = 0
# Size ranges asked for in one SELECT: below the number of parameters SQLite takes.
_RANGES = 200
# Rows, or digests, that go into one statement, which has a few thousand parameters then.
_AT_ONCE = 1_000


def permit(session: Session, identifier: str) -> PermitRow:
    """The permit's row, locked; made on first use."""
    insert(session, PermitRow(id=identifier, used=0))
    return session.exec(select(PermitRow).where(PermitRow.id == identifier).with_for_update()).one()


def is_revoked(session: Session, identifier: str) -> bool:
    """Whether the permit was taken back."""
    row = session.get(PermitRow, identifier)
    return row is not None and row.revoked is not None


def run(session: Session, identifier: str) -> RunRow | None:
    """The run's row, locked."""
    return session.exec(select(RunRow).where(RunRow.id == identifier).with_for_update()).first()


def add_run(session: Session, row: RunRow) -> bool:
    """Whether the run was new."""
    return insert(session, row)


def save(session: Session, row: SQLModel) -> None:
    """Write changes to a row that was read in this session."""
    session.add(row)
    session.flush()


def delete_run(session: Session, row: RunRow) -> None:
    """Forget a run that never touched data. Its id may come again, with another question: no question points to it."""
    session.connection().execute(update(QuerySetRow).where(col(QuerySetRow.run) == row.id).values(run=""))
    session.delete(row)
    session.flush()


def runs_in_state(session: Session, state: str) -> Sequence[RunRow]:
    """The runs in a state, oldest first."""
    return session.exec(select(RunRow).where(RunRow.state == state).order_by(RunRow.started, RunRow.id)).all()


def pin_data(session: Session, product: str, version: int, data_digest: str) -> str:
    """The digest of the data this version is, from now on; the row is locked until the transaction ends."""
    insert(session, DataRow(product=product, version=version, data_digest=data_digest))
    query = select(DataRow).where(DataRow.product == product, DataRow.version == version).with_for_update()
    return session.exec(query).one().data_digest


def release(session: Session, product: str, version: int, query_digest: str) -> str | None:
    """What was released for this query."""
    row = session.get(ReleaseRow, (product, version, query_digest))
    return row.body if row else None


def add_release(session: Session, row: ReleaseRow) -> None:
    """Remember what was released."""
    insert(session, row)


# A product and its version; and with them, the digest of a cell that was released from it.
VersionKey = tuple[str, int]
CellKey = tuple[str, int, str]


def is_too_close(
    session: Session, version: VersionKey, population: str, cells: Mapping[str, Sequence[Sketch]], minimum: int
) -> bool:
    """Whether one of `cells` (by basis) is too close to one released earlier, from this version of the product, from
    another one, or from another product about the population."""
    return any(
        _any_too_close(session, version, population, basis, new_cells, minimum) for basis, new_cells in cells.items()
    )


def add_cells(session: Session, version: VersionKey, population: str, cells: Mapping[str, Iterable[Sketch]]) -> None:
    """Remember released cells (by basis); one that is known already is not stored again."""
    rows = [
        ReleasedCellRow(
            product=version[0],
            version=version[1],
            basis=basis,
            digest=cell.digest,
            population=population,
            size=cell.size,
            sketch=cell.to_text(),
        )
        for basis, released in cells.items()
        for cell in dict.fromkeys(released)
    ]
    for start in range(0, len(rows), _AT_ONCE):
        insert(session, *rows[start : start + _AT_ONCE])


def cell_keys(session: Session, population: str, basis: str) -> set[CellKey]:
    """The keys of all cells that were released on this basis, from every product about the population."""
    key = (ReleasedCellRow.product, ReleasedCellRow.version, ReleasedCellRow.digest)
    return set(session.exec(select(*key).where(*_on(population, basis))).all())


def cells(
    session: Session, population: str, basis: str, wanted: AbstractSet[CellKey]
) -> Iterator[tuple[CellKey, Sketch]]:
    """Those of these cells that `wanted` names, in the order of their keys."""
    ordered = sorted(wanted)
    key = (col(ReleasedCellRow.product), col(ReleasedCellRow.version), col(ReleasedCellRow.digest))
    for start in range(0, len(ordered), _AT_ONCE):
        some = set(ordered[start : start + _AT_ONCE])
        digests = {digest for _, _, digest in some}
        query = select(ReleasedCellRow).where(*_on(population, basis), col(ReleasedCellRow.digest).in_(digests))
        for row in session.exec(query.order_by(*key)):
            if (own := (row.product, row.version, row.digest)) in some:
                yield own, Sketch.from_text(row.sketch)


def _on(population: str, basis: str) -> tuple[Any, ...]:
    return ReleasedCellRow.population == population, ReleasedCellRow.basis == basis


def aggregation(session: Session, job: str) -> AggregationRow | None:
    """The job's row, locked."""
    return session.exec(select(AggregationRow).where(AggregationRow.job == job).with_for_update()).first()


def add_aggregation(session: Session, row: AggregationRow) -> bool:
    """Whether the job was new."""
    return insert(session, row)


def contributions(session: Session, job: str) -> Sequence[ContributionRow]:
    """The contributions to a job, by contributor."""
    query = select(ContributionRow).where(ContributionRow.job == job).order_by(ContributionRow.contributor)
    return session.exec(query).all()


def _any_too_close(
    session: Session, version: VersionKey, population: str, basis: str, cells: Sequence[Sketch], minimum: int
) -> bool:
    earlier, others = list[Sketch](), list[Sketch]()
    for released_from, cell in _near(session, population, basis, cells, minimum):
        (earlier if released_from == version else others).append(cell)
    # A cell released before was compared with all others then, and they with it since.
    known, known_elsewhere = set(earlier), set(others)
    return any(
        (new not in known and too_close(new, earlier, minimum))
        or (new not in known_elsewhere and too_close_across(new, others, minimum))
        for new in cells
    )


def _near(
    session: Session, population: str, basis: str, cells: Sequence[Sketch], minimum: int
) -> Iterable[tuple[VersionKey, Sketch]]:
    """Cells whose size is near that of one of `cells`, and the version of the product that each was released from."""
    ranges = sizes_to_compare(cells, minimum)
    size = col(ReleasedCellRow.size)
    for start in range(0, len(ranges), _RANGES):
        near = or_(*(and_(size >= low, size <= high) for low, high in ranges[start : start + _RANGES]))
        query = select(ReleasedCellRow.product, ReleasedCellRow.version, ReleasedCellRow.sketch).where(
            *_on(population, basis), near
        )
        for product, version, text in session.exec(query).all():
            yield (product, version), Sketch.from_text(text)


def insert(session: Session, *rows: SQLModel) -> bool:
    """Insert these, of one table, unless rows with their keys are there; says whether any was inserted."""
    if not rows:
        return False
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    values = [row.model_dump() for row in rows]
    statement = dialect.insert(type(rows[0])).values(values if len(rows) > 1 else values[0]).on_conflict_do_nothing()
    return bool(session.connection().execute(statement).rowcount)


# The controlled lane: what groups of analysts asked for


def charge_query_set(session: Session, asked: QuerySetRow, cap: int | None) -> bool:
    """Whether this may be asked: the same group asked it before, or its cells fit into what is left of `cap`.

    The cap is over all versions of the product, since their answers may be put together.
    """
    lock_ledger(session, asked.product)
    known = session.get(QuerySetRow, (asked.product, asked.consumers, asked.version, asked.query_digest))
    if known is not None:
        if answered_before(session, asked.product, asked.version, asked.query_digest, asked.consumers) is None:
            known.run = asked.run
            save(session, known)
        return True
    if cap is not None and asked_cells(session, asked.product, asked.consumers) + asked.cells > cap:
        return False
    return insert(session, asked)


def answered_before(
    session: Session, product: str, version: int, query_digest: str, consumers: str | None = None
) -> str | None:
    """The answer of a run that was released for this very question: to `consumers`, or to whomever."""
    query = (
        select(RunRow.answer)
        .join(QuerySetRow, col(QuerySetRow.run) == RunRow.id)
        .where(
            QuerySetRow.product == product,
            QuerySetRow.version == version,
            QuerySetRow.query_digest == query_digest,
            RunRow.state == State.RELEASED,
        )
        .order_by(RunRow.id)
    )
    if consumers is not None:
        query = query.where(QuerySetRow.consumers == consumers)
    return session.exec(query).first()


def asked_cells(session: Session, product: str, consumers: str) -> int:
    """The cells that `consumers` asked for, over all versions of the product."""
    mine = (QuerySetRow.product == product, QuerySetRow.consumers == consumers)
    return session.exec(select(func.coalesce(func.sum(QuerySetRow.cells), 0)).where(*mine)).one()


# The lattice: its ledger of charges, and what was published


def charges(session: Session, product: str) -> Sequence[LatticeChargeRow]:
    """Every charge on the product's ledger, over all versions."""
    return session.exec(select(LatticeChargeRow).where(LatticeChargeRow.product == product)).all()


def every_charge(session: Session) -> Sequence[LatticeChargeRow]:
    """Every charge on the provider's ledgers."""
    return session.exec(select(LatticeChargeRow)).all()


def population_charges(session: Session, population: str) -> Sequence[LatticeChargeRow]:
    """Every charge about a population, over all products."""
    return session.exec(select(LatticeChargeRow).where(LatticeChargeRow.population == population)).all()


def lock_population(session: Session, population: str) -> None:
    """Hold the ledgers of a population's families until the transaction ends, whichever product is published."""
    lock_ledger(session, f"population {population}")


def lock_ledger(session: Session, product: str) -> None:
    """Hold the product's ledger until the transaction ends, so that two publications never share one rest."""
    pin_data(session, product, LEDGER_VERSION, "lattice")


def add_charge(session: Session, row: LatticeChargeRow) -> bool:
    """Whether the charge was new."""
    return insert(session, row)


def finish_charge(session: Session, product: str, version: int, measure: str, state: str, data_digest: str) -> bool:
    """Mark a charge as published from these data; False if it was already."""
    row = session.get(LatticeChargeRow, (product, version, measure), with_for_update=True)
    if row is None or row.state == state:
        return False
    row.state, row.data_digest = state, data_digest
    save(session, row)
    return True


def add_lattice_table(session: Session, row: LatticeTableRow) -> None:
    """Keep a published table."""
    session.add(row)


def lattice_tables(session: Session, product: str, version: int) -> Sequence[LatticeTableRow]:
    """Everything published of a product version."""
    wanted = select(LatticeTableRow).where(LatticeTableRow.product == product, LatticeTableRow.version == version)
    return session.exec(wanted).all()
