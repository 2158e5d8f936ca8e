"""The SQL door of the lattice: ordinary SQL over declared levels, read into a question to the cube.

A decision over the query's text and the published policy only. What it lets through never touches the table:

    SELECT levels and count(*), count(DISTINCT entity), sum(m), avg(m), var_pop(m), stddev_pop(m), and of declared pairs
           corr(a, b), covar_pop(a, b), regr_slope(outcome, cause), regr_intercept(...), regr_r2(...)
    FROM the product's table, or several about the same entities joined on their keys (`joins`)
    WHERE any condition on the levels of one attribute AND any on another's
    GROUP BY levels   HAVING conditions on those aggregates   ORDER BY anything selected   LIMIT n

or SELECT linear_regression(m, level, ...) FROM ... WHERE ..., one row a coefficient.

A row is an entity, so count(*) counts entities. A sensitive column with declared labels may stand where a level may;
then counts are all that is released. HAVING, ORDER BY and LIMIT work on published numbers and give nothing away. Levels
are ordered as declared, so ``age >= '40-49'`` means what it says.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from sqlglot import exp

from privacy.errors import NotReleased
from privacy.lattice import answers
from privacy.lattice.answers import Cells, Flags, Question, Sensitive
from privacy.lattice.plan import Plan
from privacy.lattice.policy import COUNT, Measure
from privacy.lattice.regression import check_regression
from sandbox.cubes.conditions import COMPARE, number, restricted
from sandbox.cubes.joins import collapse, joinable
from sandbox.cubes.names import Divided, Names
from sandbox.cubes.queries import OF_ONE, OF_TWO, SQUARES, Column, CubeQuery, CubeQuestion, RegressionQuery, Statistic
from sandbox.queries.grammar import ALLOWED, TOO_DEEP, Grammar, aliased, foreign_nodes, parse_select, rows_wanted
from sandbox.queries.review import MAX_OUTPUTS, ROWS
from sandbox.reasons import Reason, Refusal, Refused

# Our own function, and the levels it takes: every pair of them is a table.
REGRESSION, MAX_REGRESSED = "linear_regression", 8

_BINARY = frozenset({"this", "expression"})
_FUNCTIONS: Mapping[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.VariancePop: "var_pop",
    exp.StddevPop: "stddev_pop",
    exp.Corr: "corr",
    exp.CovarPop: "covar_pop",
    exp.RegrSlope: "regr_slope",
    exp.RegrIntercept: "regr_intercept",
    exp.RegrR2: "regr_r2",
}
GRAMMAR: Grammar = {
    **ALLOWED,
    **{node: _BINARY if name in OF_TWO else frozenset({"this"}) for node, name in _FUNCTIONS.items()},
    exp.Select: ALLOWED[exp.Select] | {"having", "joins", "limit"},
    exp.Join: frozenset({"this", "on", "using", "side", "kind"}),
    exp.Having: frozenset({"this"}),
    exp.Limit: frozenset({"expression"}),
    exp.Ordered: ALLOWED[exp.Ordered] | {"desc"},
}


def read_query(
    text: str, plan: Plan, table: str, keys: Mapping[str, str] = MappingProxyType({})
) -> CubeQuestion | Refusal:
    """The question in `text`, or why it is none. Never raises on any text; reads neither table nor cube.

    `table` is the entities' own; `keys` are the entity keys of the policy's other tables, which may be joined.
    """
    try:
        return _Reader(plan, table, keys).read(text)
    except Refused as refused:
        return Refusal(refused.reasons)
    except RecursionError:  # a tree within the limits may still be too deep to be written again
        return Refusal((TOO_DEEP,))
    except NotReleased as error:
        return Refusal((Reason("sandbox.table-not-released", error.detail),))


class _Reader:
    def __init__(self, plan: Plan, table: str, keys: Mapping[str, str]) -> None:
        self._plan, self._table, self._names = plan, table, Names(plan.policy)
        self._joinable = joinable(plan.policy, table, keys)
        self._moments: dict[str, None] = {}

    def read(self, text: str) -> CubeQuestion:
        select = parse_select(text)
        if len(select.expressions) == 1 and _is_regression(select.expressions[0]):
            return self._regression(select, select.expressions[0])
        if foreign := list(dict.fromkeys(foreign_nodes(select, GRAMMAR))):
            raise Refused(*foreign)
        canonical = select.sql(dialect="duckdb", normalize=True, comments=False, copy=False)
        if select.args.get("joins"):
            collapse(select, self._joinable, self._names)
        self._check_table(select)
        groups = self._groups(select)
        columns = self._columns(select, list(groups))
        having = select.args.get("having")
        query = CubeQuery(
            self._question(select, groups),
            columns,
            self._having(having.this) if having else _everything,
            self._order(select, list(groups), columns),
            self._limit(select),
            canonical,
            tuple(self._moments),
        )
        if query.question.sensitive and query.moments:
            raise Refused(_counts_only(query.question.sensitive.measure))
        answers.check_released(self._plan, query.question, query.moments)
        return query

    def _regression(self, select: exp.Select, call: exp.Expr) -> RegressionQuery:
        canonical = select.sql(dialect="duckdb", normalize=True, comments=False)
        if select.args.get("joins"):
            raise Refused(_ONE_TABLE)
        self._check_table(select)
        # The rest of the query is that of a count.
        select.set("expressions", [exp.Count(this=exp.Star())])
        foreign = list(dict.fromkeys(foreign_nodes(select, GRAMMAR)))
        foreign += [_ALONE for part in ("group", "having", "order", "limit") if select.args.get(part)][:1]
        if foreign:
            raise Refused(*foreign)
        if not 1 < len(call.expressions) <= 1 + MAX_REGRESSED:
            raise Refused(_ALONE)
        first, *others = call.expressions
        measure = self._names.measure(first, REGRESSION)
        levels = [self._names.divided(node, "regressed on") for node in others]
        kept = restricted(select, self._names)
        if sensitive := [one.name for one in (*levels, *(one for one, _ in kept)) if one.is_sensitive]:
            raise Refused(_counts_only(sensitive[0]))
        if len({one.owner for one in levels}) < len(levels):
            raise Refused(_TWICE)
        cuts = tuple((one.owner, one.depth) for one in levels if one.depth is not None)
        where = {one.owner: values for one, values in kept}
        check_regression(self._plan, cuts, where, measure)
        return RegressionQuery(measure, cuts, tuple(one.name for one in levels), where, canonical)

    def _check_table(self, select: exp.Select) -> None:
        from_ = select.args.get("from_")
        node = from_.this if from_ else None
        if (
            not isinstance(node, exp.Table)
            or not isinstance(node.this, exp.Identifier)
            or node.name.lower() != self._table.lower()
        ):
            raise Refused(
                Reason("sandbox.query-table", f"a query asks exactly one table of the product: {self._table}")
            )
        names = {(node.alias or node.name).lower()}
        for column in select.find_all(exp.Column):
            if column.table and column.table.lower() not in names:
                raise Refused(self._names.unknown(column.table))

    def _groups(self, select: exp.Select) -> dict[str, Divided]:
        nodes = select.args["group"].expressions if select.args.get("group") else []
        found = {node.name.lower(): self._names.divided(node, "grouped by") for node in nodes}
        if len({one.owner for one in found.values()}) < len(found):
            raise Refused(_TWICE)
        return found

    def _question(self, select: exp.Select, groups: Mapping[str, Divided]) -> Question:
        kept = restricted(select, self._names)
        where = {one.owner: values for one, values in kept if not one.is_sensitive}
        levels = tuple((one.owner, one.depth) for one in groups.values() if one.depth is not None)
        return Question(levels, where, _sensitive(groups, kept))

    def _columns(self, select: exp.Select, groups: list[str]) -> tuple[Column, ...]:
        columns = tuple(self._column(node, groups) for node in select.expressions)
        names = [column.name for column in columns]
        if len(set(names)) < len(names) or len(names) > MAX_OUTPUTS:
            raise Refused(
                Reason(
                    "sandbox.query-alias",
                    f"at most {MAX_OUTPUTS} columns, each with a name of its own; use AS to name them",
                )
            )
        if all(isinstance(column.item, int) for column in columns):
            raise Refused(
                Reason("sandbox.query-rows", "a query needs at least one aggregate, such as count(*): rows never leave")
            )
        return columns

    def _column(self, node: exp.Expr, groups: list[str]) -> Column:
        alias, node = aliased(node)
        if isinstance(node, exp.Star) or (isinstance(node.this, exp.Star) and isinstance(node, exp.Column)):
            raise Refused(ROWS)
        if isinstance(node, exp.Column):
            self._names.divided(node, "shown")
            name = node.name.lower()
            if name not in groups:
                raise Refused(Reason("sandbox.query-group", f"{name} is shown but not grouped by; add it to GROUP BY"))
            return Column(alias or name, groups.index(name))
        statistic = self._statistic(node)
        return Column(alias or statistic.name, statistic)

    def _statistic(self, node: exp.Expr) -> Statistic:
        if isinstance(node, exp.Count):
            return self._counted(node)
        if type(node) in _FUNCTIONS:
            function = _FUNCTIONS[type(node)]
            parts = [node.this] if function in OF_ONE else [node.this, node.expression]
            measures = tuple(self._names.measure(part, function) for part in parts)
            statistic = Statistic(function, self._plan.policy, measures)
            self._check_published(function, measures)
            self._moments |= dict.fromkeys(statistic.moments)
            return statistic
        raise Refused(
            Reason(
                "sandbox.query-expression",
                f"{node.key.upper()} is not allowed here; levels and count, {', '.join(_FUNCTIONS.values())} are",
            )
        )

    def _check_published(self, function: str, measures: tuple[Measure, ...]) -> None:
        """Raise `Refused` unless the squares and products that `function` is made of are published."""
        names = [measure.name for measure in measures]
        if function in SQUARES and not measures[0].square:
            raise Refused(
                Reason(
                    "sandbox.query-function",
                    f"the square of {names[0]} is not published, so {function} has no answer; ask avg",
                )
            )
        if function in OF_TWO and self._plan.policy.product(names[0], names[1]) is None:
            pairs = "; ".join(" and ".join(pair) for pair in self._plan.policy.correlations)
            raise Refused(
                Reason(
                    "sandbox.query-function",
                    f"the product of {' and '.join(names)} is not published, so {function} has no answer; "
                    f"published is that of {pairs or 'no two measures'}",
                )
            )

    def _counted(self, node: exp.Count) -> Statistic:
        if isinstance(node.this, exp.Star):
            return Statistic(COUNT, self._plan.policy)
        if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
            (counted,) = node.this.expressions
            if isinstance(counted, exp.Column) and counted.name.lower() == self._names.entity:
                return Statistic(COUNT, self._plan.policy)
        raise Refused(
            Reason(
                "sandbox.query-function", f"count is allowed as count(*) and as count(DISTINCT {self._names.entity})"
            )
        )

    # HAVING, ORDER BY, LIMIT: over published numbers

    def _having(self, node: exp.Expr) -> Callable[[Cells], Flags]:
        match node:
            case exp.Paren():
                return self._having(node.this)
            case exp.Not():
                inner = self._having(node.this)
                return lambda cells: ~inner(cells)
            case exp.And() | exp.Or():
                left, right = self._having(node.this), self._having(node.expression)
                if isinstance(node, exp.And):
                    return lambda cells: left(cells) & right(cells)
                return lambda cells: left(cells) | right(cells)
        if type(node) not in COMPARE:
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} is not allowed in HAVING; compare an aggregate with a number",
                )
            )
        statistic, bound, compare = self._statistic(node.this), number(node.expression), COMPARE[type(node)]
        return lambda cells: np.asarray(compare(statistic.of(cells).value, bound))

    def _order(
        self, select: exp.Select, groups: list[str], columns: tuple[Column, ...]
    ) -> tuple[tuple[int | Statistic, bool], ...]:
        order = select.args.get("order")
        names = {column.name: column.item for column in columns}
        found = []
        for one in order.expressions if order else ():
            node = one.this
            name = node.name.lower() if isinstance(node, exp.Column) else ""
            item = names[name] if name in names else groups.index(name) if name in groups else self._statistic(node)
            found.append((item, bool(one.args.get("desc"))))
        return tuple(found)

    def _limit(self, select: exp.Select) -> int | None:
        limit = select.args.get("limit")
        return rows_wanted(limit.expression) if limit else None


def _is_regression(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == REGRESSION


_ALONE = Reason(
    "sandbox.query-function",
    f"{REGRESSION} takes a measure and one to {MAX_REGRESSED} levels, and stands alone, before FROM and WHERE",
)
_ONE_TABLE = Reason(
    "sandbox.query-clause",
    f"{REGRESSION} asks one table, the entities' own, which has the levels of every table; leave the JOIN out",
)
_TWICE = Reason(
    "sandbox.query-group",
    "two levels of one attribute say the same twice, in GROUP BY and elsewhere; take the finer",
)


def _everything(cells: Cells) -> Flags:
    return np.ones(len(cells.labels), dtype=bool)


def _sensitive(groups: Mapping[str, Divided], kept: list[tuple[Divided, frozenset[int]]]) -> Sensitive | None:
    """The part of a query that is about a sensitive column, if any; at most one is. Raises `Refused`."""
    labels = {one.name: tuple(sorted(values)) for one, values in kept if one.is_sensitive}
    places = {one.name: place for place, one in enumerate(groups.values()) if one.is_sensitive}
    every = {one.name: one for one in (*groups.values(), *(one for one, _ in kept)) if one.is_sensitive}
    if len(every) > 1:
        raise Refused(
            Reason(
                "sandbox.query-column-role",
                f"{' and '.join(every)} are sensitive columns, and no table of both is published; ask them one by one",
            )
        )
    for name, one in every.items():
        chosen = labels.get(name, tuple(range(len(one.labels))))
        if name in places or len(chosen) < len(one.labels):  # all labels together restrict nothing
            return Sensitive(name, chosen, places.get(name))
    return None


def _counts_only(name: str) -> Reason:
    return Reason(
        "sandbox.query-column-role",
        f"{name} is a sensitive column: in WHERE or GROUP BY it goes with count(*) only; ask the sum or average "
        f"without {name}, or by a level",
    )
