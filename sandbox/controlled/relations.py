"""Queries over persons: a tree of relations that carries the entity of every row, and cells at the top.

A row of any relation in here is about exactly one entity. A table has its entity key; a join keeps the entity of both
sides, which must be joined on it, or of the one side that has one; the sides of UNION ALL each have theirs; a sub-query
with GROUP BY groups by the entity key. What cannot carry it is refused. At the top stand cells: groups by declared
values, and aggregates of columns as they stand. Nothing of the consumer's text gets into the SQL but literals.

With the entity goes the *record*: which rows of tables about entities a row was made of. Two cells may be of the same
entities and still differ by somebody's last record (`privacy.differencing`). With every value goes the record of the
table that it is of: a join may put one record into many rows, chosen by whoever writes it, and a sum in which somebody
counts twice, less one in which nobody does, is that somebody's value. So in a cell each value of a record counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from registry.catalogue import Column, Table
from registry.controlled import Level
from sandbox.controlled.columns import Columns, Source, Value, level_reason
from sandbox.controlled.rows import ROWS_OF_ONE, Rows, Seen, records_of
from sandbox.controlled.scans import scan
from sandbox.controlled.scopes import Names, Relation
from sandbox.queries.conditions import read_condition
from sandbox.queries.query import named, quote
from sandbox.reasons import Reason, Refused


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
        _check_once(left.read & right.read, "UNION ALL", "use WHERE with OR")
        pairs = list(zip(left.columns.items(), right.columns.items(), strict=True))
        columns, keys, lists = {}, set(), [list[str](), list[str]()]
        records: dict[tuple[str | None, str | None], str] = {}
        for (visible, (one, value)), (_, (other, other_value)) in pairs:
            if (united := _united(value, other_value)) is None:
                raise Refused(
                    Reason(
                        "sandbox.query-column-level",
                        f"the sides of UNION ALL differ in {visible!r:.80}: columns of one level, datatype, domain and "
                        "range may stand under each other",
                    )
                )
            name, of = self._names.fresh(), (value.record, other_value.record)
            records[of] = records.get(of) or self._names.fresh()
            columns[visible] = name, replace(united, record=records[of])
            keys |= {name} if one in left.keys and other in right.keys else set()
            lists[0].append(f"{quote(one)} AS {quote(name)}")
            lists[1].append(f"{quote(other)} AS {quote(name)}")
        own = [(table, record, self._names.fresh()) for table, record in (*left.records, *right.records)]
        parts = []
        for number, (side, chosen) in enumerate(zip((left, right), lists, strict=True)):
            carried = [f"{side.entity} AS hexi_e", f"{side.record} AS hexi_r"]
            for of, name in records.items():
                carried.append(f"{quote(given) if (given := of[number]) else side.record} AS {quote(name)}")
            for table, record, name in own:
                carried.append(f"{quote(record) if (table, record) in side.records else 'NULL'} AS {quote(name)}")
            parts.append(f"SELECT {', '.join([*chosen, *carried])} FROM {side.text}")  # noqa: S608 - all is quoted
        return replace(
            self._named(" UNION ALL ".join(parts), columns, frozenset(keys), simple=False),
            joined=left.joined or right.joined,
            tables=left.tables | right.tables,
            records=tuple((table, name) for table, _, name in own),
        )

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
        grouped, record, records = "", rows.record, rows.records
        # Records that come on, by what they are here: as they stand, or those of a group together.
        own = {quote(one): one for one in (*records_of(rows.columns), *(name for _, name in records))}
        if keys is not None:
            grouped = f" GROUP BY {', '.join([*map(quote, keys), str(rows.entity)])}"
            record, own = _together(str(rows.record)), {}
            records = tuple((table, self._own(own, _together(quote(name)))) for table, name in records)
        for one in node.expressions:
            visible = one.alias if isinstance(one, exp.Alias) else one.name
            expression = one.this if isinstance(one, exp.Alias) else one
            text, value, is_key = self._inner_item(expression, seen, keys, rows)
            if keys is not None and rows.entity:
                value = replace(value, record=self._own(own, _record_of(expression, value, seen, rows)))
            if not visible or visible.lower() in columns:
                raise Refused(Reason("sandbox.query-alias", "each column of a sub-query has a name of its own; use AS"))
            name = self._names.fresh()
            columns[visible.lower()] = name, value
            chosen.append(f"{text} AS {quote(name)}")
            kept |= {name} if is_key else set()
        chosen += [f"{text} AS {quote(name)}" for text, name in own.items()]
        if rows.entity:
            chosen += [f"{rows.entity} AS hexi_e", f"{record} AS hexi_r"]
        where = self.where(node, seen)
        text = f"SELECT {', '.join(chosen)} FROM {rows.text}{where}{grouped}"  # noqa: S608 - all is quoted
        simple = rows.simple and keys is None
        made = self._named(text, columns, frozenset(kept), simple=simple, about=rows.entity is not None)
        # One row an entity multiplies nothing, wherever it is joined to.
        alone = keys is not None and rows.keys.issuperset(keys)
        return replace(made, joined=rows.joined, tables=frozenset() if alone else rows.tables, records=records)

    def _own(self, known: dict[str, str], text: str) -> str:
        """The name under which the record `text` comes on."""
        return known.setdefault(text, self._names.fresh())

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
        own = {one: self._names.fresh() for one in (*records_of(rows.columns), *(name for _, name in rows.records))}
        fresh = {
            visible: (self._names.fresh(), replace(value, record=own.get(value.record or "")))
            for visible, (_, value) in rows.columns.items()
        }
        chosen = [f"{quote(rows.columns[v][0])} AS {quote(new)}" for v, (new, _) in fresh.items()]
        chosen += [f"{quote(record)} AS {quote(new)}" for record, new in own.items()]
        chosen += [f"{rows.entity} AS hexi_e", f"{rows.record} AS hexi_r"] if rows.entity else []
        keys = frozenset(new for v, (new, _) in fresh.items() if rows.columns[v][0] in rows.keys)
        text = f"(SELECT {', '.join(chosen)} FROM {rows.text}) AS {quote(name)}"  # noqa: S608 - all is quoted
        records = tuple((table, own[record]) for table, record in rows.records)
        again = replace(rows, text=text, columns=fresh, keys=keys, records=records)
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
        self.tables.add(table.name)
        text, columns = scan(table, self._columns, self._names)
        about = self._columns.is_about_entities(table)
        keys = frozenset(name for name, value in columns.values() if value.source and value.source.is_entity)
        rows = self._named(text, columns, keys, simple=True, about=about)
        tables = frozenset({table.name}) if about else frozenset[str]()
        return replace(rows, tables=tables, records=tuple((table.name, one) for one in records_of(columns)))

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
        _check_once(left.tables & right.tables, "JOIN", "group one of the sides by the entity key alone")
        on = " AND ".join(f"{quote(one)} = {quote(two)}" for one, two in pairs)
        text = f"{left.text} {'LEFT ' if side else ''}JOIN {right.text} ON {on}"
        records = left.records + right.records
        # In whatever order they are joined, the same records make the same row.
        both = named(*(quote(name) for _, name in sorted(records)))
        record = both if left.entity and right.entity else left.record or right.record
        keys = left.keys if side else left.keys | right.keys
        return Rows(
            text,
            {**left.columns, **right.columns},
            left.entity or right.entity,
            record,
            keys,
            simple=left.simple and right.simple and not (left.entity and right.entity),
            joined=True,
            tables=left.tables | right.tables,
            records=records,
        )

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
            for source in (value.source, other.source):
                self._columns.check_open(source, "joined on")
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
            keys_of = sorted(f"{t.name}.{t.entity_key}" for t in self._columns.product.tables if t.entity_key)
            wanted = f"add the entity key (such as {keys_of[0]}) to its GROUP BY, or " if keys_of else ""
            raise Refused(
                Reason(
                    "sandbox.entity-not-carried",
                    f"a sub-query that groups would make one row of many entities; {wanted}ask it by itself",
                )
            )
        return keys

    def _inner_item(
        self, node: exp.Expr, seen: Seen, keys: Sequence[str] | None, rows: Rows
    ) -> tuple[str, Value, bool]:
        """Text and value of a column of a sub-query, and whether it is the entity's key."""
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            _, name, value = seen.scope.find(node)
            if keys is not None and name not in keys:
                raise Refused(Reason("sandbox.query-group", f"{node.name!r:.80} is shown but not grouped by"))
            return quote(name), value, name in seen.keys
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            counted = f"count(DISTINCT {rows.record})" if rows.joined else "count(*)"
            return counted, Value(frozenset({ROWS_OF_ONE}), plain=True), False
        if type(node) in _SUMMED and isinstance(node.this, exp.Column):
            _, name, value = seen.scope.find(node.this)
            self.measure(value, node.key)
            if rows.joined and isinstance(node, exp.Sum | exp.Avg):
                raise Refused(_MULTIPLIED)
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
        if source.level is Level.AGGREGATE_ONLY and source is not ROWS_OF_ONE:
            self._check_counted(source, function)
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

    def _check_counted(self, source: Source, function: str) -> None:
        """The mean of one region's number over all who live there is that number."""
        if not self._columns.counts_entities_of(source):
            raise Refused(
                level_reason(source, f"in {function}() here", "its table has no entity key, so nothing counts its rows")
            )

    def where(self, node: exp.Expr, seen: Seen) -> str:
        def column_of(column: exp.Column) -> Column:
            _, name, value = seen.scope.find(column)
            source = value.source
            if source is None:
                raise Refused(Reason("sandbox.query-expression", "WHERE compares plain columns"))
            self._columns.check_comparable(source)
            self._columns.check_open(source, "compared in WHERE")
            return source.column.model_copy(update={"name": name})

        where = node.args.get("where")
        return f" WHERE {read_condition(where.this, column_of).sql()}" if where else ""


