"""JOIN at the door of the lattice: admitted where the cube holds exactly what SQL means, else refused with the way out.

The cube holds one row an entity; SQL joins rows. The two agree where rows do not multiply and nobody drops out, and
whether that is so is read off the policy, never off the data:

* a table **has one row an entity** where the policy says so (``oneRow``; publishing holds it to that);
* a table **has everybody** where a column that the policy takes from it names no label for others, since publishing
  refuses entities without a value there;
* a query **leaves out** whoever has no row in a table where WHERE leaves out the label they are put under.

With those, over tables joined on their entity keys to the entities' own, by JOIN or LEFT JOIN:

1. every table is one of the policy's, stands once, and the entities' own is among them;
2. every JOIN is an equality of its table's entity key with that of a table whose rows are all kept so far;
3. every column belongs to a table that is joined, the one it is qualified by;
4. what divides or restricts is a column of a table with one row an entity, that has everybody or leaves out the rest;
5. every aggregate is over people (`count(DISTINCT key)`), over rows where each is a person, or the sum over the rows
   of the one table that has many; nobody drops out who would count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from privacy.lattice.policy import LatticePolicy, Measure, table_of
from sandbox.cubes.conditions import restricted
from sandbox.cubes.names import Divided, Names
from sandbox.reasons import Reason, Refused


@dataclass(frozen=True)
class Joinable:
    """A table of the policy: its entity key, whether it is the entities' own, and what is known of its rows."""

    name: str
    key: str
    is_own: bool
    has_one_row: bool
    has_everybody: bool


def joinable(policy: LatticePolicy, own: str, keys: Mapping[str, str]) -> dict[str, Joinable]:
    """The tables that a query may join, by name: `own`, and those of `keys`, with the entity key of each."""
    every = {own: policy.entity, **keys}
    return {
        name.lower(): Joinable(
            name, key, name == own, name in policy.one_row, name == own or _has_everybody(policy, name)
        )
        for name, key in every.items()
    }


def _has_everybody(policy: LatticePolicy, table: str) -> bool:
    strict = [a.column or a.name for a in policy.attributes if a.other is None]
    strict += [m.column or m.name for m in policy.measures if m.labels and not m.edges and m.other is None]
    return any(table_of(column) == table for column in strict)


def collapse(select: exp.Select, declared: Mapping[str, Joinable], names: Names) -> None:
    """Make `select`, which joins tables, the same question to the entities' own. Raises `Refused` where it is not."""
    joined = _Joined(declared, names)
    joined.read(select)
    select.set("joins", None)
    joined.check(select)
    own = joined.own
    for node in select.find_all(exp.Column):
        node.set("table", None)
        if joined.is_key(node):
            node.set("this", exp.to_identifier(own.key))
    select.set("from_", exp.From(this=exp.to_table(own.name)))


