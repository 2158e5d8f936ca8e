"""May this be asked? A decision over the query's text and the published product only, never over data.

The text is parsed (DuckDB dialect, sqlglot) and read into the closed language of `query`. Whatever has no place in that
language is refused under its name (`grammar`).

    SELECT dimensions and count(*), count(DISTINCT entity key), sum(measure), avg(measure)
    FROM one table of the product
    WHERE dimensions compared with literals: = <> < <= > >= IN, BETWEEN, IS NULL, with AND, OR, NOT
    GROUP BY exactly those dimensions

Comparison controls (AWS Clean Rooms has them too) are what makes this hold: entity keys, measures and hidden columns
can never be compared, so nobody can choose *whom* a cell is about, only *what kind*.
"""

from collections.abc import Iterator, Sequence
from math import prod

from sqlglot import exp

from privacy.disclosure import Aggregate, Average, Count, Entities, Sum
from registry.catalogue import Column, Product, Table
from sandbox.queries.conditions import read_condition
from sandbox.queries.grammar import aliased, foreign_nodes, parse_select
from sandbox.queries.query import SQL_MODE, SQL_TYPES, SUM_MODE, Field, Group, Output, Query, Reviewed
from sandbox.queries.scope import Scope, find_table
from sandbox.reasons import Reason, Refusal, Refused

# Dimensions in one GROUP BY, and columns in one SELECT list.
MAX_GROUPS, MAX_OUTPUTS = 5, 20


def review(text: str, product: Product, mode: str = SQL_MODE) -> Reviewed | Refusal:
    """The query, understood, or why it may not be asked. Never raises on any text."""
    try:
        query = _read(text, product)
        if mode == SUM_MODE:
            _check_one_sum(query)
    except Refused as refused:
        return Refusal(refused.reasons)
    return Reviewed(query, query.canonical(), query.job())


def _read(text: str, product: Product) -> Query:
    select = parse_select(text)
    foreign = list(foreign_nodes(select))
    try:
        table, names = find_table(select, product)
    except Refused as refused:
        raise Refused(*_once([*refused.reasons, *foreign])) from None
    scope = Scope(table, names)
    if reasons := [*foreign, *_singling_out(select, scope)]:
        raise Refused(*_once(reasons))
    groups = _groups(select, scope)
    outputs = _outputs(select, scope, groups)
    where = read_condition(select.args["where"].this, scope.comparable) if select.args.get("where") else None
    _check_order(select, scope, groups)
    _check_levels(groups, table, product.disclosure.maximum_rows)
    used = {column.name for node in select.find_all(exp.Column) if (column := scope.column(node))} - {table.entity_key}
    return Query(
        table.name,
        str(table.entity_key),
        groups,
        outputs,
        where,
        {name: _field(scope.columns[name]) for name in sorted(used)},
        dominance=product.disclosure.dominance,
        contents=tuple(sorted(column.name for column in table.columns if column.role in {"dimension", "measure"})),
    )


def _once(reasons: Sequence[Reason]) -> list[Reason]:
    return list(dict.fromkeys(reasons))


def _singling_out(select: exp.Select, scope: Scope) -> Iterator[Reason]:
    """Attempts to reach one person: by the key that names persons, or by asking for groups of few."""
    key = scope.table.entity_key
    for node in select.find_all(exp.Column):
        column = scope.column(node)
        if column is not None and column.name == key and not isinstance(node.parent, exp.Distinct):
            yield Reason(
                "sandbox.singling-out",
                f"{key} names single persons: it may not be shown, grouped by, compared or computed with, for every "
                f"answer would be about one of them; it may only be counted, as count(DISTINCT {key})",
            )
            break
    if any(having.find(exp.AggFunc) for having in select.find_all(exp.Having, exp.Qualify)):
        yield Reason(
            "sandbox.singling-out",
            "HAVING on an aggregate picks out groups by how few they are; leave it out: groups that are too small are "
            "suppressed, the others come back whole",
        )


# Columns ---------------------------------------------------------------------------------------------------------


def _groups(select: exp.Select, scope: Scope) -> tuple[str, ...]:
    nodes = select.args["group"].expressions if select.args.get("group") else []
    names = [_grouped(node, scope) for node in nodes]
    if len(names) > MAX_GROUPS:
        raise Refused(Reason("sandbox.query-too-large", f"a query groups by at most {MAX_GROUPS} dimensions"))
    return tuple(dict.fromkeys(names))


def _grouped(node: exp.Expr, scope: Scope) -> str:
    if not isinstance(node, exp.Column):
        raise Refused(
            Reason("sandbox.query-group", "GROUP BY names dimensions; numbers and expressions are not allowed")
        )
    return scope.dimension(node, "grouped by").name


