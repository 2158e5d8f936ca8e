"""Cubes: publishing a product version's lattice, once, and answering from what was published.

Publishing is one durable transaction that charges the ledger for everything, before any noise is drawn, and one for
each measure that keeps its noisy tables. A crash in between leaves the charge; publishing again draws the same noise
from the same key and gives the same bytes. Answering reads the published tables only: the product's files may be gone,
and other cubes may be published meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from hexi.canonical import Clock, Json, digest, encode, instant, parse
from hexi.database import Database
from privacy.lattice.answers import Cells, Estimate, answer
from privacy.lattice.blocks import Integers
from privacy.lattice.plan import Component, Plan, plan
from privacy.lattice.policy import COUNT, read_policy
from privacy.lattice.publication import Cube, from_bytes, residuals, to_bytes
from privacy.lattice.regression import regress
from sandbox import store
from sandbox.cubes.door import read_query
from sandbox.cubes.queries import CubeQuestion, RegressionQuery, Statistic
from sandbox.cubes.recent import Recent
from sandbox.cubes.register import Charge, check
from sandbox.datasets import Dataset, pin
from sandbox.errors import DataChanged, ProductUnusable
from sandbox.outputs import Output
from sandbox.reasons import Refusal
from sandbox.settings import SandboxSettings
from sandbox.tables import LatticeChargeRow, LatticeTableRow

if TYPE_CHECKING:
    from sandbox.engines.marginals import Engine

CHARGED, PUBLISHED = "charged", "published"
# Cubes kept in memory, the least recently asked going first: some hundred kilobytes a measure.
MAX_CUBES = 16
# An answer is shown to a tenth of its standard deviation: digits beyond that say nothing.
SHOWN_SHARE = 10
# Decimals that are ever shown: beyond, floating point says nothing.
MOST_DECIMALS = 9


@dataclass(frozen=True)
class Published:
    """A version's cube, what it took from each family, and the fingerprints (`Dataset`) of the files it was built from:
    one; of cohorts several, a version's each; none where it was published before they were kept.
    """

    cube: Cube
    budget: tuple[dict[str, Json], ...]
    built_from: tuple[str, ...] = ()

    @property
    def data_digest(self) -> str | None:
        """What the cube was built from: the fingerprint, of several the digest of their list in `terms`."""
        return digest(list(self.built_from)) if len(self.built_from) > 1 else next(iter(self.built_from), None)

    def terms(self) -> dict[str, Json]:
        """What a receipt says of the lane: which policy and plan, and what they took from every family; from which
        versions' files, where they are several."""
        planned = self.cube.plan
        several: dict[str, Json] = {"builtFrom": list(self.built_from)} if len(self.built_from) > 1 else {}
        return {
            "lane": "lattice",
            "policy": planned.policy.digest,
            "plan": planned.digest,
            "budget": [dict(one) for one in self.budget],
            **several,
        }


