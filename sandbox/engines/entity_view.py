"""The entity view of a table as SQL: one row an entity, every number a small whole one.

The provider's own step, over SQL that is made here from the signed policy; no consumer's text comes near it. Rows are
collapsed to one per entity first, so that nobody counts twice. From then on all arithmetic is on integers: values in
millionths, clipped, put on the grid with exact division. So neither the order of rows, nor the number of threads, nor
the engine changes a bit, and engines differ in a few words only: a `Dialect`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from privacy.lattice.checks import LARGEST
from privacy.lattice.plan import GRID
from privacy.lattice.policy import COUNT, Attribute, LatticePolicy, Measure, table_of
from sandbox.errors import ProductUnusable

# What kinds of columns there are; all others are of no use for a lattice.
TEXT, EXACT, FLOATING = "text", "exact", "floating"
# The name here of the entities' own table, and of the column that tables are joined on.
OWN, WHOSE = "", "hexi entity"
# Parts of one that count in a value.
MILLIONTHS = 1_000_000
# How a number is written in a text column: plain, or with an exponent, which is read as floating point.
_PLAIN, _SCIENTIFIC = "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)$", "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]+$"
# One row's value is held to nine times what a clip range may reach, so that millionths fit into 64 bits.
_BOUND = 9 * int(LARGEST)


@dataclass(frozen=True)
class Dialect:
    """The words of an engine. `wide` is a type for whole numbers of 38 digits, `over` divides them, rounding down."""

    text: str
    wide: str
    over: Callable[[str, str], str]
    quoted: Callable[[str], str]
    literal: Callable[[str], str]
    listed: Callable[[list[str]], str]
    position: str
    matches: Callable[[str, str], str]


@dataclass(frozen=True)
class Rows:
    """A table that the view is made of: its columns, which kind each is, and the one that says whose row it is."""

    kinds: Mapping[str, str]
    key: str


@dataclass(frozen=True)
class EntityView:
    """The view of the entities' own table (its name is empty here) and of others about them, each collapsed to a row an
    entity before they are joined, so that no row multiplies another. Raises `ProductUnusable` where the policy names
    what they do not have."""

    policy: LatticePolicy
    tables: Mapping[str, Rows]
    dialect: Dialect
    # Which of the policy's cohorts it is of; empty where there are none.
    cohort: str = ""
    # Tables that are said to have at most one row an entity.
    one_row: frozenset[str] = frozenset()

    def query(self, sources: Mapping[str, str]) -> str:
        """The view of these tables: for each attribute and sensitive column a code, null outside its domain; for each
        measure a number."""
        quoted = self.dialect.quoted
        measures = [measure for measure in self.policy.all_measures() if measure.name != COUNT]
        plain = [measure for measure in measures if measure.factors is None]
        codes = [f"{self._code(attribute)} AS {quoted(attribute.name)}" for attribute in self.policy.attributes]
        steps = [f"{self._steps(measure)} AS {quoted(measure.name)}" for measure in plain]
        products = [f"{self._product(m.factors)} AS {quoted(m.name)}" for m in measures if m.factors]
        many = [f"coalesce({quoted(_rows(table))}, 0) AS {quoted(_rows(table))}" for table in sorted(self.one_row)]
        totals, on_grid = f"({self._totals(sources)}) AS totals", ", ".join([*codes, *steps, *many])
        return f"SELECT {', '.join(['*', *products])} FROM (SELECT {on_grid} FROM {totals}) AS steps"  # noqa: S608

    def outside(self, name: str) -> str:
        """The condition that somebody's value is outside the domain of an attribute or sensitive column."""
        return f"{self.dialect.quoted(name)} IS NULL"

    def several(self, table: str) -> str:
        """The condition that somebody has several rows in one of the `one_row` tables."""
        return f"{self.dialect.quoted(_rows(table))} > 1"

    def sums(self) -> dict[str, list[str]]:
        """For each measure what is summed over a cell, in steps of the grid: one sum, or one for each label."""
        found = {}
        for measure in self.policy.all_measures():
            name = self.dialect.quoted(measure.name)
            if measure.name == COUNT:
                found[COUNT] = [f"count(*) * {GRID}"]
            elif measure.labels:
                first = len(measure.labels) - measure.numbers
                labels = range(first, len(measure.labels))
                found[measure.name] = [f"count(*) FILTER (WHERE {name} = {label}) * {GRID}" for label in labels]
            else:
                found[measure.name] = [f"sum({name})"]
        return found

    def _totals(self, sources: Mapping[str, str]) -> str:
        """One row an entity: the least of its values where one is wanted, their sum where they add up."""
        wanted: dict[str, dict[str, str]] = {OWN: {}}
        for attribute in self.policy.attributes:
            column = attribute.column or attribute.name
            wanted.setdefault(table_of(column), {})[_seen(column)] = self._least(column)
        for measure in self.policy.measures:
            column = measure.column or measure.name
            of = wanted.setdefault(table_of(column), {})
            if measure.labels and not measure.edges:
                of[_seen(column)] = self._least(column)
            else:
                of[_summed(column)] = f"sum(CAST({self._millionths(column)} AS {self.dialect.wide}))"
        for table in self.one_row:
            wanted.setdefault(table, {})[_rows(table)] = "count(*)"
        if len(wanted) == 1:
            return self._collapsed(OWN, wanted[OWN], sources[OWN])
        collapsed = [self._collapsed(table, self._named(table) | of, sources[table]) for table, of in wanted.items()]
        parts = [f"({part}) AS {self.dialect.quoted(f't{place}')}" for place, part in enumerate(collapsed)]
        joined = f" USING ({self.dialect.quoted(WHOSE)})"
        return f"SELECT * FROM {parts[0]}{''.join(f' LEFT JOIN {part}{joined}' for part in parts[1:])}"  # noqa: S608

    def _collapsed(self, table: str, columns: Mapping[str, str], source: str) -> str:
        chosen = ", ".join(f"{expression} AS {self.dialect.quoted(name)}" for name, expression in columns.items())
        entity, having = self.dialect.quoted(self.tables[table].key), ""
        if self.policy.cohorts is not None and table == OWN:
            # An entity is in one cohort: that of the least of its values, however many rows it has later.
            having = f" HAVING {self._least(self.policy.cohorts.column)} = {self.dialect.literal(self.cohort)}"
        return f"SELECT {chosen or '1'} FROM {source} WHERE {entity} IS NOT NULL GROUP BY {entity}{having}"  # noqa: S608

    def _named(self, table: str) -> dict[str, str]:
        """What tables are joined on: the entity, as text."""
        key = self.tables[table].key
        return {WHOSE: self._least(f"{table}.{key}" if table else key)}

    def _least(self, column: str) -> str:
        """The least of an entity's values, as text: of several one, so that everybody is in one cell."""
        if self._kind(column) == FLOATING:
            raise ProductUnusable(
                f"{column} holds floating-point numbers, which are written differently everywhere; a column compared "
                "with labels holds text, whole numbers, truths or dates"
            )
        return f"CAST(min({self.dialect.quoted(_plain(column))}) AS {self.dialect.text})"

    def _millionths(self, column: str) -> str:
        """A row's value in millionths, null where there is none."""
        name, kind = self.dialect.quoted(_plain(column)), self._kind(column)
        if kind == FLOATING:
            return self._floating(name)
        if kind == EXACT:
            return self._exact(name)
        word, matches = f"trim({name})", self.dialect.matches
        scientific = self._floating(f"CAST({word} AS DOUBLE)")
        return (
            f"CASE WHEN {matches(word, _PLAIN)} THEN {self._exact(word)} "
            f"WHEN {matches(word, _SCIENTIFIC)} THEN {scientific} END"
        )

    def _exact(self, value: str) -> str:
        exact = f"TRY_CAST({value} AS DECIMAL(38, 6))"
        held = f"least(greatest({exact}, -{_BOUND}), {_BOUND})"  # of null and a bound, both make the bound
        return f"CASE WHEN {exact} IS NOT NULL THEN CAST({held} * {MILLIONTHS} AS BIGINT) END"

    def _floating(self, value: str) -> str:
        bound = f"CAST({_BOUND} AS DOUBLE)"
        held = f"least(greatest(CAST({value} AS DOUBLE), -{bound}), {bound})"
        rounded = f"floor({held} * CAST({MILLIONTHS} AS DOUBLE) + CAST(0.5 AS DOUBLE))"
        return f"CASE WHEN {value} IS NOT NULL AND NOT isnan({value}) THEN CAST({rounded} AS BIGINT) END"

    def _kind(self, column: str) -> str:
        kinds = self.tables[table_of(column)].kinds
        if _plain(column) not in kinds:
            raise ProductUnusable(f"the table has no column {column} that its lattice policy names")
        return kinds[_plain(column)]

    def _code(self, attribute: Attribute) -> str:
        return self._position(attribute.domain, attribute.column or attribute.name, attribute.other)

    def _position(self, labels: tuple[str, ...], column: str, other: str | None) -> str:
        known = self.dialect.listed([self.dialect.literal(label) for label in labels])
        place = f"nullif({self.dialect.position}({known}, {self.dialect.quoted(_seen(column))}), 0) - 1"
        return f"CAST(coalesce({place}, {'NULL' if other is None else labels.index(other)}) AS INTEGER)"

    def _steps(self, measure: Measure) -> str:
        column = measure.column or measure.name
        if measure.labels and not measure.edges:
            return self._position(measure.labels, column, measure.other)
        total = self.dialect.quoted(_summed(column))
        if measure.edges:
            above = " + ".join(f"CASE WHEN {total} >= {_micro(edge)} THEN 1 ELSE 0 END" for edge in measure.edges)
            missing = 0 if measure.other is None else measure.labels.index(measure.other)
            return f"CASE WHEN {total} IS NULL THEN {missing} ELSE {above} END"
        low, width = _micro(measure.low), _micro(measure.high) - _micro(measure.low)
        part = f"least(greatest(coalesce({total}, 0), {low}), {low + width}) - {low}"
        steps = self.dialect.over(f"CAST({part} AS {self.dialect.wide}) * {2 * GRID} + {width}", str(2 * width))
        return f"CAST({steps} AS BIGINT)"

    def _product(self, factors: tuple[str, str]) -> str:
        first, second = map(self.dialect.quoted, factors)
        steps = self.dialect.over(f"CAST({first} * {second} * 2 + {GRID} AS {self.dialect.wide})", str(2 * GRID))
        return f"CAST({steps} AS BIGINT)"


def _micro(value: float) -> int:
    return round(value * MILLIONTHS)


def _plain(column: str) -> str:
    """The column in ``table.column``."""
    return column.rpartition(".")[2]


def _seen(column: str) -> str:
    return f"{column} seen"


def _rows(table: str) -> str:
    return f"{table} rows"


def _summed(column: str) -> str:
    return f"{column} summed"
