"""WHERE: reading a parsed condition into a `Condition`. Dimensions against literals, nothing else."""

import math
from collections.abc import Callable
from datetime import date

from sqlglot import exp

from registry.catalogue import Column
from sandbox.queries.query import Condition, In, Junction, Literal, Missing, Not, Ordered
from sandbox.reasons import Reason, Refused

# Comparisons in one WHERE, values in one IN list, characters in one text value.
MAX_COMPARISONS, MAX_LIST, MAX_TEXT = 100, 200, 200
# NOT and parentheses inside each other: below Python's recursion limit by far, and more than anybody can read.
MAX_NOTS = 40
# What a 64-bit integer column can hold.
_INTEGERS = range(-(2**63), 2**63)

_ORDER: dict[type[exp.Expr], str] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

# Finds the column meant and refuses one that may not be compared.
ColumnOf = Callable[[exp.Column], Column]


def read_condition(node: exp.Expr, column_of: ColumnOf) -> Condition:
    """The condition, or `Refused`."""
    comparisons = sum(1 for _ in node.find_all(exp.Predicate))
    if comparisons > MAX_COMPARISONS:
        raise Refused(Reason("sandbox.query-too-large", f"WHERE has at most {MAX_COMPARISONS} comparisons"))
    return _read(node, column_of, MAX_NOTS)


def _read(node: exp.Expr, column_of: ColumnOf, left: int) -> Condition:
    if left == 0:
        raise Refused(Reason("sandbox.query-too-large", f"NOT, AND, OR and () nest at most {MAX_NOTS} deep in WHERE"))
    match node:
        case exp.Paren():
            return _read(node.this, column_of, left - 1)
        case exp.And() | exp.Or():
            parts = tuple(_read(part, column_of, left - 1) for part in _chain(node))
            return Junction("AND" if isinstance(node, exp.And) else "OR", parts)
        case exp.Not():
            return Not(_read(node.this, column_of, left - 1))
    return _comparison(node, column_of)


def _chain(node: exp.Expr) -> list[exp.Expr]:
    """The parts of ``a AND b AND c``, which is parsed as a deep tree leaning left; read without recursion."""
    kind, parts = type(node), []
    while type(node) is kind:
        parts.append(node.args["expression"])
        node = node.this
    return [node, *reversed(parts)]


def _comparison(node: exp.Expr, column_of: ColumnOf) -> Condition:
    match node:
        case exp.EQ() | exp.NEQ():
            column, value, _ = _sides(node, column_of)
            same = In(column.name, str(column.datatype), (value,))
            return same if isinstance(node, exp.EQ) else Not(same)
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            column, value, mirrored = _sides(node, column_of)
            operator = _MIRRORED[_ORDER[type(node)]] if mirrored else _ORDER[type(node)]
            return Ordered(column.name, str(column.datatype), operator, value)
        case exp.In():
            return _in(node, column_of)
        case exp.Between():
            column = _column(node.this, column_of)
            low, high = (_value(node.args[end], column) for end in ("low", "high"))
            kind = str(column.datatype)
            return Junction("AND", (Ordered(column.name, kind, ">=", low), Ordered(column.name, kind, "<=", high)))
        case exp.Is() if isinstance(node.expression, exp.Null):
            return Missing(_column(node.this, column_of).name)
    raise Refused(
        Reason(
            "sandbox.query-expression",
            f"{node.key.upper()} is not allowed in WHERE; compare a dimension with a literal by =, <>, <, <=, >, >=, "
            "IN, BETWEEN or IS NULL, joined by AND, OR, NOT",
        )
    )


def _in(node: exp.In, column_of: ColumnOf) -> Condition:
    column = _column(node.this, column_of)
    if not 0 < len(node.expressions) <= MAX_LIST:
        raise Refused(Reason("sandbox.query-too-large", f"IN takes a list of 1 to {MAX_LIST} values"))
    return In(column.name, str(column.datatype), tuple(_value(value, column) for value in node.expressions))


def _sides(node: exp.Expr, column_of: ColumnOf) -> tuple[Column, Literal, bool]:
    """The column, the literal, and whether they stood the other way round."""
    left, right = node.this, node.args["expression"]
    mirrored = isinstance(right, exp.Column) and not isinstance(left, exp.Column)
    if mirrored:
        left, right = right, left
    column = _column(left, column_of)
    return column, _value(right, column), mirrored


def _column(node: exp.Expr, column_of: ColumnOf) -> Column:
    if isinstance(node, exp.Paren):
        return _column(node.this, column_of)
    if isinstance(node, exp.Column):
        return column_of(node)
    raise Refused(
        Reason(
            "sandbox.query-expression",
            f"WHERE compares plain dimensions; {node.key.upper()} in the place of one is not allowed",
        )
    )


def _value(node: exp.Expr, column: Column) -> Literal:
    """The literal, of the column's datatype and inside its declared domain. Raises `Refused`."""
    value = _literal(node, str(column.datatype))
    if value is None:
        raise Refused(
            Reason(
                "sandbox.query-literal",
                f"{column.name} is compared with literals of its datatype, {column.datatype}; this is {_kind(node)}",
            )
        )
    if column.domain and value not in [_plain(known, str(column.datatype)) for known in column.domain]:
        raise Refused(
            Reason(
                "sandbox.query-outside-domain",
                f"{column.name} is compared with a value outside its declared domain of {len(column.domain)} values; "
                "`hexi sandbox explain` and the product description list them",
            )
        )
    return value


def _plain(known: object, datatype: str) -> object:
    return float(known) if datatype == "number" and isinstance(known, int | float) else known


def _kind(node: exp.Expr) -> str:
    if isinstance(node, exp.Literal):
        return "a text" if node.is_string else "a number"
    return "another column" if isinstance(node, exp.Column) else node.key.upper()


def _literal(node: exp.Expr, datatype: str) -> Literal | None:
    match datatype:
        case "string":
            return _text(node)
        case "boolean":
            return bool(node.this) if isinstance(node, exp.Boolean) else None
        case "date":
            return _date(node)
        case "integer" | "number":
            return _numeric(node, datatype)
    return None


def _text(node: exp.Expr) -> str | None:
    if not isinstance(node, exp.Literal) or not node.is_string:
        return None
    text = str(node.this)
    return text if len(text) <= MAX_TEXT and text.isprintable() else None


def _date(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Cast):
        node = node.this if node.to.this == exp.DataType.Type.DATE else node
    text = _text(node)
    try:
        return date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        return None


def _numeric(node: exp.Expr, datatype: str) -> int | float | None:
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if not isinstance(node, exp.Literal) or node.is_string:
        return None
    try:
        if datatype == "integer":
            whole = sign * int(str(node.this))
            return whole if whole in _INTEGERS else None
        number = sign * float(str(node.this))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
