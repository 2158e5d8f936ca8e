"""Exact marginals of a table of entities, by DuckDB: what the lattice publishes, before noise.

The provider's own step, over SQL that is made here from the signed policy; no consumer's text comes near it. Rows are
collapsed to one per entity first, so that nobody counts twice; sums are taken in decimals and turned into integers, so
that the order of rows and the number of threads change no bit. DuckDB works out of core when memory is short.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np

from privacy.lattice.blocks import Integers
from privacy.lattice.plan import GRID, Component, Plan
from privacy.lattice.policy import COUNT, Attribute, LatticePolicy, Measure
from privacy.lattice.publication import shape
from sandbox.errors import ProductUnusable

# Decimals of a measure that count: what is finer is below every grid.
_DECIMAL = "DECIMAL(38, 6)"
_ENTITIES = "hexi_entities"


class Marginals:
    """The entity view of the table in `path` (CSV or Parquet) under a plan. Raises `ProductUnusable`."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._plan = plan
        self._grouped: dict[tuple[str, ...], tuple[Integers, Mapping[str, Integers]]] = {}
        self._engine = duckdb.connect(":memory:")
        try:
            self._engine.execute(_entity_view(path, plan.policy))
            self._check_domains()
        except duckdb.Error as error:
            self._engine.close()
            raise ProductUnusable("the table does not have the columns that its lattice policy names") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close()

    @property
    def entities(self) -> int:
        """How many entities there are: for the provider, never for a consumer."""
        (found,) = self._engine.execute(f"SELECT count(*) FROM {_ENTITIES}").fetchone() or (0,)  # noqa: S608
        return int(found)

    def marginal(self, measure: str, component: Component) -> Integers:
        """The sums of `measure` over the cells of the component's levels, in units of 1/`GRID`."""
        names = tuple(name for name, _ in component)
        codes, sums = self._group(names)
        cells = np.zeros(shape(self._plan, component), dtype=np.int64)
        of = (np.array(self._plan.policy.attribute(name).levels[depth - 1].of) for name, depth in component)
        places = tuple(level[code] for level, code in zip(of, codes, strict=True))
        np.add.at(cells, places if places else (...,), sums[measure] if places else sums[measure].sum())
        return cells

    def _group(self, names: tuple[str, ...]) -> tuple[Integers, Mapping[str, Integers]]:
        if names not in self._grouped:
            measures = [measure.name for measure in self._plan.policy.all_measures() if measure.name != COUNT]
            keys = ", ".join(_quoted(name) for name in names)
            sums = "".join(f", sum({_quoted(name)})::BIGINT AS {_quoted(name)}" for name in measures)
            grouped = f" GROUP BY {keys}" if names else ""
            counted = f"count(*) * {GRID} AS {_quoted(COUNT)}"
            chosen = ", ".join([*map(_quoted, names), counted])
            found = self._engine.execute(
                f"SELECT {chosen}{sums} FROM {_ENTITIES}{grouped}"  # noqa: S608 - names of the signed policy, quoted
            ).fetchnumpy()
            codes = np.array([np.asarray(found[name], dtype=np.int64) for name in names], dtype=np.int64)
            self._grouped[names] = (codes, {n: np.asarray(found[n], dtype=np.int64) for n in (COUNT, *measures)})
        return self._grouped[names]

    def _check_domains(self) -> None:
        for attribute in self._plan.policy.attributes:
            query = f"SELECT count(*) FROM {_ENTITIES} WHERE {_quoted(attribute.name)} IS NULL"  # noqa: S608
            (outside,) = self._engine.execute(query).fetchone() or (0,)
            if outside:
                raise ProductUnusable(
                    f"{attribute.name} has values outside its declared domain; name one of its labels as 'other'"
                )


def _entity_view(path: Path, policy: LatticePolicy) -> str:
    source = f"read_parquet({_literal(str(path))})"
    if path.suffix.lower() == ".csv":
        source = f"read_csv({_literal(str(path))}, header=true, all_varchar=true)"
    columns = [f"{_code(attribute)} AS {_quoted(attribute.name)}" for attribute in policy.attributes]
    columns += [
        f"{_value(measure)} AS {_quoted(measure.name)}" for measure in policy.all_measures() if measure.name != COUNT
    ]
    entity = _quoted(policy.entity)
    return (
        f"CREATE TEMP TABLE {_ENTITIES} AS SELECT {', '.join(columns)} FROM {source} "  # noqa: S608 - quoted above
        f"WHERE {entity} IS NOT NULL GROUP BY {entity}"
    )


def _code(attribute: Attribute) -> str:
    """The place of the entity's value in the domain: of several values the least, so that everybody has one."""
    labels = ", ".join(_literal(label) for label in attribute.domain)
    column = _quoted(attribute.column or attribute.name)
    other = "NULL" if attribute.other is None else str(attribute.domain.index(attribute.other))
    return f"coalesce(list_position([{labels}], CAST(min({column}) AS VARCHAR)) - 1, {other})"


def _value(measure: Measure) -> str:
    """The entity's sum, clipped to the declared range, as a whole number of grid steps; the square likewise."""
    column = _quoted(measure.column or measure.name)
    total = f"CAST(coalesce(sum(TRY_CAST({column} AS {_DECIMAL})), 0) AS DOUBLE)"
    clipped = f"least(greatest({total}, {measure.low!r}), {measure.high!r})"
    share = f"({clipped} - {measure.low!r}) / {measure.high - measure.low!r}"
    return f"CAST(round({f'({share}) * ({share})' if measure.is_square else share} * {GRID}) AS BIGINT)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
