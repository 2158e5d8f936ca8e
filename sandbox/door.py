"""The SQL door of the lattice: ordinary SQL over declared levels, read into a question to the cube.

A decision over the query's text and the published policy only. What it lets through never touches the table:

    SELECT levels and count(*), count(DISTINCT entity), sum(m), avg(m), var_pop(m), stddev_pop(m)
    FROM the product's table
    WHERE any condition on the levels of one attribute AND any on another's
    GROUP BY levels   HAVING conditions on those aggregates   ORDER BY anything selected   LIMIT n

A row is an entity, so count(*) counts entities. HAVING, ORDER BY and LIMIT work on published numbers and give nothing
away. Levels are ordered as declared, so ``age >= '40-49'`` means what it says.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from sqlglot import exp

from privacy.errors import NotReleased
from privacy.lattice import answers
from privacy.lattice.answers import Cells, Flags, Question
from privacy.lattice.plan import Plan
from privacy.lattice.policy import COUNT, LatticePolicy, Measure
from sandbox.conditions import MAX_LIST
from sandbox.cube_queries import Column, CubeQuery, Statistic
from sandbox.grammar import ALLOWED, Grammar, foreign_nodes, parse_select
from sandbox.reasons import Reason, Refusal, Refused
from sandbox.review import ALIAS, MAX_OUTPUTS, ROWS

_BINARY = frozenset({"this", "expression"})
GRAMMAR: Grammar = {
    **ALLOWED,
    exp.Select: ALLOWED[exp.Select] | {"having", "limit"},
    exp.Having: frozenset({"this"}),
    exp.Limit: frozenset({"expression"}),
    exp.Ordered: ALLOWED[exp.Ordered] | {"desc"},
    exp.VariancePop: frozenset({"this"}),
    exp.StddevPop: frozenset({"this"}),
}

_FUNCTIONS: Mapping[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.VariancePop: "var_pop",
    exp.StddevPop: "stddev_pop",
}
_COMPARE: Mapping[type[exp.Expr], Callable[[Any, float], Any]] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
}
_MIRROR: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}


def read_query(text: str, plan: Plan, table: str) -> CubeQuery | Refusal:
    """The question in `text`, or why it is none. Never raises on any text; reads neither table nor cube."""
    try:
        return _Reader(plan, table).read(text)
    except Refused as refused:
        return Refusal(refused.reasons)
    except NotReleased as error:
        return Refusal((Reason("sandbox.table-not-released", error.detail),))


class _Reader:
    def __init__(self, plan: Plan, table: str) -> None:
        self._plan, self._table = plan, table
        policy = plan.policy
        self._policy: LatticePolicy = policy
        self._moments: dict[str, None] = {}
        self._levels = {
            level.name: (attribute.name, depth)
            for attribute in policy.attributes
            for depth, level in enumerate(attribute.levels, start=1)
        }

    def read(self, text: str) -> CubeQuery:
        select = parse_select(text)
        if foreign := list(dict.fromkeys(foreign_nodes(select, GRAMMAR))):
            raise Refused(*foreign)
        self._check_table(select)
        groups = self._groups(select)
        columns = self._columns(select, groups)
        having = select.args.get("having")
        query = CubeQuery(
            Question(tuple(groups.values()), dict(self._where(select))),
            columns,
            self._having(having.this) if having else _everything,
            self._order(select, groups, columns),
            self._limit(select),
            select.sql(dialect="duckdb", normalize=True, comments=False, copy=False),
            tuple(self._moments),
        )
        answers.check_released(self._plan, query.question, counts_only=not query.moments)
        return query

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
                raise Refused(_unknown(column.table, self._known()))

    def _known(self) -> str:
        return ", ".join([*self._levels, *(measure.name for measure in self._policy.measures)])

    def _level(self, node: exp.Expr, use: str) -> tuple[str, int]:
        name = node.name.lower() if isinstance(node, exp.Column) else ""
        if name in self._levels:
            return self._levels[name]
        if name == self._policy.entity:
            raise Refused(
                Reason(
                    "sandbox.singling-out",
                    f"{name} names single entities: it may only be counted, as count(DISTINCT {name})",
                )
            )
        if name in {measure.name for measure in self._policy.measures}:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{name} is a measure and may not be {use}: it would choose entities by what is secret of them; "
                    f"ask avg({name}) or sum({name}), or the provider for a banded version",
                )
            )
        if not isinstance(node, exp.Column):
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} may not be {use}; only declared levels may: {', '.join(self._levels)}",
                )
            )
        raise Refused(_unknown(name, self._known()))

    def _groups(self, select: exp.Select) -> dict[str, tuple[str, int]]:
        nodes = select.args["group"].expressions if select.args.get("group") else []
        found = {node.name.lower(): self._level(node, "grouped by") for node in nodes}
        attributes = [attribute for attribute, _ in found.values()]
        if len(set(attributes)) < len(attributes):
            raise Refused(
                Reason(
                    "sandbox.query-group",
                    "two levels of one attribute in GROUP BY say the same twice; group by the finer one",
                )
            )
        return found

    def _columns(self, select: exp.Select, groups: Mapping[str, tuple[str, int]]) -> tuple[Column, ...]:
        columns = tuple(self._column(node, list(groups)) for node in select.expressions)
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
        alias = None
        if isinstance(node, exp.Alias):
            alias, node = node.alias, node.this
            if not ALIAS.fullmatch(alias):
                raise Refused(
                    Reason(
                        "sandbox.query-alias",
                        "a name after AS has 1 to 32 small letters, digits and _, not first a digit",
                    )
                )
        if isinstance(node, exp.Star) or (isinstance(node.this, exp.Star) and isinstance(node, exp.Column)):
            raise Refused(ROWS)
        if isinstance(node, exp.Column):
            self._level(node, "shown")
            name = node.name.lower()
            if name not in groups:
                raise Refused(Reason("sandbox.query-group", f"{name} is shown but not grouped by; add it to GROUP BY"))
            return Column(alias or name, groups.index(name))
        statistic = self._statistic(node)
        return Column(alias or _name_of(statistic), statistic)

    def _statistic(self, node: exp.Expr) -> Statistic:
        if isinstance(node, exp.Count):
            return self._counted(node)
        if type(node) in _FUNCTIONS:
            function = _FUNCTIONS[type(node)]
            statistic = Statistic(function, self._measure(node.this, function))
            self._moments |= dict.fromkeys(statistic.moments)
            return statistic
        raise Refused(
            Reason(
                "sandbox.query-expression",
                f"{node.key.upper()} is not allowed here; levels and count, sum, avg, var_pop, stddev_pop are",
            )
        )

    def _counted(self, node: exp.Count) -> Statistic:
        if isinstance(node.this, exp.Star):
            return Statistic(COUNT)
        if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
            (counted,) = node.this.expressions
            if isinstance(counted, exp.Column) and counted.name.lower() == self._policy.entity:
                return Statistic(COUNT)
        raise Refused(
            Reason(
                "sandbox.query-function", f"count is allowed as count(*) and as count(DISTINCT {self._policy.entity})"
            )
        )

    def _measure(self, node: exp.Expr, function: str) -> Measure:
        measures = {measure.name: measure for measure in self._policy.measures}
        name = node.name.lower() if isinstance(node, exp.Column) else ""
        if name not in measures:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{function} takes one declared measure as it stands: {', '.join(measures) or 'there is none'}; "
                    "computed, it could choose whose value counts",
                )
            )
        if function in {"var_pop", "stddev_pop"} and not measures[name].square:
            raise Refused(
                Reason(
                    "sandbox.query-function",
                    f"the square of {name} is not published, so {function} has no answer; ask avg",
                )
            )
        return measures[name]

    # WHERE

    def _where(self, select: exp.Select) -> Iterator[tuple[str, frozenset[int]]]:
        allowed: dict[str, frozenset[int]] = {}
        where = select.args.get("where")
        for part in _conjuncts(where.this) if where else ():
            attribute = self._one_attribute(part)
            domain = range(len(self._policy.attribute(attribute).domain))
            kept = frozenset(index for index in domain if self._holds(part, index))
            allowed[attribute] = allowed.get(attribute, frozenset(domain)) & kept
        yield from allowed.items()

    def _one_attribute(self, part: exp.Expr) -> str:
        found = {self._level(column, "compared")[0] for column in part.find_all(exp.Column)}
        if len(found) != 1:
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    "a condition joined by OR or NOT speaks of one attribute; ask the sides in several queries and add "
                    "the counts, or write the parts with AND",
                )
            )
        return found.pop()

    def _holds(self, node: exp.Expr, index: int) -> bool:
        match node:
            case exp.Paren():
                return self._holds(node.this, index)
            case exp.Not():
                return not self._holds(node.this, index)
            case exp.And():
                return self._holds(node.this, index) and self._holds(node.expression, index)
            case exp.Or():
                return self._holds(node.this, index) or self._holds(node.expression, index)
            case exp.In():
                if not 0 < len(node.expressions) <= MAX_LIST:
                    raise Refused(Reason("sandbox.query-too-large", f"IN takes a list of 1 to {MAX_LIST} values"))
                return any(
                    self._place(node.this, value, index)[0] == self._place(node.this, value, index)[1]
                    for value in node.expressions
                )
            case exp.Between():
                here, low = self._place(node.this, node.args["low"], index)
                return low <= here <= self._place(node.this, node.args["high"], index)[1]
        return self._compared(node, index)

    def _compared(self, node: exp.Expr, index: int) -> bool:
        kind = type(node)
        if kind not in _COMPARE:
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} is not allowed in WHERE; compare a level with its labels",
                )
            )
        left, right = node.this, node.expression
        if isinstance(right, exp.Column):
            left, right, kind = right, left, _MIRROR.get(kind, kind)
        here, there = self._place(left, right, index)
        return bool(_COMPARE[kind](here, there))

    def _place(self, column: exp.Expr, value: exp.Expr, index: int) -> tuple[int, int]:
        """The place of domain value `index` in the column's level, and the place of the label compared with."""
        attribute, depth = self._level(column, "compared")
        level = self._policy.attribute(attribute).levels[depth - 1]
        label = _label(value)
        if label not in level.labels:
            raise Refused(
                Reason(
                    "sandbox.query-outside-domain",
                    f"{level.name} is compared with a value outside its declared {len(level.labels)} labels; the "
                    "product's policy lists them",
                )
            )
        return level.of[index], level.labels.index(label)

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
        if type(node) not in _COMPARE:
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} is not allowed in HAVING; compare an aggregate with a number",
                )
            )
        statistic, number, compare = self._statistic(node.this), _number(node.expression), _COMPARE[type(node)]
        return lambda cells: np.asarray(compare(statistic.of(cells).value, number))

    def _order(
        self, select: exp.Select, groups: Mapping[str, tuple[str, int]], columns: tuple[Column, ...]
    ) -> tuple[tuple[int | Statistic, bool], ...]:
        order = select.args.get("order")
        names = {column.name: column.item for column in columns}
        found = []
        for one in order.expressions if order else ():
            node = one.this
            name = node.name.lower() if isinstance(node, exp.Column) else ""
            item = (
                names[name] if name in names else list(groups).index(name) if name in groups else self._statistic(node)
            )
            found.append((item, bool(one.args.get("desc"))))
        return tuple(found)

    def _limit(self, select: exp.Select) -> int | None:
        limit = select.args.get("limit")
        return int(_number(limit.expression)) if limit else None


def _everything(cells: Cells) -> Flags:
    return np.ones(len(cells.labels), dtype=bool)


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """The parts of ``a AND b AND c``, read without recursion: it is parsed as a deep tree leaning left."""
    parts, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, exp.Paren):
            waiting.append(one.this)
        elif isinstance(one, exp.And):
            waiting += [one.expression, one.this]
        else:
            parts.append(one)
    return parts


def _label(node: exp.Expr) -> str:
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.this}"
    if isinstance(node, exp.Boolean):
        return str(node.this).lower()
    if isinstance(node, exp.Literal):
        return str(node.this)
    raise Refused(Reason("sandbox.query-literal", f"levels are compared with labels; this is {node.key.upper()}"))


def _number(node: exp.Expr) -> float:
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if isinstance(node, exp.Literal) and not node.is_string:
        return sign * float(node.this)
    raise Refused(Reason("sandbox.query-literal", f"here stands a plain number, not {node.key.upper()}"))


def _name_of(statistic: Statistic) -> str:
    return statistic.function if statistic.measure is None else f"{statistic.function}_{statistic.measure.name}"


def _unknown(name: str, known: str) -> Reason:
    return Reason("sandbox.query-column-unknown", f"there is no column {name!r:.80}; there are: {known}")