def _outputs(select: exp.Select, scope: Scope, groups: tuple[str, ...]) -> tuple[Output, ...]:
    outputs = tuple(_output(node, scope) for node in select.expressions)
    shown = [output.item.column for output in outputs if isinstance(output.item, Group)]
    if len(shown) == len(outputs):
        raise Refused(
            Reason("sandbox.query-rows", "a query needs at least one aggregate, such as count(*): rows never leave")
        )
    if sorted(shown) != sorted(groups):
        raise Refused(
            Reason(
                "sandbox.query-group", "the dimensions in the SELECT list and in GROUP BY must be the same, each once"
            )
        )
    names = [output.name.lower() for output in outputs]
    if len(set(names)) < len(names) or len(names) > MAX_OUTPUTS:
        raise Refused(
            Reason(
                "sandbox.query-alias",
                f"at most {MAX_OUTPUTS} columns, each with a name of its own; use AS to name them",
            )
        )
    return outputs


def _output(node: exp.Expr, scope: Scope) -> Output:
    alias, node = aliased(node)
    name, item = _item(node, scope)
    return Output(alias or name, item)


def _item(node: exp.Expr, scope: Scope) -> tuple[str, Group | Aggregate]:
    match node:
        case exp.Column():
            if isinstance(node.this, exp.Star):
                raise Refused(ROWS)
            name = scope.dimension(node, "shown").name
            return name, Group(name)
        case exp.Count():
            return _counted(node, scope)
        case exp.Sum():
            return _summed(node, scope)
        case exp.Avg():
            name = _bounded(scope.measure(node.this, "avg")).name
            return f"avg_{name}", Average(name)
        case exp.Star():
            raise Refused(ROWS)
    raise Refused(
        Reason(
            "sandbox.query-expression",
            f"{node.key.upper()} is not allowed in the SELECT list; dimensions and aggregates are",
        )
    )


ROWS = Reason(
    "sandbox.query-rows", "* asks for rows, which never leave; name dimensions and aggregates, such as count(*)"
)


def _counted(node: exp.Count, scope: Scope) -> tuple[str, Aggregate]:
    if isinstance(node.this, exp.Star):
        return "count", Count()
    key = scope.table.entity_key
    if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
        (counted,) = node.this.expressions
        if isinstance(counted, exp.Column) and scope.known(counted).name == key:
            return "entities", Entities()
    raise Refused(
        Reason(
            "sandbox.query-function", f"count is allowed as count(*) and as count(DISTINCT {key}), not of other things"
        )
    )


def _summed(node: exp.Sum, scope: Scope) -> tuple[str, Aggregate]:
    name = _bounded(scope.measure(node.this, "sum")).name
    return f"sum_{name}", Sum(name)


def _bounded(column: Column) -> Column:
    if column.range is None:
        raise Refused(
            Reason(
                "sandbox.query-no-range",
                f"{column.name} has no declared range, so one value could stand out of its sum or mean; ask the "
                "provider to publish a version with a range",
            )
        )
    return column


def _check_order(select: exp.Select, scope: Scope, groups: tuple[str, ...]) -> None:
    """Answers come sorted by the columns of GROUP BY; an ORDER BY that says just that may stand."""
    order = select.args.get("order")
    nodes = [ordered.this for ordered in order.expressions] if order else []
    names = [scope.known(node).name if isinstance(node, exp.Column) else None for node in nodes]
    if names != list(groups[: len(names)]):
        raise Refused(
            Reason(
                "sandbox.query-clause",
                "ORDER BY may only repeat the columns of GROUP BY, ascending; leave it out and sort at your side",
            )
        )


def _check_levels(groups: tuple[str, ...], table: Table, maximum: int) -> None:
    """Refuse, from the declared domains alone, what could give more rows than may leave."""
    cells = prod(len(column.domain) for column in table.columns if column.name in groups and column.domain)
    if cells > maximum:
        raise Refused(
            Reason(
                "sandbox.query-too-large",
                f"these dimensions could give {cells} groups, and an answer has at most {maximum} rows; group by fewer",
            )
        )


def _check_one_sum(query: Query) -> None:
    if query.groups or len(query.outputs) != 1 or not isinstance(query.outputs[0].item, Sum):
        raise Refused(
            Reason(
                "sandbox.query-not-one-sum", "an encrypted sum is exactly SELECT sum(measure) FROM table [WHERE ...]"
            )
        )


def _field(column: Column) -> Field:
    if column.datatype not in SQL_TYPES:
        raise Refused(Reason("sandbox.query-table", f"the column {column.name} has a datatype that is not supported"))
    if column.role != "measure" or column.range is None:
        return Field(str(column.datatype))
    low, high = column.range
    return Field(str(column.datatype), float(low), float(high))
