"""What the columns of a product may be used for, and what a value in a query is made of. Pure."""

from dataclasses import dataclass, field

from registry.catalogue import Column, Product, Table
from registry.controlled import Controlled, Level
from sandbox.queries.query import RESERVED_PREFIX, SQL_TYPES
from sandbox.reasons import Reason, Refused


@dataclass(frozen=True)
class Source:
    """A column of the product that a value carries, or several that are said the same of and were united.

    `names` are each ``table.column``.
    """

    names: tuple[str, ...]
    level: Level
    column: Column = field(compare=False, repr=False)
    is_entity: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """For messages."""
        return " and ".join(self.names)


@dataclass(frozen=True)
class Value:
    """What an expression is made of.

    `sources` are the columns whose values it carries; what was aggregated or grouped
    open carries none. `plain` is a column as it stands, under whatever names it came here. `record` is the column
    beside it, in the SQL that runs, that names which record of a table about entities it is of.
    """

    sources: frozenset[Source] = frozenset()
    plain: bool = False
    record: str | None = field(default=None, compare=False)

    @property
    def source(self) -> Source | None:
        """The one column that a plain value is."""
        return next(iter(self.sources)) if self.plain and len(self.sources) == 1 else None

    def below_plaintext(self) -> list[Source]:
        """The columns in it that may not simply be used."""
        return sorted((one for one in self.sources if one.level is not Level.PLAINTEXT), key=lambda one: one.name)


def together(*values: Value) -> Value:
    """What is computed from `values`."""
    return Value(frozenset().union(*(value.sources for value in values)))


class Columns:
    """The columns of a product under its policy."""

    def __init__(self, product: Product, policy: Controlled, guarded: str | None = None) -> None:
        self.policy = policy
        self.product = product
        # The table without persons whose rows are guarded one by one in this question, as entities are.
        self._guarded = guarded
        self._tables = {table.name.lower(): table for table in product.tables}
        # Disclosure is controlled on entities: a product that counts none has nobody to protect.
        self.protects = product.disclosure.minimum_entities > 1 and any(table.entity_key for table in product.tables)

    def is_about_entities(self, table: Table) -> bool:
        """Whether a row of it is about an entity, or guarded as if it were one."""
        return table.entity_key is not None or table.name == self._guarded

    def counts_entities_of(self, source: Source) -> bool:
        """Whether every row that `source` is a column of is about an entity, or guarded as if it were one."""
        return all(self.is_about_entities(self.table(name.partition(".")[0])) for name in source.names)

    def table(self, name: str) -> Table:
        """The table called `name`. Raises `Refused`."""
        table = self._tables.get(name.lower())
        if table is None:
            known = ", ".join(table.name for table in self.product.tables)
            raise Refused(Reason("sandbox.query-table", f"a query asks tables of the product: {known}"))
        for column in table.columns:
            if column.name.lower().startswith(RESERVED_PREFIX) or column.datatype not in SQL_TYPES:
                raise Refused(
                    Reason(
                        "sandbox.query-table",
                        f"the table {table.name} cannot be asked: {column.name} starts with {RESERVED_PREFIX} or has a "
                        "datatype that is not supported; its provider must publish a version without",
                    )
                )
        return table

    def sources(self, table: Table) -> dict[str, Source]:
        """The columns of `table` that can be named, by their names in small letters."""
        return {
            column.name.lower(): Source(
                (f"{table.name}.{column.name}",), level, column, is_entity=column.name == table.entity_key
            )
            for column in table.columns
            if (level := self.policy.level(table, column)) is not Level.NEVER
        }

    def comparable(self, source: Source) -> bool:
        """Whether it may be compared with literals."""
        return source.level is Level.PLAINTEXT or set(source.names) <= set(self.policy.literals)

    def joinable(self, left: Source, right: Source) -> bool:
        """Whether one may be compared with the other by ``=``."""
        if left.level is right.level is Level.PLAINTEXT:
            return True
        if not {left.level, right.level} <= {Level.PLAINTEXT, Level.JOIN_ONLY, Level.GROUP_BY}:
            return False
        allowed = {frozenset(pair) for pair in self.policy.joins}
        return all(one == two or frozenset((one, two)) in allowed for one in left.names for two in right.names)

    def sensitive(self, source: Source) -> bool:
        """Whether a group may not give away that everybody in it has one value of this."""
        return not set(source.names).isdisjoint(self.policy.sensitive)

    def check_open(self, source: Source, use: str) -> None:
        """Raises `Refused` for a sensitive column: as many with one value as without a condition are everybody."""
        if self.protects and self.sensitive(source):
            raise Refused(
                Reason(
                    "sandbox.query-column-level",
                    f"{source.name} is sensitive and may not be {use}: who has one value of it, beside how many there "
                    "are, would say whether everybody has; name it in GROUP BY, where no class is shown alone",
                )
            )

    def check_comparable(self, source: Source) -> None:
        """Raises `Refused` unless it may be compared with literals."""
        if not self.comparable(source):
            listed = ", ".join(self.policy.literals) or "none"
            raise Refused(level_reason(source, "compared with a value", f"the policy lists what may be: {listed}"))


_WAYS_OUT = {
    Level.PLAINTEXT: "",
    Level.JOIN_ONLY: "join on it with the columns the policy pairs it with, or count(DISTINCT) it",
    Level.GROUP_BY: "name it in GROUP BY and show it as it stands",
    Level.AGGREGATE_ONLY: "put it plain into sum or avg, at the top of the query",
    Level.COMPARE_ONLY: "compare it with a literal in WHERE",
    Level.NEVER: "ask the provider for a version in which it may be used",
}


def level_reason(source: Source, use: str, rule: str | None = None) -> Reason:
    """A refusal with column, rule and way out."""
    return Reason(
        "sandbox.query-column-level",
        f"{source.name} is {source.level} and may not be {use}; {rule or _WAYS_OUT[source.level]}",
    )


def check_showable(value: Value, use: str = "shown") -> None:
    """Raises `Refused` if `value` carries a column that may not be seen."""
    if hidden := value.below_plaintext():
        raise Refused(*(level_reason(source, use) for source in hidden))


def check_groupable(value: Value) -> None:
    """Raises `Refused` if `value` may not be a key of GROUP BY."""
    if wrong := [s for s in value.below_plaintext() if s.level not in {Level.GROUP_BY, Level.JOIN_ONLY}]:
        raise Refused(*(level_reason(source, "grouped by") for source in wrong))


def opened(value: Value) -> Value:
    """A key after GROUP BY: group-by columns may be seen now, join-only ones still not."""
    return Value(frozenset(s for s in value.sources if s.level is not Level.GROUP_BY), plain=value.plain)
