"""Queries over data without persons: checked, every name given anew, and otherwise run as they stand.

Each expression is rewritten with its `Value`, from which follows what may be done with it. The columns of a product
without persons are mostly plaintext, and then nothing here stands in a query's way. A query that names a column of
level aggregate-only is checked here too, and then compiled into cells (`sandbox.controlled.questions`): no rule about
single expressions holds against two sums that differ by a row, or one over rows that a join repeats as one likes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from registry.controlled import Level
from sandbox.controlled.columns import (
    Columns,
    Source,
    Value,
    check_groupable,
    check_showable,
    level_reason,
    opened,
    together,
)
from sandbox.controlled.grammar import CASTS, HIDING
from sandbox.controlled.scopes import Names, Relation, Scope
from sandbox.queries.grammar import check_alias, rows_wanted
from sandbox.queries.review import MAX_OUTPUTS, ROWS
from sandbox.reasons import Reason, Refused

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between, exp.Like, exp.Is)
_COUNTABLE = frozenset({Level.PLAINTEXT, Level.GROUP_BY, Level.AGGREGATE_ONLY, Level.JOIN_ONLY})


@dataclass(frozen=True)
class Output:
    """A column of a query: the consumer's name, the name in the SQL that runs, and what it is made of."""

    visible: str
    name: str
    value: Value


@dataclass(frozen=True)
class Rewritten:
    """A query in names of ours, and its columns."""

    query: exp.Query
    outputs: tuple[Output, ...]

    def relation(self, name: str) -> Relation:
        """The query as something in FROM."""
        return Relation(name, {one.visible.lower(): (one.name, one.value) for one in self.outputs})


# What WITH named so far: by the consumer's name, the name in the SQL that runs, and the query.
_Withs = Mapping[str, tuple[str, Rewritten]]


@dataclass
class _Place:
    """Where an expression stands. `grouped` are the keys of GROUP BY, rewritten, as they may be used after it."""

    scope: Scope
    withs: _Withs
    grouped: dict[exp.Expr, Value] = field(default_factory=dict)
    aggregates: bool = False