class Cubes:
    """The cubes of one provider. `key` is its secret: noise is drawn from it, and only from it."""

    def __init__(self, database: Database, key: bytes, clock: Clock, settings: SandboxSettings | None = None) -> None:
        self._database = database
        self._key = key
        self._clock = clock
        self._settings = settings or SandboxSettings()
        self._kept = Recent[tuple[str, int], Published](MAX_CUBES)
        self._plans = Recent[str, Plan](MAX_CUBES)
        # By product, while somebody publishes or waits for that.
        self._publishing = WeakValueDictionary[str, Lock]()
        self._lock = Lock()

    def plan(self, dataset: Dataset) -> Plan:
        """The plan of the product's lattice policy."""
        found = self._plans.get(dataset.digest)
        if found is None:
            found = plan(read_policy(dict(dataset.product.lattice or {})))
            self._plans.put(dataset.digest, found)
        return found

    def review(self, dataset: Dataset, text: str) -> CubeQuestion | Refusal:
        """The question in `text`, or why it may not be asked: by text and policy alone."""
        planned = self.plan(dataset)
        return read_query(text, planned, table_of(dataset, planned), keys_of(dataset, planned))

    def published(self, dataset: Dataset) -> Published:
        """The cube, published now if it is not yet: of a product one at a time, and whoever asks for others does not
        wait. Raises `BudgetSpent`, `ProductUnusable`, `DataChanged`.
        """
        found = self.published_before(dataset)
        if found is not None:
            return found
        with self._lock:
            alone = self._publishing.setdefault(dataset.product.identifier, Lock())
        with alone:
            return self.published_before(dataset) or self._publish(dataset)

    def published_before(self, dataset: Dataset) -> Published | None:
        """The cube, if it is there already; asking for it publishes nothing. Raises `ProductUnusable`."""
        key = (dataset.product.identifier, dataset.product.version)
        found = self._kept.get(key)
        if found is None and (found := self._load(dataset)) is not None:
            self._kept.put(key, found)
        return found

    def _load(self, dataset: Dataset) -> Published | None:
        planned = self.plan(dataset)
        every: list[_Tables] = []
        for edition in _editions(dataset, planned):
            found = self._read(dataset, planned, edition)
            if found is None:
                return None
            every.append(found)
        added = {
            measure: {component: np.sum([one.of[measure][component] for one in every], axis=0) for component in of}
            for measure, of in planned.variances.items()
        }
        built_from = {one for tables in every for one in tables.built_from}
        known = () if None in built_from else tuple(sorted(filter(None, built_from)))
        return Published(Cube(planned, added), _budget(planned), known)

    def _read(self, dataset: Dataset, planned: Plan, edition: "_Edition") -> "_Tables | None":
        """The tables of one edition, None if it is not published whole."""
        product = dataset.product.identifier
        with self._database.reading() as session:
            charged = [row for row in store.charges(session, product) if row.version == edition.number]
            if any((row.plan_digest, row.cohort) != (planned.digest, edition.cohort) for row in charged):
                raise ProductUnusable(
                    "this version was published under another lattice policy; publish a new version, and of cohorts "
                    "append new ones only"
                )
            if {row.measure for row in charged if row.state == PUBLISHED} != set(planned.variances):
                return None
            rows = store.lattice_tables(session, product, edition.number)
        found: dict[str, dict[Component, Integers]] = {measure: {} for measure in planned.variances}
        for row in rows:
            component: Component = tuple((str(name), int(depth)) for name, depth in parse(row.component))
            found[row.measure][component] = from_bytes(planned, row.measure, component, row.body)
        return _Tables(found, frozenset(row.data_digest for row in charged))

    def _publish(self, dataset: Dataset) -> Published:
        planned = self.plan(dataset)
        for edition in _editions(dataset, planned):
            if self._read(dataset, planned, edition) is None:
                self._publish_edition(dataset, planned, edition)
        loaded = self.published_before(dataset)
        if loaded is None:
            raise ProductUnusable("the cube was not published whole; ask again")
        return loaded

    def _publish_edition(self, dataset: Dataset, planned: Plan, edition: "_Edition") -> None:
        from sandbox.engines.marginals import Marginals

        product, number, own = dataset.product.identifier, edition.number, table_of(dataset, planned)
        others = {name: (dataset.file(name), key) for name, key in keys_of(dataset, planned).items()}
        read = dataset.fingerprint()
        with Marginals(self._engine(), dataset.file(own), planned, edition.cohort, others, own) as marginals:
            self._charge(dataset, planned, edition, read)
            # Noise is for these sums: over others, as of corrected files after a backup was restored, it would cancel.
            label = f"{product} {edition.label} {marginals.digest()}"
            for measure in planned.variances:
                exact = partial(marginals.marginal, measure)
                tables = residuals(planned, measure, exact, key=self._key, label=label)
                if dataset.fingerprint() != read:
                    raise DataChanged("the files of this product changed while its cube was built; publish them anew")
                with self._database.transaction() as session:
                    if store.finish_charge(session, product, number, measure, PUBLISHED, read):
                        for component, table in tables.items():
                            store.add_lattice_table(session, _row(product, number, measure, component, table))

    def _engine(self) -> "Engine":
        """What adds tables up. An engine and its package wait until something is published."""
        if self._settings.publishing_engine == "spark":
            from sandbox.engines.spark import Spark

            return Spark(self._settings.publishing_spark, self._settings.publishing_spill)
        from sandbox.engines.local import Local

        return Local(self._settings.publishing_memory_bytes, self._settings.publishing_spill)

    def _charge(self, dataset: Dataset, planned: Plan, edition: "_Edition", read: str) -> None:
        """Charge every measure that is not charged yet, all or none, and hold the version to the files that were
        `read`. Raises `BudgetSpent`, `ProductUnusable`, `DataChanged`."""
        product, population = dataset.product.identifier, planned.policy.population
        with self._database.transaction() as session:
            pin(session, product, dataset.product.version, read)
            store.lock_population(session, population)
            if any(row.population != population for row in store.charges(session, product)):
                raise ProductUnusable(
                    "earlier versions of this product are about another population, which would begin a second ledger "
                    "for the same people; keep its name, or publish another product about others"
                )
            rows = store.population_charges(session, population)
            known = {row.measure for row in rows if (row.product, row.version) == (product, edition.number)}
            earlier = list(map(charge_in, rows))
            for name in planned.variances:
                if name in known:
                    continue
                charge = _charge_of(planned, product, edition, name)
                check(charge, earlier)
                earlier.append(charge)
                row = LatticeChargeRow(
                    product=product,
                    version=edition.number,
                    measure=name,
                    family=charge.family,
                    spent=_rounded_up(charge.spent),
                    population=population,
                    cap=str(charge.cap),
                    columns=encode(list(charge.columns)).decode(),
                    cohort=edition.cohort,
                    plan_digest=planned.digest,
                    state=CHARGED,
                    charged=instant(self._clock()),
                )
                store.add_charge(session, row)


