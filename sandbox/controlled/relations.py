"""Queries over persons: a tree of relations that carries the entity of every row, and cells at the top.

A row of any relation in here is about exactly one entity. A table has its entity key; a join keeps the entity of both
sides, which must be joined on it, or of the one side that has one; the sides of UNION ALL each have theirs; a sub-query
with GROUP BY groups by the entity key. What cannot carry it is refused. At the top stand cells: groups by declared
values, and aggregates of columns as they stand. Nothing of the consumer's text gets into the SQL but literals.

With the entity goes the *record*: which rows of tables about entities a row was made of. Two cells may be of the same
entities and still differ by somebody's last record (`privacy.differencing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from registry.catalogue import Column, ColumnRole, Datatype, Table, Text
from registry.controlled import Level
from sandbox.controlled.columns import Columns, Source, Value, level_reason
from sandbox.controlled.scopes import Names, Relation, Scope
from sandbox.queries.conditions import read_condition
from sandbox.queries.query import Field, entity_number, literal, quote, typed
from sandbox.reasons import Reason, Refused

_TITLE = Text(zh="行数", en="rows")
_ROWS = Column(name="rows", title=_TITLE, datatype=Datatype.INTEGER, role=ColumnRole.MEASURE)
# How many rows somebody has: as secret as a measure.
ROWS_OF_ONE = Source(("count(*)",), Level.AGGREGATE_ONLY, _ROWS)


@dataclass(frozen=True)
class Rows:
    """A relation whose rows are about one entity each, or (`entity` None) about nobody.

    `text` stands in FROM; `entity` and `record` are columns of it; `keys` are columns that hold the entity's key. It is
    `simple` while every record is a row of one table; `tables` are those about entities.
    """

    text: str
    columns: Mapping[str, tuple[str, Value]]
    entity: str | None = None
    record: str | None = None
    keys: frozenset[str] = frozenset()
    simple: bool = True
    tables: frozenset[str] = frozenset()


@dataclass
class Seen:
    """What one SELECT sees: its relations, and what WITH named around it."""

    withs: Mapping[str, Rows]
    scope: Scope = field(default_factory=Scope)
    keys: frozenset[str] = frozenset()


class RelationCompiler:
    """Compiles relations. `tables` collects the tables read, `common` the relations that were named on the way."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._names = Names()
        self.common: list[str] = []
        self.tables: set[str] = set()

    # Relations ---------------------------------------------------------------------------------------------------

    def withs(self, node: exp.Expr, withs: Mapping[str, Rows]) -> Mapping[str, Rows]:
        clause, known = node.args.get("with_"), dict(withs)
        for one in clause.expressions if clause else ():
            if one.args["alias"].args.get("columns"):
                raise Refused(Reason("sandbox.query-alias", "name the columns inside the query with AS, not in a list"))
            known[one.alias.lower()] = self._query(one.this, known)
        return known

    def _query(self, node: exp.Expr, withs: Mapping[str, Rows]) -> Rows:
        """A query inside of FROM or WITH, as something in FROM without a name yet."""
        if isinstance(node, exp.Subquery):
            return self._query(node.this, withs)
        withs = self.withs(node, withs)
        if isinstance(node, exp.Union):
            return self._union(node, withs)
        if isinstance(node, exp.Select):
            return self._select(node, withs)
        raise Refused(Reason("sandbox.query-clause", f"{node.key.upper()} is not allowed over persons; use JOIN"))

    def _union(self, node: exp.Union, withs: Mapping[str, Rows]) -> Rows:
        if node.args.get("distinct"):
            raise Refused(
                Reason(
                    "sandbox.query-clause",
                    "UNION would compare whole rows; write UNION ALL, entities count once anyway",
                )
            )
        left, right = (self._query(node.args[side], withs) for side in ("this", "expression"))
        if len(left.columns) != len(right.columns):
            raise Refused(Reason("sandbox.query-group", "the sides of UNION ALL have equally many columns"))
        if (left.entity is None) or (right.entity is None):
            raise Refused(
                Reason(
                    "sandbox.entity-not-carried",
                    "a side of UNION ALL has no entity key: its rows would fill up groups with nobody; unite tables "
                    "that have one, and join the others",
                )
            )
        _check_once(left, right, "UNION ALL", "use WHERE with OR")
        pairs = list(zip(left.columns.items(), right.columns.items(), strict=True))
        columns, keys, lists = {}, set(), [list[str](), list[str]()]
        for (visible, (one, value)), (_, (other, other_value)) in pairs:
            if (united := _united(value, other_value)) is None:
                raise Refused(
                    Reason(
                        "sandbox.query-column-level",
                        f"the sides of UNION ALL differ in {visible!r:.80}: columns of one level, datatype, domain and "
                        "range may stand under each other",
                    )
                )
            name = self._names.fresh()
            columns[visible] = name, united
            keys |= {name} if one in left.keys and other in right.keys else set()
            lists[0].append(f"{quote(one)} AS {quote(name)}")
            lists[1].append(f"{quote(other)} AS {quote(name)}")
        parts = []
        for number, (side, chosen) in enumerate(zip((left, right), lists, strict=True)):
            carried = [f"{side.entity} AS hexi_e", f"hash({number}, {side.record}) AS hexi_r"]
            parts.append(f"SELECT {', '.join([*chosen, *carried])} FROM {side.text}")  # noqa: S608 - all is quoted
        named = self._named(" UNION ALL ".join(parts), columns, frozenset(keys), simple=False)
        return replace(named, tables=left.tables | right.tables)

    def _select(self, node: exp.Select, withs: Mapping[str, Rows]) -> Rows:
        seen = Seen(withs)
        rows = self.from_(node, seen)
        for part in ("order", "limit", "distinct"):
            if node.args.get(part):
                raise Refused(
                    Reason("sandbox.query-clause", f"{part.upper()} in a sub-query is not allowed over persons")
                )
        keys = self._inner_keys(node, seen, rows)
        columns, chosen, kept = {}, [], set()
        for one in node.expressions:
            visible = one.alias if isinstance(one, exp.Alias) else one.name
            expression = one.this if isinstance(one, exp.Alias) else one
            text, value, is_key = self._inner_item(expression, seen, keys)
            if not visible or visible.lower() in columns:
                raise Refused(Reason("sandbox.query-alias", "each column of a sub-query has a name of its own; use AS"))
            name = self._names.fresh()
            columns[visible.lower()] = name, value
            chosen.append(f"{text} AS {quote(name)}")
            kept |= {name} if is_key else set()
        grouped = ""
        record = rows.record
        if keys is not None:
            grouped = f" GROUP BY {', '.join([*map(quote, keys), str(rows.entity)])}"
            record = f"bit_xor(DISTINCT hash({rows.record}))"
        if rows.entity:
            chosen += [f"{rows.entity} AS hexi_e", f"{record} AS hexi_r"]
        where = self.where(node, seen)
        text = f"SELECT {', '.join(chosen)} FROM {rows.text}{where}{grouped}"  # noqa: S608 - all is quoted
        simple = rows.simple and keys is None
        named = self._named(text, columns, frozenset(kept), simple=simple, about=rows.entity is not None)
        # One row an entity multiplies nothing, wherever it is joined to.
        alone = keys is not None and rows.keys.issuperset(keys)
        return replace(named, tables=frozenset() if alone else rows.tables)

    def _named(
        self,
        text: str,
        columns: Mapping[str, tuple[str, Value]],
        keys: frozenset[str],
        *,
        simple: bool,
        about: bool = True,
    ) -> Rows:
        """A query as a relation; `hexi_e` and `hexi_r` are its entity and record, where it is about entities."""
        name = self._names.fresh()
        self.common.append(f"{quote(name)} AS ({text})")
        rows = Rows(quote(name), columns, keys=keys, simple=simple)
        return _carried(rows, name) if about else rows

    def _again(self, rows: Rows) -> Rows:
        """The relation once more, under names of its own: it may stand in one FROM twice."""
        name = self._names.fresh()
        fresh = {visible: (self._names.fresh(), value) for visible, (_, value) in rows.columns.items()}
        chosen = [f"{quote(rows.columns[v][0])} AS {quote(new)}" for v, (new, _) in fresh.items()]
        chosen += [f"{rows.entity} AS hexi_e", f"{rows.record} AS hexi_r"] if rows.entity else []
        keys = frozenset(new for v, (new, _) in fresh.items() if rows.columns[v][0] in rows.keys)
        text = f"(SELECT {', '.join(chosen)} FROM {rows.text}) AS {quote(name)}"  # noqa: S608 - all is quoted
        again = Rows(text, fresh, keys=keys, simple=rows.simple, tables=rows.tables)
        return _carried(again, name) if rows.entity else again

    # FROM --------------------------------------------------------------------------------------------------------

    def from_(self, node: exp.Expr, seen: Seen) -> Rows:
        if not (from_ := node.args.get("from_")):
            raise Refused(Reason("sandbox.query-table", "a query needs FROM and tables of the product"))
        rows = self._source(from_.this, seen)
        for join in node.args.get("joins") or ():
            rows = self._joined(rows, self._source(join.this, seen), join, seen)
        seen.keys = rows.keys
        return rows

    def _source(self, node: exp.Expr, seen: Seen) -> Rows:
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise Refused(Reason("sandbox.query-table", "a sub-query in FROM needs a name; write (...) AS name"))
            rows, visible = self._query(node.this, seen.withs), node.alias
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            visible = node.alias or node.name
            rows = seen.withs.get(node.name.lower()) or self._scan(self._columns.table(node.name))
        else:
            raise Refused(
                Reason("sandbox.query-table", "a query asks tables of the product, and sub-queries over them")
            )
        rows = self._again(rows)
        seen.scope.add(visible, Relation(rows.text, rows.columns))
        return rows

    def _scan(self, table: Table) -> Rows:
        """A table, every value read as its declared datatype, inside its declared range and domain, or missing."""
        self.tables.add(table.name)
        columns, chosen = {}, []
        for visible, source in self._columns.sources(table).items():
            name = self._names.fresh()
            columns[visible] = name, Value(frozenset({source}), plain=True)
            chosen.append(f"{_read(source)} AS {quote(name)}")
        if not table.entity_key:
            text = f"SELECT {', '.join(chosen)} FROM {quote(table.name)}"  # noqa: S608 - all is quoted
            return self._named(text, columns, frozenset(), simple=True, about=False)
        key = f"CAST({quote(table.entity_key)} AS VARCHAR)"
        values = ", ".join(quote(name) for name, _ in columns.values())
        inner = (
            f"SELECT {', '.join([*chosen, f'{entity_number(key)} AS hexi_e'])} FROM {quote(table.name)} "  # noqa: S608
            f"WHERE {key} IS NOT NULL"
        )
        # A record is known by what may be asked of it, also where it stands elsewhere in another version; of those
        # that are alike in everything each has a number.
        alike = f"SELECT *, hash({literal(table.name, 'string')}, {values}) AS hexi_c FROM ({inner})"  # noqa: S608
        record = "hash(hexi_c, row_number() OVER (PARTITION BY hexi_e, hexi_c)) AS hexi_r"
        names = ", ".join([*(quote(name) for name, _ in columns.values()), "hexi_e"])
        text = f"SELECT {names}, {record} FROM ({alike})"  # noqa: S608 - all is quoted
        keys = frozenset(name for name, value in columns.values() if value.source and value.source.is_entity)
        return replace(self._named(text, columns, keys, simple=True), tables=frozenset({table.name}))

    def _joined(self, left: Rows, right: Rows, join: exp.Join, seen: Seen) -> Rows:
        side, kind = (str(join.args.get(part) or "").upper() for part in ("side", "kind"))
        if side not in {"", "LEFT"} or kind not in {"", "INNER", "OUTER"}:
            raise Refused(
                Reason("sandbox.query-clause", f"{side or kind} JOIN is not allowed over persons; use INNER or LEFT")
            )
        pairs = self._pairs(join, left, right, seen)
        if side and not left.entity:
            raise Refused(_about_nobody("the left side of LEFT JOIN"))
        if left.entity and right.entity and not any(one in left.keys and two in right.keys for one, two in pairs):
            raise Refused(
                Reason(
                    "sandbox.entity-not-carried",
                    "both sides of this JOIN are about entities and are not joined on their entity keys, so a row "
                    "would be about two; add the equality of the entity keys to ON",
                )
            )
        _check_once(left, right, "JOIN", "group one of the sides by the entity key alone")
        on = " AND ".join(f"{quote(one)} = {quote(two)}" for one, two in pairs)
        text = f"{left.text} {'LEFT ' if side else ''}JOIN {right.text} ON {on}"
        record = f"hash({left.record}, {right.record})" if left.entity and right.entity else left.record or right.record
        keys = left.keys if side else left.keys | right.keys
        simple = left.simple and right.simple and not (left.entity and right.entity)
        columns = {**left.columns, **right.columns}
        return Rows(text, columns, left.entity or right.entity, record, keys, simple, left.tables | right.tables)

    def _pairs(self, join: exp.Join, left: Rows, right: Rows, seen: Seen) -> list[tuple[str, str]]:
        """The columns that are joined, left and right."""
        on, pairs = join.args.get("on"), []
        if on is None:
            raise Refused(
                Reason(
                    "sandbox.query-clause",
                    "a JOIN over persons has ON with equalities of columns; without, it multiplies rows",
                )
            )
        mine = {name for name, _ in right.columns.values()}
        for part in on.flatten() if isinstance(on, exp.And) else [on]:
            part = part.unnest()  # noqa: PLW2901 - parentheses mean nothing here
            if not isinstance(part, exp.EQ) or not all(
                isinstance(one, exp.Column) for one in (part.this, part.expression)
            ):
                raise Refused(
                    Reason(
                        "sandbox.query-expression", "ON has equalities of two columns, joined by AND; the rest to WHERE"
                    )
                )
            (_, one, value), (_, two, other) = seen.scope.find(part.this), seen.scope.find(part.expression)
            if (one in mine) == (two in mine):
                raise Refused(
                    Reason("sandbox.query-expression", "ON compares a column of one side with one of the other")
                )
            if not value.source or not other.source or not self._columns.joinable(value.source, other.source):
                wrong = [*value.below_plaintext(), *other.below_plaintext()]
                raise Refused(*(level_reason(s, "joined on that column", _JOINS) for s in wrong))
            pairs.append((two, one) if one in mine else (one, two))
        return pairs

    # Inside ------------------------------------------------------------------------------------------------------

    def _inner_keys(self, node: exp.Select, seen: Seen, rows: Rows) -> list[str] | None:
        """The keys of a sub-query that groups, or None. It must group by the entity key."""
        group = node.args.get("group")
        if not group and not any(one.find(exp.AggFunc) for one in node.expressions):
            return None
        keys = []
        for key in group.expressions if group else ():
            if not isinstance(key, exp.Column):
                raise Refused(Reason("sandbox.query-group", "GROUP BY names columns"))
            _, name, value = seen.scope.find(key)
            source = value.source
            if source is None or source.level not in {Level.PLAINTEXT, Level.GROUP_BY, Level.JOIN_ONLY}:
                raise Refused(*(level_reason(s, "grouped by") for s in value.below_plaintext()))
            keys.append(name)
        if not rows.keys.intersection(keys):
            wanted = next(
                iter(sorted(f"{t.name}.{t.entity_key}" for t in self._columns.product.tables if t.entity_key))
            )
            raise Refused(
                Reason(
                    "sandbox.entity-not-carried",
                    "a sub-query that groups would make one row of many entities; add the entity key "
                    f"(such as {wanted}) to its GROUP BY, or ask it by itself",
                )
            )
        return keys

    def _inner_item(self, node: exp.Expr, seen: Seen, keys: Sequence[str] | None) -> tuple[str, Value, bool]:
        """Text and value of a column of a sub-query, and whether it is the entity's key."""
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            _, name, value = seen.scope.find(node)
            if keys is not None and name not in keys:
                raise Refused(Reason("sandbox.query-group", f"{node.name!r:.80} is shown but not grouped by"))
            return quote(name), value, name in seen.keys
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            return "count(*)", Value(frozenset({ROWS_OF_ONE}), plain=True), False
        if type(node) in _SUMMED and isinstance(node.this, exp.Column):
            _, name, value = seen.scope.find(node.this)
            self.measure(value, node.key)
            return f"{_SUMMED[type(node)]}({quote(name)})", value, False
        raise Refused(
            Reason(
                "sandbox.query-expression",
                "a sub-query over persons has columns as they stand and, of each entity, count(*), sum, avg, min and "
                f"max; {node.key.upper()} is not allowed",
            )
        )

    def measure(self, value: Value, function: str) -> Source:
        source = value.source
        if source is None or source.level not in {Level.AGGREGATE_ONLY, Level.PLAINTEXT}:
            raise Refused(*(level_reason(s, f"in {function}()") for s in value.below_plaintext()))
        if source is not ROWS_OF_ONE and (
            source.column.range is None or source.column.datatype not in {"integer", "number"}
        ):
            raise Refused(
                Reason(
                    "sandbox.query-no-range",
                    f"{source.name} is no number with a declared range, so one value could stand out of its sum or "
                    "mean; ask the provider to publish a version with a range",
                )
            )
        return source

    def where(self, node: exp.Expr, seen: Seen) -> str:
        def column_of(column: exp.Column) -> Column:
            _, name, value = seen.scope.find(column)
            source = value.source
            if source is None:
                raise Refused(Reason("sandbox.query-expression", "WHERE compares plain columns"))
            self._columns.check_comparable(source)
            return source.column.model_copy(update={"name": name})

        where = node.args.get("where")
        return f" WHERE {read_condition(where.this, column_of).sql()}" if where else ""