_SUMMED: Mapping[type[exp.Expr], str] = {exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max"}
_MULTIPLIED = Reason(
    "sandbox.query-expression",
    "in a sub-query, a sum or mean over a JOIN would count a value as often as its row is joined; group the table by "
    "itself in a sub-query, and join that",
)
_JOINS = "columns below plaintext are joined by = with those that the policy pairs them with (joins)"


def _carried(rows: Rows, name: str) -> Rows:
    """The relation, which is called `name`, with its entity and record."""
    return replace(rows, entity=f"{quote(name)}.hexi_e", record=f"{quote(name)}.hexi_r")


def _together(record: str) -> str:
    """The records of a group: what it is for all of them together is alike, whether they were grouped or not."""
    return f"bit_xor(DISTINCT {record})"


def _record_of(node: exp.Expr, value: Value, seen: Seen, rows: Rows) -> str:
    """Which records of a group a value is of: least and most of one, a sum of all, a mean of all and their number."""
    if isinstance(node, exp.Column) or not isinstance(node.this, exp.Column):
        return _together(quote(value.record) if value.record else str(rows.record))
    _, name, argument = seen.scope.find(node.this)
    record = quote(argument.record) if argument.record else str(rows.record)
    if isinstance(node, exp.Min | exp.Max):
        return f"arg_{node.key}({record}, {quote(name)})"
    if isinstance(node, exp.Avg):
        return f"CASE WHEN count({quote(name)}) > 1 THEN hash({_together(record)}) ELSE {_together(record)} END"
    return _together(record)


def _check_once(twice: frozenset[str], clause: str, way_out: str) -> None:
    """A sum in which every row counts a hundred times is rounded a hundred times less."""
    if twice:
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


def _about_nobody(what: str) -> Reason:
    return Reason(
        "sandbox.entity-not-carried",
        f"{what} has no entity key, so rows could be about nobody; put the table that has one first",
    )