class _Edition(NamedTuple):
    """What is published at once: a version, by its number from 1 up; or a cohort, which belongs to every version from
    its first on, by its place from -1 down."""

    number: int
    cohort: str = ""

    @property
    def label(self) -> str:
        """What noise is drawn for."""
        return f"cohort {self.cohort}" if self.cohort else str(self.number)


class _Tables(NamedTuple):
    """The noisy tables of one edition by measure, and the fingerprints of the files they were built from; None for one
    that was not kept."""

    of: dict[str, dict[Component, Integers]]
    built_from: frozenset[str | None]


def _editions(dataset: Dataset, planned: Plan) -> list[_Edition]:
    if planned.policy.cohorts is None:
        return [_Edition(dataset.product.version)]
    return [_Edition(-place, cohort) for place, cohort in enumerate(planned.policy.cohorts.labels, start=1)]


def _charge_of(planned: Plan, product: str, edition: _Edition, name: str) -> Charge:
    measure = planned.policy.measure(name)
    family = planned.policy.family(measure.family)
    cap, columns = Fraction(family.cap or family.mu) ** 2, planned.policy.columns_of(measure)
    return Charge(product, edition.cohort, family.name, planned.spent(name), cap, columns, is_count=name == COUNT)


def charge_in(row: LatticeChargeRow) -> Charge:
    """The charge that a row of the ledger stands for."""
    cap, columns = Fraction(row.cap) if row.cap else None, tuple(map(str, parse(row.columns)))
    is_count = row.measure == COUNT
    return Charge(row.product, row.cohort, row.family, Fraction(row.spent), cap, columns, is_count=is_count)


def table_of(dataset: Dataset, planned: Plan) -> str:
    """The table the lattice is of: the one whose entity key the policy names. Raises `ProductUnusable`."""
    entity = planned.policy.entity
    for table in dataset.product.tables:
        if table.entity_key == entity:
            return table.name
    raise ProductUnusable(f"no table of this product has the entity key {entity} that its lattice policy names")


def keys_of(dataset: Dataset, planned: Plan) -> dict[str, str]:
    """The entity keys of the tables beside the entities' own that the policy takes columns from. Raises
    `ProductUnusable`."""
    keys = {table.name: table.entity_key for table in dataset.product.tables}
    found = {}
    for name in planned.policy.other_tables:
        key = keys.get(name)
        if key is None:
            raise ProductUnusable(f"the lattice policy takes columns from {name}, which is no table with an entity key")
        found[name] = key
    return found


def ask(published: Published, query: CubeQuestion) -> Output:
    """The answer to `query`: each statistic with the ends of its 95 % interval. Small cells are left out.

    Values are smoothed, intervals are those of what was published (`smoothing` says why).
    """
    if isinstance(query, RegressionQuery):
        return _regressed(published.cube, query)
    cells = answer(published.cube, query.question, query.moments)
    told = answer(published.cube.as_published, query.question, query.moments)
    declared, kept = cells.labels, np.flatnonzero(cells.shown).tolist()
    cells, told = cells.take(kept), told.take(kept)
    places = np.flatnonzero(query.having(cells)).tolist()
    for item, descending in reversed(query.order):
        places.sort(key=_keys(cells, item, declared).__getitem__, reverse=descending)
    cells, told = cells.take(places[: query.limit]), told.take(places[: query.limit])
    names = [name for column in query.columns for name in _names(column.name, is_level=isinstance(column.item, int))]
    shown = [values for column in query.columns for values in _values(cells, told, column.item)]
    return Output(tuple(names), tuple(zip(*shown, strict=True)), {})