_SUMMED: Mapping[type[exp.Expr], str] = {exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max"}
_JOINS = "columns below plaintext are joined by = with those that the policy pairs them with (joins)"


def _carried(rows: Rows, name: str) -> Rows:
    """The relation, which is called `name`, with its entity and record."""
    return replace(rows, entity=f"{quote(name)}.hexi_e", record=f"{quote(name)}.hexi_r")


def _check_once(left: Rows, right: Rows, clause: str, way_out: str) -> None:
    """A sum in which every row counts a hundred times is rounded a hundred times less."""
    if twice := left.tables & right.tables:
        both = ", ".join(sorted(twice))
        raise Refused(
            Reason(
                "sandbox.query-clause", f"{both} stands on both sides of {clause}, so rows would multiply; {way_out}"
            )
        )


def _united(one: Value, other: Value) -> Value | None:
    """Two columns under each other, if nothing that is said of them differs."""
    left, right = one.source, other.source
    if left is None or right is None or left.level is not right.level:
        return None
    said = [(s.column.datatype, s.column.domain, s.column.range, s.is_entity) for s in (left, right)]
    if said[0] != said[1]:
        return None
    return Value(frozenset({replace(left, names=tuple(sorted({*left.names, *right.names})))}), plain=True)


def _read(source: Source) -> str:
    """The column as its declared datatype, clipped to its declared range; outside of its domain it is missing."""
    column = source.column
    value = typed(column.name, Field(str(column.datatype)))
    if column.range is not None:
        low, high = (repr(float(end)) for end in column.range)
        # greatest and least skip NULLs in DuckDB: without the guard a missing value would count as a bound.
        return f"CASE WHEN {value} IS NOT NULL THEN greatest({low}, least({high}, {value})) END"
    if column.domain:
        known = ", ".join(literal(one, str(column.datatype)) for one in column.domain)
        return f"CASE WHEN {value} IN ({known}) THEN {value} END"
    return value


def _about_nobody(what: str) -> Reason:
    return Reason(
        "sandbox.entity-not-carried",
        f"{what} has no entity key, so rows could be about nobody; put the table that has one first",
    )
