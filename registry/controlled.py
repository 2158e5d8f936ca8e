"""The controlled lane's part of a signed product: who may ask, what each column may be used for, and the caps.

A product that has the member `controlled` is answered by SQL over its tables, which is for data without persons or for
analysts whom the provider knows by name; `registry.catalogue` refuses it for persons and unnamed analysts.

    {"controlled": {
      "type": "controlled-policy",
      "analysts": [{"group": "planning", "members": ["did:web:planning.example"]}],
      "querySets": 400, "maximumLevels": 40, "airlock": true,
      "levels": {"visits.name": "never", "visits.doctor": "join-only"},
      "literals": ["visits.county", "visits.year"],
      "joins": [["visits.doctor", "doctors.doctor"]],
      "sensitive": ["visits.diagnosis"]}}

What is not said is not allowed: a column has the level that its role gives it, and below `plaintext` it is compared
with nothing that is not listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hexi.canonical import Wire

if TYPE_CHECKING:
    from registry.catalogue import Column, Table

# Groups of analysts, and members of one: people whom a provider can be said to know.
MAX_GROUPS, MAX_MEMBERS = 50, 200
# Levels of a column in GROUP BY, unless the policy says less (DataSHIELD's nfilter.levels.max).
MAXIMUM_LEVELS = 40

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class Level(StrEnum):
    """What a column may be used for, after the seven levels of SCQL's column control."""

    # Anything: shown, grouped by, computed with, compared with literals and with other such columns.
    PLAINTEXT = "plaintext"
    # Joined on with the columns named in `joins`; counted with DISTINCT; never shown, not even grouped.
    JOIN_ONLY = "join-only"
    # Grouped by, and shown once it is grouped by.
    GROUP_BY = "group-by"
    # The plain argument of sum and avg; nothing else.
    AGGREGATE_ONLY = "aggregate-only"
    # Compared with literals in WHERE; what it is never leaves.
    COMPARE_ONLY = "compare-only"
    # It exists and cannot be named.
    NEVER = "never"


_BY_ROLE = {
    "entity-key": Level.JOIN_ONLY,
    "dimension": Level.GROUP_BY,
    "measure": Level.AGGREGATE_ONLY,
    "hidden": Level.NEVER,
}


class Analysts(Wire):
    """Whose questions are counted together, because they may put their answers together."""

    group: str = Field(min_length=1, max_length=64)
    members: tuple[Annotated[str, Field(pattern=r"^did:", max_length=500)], ...] = Field(
        min_length=1, max_length=MAX_MEMBERS
    )


class Controlled(Wire):
    """The policy. `query_sets` is how many cells one group of analysts may ever ask for, over all versions."""

    type: Literal["controlled-policy"] = "controlled-policy"
    # Whom or what the product is about, as a name of the provider's own: answers of its products about the same are
    # compared with each other. As in a lattice, silent means everybody it has.
    population: str = Field(default="", max_length=64)
    analysts: tuple[Analysts, ...] = Field(default=(), max_length=MAX_GROUPS)
    query_sets: int | None = Field(default=None, ge=1)
    # Whether people of the provider look at every answer before it leaves (`sandbox.airlock`).
    airlock: bool = True
    maximum_levels: int = Field(default=MAXIMUM_LEVELS, ge=2, le=1000)
    levels: Mapping[ColumnName, Level] = {}
    literals: tuple[ColumnName, ...] = ()
    joins: tuple[tuple[ColumnName, ColumnName], ...] = ()
    sensitive: tuple[ColumnName, ...] = ()

    def group_of(self, did: str) -> str | None:
        """The group whose questions those of `did` are counted with; None if it may not ask."""
        if not self.analysts:
            return did
        return next((one.group for one in self.analysts if did in one.members), None)

    def level(self, table: "Table", column: "Column") -> Level:
        """As declared, else by the column's role; a dimension of a table about no entities is plaintext."""
        declared = self.levels.get(f"{table.name}.{column.name}")
        if declared is None and column.role == "dimension" and table.entity_key is None:
            return Level.PLAINTEXT
        return declared or _BY_ROLE[column.role]


def check(policy: Controlled, tables: Sequence["Table"], *, personal: bool) -> None:
    """Whether the policy fits the product's tables. Raises `ValueError`, naming what does not."""
    if personal and not (policy.analysts and policy.query_sets):
        raise ValueError(
            "controlled: with personal information the analysts are named (analysts) and what a group of them may ever "
            "ask is capped (querySets); for others there is the lattice"
        )
    members = [did for one in policy.analysts for did in one.members]
    if len({*members}) < len(members) or len({one.group for one in policy.analysts}) < len(policy.analysts):
        raise ValueError("controlled: a group, or a member of one, is named twice")
    columns = {f"{table.name}.{column.name}": (table, column) for table in tables for column in table.columns}
    for name, use in _named(policy):
        if name not in columns:
            raise ValueError(f"controlled: {use} names {name}, which no table of this product has")
        table, column = columns[name]
        level = policy.level(table, column)
        if level not in _FIT[use]:
            raise ValueError(f"controlled: {name} is {level} and may not stand in {use}")
        if use == "levels" and name == f"{table.name}.{table.entity_key}" and level not in _KEY_LEVELS:
            raise ValueError(f"controlled: {name} names single entities and is join-only or never")
        if use == "literals" and column.role == "entity-key":
            raise ValueError(f"controlled: {name} names single entities and is compared with no literal")
    for one, other in policy.joins:
        said = [(policy.level(*columns[name]), name in policy.literals) for name in (one, other)]
        if said[0] != said[1]:
            # What is equal to a column says what the column says.
            raise ValueError(f"controlled: {one} and {other} are joined and need the same level and place in literals")


_KEY_LEVELS = frozenset({Level.JOIN_ONLY, Level.NEVER})
_FIT: Mapping[str, frozenset[Level]] = {
    "levels": frozenset(Level),
    "literals": frozenset({Level.PLAINTEXT, Level.GROUP_BY, Level.COMPARE_ONLY}),
    "joins": frozenset({Level.PLAINTEXT, Level.JOIN_ONLY, Level.GROUP_BY}),
    "sensitive": frozenset({Level.PLAINTEXT, Level.GROUP_BY}),
}


def _named(policy: Controlled) -> Iterator[tuple[str, str]]:
    yield from ((name, "levels") for name in policy.levels)
    yield from ((name, "literals") for name in policy.literals)
    yield from ((name, "joins") for pair in policy.joins for name in pair)
    yield from ((name, "sensitive") for name in policy.sensitive)
