"""What a query of the controlled lane may consist of: two allow-lists of nodes and their parts, over data with and
without persons. Whatever is not on them is refused under its name (`sandbox.queries.grammar.foreign_nodes`).
"""

from sqlglot import exp

from sandbox.queries.grammar import ALLOWED, Grammar

_THIS, _BINARY = frozenset({"this"}), frozenset({"this", "expression"})

_RELATIONS: Grammar = {
    exp.Select: frozenset({"expressions", "from_", "joins", "where", "group", "order", "limit", "with_"}),
    exp.Join: frozenset({"this", "on", "using", "side", "kind"}),
    exp.Subquery: frozenset({"this", "alias"}),
    exp.With: frozenset({"expressions"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.Union: frozenset({"this", "expression", "distinct", "with_"}),
    exp.Limit: frozenset({"expression"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
}

# Aggregates that hide single values, and those that hand on the value they found.
HIDING: frozenset[type[exp.Expr]] = frozenset(
    {exp.Sum, exp.Avg, exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop}
)
FINDING: frozenset[type[exp.Expr]] = frozenset({exp.Min, exp.Max})

# Over persons: the closed language of single tables, and relations built from it. Least and most only of one entity.
PERSONS: Grammar = {
    **ALLOWED,
    **_RELATIONS,
    **dict.fromkeys(FINDING, _THIS),
    exp.Rollup: frozenset({"expressions"}),
}

# Functions of plain values: total or harmless when they fail, and none that makes much out of little.
_FUNCTIONS: Grammar = {
    exp.Abs: _THIS,
    exp.Round: frozenset({"this", "decimals"}),
    exp.Floor: _THIS,
    exp.Ceil: _THIS,
    exp.Lower: _THIS,
    exp.Upper: _THIS,
    exp.Length: _THIS,
    exp.Trim: _THIS,
    exp.Substring: frozenset({"this", "start", "length"}),
    exp.DPipe: frozenset({"this", "expression", "safe"}),
    exp.Coalesce: frozenset({"this", "expressions"}),
    exp.Nullif: _BINARY,
    exp.Greatest: frozenset({"this", "expressions", "ignore_nulls"}),
    exp.Least: frozenset({"this", "expressions", "ignore_nulls"}),
    exp.Extract: _BINARY,
    exp.Year: _THIS,
    exp.Month: _THIS,
    exp.Day: _THIS,
    exp.Quarter: _THIS,
}

# Over data without persons: what analysts of tables write.
PLAIN: Grammar = {
    **PERSONS,
    **_FUNCTIONS,
    **dict.fromkeys(HIDING | FINDING, _THIS),
    exp.Select: frozenset({*_RELATIONS[exp.Select], "having", "distinct", "offset"}),
    exp.Intersect: frozenset({"this", "expression", "distinct", "with_"}),
    exp.Except: frozenset({"this", "expression", "distinct", "with_"}),
    exp.Having: _THIS,
    exp.Offset: frozenset({"expression"}),
    exp.Exists: _THIS,
    exp.In: frozenset({"this", "expressions", "query"}),
    exp.Like: _BINARY,
    exp.Case: frozenset({"ifs", "default"}),
    exp.If: frozenset({"this", "true", "false"}),
    exp.Add: _BINARY,
    exp.Sub: _BINARY,
    exp.Mul: _BINARY,
    exp.Div: frozenset({"this", "expression", "typed", "safe"}),
    exp.Mod: _BINARY,
    exp.Interval: frozenset({"this", "unit"}),
    exp.Var: _THIS,
}

# What a value may be cast to.
CASTS = frozenset(
    {
        exp.DataType.Type.VARCHAR,
        exp.DataType.Type.TEXT,
        exp.DataType.Type.BIGINT,
        exp.DataType.Type.INT,
        exp.DataType.Type.DOUBLE,
        exp.DataType.Type.DATE,
        exp.DataType.Type.BOOLEAN,
    }
)
