"""Exact marginals of a table of entities: what the lattice publishes, before noise.

An engine (`local.Local`, `spark.Spark`) holds the entity view and adds it up; which one makes no difference to a bit.
"""

from collections.abc import Mapping
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

import numpy as np

from hexi.canonical import encode
from privacy.lattice.blocks import Integers
from privacy.lattice.plan import Component, Plan
from privacy.lattice.policy import COUNT
from privacy.lattice.publication import shape, to_bytes
from sandbox.engines.entity_view import OWN, Dialect, EntityView, Rows
from sandbox.errors import ProductUnusable


class Engine(Protocol):
    """Where a table is added up. Every method raises `ProductUnusable` for what the engine cannot do."""

    dialect: Dialect

    def kinds(self, path: Path) -> Mapping[str, str]:
        """The table's columns and which kind each is (`entity_view`)."""

    def view(self, paths: Mapping[str, Path], view: EntityView) -> str:
        """Make the entity view of these tables, and say under which name it is asked."""

    def rows(self, query: str) -> Mapping[str, Integers]:
        """The answer to a query whose columns are whole numbers."""

    def close(self) -> None:
        """Give everything back, files included."""


class Marginals:
    """The entity view of the table in `path` under a plan, or of one cohort, held by `engine`.

    `others` are the tables beside it that the policy names: where each is, and the column that says whose a row is.
    `own` is what the policy calls the table in `path`, where it says that it has one row an entity.
    Raises `ProductUnusable`.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path,
        plan: Plan,
        cohort: str = "",
        others: Mapping[str, tuple[Path, str]] = MappingProxyType({}),
        own: str = OWN,
    ) -> None:
        self._engine, self._plan = engine, plan
        self._grouped: dict[tuple[str, ...], tuple[Integers, Mapping[str, Integers]]] = {}
        self._widest = _widest(plan)
        try:
            tables = {OWN: (path, plan.policy.entity), **others}
            rows = {table: Rows(engine.kinds(where), key) for table, (where, key) in tables.items()}
            if missing := [key for table, (_, key) in tables.items() if key not in rows[table].kinds]:
                raise ProductUnusable(f"the table has no column {missing[0]} that says whose a row is")
            one_row = {OWN if table == own else table: table for table in plan.policy.one_row}
            if unknown := [name for table, name in one_row.items() if table not in rows]:
                raise ProductUnusable(f"the lattice policy has {unknown[0]} under oneRow, which is no table of its own")
            self._view = EntityView(plan.policy, rows, engine.dialect, cohort, frozenset(one_row))
            self._table = engine.view({table: where for table, (where, _) in tables.items()}, self._view)
            self._check_domains()
            self._check_rows(one_row)
        except ProductUnusable:
            engine.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close()

    def marginal(self, measure: str, component: Component) -> Integers:
        """The sums of `measure` over the cells of the component's levels, in units of 1/`GRID`."""
        codes, sums = self._group(tuple(name for name, _ in component))
        cells = np.zeros(shape(self._plan, component, measure), dtype=np.int64)
        of = (self._plan.blocks[name][depth - 1].of for name, depth in component)
        places = tuple(level[code] for level, code in zip(of, codes, strict=True))
        numbers = sums[measure] if self._plan.policy.measure(measure).axis else sums[measure][:, 0]
        np.add.at(cells, places if places else (...,), numbers if places else numbers.sum(axis=0))
        return cells

    def digest(self) -> str:
        """Names everything that can be read here: alike for tables that say the same, however they are written."""
        read = sha256()
        for names in sorted(set(self._widest.values())):
            codes, sums = self._group(names)
            order = np.lexsort(codes) if names else np.arange(codes.shape[1])
            read.update(encode([list(names), len(order)]))
            for part in (codes.T, *(sums[measure] for measure in sorted(sums))):
                read.update(to_bytes(part[order]))
        return f"sha256:{read.hexdigest()}"

    def _group(self, names: tuple[str, ...]) -> tuple[Integers, Mapping[str, Integers]]:
        """By these attributes: the code of every group along each, and for each measure a row of numbers a group."""
        if names not in self._grouped:
            wider = self._widest.get(names, names)
            if wider == names:
                self._grouped[names] = self._asked(names)
            else:  # a finer table is there, or will be needed anyway: adding it up is exact, and costs no pass
                codes, sums = self._group(wider)
                self._grouped[names] = _added_up(codes[[wider.index(name) for name in names]], sums)
        return self._grouped[names]

    def _asked(self, names: tuple[str, ...]) -> tuple[Integers, Mapping[str, Integers]]:
        quoted = self._engine.dialect.quoted
        sums = {measure: self._view.sums()[measure] for measure in self._plan.variances}
        keys = [f"{quoted(name)} AS {quoted(f'k{place}')}" for place, name in enumerate(names)]
        chosen = [
            f"CAST({expression} AS BIGINT) AS {quoted(f'{measure}.{place}')}"
            for measure, expressions in sums.items()
            for place, expression in enumerate(expressions)
        ]
        by = f" GROUP BY {', '.join(map(quoted, names))}" if names else ""
        # Names of the signed policy, quoted.
        found = self._engine.rows(f"SELECT {', '.join([*keys, *chosen])} FROM {self._table}{by}")  # noqa: S608
        many = len(found[f"{COUNT}.0"])
        codes = np.array([found[f"k{place}"] for place in range(len(names))], dtype=np.int64).reshape(len(names), many)
        return codes, {
            measure: np.stack([found[f"{measure}.{place}"] for place in range(len(expressions))], axis=-1)
            for measure, expressions in sums.items()
        }

    def _check_domains(self) -> None:
        """Raise `ProductUnusable` where somebody has a value that no declared label stands for."""
        quoted, policy = self._engine.dialect.quoted, self._plan.policy
        named = [attribute.name for attribute in policy.attributes]
        named += [measure.name for measure in policy.measures if measure.labels]
        counted = ", ".join(f"count(*) FILTER (WHERE {self._view.outside(n)}) AS {quoted(n)}" for n in named)
        found = self._engine.rows(f"SELECT {counted} FROM {self._table}") if named else {}  # noqa: S608
        for name in named:
            if found[name][0]:
                raise ProductUnusable(
                    f"{name} has values outside its declared domain; name one of its labels as 'other'"
                )

    def _check_rows(self, one_row: Mapping[str, str]) -> None:
        """Raise `ProductUnusable` where an entity has several rows in a table that is said to have one."""
        quoted = self._engine.dialect.quoted
        for table, name in one_row.items():
            several = f"SELECT count(*) AS {quoted('n')} FROM {self._table} WHERE {self._view.several(table)}"  # noqa: S608
            if self._engine.rows(several)["n"][0]:
                raise ProductUnusable(
                    f"{name} has several rows of one entity; leave it out of the lattice policy's oneRow"
                )


def _widest(plan: Plan) -> dict[tuple[str, ...], tuple[str, ...]]:
    """For each set of attributes that the plan needs, one around it that is needed too and has none around itself."""
    needed = {tuple(name for name, _ in component) for of in plan.variances.values() for component in of}
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for names in sorted(needed, key=len, reverse=True):
        around = found.setdefault(names, names)
        for many in range(len(names)):
            for part in combinations(names, many):
                found.setdefault(part, around)
    return found


def _added_up(codes: Integers, sums: Mapping[str, Integers]) -> tuple[Integers, Mapping[str, Integers]]:
    """Groups with equal codes made one."""
    if not len(codes):
        return codes[:, :1], {measure: numbers.sum(axis=0, keepdims=True) for measure, numbers in sums.items()}
    found, which = np.unique(codes, axis=1, return_inverse=True)
    added = {}
    for measure, numbers in sums.items():
        added[measure] = np.zeros((found.shape[1], numbers.shape[1]), dtype=np.int64)
        np.add.at(added[measure], which.reshape(-1), numbers)
    return found, added
