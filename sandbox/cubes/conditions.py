"""WHERE of a query to a cube: conditions joined by AND, each about one attribute or one sensitive column.

A condition is tried on every value of the declared domain, so what it means is read off by trying, whatever its shape.
"""

from collections.abc import Callable, Iterator, Mapping
from math import inf, isfinite
from typing import Any

from sqlglot import exp

from sandbox.cubes.names import Divided, Names
from sandbox.queries.conditions import MAX_LIST
from sandbox.reasons import Reason, Refused

COMPARE: Mapping[type[exp.Expr], Callable[[Any, float], Any]] = {
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


def restricted(select: exp.Select, names: Names) -> list[tuple[Divided, frozenset[int]]]:
    """For each attribute or sensitive column in WHERE, one of its columns and the values of its domain that count."""
    allowed: dict[str, tuple[Divided, frozenset[int]]] = {}
    where = select.args.get("where")
    for part in _conjuncts(where.this) if where else ():
        about = _about(part, names)
        domain = range(len(about.of))
        kept = frozenset(index for index in domain if _holds(part, index, names))
        _, before = allowed.get(about.owner, (about, frozenset(domain)))
        allowed[about.owner] = about, before & kept
    return list(allowed.values())


def number(node: exp.Expr) -> float:
    """The number that `node` is. Raises `Refused`."""
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if isinstance(node, exp.Literal) and not node.is_string:
        try:
            found = float(node.this)
        except ValueError:  # such as 1e, which the parser takes for a number
            found = inf
        if isfinite(found):
            return sign * found
    raise Refused(Reason("sandbox.query-literal", f"here stands a plain finite number, not {node.key.upper()}"))


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of ``a AND b AND c``, read without recursion: it is parsed as a deep tree leaning left."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, exp.Paren):
            waiting.append(one.this)
        elif isinstance(one, exp.And):
            waiting += [one.expression, one.this]
        else:
            yield one


def _about(part: exp.Expr, names: Names) -> Divided:
    """A column of the one attribute, or the sensitive column, that a condition speaks of."""
    found = {one.owner: one for one in (names.divided(node, "compared") for node in part.find_all(exp.Column))}
    if len(found) != 1:
        raise Refused(
            Reason(
                "sandbox.query-expression",
                "a condition joined by OR or NOT speaks of one attribute; ask the sides in several queries and add "
                "the counts, or write the parts with AND",
            )
        )
    return next(iter(found.values()))


def _holds(node: exp.Expr, index: int, names: Names) -> bool:
    match node:
        case exp.Paren():
            return _holds(node.this, index, names)
        case exp.Not():
            return not _holds(node.this, index, names)
        case exp.And():
            return _holds(node.this, index, names) and _holds(node.expression, index, names)
        case exp.Or():
            return _holds(node.this, index, names) or _holds(node.expression, index, names)
        case exp.In():
            if not 0 < len(node.expressions) <= MAX_LIST:
                raise Refused(Reason("sandbox.query-too-large", f"IN takes a list of 1 to {MAX_LIST} values"))
            places = (_place(node.this, value, index, names) for value in node.expressions)
            return any(here == there for here, there in places)
        case exp.Between():
            here, low = _place(node.this, node.args["low"], index, names)
            return low <= here <= _place(node.this, node.args["high"], index, names)[1]
    return _compared(node, index, names)


def _compared(node: exp.Expr, index: int, names: Names) -> bool:
    kind = type(node)
    if kind not in COMPARE:
        raise Refused(
            Reason(
                "sandbox.query-expression",
                f"{node.key.upper()} is not allowed in WHERE; compare a level with its labels",
            )
        )
    left, right = node.this, node.expression
    if isinstance(right, exp.Column):
        left, right, kind = right, left, _MIRROR.get(kind, kind)
    here, there = _place(left, right, index, names)
    return bool(COMPARE[kind](here, there))


def _place(column: exp.Expr, value: exp.Expr, index: int, names: Names) -> tuple[int, int]:
    """The place of domain value `index` among the column's labels, and the place of the label compared with."""
    about = names.divided(column, "compared")
    label = _label(value)
    if label not in about.labels:
        raise Refused(
            Reason(
                "sandbox.query-outside-domain",
                f"{about.name} is compared with a value outside its declared {len(about.labels)} labels; the "
                "product's policy lists them",
            )
        )
    return about.of[index], about.labels.index(label)


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
