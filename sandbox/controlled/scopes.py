"""Who is meant by a name: relations visible to one SELECT, and fresh names for what is sent to the engine.

Every relation and every column of a sub-query gets a name of ours. So the engine cannot understand a name in another
way than we did: there are no two of a name, and no alias is taken for a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.controlled.columns import Source, Value
from sandbox.queries.query import RESERVED_PREFIX
from sandbox.reasons import Reason, Refused


class Names:
    """Fresh names, numbered in the order in which they are needed: one question in two spellings has the same."""

    def __init__(self) -> None:
        self._last = 0

    def fresh(self) -> str:
        """A name that nothing else has."""
        self._last += 1
        return f"{RESERVED_PREFIX}{self._last}"


@dataclass(frozen=True)
class Relation:
    """Something in FROM: its name in the SQL that runs, and its columns by the consumer's name, in small letters."""

    name: str
    columns: Mapping[str, tuple[str, Value]]


@dataclass
class Scope:
    """The relations one SELECT sees, by the names the consumer gave them; `parent` is that of the query around it.

    `outer` collects what was taken from around: a sub-query's result says something about it.
    """

    relations: dict[str, Relation] = field(default_factory=dict)
    parent: "Scope | None" = None
    outer: set[Source] = field(default_factory=set)

    def add(self, visible: str, relation: Relation) -> None:
        """Make `relation` visible. Raises `Refused` for a name that is taken."""
        if visible.lower() in self.relations:
            raise Refused(
                Reason(
                    "sandbox.query-table", f"two relations in one FROM are called {visible!r:.40}; use AS to tell them"
                )
            )
        self.relations[visible.lower()] = relation

    def find(self, node: exp.Column) -> tuple[Relation, str, Value]:
        """The relation, the column's name in the SQL that runs, and its value. Raises `Refused`."""
        found = self._here(node)
        if len(found) == 1:
            return found[0]
        if found:
            raise Refused(
                Reason(
                    "sandbox.query-column-unknown",
                    f"{node.name!r:.80} is in several relations; say which: table.column",
                )
            )
        if self.parent is None:
            raise Refused(self._unknown(node))
        relation, name, value = self.parent.find(node)
        self.outer |= value.sources
        return relation, name, value

    def _here(self, node: exp.Column) -> list[tuple[Relation, str, Value]]:
        wanted, table = node.name.lower(), node.table.lower()
        return [
            (relation, *relation.columns[wanted])
            for visible, relation in self.relations.items()
            if wanted in relation.columns and table in {"", visible}
        ]

    def _unknown(self, node: exp.Column) -> Reason:
        known = ", ".join(sorted(name for relation in self.relations.values() for name in relation.columns))
        return Reason(
            "sandbox.query-column-unknown",
            f"there is no column {node.name!r:.80} here that a query may name; there are: {known:.2000}",
        )
