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
from privacy.lattice.policy import COUNT, Attribute, LatticePolicy, Measure
from sandbox.errors import ProductUnusable

# What kinds of columns there are; all others are of no use for a lattice.
TEXT, EXACT, FLOATING = "text", "exact", "floating"
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
class EntityView:
    """The view of a source whose columns are of these `kinds`. Raises `ProductUnusable` where the policy has others."""

    policy: LatticePolicy
    kinds: Mapping[str, str]
    dialect: Dialect
    # Which of the policy's cohorts it is of; empty where there are none.
    cohort: str = ""

    def query(self, source: str) -> str:
        """The view: a code for each attribute and sensitive column, null outside its domain; a number per measure."""
        quoted = self.dialect.quoted
        measures = [measure for measure in self.policy.all_measures() if measure.name != COUNT]
        plain = [measure for measure in measures if measure.factors is None]
        codes = [f"{self._code(attribute)} AS {quoted(attribute.name)}" for attribute in self.policy.attributes]
        steps = [f"{self._steps(measure)} AS {quoted(measure.name)}" for measure in plain]
        products = [f"{self._product(m.factors)} AS {quoted(m.name)}" for m in measures if m.factors]
        totals, on_grid = f"({self._totals(source)}) AS totals", ", ".join([*codes, *steps])
        return f"SELECT {', '.join(['*', *products])} FROM (SELECT {on_grid} FROM {totals}) AS steps"  # noqa: S608

    def outside(self, name: str) -> str:
        """The condition that somebody's value is outside the domain of an attribute or sensitive column."""
        return f"{self.dialect.quoted(name)} IS NULL"

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

    def _totals(self, source: str) -> str:
        """One row an entity: the least of its values where one is wanted, their sum where they add up."""
        quoted, columns = self.dialect.quoted, {}
        for attribute in self.policy.attributes:
            columns[_seen(attribute.column or attribute.name)] = self._least(attribute.column or attribute.name)
        for measure in self.policy.measures:
            column = measure.column or measure.name
            if measure.labels and not measure.edges:
                columns[_seen(column)] = self._least(column)
            else:
                columns[_summed(column)] = f"sum(CAST({self._millionths(column)} AS {self.dialect.wide}))"
        chosen = ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())
        entity = quoted(self.policy.entity)
        self._kind(self.policy.entity)
        having = ""
        if self.policy.cohorts is not None:
            # An entity is in one cohort: that of the least of its values, however many rows it has later.
            having = f" HAVING {self._least(self.policy.cohorts.column)} = {self.dialect.literal(self.cohort)}"
        return f"SELECT {chosen} FROM {source} WHERE {entity} IS NOT NULL GROUP BY {entity}{having}"  # noqa: S608

    def _least(self, column: str) -> str:
        """The least of an entity's values, as text: of several one, so that everybody is in one cell."""
        if self._kind(column) == FLOATING:
            raise ProductUnusable(
                f"{column} holds floating-point numbers, which are written differently everywhere; a column compared "
                "with labels holds text, whole numbers, truths or dates"
            )
        return f"CAST(min({self.dialect.quoted(column)}) AS {self.dialect.text})"

    def _millionths(self, column: str) -> str:
        """A row's value in millionths, null where there is none."""
        name, kind = self.dialect.quoted(column), self._kind(column)
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
        if column not in self.kinds:
            raise ProductUnusable(f"the table has no column {column} that its lattice policy names")
        return self.kinds[column]

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


def _seen(column: str) -> str:
    return f"{column} seen"


def _summed(column: str) -> str:
    return f"{column} summed"
