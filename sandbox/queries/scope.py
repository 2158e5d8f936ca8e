"""The one table a query may name, and what its columns may be used for."""

import re
from dataclasses import dataclass

from sqlglot import exp

from registry.catalogue import Column, Product, Table
from sandbox.queries.grammar import FILES, clause, file_function, function_name
from sandbox.queries.query import RESERVED_PREFIX
from sandbox.reasons import Reason, Refused

# A table name that looks like a file's, for a telling refusal.
_PATH = re.compile(r"[/\\.*?:~]")


@dataclass(frozen=True)
class Scope:
    """The one table a query may name, and the names it may be called by."""

    table: Table
    names: frozenset[str]

    @property
    def columns(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.table.columns}

    def column(self, node: exp.Column) -> Column | None:
        """The column meant: by its exact name, else, as in SQL, by its name in other letters if that is unambiguous."""
        if node.args.get("table") and node.table.lower() not in self.names:
            return None
        if node.name in self.columns or node.this.args.get("quoted"):
            return self.columns.get(node.name)
        alike = [column for column in self.table.columns if column.name.lower() == node.name.lower()]
        return alike[0] if len(alike) == 1 else None

    def known(self, node: exp.Column) -> Column:
        """The same; raises `Refused` for a column that the table does not have."""
        if column := self.column(node):
            return column
        raise Refused(
            Reason(
                "sandbox.query-column-unknown",
                f"the table {self.table.name} has no such column; it has "
                f"{names_of(self.table, 'dimension', 'measure')}",
            )
        )

    def comparable(self, node: exp.Column) -> Column:
        """A column that WHERE may compare with literals: a dimension. Raises `Refused`."""
        return self.dimension(node, "compared with a value")

    def dimension(self, node: exp.Column, use: str) -> Column:
        """A dimension. Raises `Refused`, saying that others may not be used like `use`."""
        column = self.known(node)
        if column.role != "dimension":
            raise Refused(_role(column, use, f"only dimensions may be: {names_of(self.table, 'dimension')}"))
        return column

    def measure(self, node: exp.Expr, function: str) -> Column:
        """A measure as the plain argument of `function`. Raises `Refused`."""
        if not isinstance(node, exp.Column):
            raise Refused(_plain_only(function, node))
        column = self.known(node)
        if column.role != "measure" or column.datatype not in {"integer", "number"}:
            fit = names_of(self.table, "measure")
            raise Refused(_role(column, f"the argument of {function}", f"only numeric measures may be: {fit}"))
        return column


def find_table(select: exp.Select, product: Product) -> tuple[Table, frozenset[str]]:
    """The table and the names it goes by in this query. Raises `Refused`."""
    from_ = select.args.get("from_")
    node = from_.this if from_ else None
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise Refused(_not_a_table(node, product))
    for table in product.tables:
        if node.name == table.name or (not node.this.args.get("quoted") and node.name.lower() == table.name.lower()):
            _check_table(table)
            return table, frozenset({(node.alias or node.name).lower()})
    raise Refused(_not_a_table(node, product))


def _check_table(table: Table) -> None:
    if not table.entity_key:
        raise Refused(
            Reason(
                "sandbox.query-table",
                f"the table {table.name} declares no entity key, so persons cannot be counted in it and nothing can be "
                "released from it; its provider can publish a version that names one",
            )
        )
    names = [column.name.lower() for column in table.columns]
    if len(set(names)) < len(names) or any(name.startswith(RESERVED_PREFIX) for name in names):
        raise Refused(
            Reason(
                "sandbox.query-table",
                f"the table {table.name} has two columns of one name, or one that starts with {RESERVED_PREFIX}; its "
                "provider must publish a version without",
            )
        )


def _not_a_table(node: exp.Expr | None, product: Product) -> Reason:
    tables = ", ".join(table.name for table in product.tables)
    if node is None:
        return Reason("sandbox.query-table", f"a query needs FROM and one table of the product: {tables}")
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
        name = function_name(node.this)
        if FILES.match(name):
            return file_function(name)
        return Reason("sandbox.query-table", f"the table function {name} is not allowed; ask one table: {tables}")
    if isinstance(node, exp.Table) and _PATH.search(node.name):
        return Reason("sandbox.query-file-access", f"no query reads files; ask one table of the product: {tables}")
    if isinstance(node, exp.Subquery):
        return clause("SUBQUERY")
    return Reason("sandbox.query-table", f"a query asks exactly one table of the product: {tables}")


def names_of(table: Table, *roles: str) -> str:
    return ", ".join(column.name for column in table.columns if column.role in roles) or "none"


def _role(column: Column, use: str, rule: str) -> Reason:
    return Reason("sandbox.query-column-role", f"{column.name} may not be {use}; {rule}")


def _plain_only(function: str, node: exp.Expr) -> Reason:
    return Reason(
        "sandbox.query-expression",
        f"{function} takes one plain measure, not {node.key.upper()}: computed, it could choose whose value counts",
    )