class _Joined:
    def __init__(self, declared: Mapping[str, Joinable], names: Names) -> None:
        self._declared, self._names = declared, names
        self._tables: dict[str, Joinable] = {}  # by alias
        # Tables that are the first, or joined by JOIN: whoever has no row there drops out.
        self._firm: list[Joinable] = []

    @property
    def own(self) -> Joinable:
        """The entities' own table."""
        return next(table for table in self._tables.values() if table.is_own)

    def read(self, select: exp.Select) -> None:
        """Rules 1 and 2."""
        self._firm.append(self._table(select.args["from_"].this))
        for join in select.args["joins"]:
            kinds = {str(join.args[part]).upper() for part in ("side", "kind") if join.args.get(part)}
            is_left = "LEFT" in kinds
            if kinds - {"LEFT", "INNER", "OUTER"} or kinds == {"OUTER"}:
                raise Refused(
                    _clause(f"{' '.join(sorted(kinds, reverse=True))} JOIN is not allowed; use JOIN or LEFT JOIN")
                )
            table = self._table(join.this)
            self._check_equality(join, table)
            if is_left and table.is_own:
                raise Refused(
                    _clause(
                        f"LEFT JOIN {table.name} would keep rows of whoever is not in {table.name}, and nothing is "
                        f"published of them; write FROM {table.name} first"
                    )
                )
            if not is_left:
                self._firm.append(table)
        if not any(table.is_own for table in self._tables.values()):
            own = next(table.name for table in self._declared.values() if table.is_own)
            raise Refused(
                Reason(
                    "sandbox.query-table", f"only entities of {own} are published; start FROM {own} and join the others"
                )
            )

    def _table(self, node: exp.Expr) -> Joinable:
        known = isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier)
        table = self._declared.get(node.name.lower()) if known else None
        if table is None:
            raise Refused(
                Reason(
                    "sandbox.query-table",
                    f"a query joins tables of the lattice policy: {', '.join(t.name for t in self._declared.values())}",
                )
            )
        alias = (node.alias or node.name).lower()
        if table in self._tables.values() or alias in self._tables:
            raise Refused(
                _clause(f"{table.name}, or its alias, stands twice, so rows would multiply; join every table once")
            )
        self._tables[alias] = table
        return table

    def _check_equality(self, join: exp.Expr, table: Joinable) -> None:
        on, using = join.args.get("on"), join.args.get("using")
        on = on.unnest() if on else None
        if using:
            is_key = len(using) == 1 and using[0].name.lower() == table.key.lower()
            equal = is_key and any(one.key.lower() == table.key.lower() for one in self._firm)
        else:
            sides = [on.this, on.expression] if isinstance(on, exp.EQ) else []
            found = [self._keyed(side) for side in sides]
            equal = table in found and any(one in self._firm for one in found)
        if not equal:
            one, other = self._alias(table), f"{self._alias(self._firm[0])}.{self._firm[0].key}"
            raise Refused(
                _clause(
                    f"{table.name} is joined on its entity key alone, with that of a table whose rows are all kept: "
                    f"write ON {one}.{table.key} = {other}, and other conditions into WHERE"
                )
            )

    def _keyed(self, node: exp.Expr) -> Joinable | None:
        """The table whose entity key `node` is."""
        if not isinstance(node, exp.Column):
            return None
        of = [self._tables.get(node.table.lower())] if node.table else list(self._tables.values())
        found = [table for table in of if table is not None and table.key.lower() == node.name.lower()]
        return next((table for table in found if table.is_own), found[0] if found else None)

    def _alias(self, table: Joinable) -> str:
        return next(alias for alias, one in self._tables.items() if one is table)

    def is_key(self, node: exp.Column) -> bool:
        """Whether a column is an entity key, of whichever table."""
        return self._keyed(node) is not None and self._names.find(node.name) is None

    # Rules 3 to 5: what the columns and aggregates are

    def check(self, select: exp.Select) -> None:
        """Raise `Refused` where rows of the join are not what the cube holds."""
        columns = list(select.find_all(exp.Column))
        for node in columns:
            self._check_belongs(node)
        divided = {one.name: one for node in columns if isinstance(one := self._names.find(node.name), Divided)}
        for one in divided.values():
            self._check_one_row(one)
        left_out = {
            self._of(one.table).name
            for one, kept in restricted(select, self._names)
            if one.home is not None and one.home not in kept
        }
        whole = {t.name for t in self._tables.values() if t.has_everybody} | left_out
        for one in divided.values():
            if (table := self._of(one.table)).name not in whole:
                raise Refused(self._incomplete(table, f"{one.name} says nothing of them", one))
        for aggregate in select.find_all(exp.AggFunc):
            self._check_aggregate(aggregate, whole)

    def _of(self, source: str) -> Joinable:
        return next(t for t in self._tables.values() if (t.is_own if not source else t.name == source))

    def _check_belongs(self, node: exp.Column) -> None:
        if node.table and node.table.lower() not in self._tables:
            raise Refused(self._names.unknown(node.table))
        one = self._names.find(node.name)
        if one is None:
            if self.is_key(node) and not isinstance(node.parent, exp.Distinct):
                raise Refused(self._names.singling_out(self.own.key))
            return
        source = one.table if isinstance(one, Divided) else table_of(one.column or one.name)
        tables = [t for t in self._tables.values() if (t.is_own if not source else t.name == source)]
        if not tables:
            raise Refused(
                Reason(
                    "sandbox.query-column-unknown", f"{node.name} is a column of {source}, which is not joined; join it"
                )
            )
        if node.table and self._tables[node.table.lower()] is not tables[0]:
            raise Refused(
                Reason(
                    "sandbox.query-column-unknown",
                    f"{node.name} is a column of {tables[0].name}, not of {node.table}; qualify it so",
                )
            )

    def _check_one_row(self, one: Divided) -> None:
        table = self._of(one.table)
        if not table.has_one_row:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{one.name} would choose among rows of {table.name}, which may have several of one entity, and "
                    f"published is one label each; ask {one.name} FROM {self.own.name} alone, where it is the least of "
                    "an entity's values, or the provider to declare the table under oneRow",
                )
            )

    def _check_aggregate(self, node: exp.Expr, whole: set[str]) -> None:
        counted = self._counted(node)
        measures = [one for part in _parts(node) if (one := self._measure(part))]
        of = [self._of(table_of(one.column or one.name)) for one in measures]
        # The one table whose rows a sum adds up: each counts once, and whoever has none there adds nothing.
        summed = of[0] if isinstance(node, exp.Sum) and of else None
        many = [table for table in self._tables.values() if not table.has_one_row and table is not summed]
        if many and counted is None:
            raise Refused(self._multiplied(node, many))
        for table in self._firm:
            if table is not summed and table.name not in whole:
                raise Refused(self._incomplete(table, "JOIN drops them"))
        if summed and measures[0].low <= 0 <= measures[0].high:
            return
        for table in [*of, *([counted] if counted else [])]:
            if table.name not in whole:
                raise Refused(self._incomplete(table, f"{node.key} of it leaves them out"))

    def _counted(self, node: exp.Expr) -> Joinable | None:
        """The table whose entities ``count(DISTINCT key)`` counts."""
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
            return self._keyed(node.this.expressions[0])
        return None

    def _measure(self, node: exp.Expr) -> Measure | None:
        return self._names.measures.get(node.name.lower()) if isinstance(node, exp.Column) else None

    def _multiplied(self, node: exp.Expr, many: list[Joinable]) -> Reason:
        which = " and ".join(table.name for table in many)
        return Reason(
            "sandbox.query-function",
            f"{node.key} is here over rows, and {which} may have several of one entity; ask "
            f"count(DISTINCT {self.own.key}), or the sum of a measure of the one table that has several, or the "
            "provider to declare tables with one row an entity under oneRow",
        )

    def _incomplete(self, table: Joinable, what: str, one: Divided | None = None) -> Reason:
        ways = (
            [f"WHERE {o.name} <> '{o.home_label}'" for o in self._names.of_table(table.name) if o.home is not None]
            if table.has_one_row
            else []
        )
        if not (one is not None and ways):
            ways.insert(0, f"LEFT JOIN {table.name} with count(DISTINCT {self.own.key})")
        return Reason(
            "sandbox.query-clause",
            f"whoever has no row in {table.name} is in the published tables, and {what}; ask with {' or '.join(ways)}",
        )


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    yield from (node.args[part] for part in ("this", "expression") if isinstance(node.args.get(part), exp.Expr))


def _clause(message: str) -> Reason:
    return Reason("sandbox.query-clause", message)