class PlainRewriter:
    """Rewrites one query. `tables` collects the tables it reads, `summed` the columns in it that may only be summed."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._names = Names()
        self.tables: set[str] = set()
        self.summed: set[Source] = set()

    def rewrite(self, query: exp.Query) -> Rewritten:
        """The query that runs. Raises `Refused`."""
        rewritten = self._query(query, None, {})
        for output in rewritten.outputs:
            check_showable(output.value)
            check_alias(output.visible)
        visible = [output.visible.lower() for output in rewritten.outputs]
        if not 0 < len(visible) <= MAX_OUTPUTS or len(set(visible)) < len(visible):
            raise Refused(_COLUMNS)
        return rewritten

    # Queries -----------------------------------------------------------------------------------------------------

    def _query(self, node: exp.Expr, parent: Scope | None, withs: _Withs) -> Rewritten:
        if isinstance(node, exp.Subquery):
            return self._query(node.this, parent, withs)
        common, withs = self._withs(node, parent, withs)
        if isinstance(node, exp.SetOperation):
            rewritten = self._set_operation(node, parent, withs)
        else:
            rewritten = self._select(node, parent, withs)
        if common:
            rewritten.query.set("with_", exp.With(expressions=common))
        return rewritten

    def _withs(self, node: exp.Expr, parent: Scope | None, withs: _Withs) -> tuple[list[exp.CTE], _Withs]:
        clause, common, known = node.args.get("with_"), [], dict(withs)
        for one in clause.expressions if clause else ():
            if one.args["alias"].args.get("columns"):
                raise Refused(_COLUMN_LIST)
            rewritten, name = self._query(one.this, parent, known), self._names.fresh()
            common.append(exp.CTE(this=rewritten.query, alias=exp.TableAlias(this=_identifier(name))))
            known[one.alias.lower()] = name, rewritten
        return common, known

    def _set_operation(self, node: exp.SetOperation, parent: Scope | None, withs: _Withs) -> Rewritten:
        left, right = (self._query(node.args[side], parent, withs) for side in ("this", "expression"))
        if len(left.outputs) != len(right.outputs):
            raise Refused(Reason("sandbox.query-group", f"the sides of {node.key.upper()} have equally many columns"))
        distinct, outputs = bool(node.args.get("distinct")), []
        for one, other in zip(left.outputs, right.outputs, strict=True):
            value = together(one.value, other.value)
            if value.below_plaintext() and one.value.sources != other.value.sources:
                # What is mixed with other values would pass for many (attack Q5).
                raise Refused(*(level_reason(s, "mixed with other values") for s in value.below_plaintext()))
            if distinct or not isinstance(node, exp.Union):
                check_groupable(value)
                value = opened(value)
            outputs.append(replace(one, value=replace(value, plain=one.value.plain and other.value.plain)))
        query = type(node)(this=left.query, expression=right.query, distinct=distinct)
        return Rewritten(query, tuple(outputs))

    def _select(self, node: exp.Expr, parent: Scope | None, withs: _Withs) -> Rewritten:
        place = _Place(Scope(parent=parent), withs)
        select = exp.Select()
        self._from(node, select, place)
        if where := node.args.get("where"):
            select.set("where", exp.Where(this=self._condition(where.this, place)))
        self._group(node, select, place)
        inside = replace(place, aggregates=True)
        outputs = self._outputs(node, select, inside)
        if having := node.args.get("having"):
            select.set("having", exp.Having(this=self._condition(having.this, inside)))
        self._order(node, select, inside, outputs)
        for part, kind in (("limit", exp.Limit), ("offset", exp.Offset)):
            if limit := node.args.get(part):
                select.set(part, kind(expression=exp.Literal.number(rows_wanted(limit.expression))))
        return Rewritten(select, outputs)

    # FROM --------------------------------------------------------------------------------------------------------

    def _from(self, node: exp.Expr, select: exp.Select, place: _Place) -> None:
        if not (from_ := node.args.get("from_")):
            return
        select.set("from_", exp.From(this=self._source(from_.this, place)))
        joins = []
        for join in node.args.get("joins") or ():
            rewritten = exp.Join(this=self._source(join.this, place))
            for part in ("side", "kind"):
                if word := join.args.get(part):
                    if word.upper() not in {"LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS"}:
                        raise Refused(Reason("sandbox.query-clause", f"{word} JOIN is not allowed; use INNER or LEFT"))
                    rewritten.set(part, word.upper())
            if join.args.get("using"):
                raise Refused(Reason("sandbox.query-clause", "USING is not allowed here; write ON a.key = b.key"))
            if on := join.args.get("on"):
                rewritten.set("on", self._condition(on, place))
            joins.append(rewritten)
        if joins:
            select.set("joins", joins)

    def _source(self, node: exp.Expr, place: _Place) -> exp.Expr:
        name = self._names.fresh()
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise Refused(Reason("sandbox.query-table", "a sub-query in FROM needs a name; write (...) AS name"))
            rewritten = self._query(node.this, place.scope.parent, place.withs)
            place.scope.add(node.alias, rewritten.relation(name))
            return exp.Subquery(this=rewritten.query, alias=exp.TableAlias(this=_identifier(name)))
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise Refused(
                Reason("sandbox.query-table", "a query asks tables of the product, and sub-queries over them")
            )
        if node.name.lower() in place.withs:
            common, rewritten = place.withs[node.name.lower()]
            place.scope.add(node.alias or node.name, rewritten.relation(name))
            return _table(common, name)
        table = self._columns.table(node.name)
        self.tables.add(table.name)
        sources = self._columns.sources(table)
        columns = {key: (one.column.name, Value(frozenset({one}), plain=True)) for key, one in sources.items()}
        place.scope.add(node.alias or node.name, Relation(name, columns))
        return _table(table.name, name)

    # SELECT, GROUP BY, ORDER BY ----------------------------------------------------------------------------------

    def _group(self, node: exp.Expr, select: exp.Select, place: _Place) -> None:
        aliases = {one.alias.lower(): one.this for one in node.expressions if isinstance(one, exp.Alias)}
        keys = []
        for key in node.args["group"].expressions if node.args.get("group") else ():
            written, value = self._expression(self._meant(key, aliases, place), place)
            check_groupable(value)
            keys.append(written)
            place.grouped[written] = opened(value)
        if keys:
            select.set("group", exp.Group(expressions=keys))

    def _meant(self, key: exp.Expr, aliases: Mapping[str, exp.Expr], place: _Place) -> exp.Expr:
        """A key of GROUP BY may be the name of a column, or else that of an expression in the SELECT list."""
        if isinstance(key, exp.Literal):
            raise Refused(Reason("sandbox.query-group", "GROUP BY names columns; numbers are not allowed"))
        if isinstance(key, exp.Column) and not key.table and key.name.lower() in aliases:
            try:
                place.scope.find(key)
            except Refused:
                return aliases[key.name.lower()]
        return key

    def _outputs(self, node: exp.Expr, select: exp.Select, place: _Place) -> tuple[Output, ...]:
        outputs = []
        for index, one in enumerate(node.expressions):
            if isinstance(one, exp.Star) or (isinstance(one, exp.Column) and isinstance(one.this, exp.Star)):
                if isinstance(node.parent, exp.Exists):
                    one = exp.Literal.number(1)  # noqa: PLW2901 - what EXISTS selects does not matter
                else:
                    raise Refused(ROWS)
            visible = one.alias if isinstance(one, exp.Alias) else one.name if isinstance(one, exp.Column) else ""
            written, value = self._expression(one.this if isinstance(one, exp.Alias) else one, place)
            if node.args.get("distinct"):
                check_groupable(value)
                value = opened(value)
            name = self._names.fresh()
            select.append("expressions", exp.Alias(this=written, alias=_identifier(name)))
            outputs.append(Output(visible or f"column_{index + 1}", name, value))
        if distinct := node.args.get("distinct"):
            if distinct.args.get("on") or distinct.expressions:
                raise Refused(Reason("sandbox.query-clause", "DISTINCT ON is not allowed; use GROUP BY"))
            select.set("distinct", exp.Distinct())
        return tuple(outputs)

    def _order(self, node: exp.Expr, select: exp.Select, place: _Place, outputs: Sequence[Output]) -> None:
        if not (order := node.args.get("order")):
            return
        visible = {output.visible.lower(): output for output in outputs}
        written = []
        for one in order.expressions:
            key = one.this
            if isinstance(key, exp.Literal):
                raise Refused(Reason("sandbox.query-clause", "ORDER BY names columns; numbers are not allowed"))
            if isinstance(key, exp.Column) and not key.table and key.name.lower() in visible:
                output = visible[key.name.lower()]
                rewritten: exp.Expr = exp.Column(this=_identifier(output.name))
                value = output.value
            else:
                rewritten, value = self._expression(key, place)
            check_showable(value, "ordered by")
            given = {"desc": one.args.get("desc"), "nulls_first": one.args.get("nulls_first")}
            written.append(exp.Ordered(this=rewritten, **given))
        select.set("order", exp.Order(expressions=written))

    # Expressions -------------------------------------------------------------------------------------------------

    def _expression(self, node: exp.Expr, place: _Place) -> tuple[exp.Expr, Value]:
        written, value = self._written(node, place)
        if place.grouped and place.aggregates:
            value = place.grouped.get(written, value)
        return written, value

    def _condition(self, node: exp.Expr, place: _Place) -> exp.Expr:
        written, value = self._expression(node, place)
        self._check_condition(node, value)
        return written

    def _check_condition(self, node: exp.Expr, value: Value) -> None:
        """A value that is a condition by itself is compared with true: nothing else has looked at it yet."""
        if not isinstance(node.unnest(), (*_COMPARISONS, exp.And, exp.Or, exp.Not, exp.Exists)):
            self._check_literal(value)

    def _written(self, node: exp.Expr, place: _Place) -> tuple[exp.Expr, Value]:
        match node:
            case exp.Column():
                if isinstance(node.this, exp.Star):
                    raise Refused(ROWS)
                relation, name, value = place.scope.find(node)
                self.summed |= {source for source in value.sources if source.level is Level.AGGREGATE_ONLY}
                return exp.Column(this=_identifier(name), table=_identifier(relation.name)), value
            case exp.Subquery() | exp.Exists():
                return self._inner(node, place)
            case exp.AggFunc():
                return self._aggregate(node, place)
            case exp.Cast():
                self._check_cast(node)
        return self._copied(node, place)

    def _copied(self, node: exp.Expr, place: _Place) -> tuple[exp.Expr, Value]:
        """The node with every expression in it rewritten; everything else in it is the parser's, not the consumer's."""
        values: list[Value] = []

        def child(one: object) -> object:
            if isinstance(one, list):
                return [child(each) for each in one]
            if not isinstance(one, exp.Expr) or isinstance(one, exp.DataType | exp.Var):
                return one.copy() if isinstance(one, exp.Expr) else one
            if isinstance(one, exp.Query):
                rewritten, value = self._inner(one if isinstance(one, exp.Subquery) else exp.Subquery(this=one), place)
            else:
                rewritten, value = self._expression(one, place)
            if isinstance(node, exp.And | exp.Or | exp.Not) or (isinstance(node, exp.If) and one is node.this):
                self._check_condition(one, value)
            values.append(value)
            return rewritten

        written = type(node)(**{name: child(value) for name, value in node.args.items()})
        if isinstance(node, _COMPARISONS):
            self._check_comparison(node, values)
        return written, together(*values)

    def _inner(self, node: exp.Expr, place: _Place) -> tuple[exp.Expr, Value]:
        """A sub-query in an expression. It says something of what it selects and of what it takes from around."""
        rewritten = self._query(node.this, scope := Scope(parent=place.scope), place.withs)
        value = Value(frozenset(scope.outer))
        if isinstance(node, exp.Subquery):
            if len(rewritten.outputs) != 1:
                raise Refused(Reason("sandbox.query-group", "a sub-query in an expression has one column"))
            inner = rewritten.outputs[0].value
            value = replace(together(value, inner), plain=inner.plain and not scope.outer)
        return type(node)(this=rewritten.query), value

    def _aggregate(self, node: exp.Expr, place: _Place) -> tuple[exp.Expr, Value]:
        if not place.aggregates:
            raise Refused(
                Reason("sandbox.query-expression", f"{node.key.upper()} stands in SELECT or HAVING, not here")
            )
        inside = replace(place, grouped={}, aggregates=False)
        if isinstance(node, exp.Count):
            return self._counted(node, inside)
        argument, value = self._expression(node.this, inside)
        source = value.source
        summed = type(node) in HIDING and source is not None and source.level is Level.AGGREGATE_ONLY
        if value.below_plaintext() and not summed:
            raise Refused(*(level_reason(one, f"in {node.key}()") for one in value.below_plaintext()))
        return type(node)(this=argument), Value()

    def _counted(self, node: exp.Count, place: _Place) -> tuple[exp.Expr, Value]:
        if isinstance(node.this, exp.Star):
            return exp.Count(this=exp.Star()), Value()
        distinct = isinstance(node.this, exp.Distinct)
        arguments = node.this.expressions if distinct else [node.this]
        if len(arguments) != 1 or arguments[0] is None:  # count() is parsed as well
            raise Refused(Reason("sandbox.query-function", "count takes * or one expression, with or without DISTINCT"))
        argument, value = self._expression(arguments[0], place)
        if wrong := [one for one in value.below_plaintext() if one.level not in _COUNTABLE or not value.plain]:
            raise Refused(*(level_reason(one, "counted in an expression") for one in wrong))
        return exp.Count(this=exp.Distinct(expressions=[argument]) if distinct else argument), Value()

    def _check_comparison(self, node: exp.Expr, values: Sequence[Value]) -> None:
        sides = [value for value in values if value.sources]
        if len(sides) < 2:  # against literals, or numbers that may be seen
            self._check_literal(together(*sides))
            return
        if not (below := together(*sides).below_plaintext()):
            return
        left, right = sides[0].source, sides[1].source
        plain_in = isinstance(node, exp.In) and node.args.get("query") is not None
        equals = isinstance(node, exp.EQ) or plain_in
        if equals and len(sides) == 2 and left and right and self._columns.joinable(left, right):
            return
        raise Refused(*(level_reason(source, "compared with that column", _JOINS) for source in below))

    def _check_literal(self, value: Value) -> None:
        for source in sorted(value.sources, key=lambda one: one.name):
            self._columns.check_comparable(source)

    def _check_cast(self, node: exp.Cast) -> None:
        if node.to.this not in CASTS or node.to.expressions:
            known = ", ".join(sorted(kind.name for kind in CASTS))
            raise Refused(Reason("sandbox.query-expression", f"values are cast to {known}, and to nothing else"))


_JOINS = "columns below plaintext are joined by = with those that the policy pairs them with (joins)"
_COLUMNS = Reason(
    "sandbox.query-alias", f"1 to {MAX_OUTPUTS} columns, each with a name of its own; use AS to name them"
)
_COLUMN_LIST = Reason("sandbox.query-alias", "name the columns inside the query with AS, not in a list after its name")


def _identifier(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _table(table: str, name: str) -> exp.Table:
    return exp.Table(this=_identifier(table), alias=exp.TableAlias(this=_identifier(name)))


__all__ = ["Output", "PlainRewriter", "Rewritten", "Source"]