def _keys(cells: Cells, item: int | Statistic, declared: Sequence[tuple[str, ...]]) -> list[float]:
    """What cells are ordered by: a level's labels as declared, a statistic by its value, the open ones last of all."""
    if isinstance(item, int):
        rank = {label: place for place, label in enumerate(dict.fromkeys(labels[item] for labels in declared))}
        return [rank[labels[item]] for labels in cells.labels]
    found: list[float] = np.nan_to_num(item.of(cells).value, nan=-np.inf).tolist()
    return found


def _names(name: str, *, is_level: bool) -> tuple[str, ...]:
    return (name,) if is_level else (name, f"{name}_low", f"{name}_high")


def _values(cells: Cells, told: Cells, item: int | Statistic) -> Iterator[list[Json]]:
    """A level's labels, or a statistic and the ends of its interval, each rounded to what its deviation says."""
    if isinstance(item, int):
        yield [labels[item] for labels in cells.labels]
        return
    yield from _rounded(item.of(cells), item.of(told))


def _regressed(cube: Cube, query: RegressionQuery) -> Output:
    """One row a coefficient: which label of which level, how much more there, and the ends of the interval."""
    found, told = (regress(one, query.cuts, query.where, query.measure) for one in (cube, cube.as_published))
    terms = ["intercept" if one.term is None else f"{query.names[one.term[0]]} = {one.term[1]}" for one in found]
    estimates = [Estimate(np.array([c.value for c in of]), np.array([c.sd for c in of])) for of in (found, told)]
    columns = ("term", *_names("coefficient", is_level=False))
    return Output(columns, tuple(zip(terms, *_rounded(*estimates), strict=True)), {})


def _rounded(estimate: Estimate, told: Estimate) -> Iterator[list[Json]]:
    """The numbers of `estimate`, as far as they lie in the intervals of `told`, and the ends of those: to a tenth of
    their deviation. Where only one of the two is open, noise leaves open whether it is: then both are those of
    `estimate`."""
    is_open = np.isnan(estimate.value) | np.isnan(told.value)
    told = Estimate(*(np.where(is_open, mine, its) for mine, its in zip(estimate, told, strict=True)))
    low, high = told.interval
    certain = told.sd > 0
    digits = np.where(certain, np.ceil(-np.log10(np.where(certain, told.sd, 1.0) / SHOWN_SHARE)), MOST_DECIMALS)
    decimals = np.clip(digits, 0, MOST_DECIMALS).astype(np.int64)
    scale, whole = 10.0**decimals, (decimals == 0).tolist()
    for values in (np.clip(estimate.value, low, high), low, high):
        rounded = (np.floor(values * scale + 0.5) / scale).tolist()
        yield [_plain(value, is_whole=is_whole) for value, is_whole in zip(rounded, whole, strict=True)]


def _plain(value: float, *, is_whole: bool) -> Json:
    if value != value:  # nan: noise leaves it open
        return None
    return int(value) if is_whole else value


def _row(product: str, version: int, measure: str, component: Component, table: Integers) -> LatticeTableRow:
    named = encode([list(part) for part in component]).decode()
    return LatticeTableRow(product=product, version=version, measure=measure, component=named, body=to_bytes(table))


def _budget(planned: Plan) -> tuple[dict[str, Json], ...]:
    """What this version took from every family, as the mu of the theorem."""
    spent: dict[str, Fraction] = {}
    for measure in planned.policy.all_measures():
        spent[measure.family] = spent.get(measure.family, Fraction()) + planned.spent(measure.name)
    families = [(planned.policy.family(name), cost) for name, cost in sorted(spent.items())]
    return tuple(
        {"family": family.name, "mu": f"{float(cost) ** 0.5:.6f}", "cap": f"{family.cap or family.mu:.6f}"}
        for family, cost in families
    )


def _rounded_up(cost: Fraction) -> str:
    return str(Fraction(ceil(cost * 10**15), 10**15))
