"""Which SQL is read at all: one SELECT, made of nodes on a list. Everything else is refused under its name.

An allow-list of node types *and* of their parts: a construct nobody thought of is refused like one that somebody did.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

import sqlglot
from sqlglot import exp

from sandbox.queries.query import MAX_QUERY_CHARACTERS
from sandbox.reasons import Reason, Refused

# sqlglot logs statements it does not know, with their text: query texts do not belong in logs.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

# Parsed nodes of one query, and how deep they may nest (chains of AND and OR are deep by nature).
MAX_NODES, MAX_NESTING = 2000, 400
# Digits of LIMIT and OFFSET: more rows than any table has, and a number that every reader of JSON reads alike.
MAX_LIMIT_DIGITS = 15

# Functions and names that are about files, for a telling refusal. Not a defence: unknown ones are refused all the same.
FILES = re.compile(r"read_|.*_scan|.*scan_|glob$|sniff_|parquet_|copy_|write_|getenv|.*_metadata|load_|st_read|import_")


# A name a consumer gives to a column: too short and too plain to carry data (attack Q16).
_ALIAS = re.compile(r"[a-z_][a-z0-9_]{0,31}")


def parse_select(text: str) -> exp.Select:
    """Exactly one SELECT, with no set operation around it. Raises `Refused`."""
    query = parse_query(text)
    if not isinstance(query, exp.Select):
        raise Refused(clause(query.key.upper()))
    return query


def parse_query(text: str) -> exp.Query:
    """Exactly one SELECT, or set operation over SELECTs. Raises `Refused`."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise Refused(Reason("sandbox.query-too-large", f"a query has at most {MAX_QUERY_CHARACTERS} characters"))
    try:
        statements = [one for one in sqlglot.parse(text, dialect="duckdb") if one is not None]
        nested = max((_depth(node) for one in statements for node in one.walk()), default=0)
        nodes = sum(1 for one in statements for _ in one.walk())
    except RecursionError:
        raise Refused(TOO_DEEP) from None
    except (sqlglot.errors.SqlglotError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        if (word := text.split(None, 1)[:1]) and word[0].upper() in _FILE_STATEMENTS:
            raise Refused(_file_statement(word[0].upper())) from None
        # The parser's own message quotes the query and is meant for its developers.
        raise Refused(
            Reason("sandbox.query-unreadable", "this is not SQL that can be read; write one SELECT (DuckDB dialect)")
        ) from None
    if nested > MAX_NESTING or nodes > MAX_NODES:
        raise Refused(TOO_DEEP)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise Refused(_not_one_select(statements))
    return statements[0]


TOO_DEEP = Reason(
    "sandbox.query-too-large",
    f"a query has at most {MAX_NODES} parts and is not nested more than {MAX_NESTING} deep; ask in several queries",
)


def _depth(node: exp.Expr) -> int:
    depth, parent = 0, node.parent
    while parent is not None:
        depth, parent = depth + 1, parent.parent
    return depth


# Statements that reach for files or for code outside, as their first word.
_FILE_STATEMENTS = frozenset(
    {
        "COPY",
        "EXPORT",
        "IMPORT",
        "ATTACH",
        "DETACH",
        "INSTALL",
        "LOAD",
        "LOADDATA",
        "CHECKPOINT",
        "FORCE",
        "UPDATE_EXTENSIONS",
    }
)


def _not_one_select(statements: Sequence[exp.Expr]) -> Reason:
    if len(statements) != 1:
        return Reason(
            "sandbox.query-not-one-select",
            f"a query is exactly one SELECT; this text has {len(statements)} statements. Send them one by one",
        )
    word = _word(statements[0])
    if word in _FILE_STATEMENTS:
        return _file_statement(word)
    return Reason("sandbox.query-not-one-select", f"a query is exactly one SELECT; {word} is not allowed")


def _file_statement(word: str) -> Reason:
    return Reason(
        "sandbox.query-file-access",
        f"{word} reaches for files or extensions, which no query may; ask one SELECT over the product's table",
    )


def _word(statement: exp.Expr) -> str:
    return str(statement.this).upper() if isinstance(statement, exp.Command) else statement.key.upper()


_BINARY = frozenset({"this", "expression"})
_THIS = frozenset({"this"})

Grammar = Mapping[type[exp.Expr], frozenset[str]]

# Every node a query may consist of, with every part it may have. Nothing else is read further down.
ALLOWED: Grammar = {
    exp.Select: frozenset({"expressions", "from_", "where", "group", "order"}),
    exp.From: _THIS,
    exp.Table: frozenset({"this", "alias"}),
    exp.TableAlias: _THIS,
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Alias: frozenset({"this", "alias"}),
    exp.Where: _THIS,
    exp.Group: frozenset({"expressions"}),
    exp.Order: frozenset({"expressions"}),
    exp.Ordered: frozenset({"this", "nulls_first"}),
    exp.Paren: _THIS,
    exp.And: _BINARY,
    exp.Or: _BINARY,
    exp.Not: _THIS,
    exp.EQ: _BINARY,
    exp.NEQ: _BINARY,
    exp.LT: _BINARY,
    exp.LTE: _BINARY,
    exp.GT: _BINARY,
    exp.GTE: _BINARY,
    exp.In: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Is: _BINARY,
    exp.Null: frozenset(),
    exp.Boolean: _THIS,
    exp.Neg: _THIS,
    exp.Literal: frozenset({"this", "is_string"}),
    # DATE '2026-01-01' is parsed as a cast; what may be cast is checked where literals are read.
    exp.Cast: frozenset({"this", "to"}),
    exp.DataType: frozenset({"this", "nested"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Distinct: frozenset({"expressions"}),
    exp.Star: frozenset(),
    exp.Sum: _THIS,
    exp.Avg: _THIS,
}


# Parts whose name in the parser is not their name in SQL.
_PARTS = {"joins": "join", "windows": "window", "query": "subquery", "this": "inside a function"}


def foreign_nodes(select: exp.Query, allowed: Grammar = ALLOWED) -> Iterator[Reason]:
    """A reason for each node, and part of a node, that has no place in a query. What is inside of those is not read."""
    for node in select.walk(prune=lambda node: type(node) not in allowed or _in_foreign_part(node, allowed)):
        if _in_foreign_part(node, allowed):
            continue
        if type(node) not in allowed:
            yield _foreign(node)
            continue
        # An empty list or False is how the parser says that a part is absent.
        for part in (part for part, value in node.args.items() if value and part not in allowed[type(node)]):
            name = _PARTS.get(part, part.strip("_"))
            yield clause((name if isinstance(node, exp.Select) else f"{node.key} {name}").upper())


def _in_foreign_part(node: exp.Expr, allowed: Grammar) -> bool:
    return node.parent is not None and node.arg_key not in allowed.get(type(node.parent), ())


# Nodes that are clauses of SQL, refused as such.
_CLAUSES = (
    exp.Cube,
    exp.Exists,
    exp.Filter,
    exp.GroupingSets,
    exp.Having,
    exp.Join,
    exp.Limit,
    exp.Offset,
    exp.Qualify,
    exp.Rollup,
    exp.Select,
    exp.SetOperation,
    exp.Subquery,
    exp.TableSample,
    exp.Window,
    exp.With,
)


def _foreign(node: exp.Expr) -> Reason:
    if isinstance(node, exp.IgnoreNulls | exp.RespectNulls):
        return _foreign(node.this)
    if isinstance(node, exp.Case | exp.If):
        return Reason(
            "sandbox.query-expression",
            "CASE and IF would choose whose values are summed; restrict the query with WHERE or split it with GROUP BY",
        )
    if isinstance(node, _CLAUSES):
        return clause(node.key.upper())
    if isinstance(node, exp.Func):
        name = function_name(node)
        if FILES.match(name):
            return file_function(name)
        return Reason(
            "sandbox.query-function",
            f"the function {name} is not allowed; queries have count(*), count(DISTINCT entity key), sum(measure) and "
            "avg(measure)",
        )
    return Reason(
        "sandbox.query-expression",
        f"{node.key.upper()} is not allowed; dimensions are compared with literals, measures go plain into sum or avg",
    )


_WAYS_OUT = {
    "HAVING": "small cells are left out by themselves",
    "LIMIT": "the whole answer comes back; cut it at your side",
    "OFFSET": "the whole answer comes back; cut it at your side",
    "FILTER": "restrict the whole query with WHERE",
    "WINDOW": "compute over the released rows at your side",
    "QUALIFY": "compute over the released rows at your side",
    "DISTINCT": "GROUP BY gives each group once",
    "WITH": "ask one SELECT over one table",
    "JOIN": "ask one table; a provider can publish a table that is joined already",
    "UNION": "ask in several queries",
    "INTERSECT": "ask in several queries",
    "EXCEPT": "ask in several queries",
    "SUBQUERY": "ask one SELECT over one table",
}


def aliased(node: exp.Expr) -> tuple[str | None, exp.Expr]:
    """The name after AS, None where there is none, and what bears it. Raises `Refused`."""
    if not isinstance(node, exp.Alias):
        return None, node
    check_alias(node.alias)
    return node.alias, node.this


def check_alias(name: str) -> None:
    """Raise `Refused` unless a consumer may give this name to a column."""
    if not _ALIAS.fullmatch(name):
        raise Refused(
            Reason(
                "sandbox.query-alias",
                "a name after AS has 1 to 32 small letters, digits and _, not starting with a digit",
            )
        )


def rows_wanted(node: exp.Expr) -> int:
    """How many rows LIMIT or OFFSET names. Raises `Refused`."""
    digits = str(node.this) if isinstance(node, exp.Literal) and not node.is_string else ""
    if digits.isdecimal() and digits.isascii() and len(digits) <= MAX_LIMIT_DIGITS:
        return int(digits)
    raise Refused(
        Reason("sandbox.query-literal", f"LIMIT and OFFSET take a whole number of at most {MAX_LIMIT_DIGITS} digits")
    )


def clause(name: str) -> Reason:
    way_out = _WAYS_OUT.get(name, "leave it out: a query has SELECT, FROM, WHERE, GROUP BY and ORDER BY its groups")
    return Reason("sandbox.query-clause", f"{name} is not allowed; {way_out}")


def function_name(node: exp.Func) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else node.sql_name().lower()


def file_function(name: str) -> Reason:
    return Reason("sandbox.query-file-access", f"{name} reaches for files, which no query may; ask the product's table")
