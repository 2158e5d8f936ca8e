"""A query as the sandbox understands it: a closed little language, and the two texts that are made from it.

`Query` is what is left of a consumer's SQL after review. It can say nothing but: one table, conditions that compare
dimensions with literals, groups by dimensions, and four aggregates. From it come the *canonical* text (two spellings of
one question give one text) and the *job* SQL that runs in isolation. Of the user's text, neither contains more than
literals, quoted anew; names are those of the product description.

    >>> query = Query("visits", "person", (), (Output("n", Count()),), In("county", "string", ("B", "A")), {})
    >>> query.canonical()
    'SELECT count(*) AS "n" FROM "visits" WHERE "county" IN (\\'A\\', \\'B\\')'
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hexi.canonical import digest
from privacy.differencing import WIDTH
from privacy.disclosure import Aggregate, Average, Count, Entities, Sum

Literal = str | int | float | bool

# The modes of use that compute, as they stand in products, permits and requests.
SQL_MODE, SUM_MODE, PROGRAM_MODE = "sandbox-sql", "encrypted-sum", "sandbox-program"
# The longest query, in characters. The longest honest one lists a few dozen codes.
MAX_QUERY_CHARACTERS = 8192

# The datatypes of a product's columns, as DuckDB types. Dates stay text outside: JSON has no dates.
SQL_TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}

# Columns of the job's own; review refuses products whose columns start like this.
RESERVED_PREFIX = "hexi_"
_ENTITY, _ROWS = f"{RESERVED_PREFIX}entity", f"{RESERVED_PREFIX}rows"
_RECORD, _MARK, _BUCKET = f"{RESERVED_PREFIX}record", f"{RESERVED_PREFIX}mark", f"{RESERVED_PREFIX}bucket"
# The bits of an entity's number.
ENTITY_BITS = 2**52 - 1


@dataclass(frozen=True)
class In:
    """The column has one of these values. ``=`` is a list of one."""

    column: str
    datatype: str
    values: tuple[Literal, ...]

    def sql(self) -> str:
        """With the values sorted, each once."""
        values = ", ".join(sorted({literal(value, self.datatype) for value in self.values}))
        return f"{quote(self.column)} IN ({values})"


@dataclass(frozen=True)
class Ordered:
    """The column is below or above a value."""

    column: str
    datatype: str
    operator: str
    value: Literal

    def sql(self) -> str:
        """The comparison."""
        return f"{quote(self.column)} {self.operator} {literal(self.value, self.datatype)}"


@dataclass(frozen=True)
class Missing:
    """The column has no value."""

    column: str

    def sql(self) -> str:
        """``IS NULL``."""
        return f"{quote(self.column)} IS NULL"


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: "Condition"

    def sql(self) -> str:
        """A double negation disappears (it does in three-valued logic, too)."""
        return self.part.part.sql() if isinstance(self.part, Not) else f"NOT ({self.part.sql()})"


@dataclass(frozen=True)
class Junction:
    """All of them (AND) or any of them (OR)."""

    operator: str
    parts: tuple["Condition", ...]

    def sql(self) -> str:
        """Flat, sorted, each part once: order and repetition do not make another question."""
        texts = sorted({f"({part.sql()})" for part in self._flat()})
        return f" {self.operator} ".join(texts) if len(texts) > 1 else texts[0][1:-1]

    def _flat(self) -> Iterator["Condition"]:
        for part in self.parts:
            if isinstance(part, Junction) and part.operator == self.operator:
                yield from part._flat()  # noqa: SLF001 - our own class
            else:
                yield part


Condition = In | Ordered | Missing | Not | Junction


@dataclass(frozen=True)
class Group:
    """A column of the result that is a dimension."""

    column: str


@dataclass(frozen=True)
class Output:
    """A column of the result under its name."""

    name: str
    item: Group | Aggregate


@dataclass(frozen=True)
class Field:
    """What the job must know about a column: its datatype and, for a measure, the declared range."""

    datatype: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Query:
    """A reviewed question. `groups` stand in the order of the GROUP BY, `outputs` in that of the SELECT list."""

    table: str
    entity_key: str
    groups: tuple[str, ...]
    outputs: tuple[Output, ...]
    where: Condition | None
    fields: Mapping[str, Field]
    dominance: bool = False
    # The columns by whose values a record is known, in every query and version, wherever in its file it stands.
    contents: tuple[str, ...] = ()

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates, in the order of the SELECT list."""
        return tuple(output.item for output in self.outputs if not isinstance(output.item, Group))

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures asked for, each once, sorted."""
        return tuple(sorted({item.measure for item in self.aggregates if isinstance(item, Sum | Average)}))

    def basis(self, measure: str) -> str:
        """What numbers about a measure are about, over all products."""
        return f"{self.table}.{measure}"

    def canonical(self) -> str:
        """One text for one question."""
        chosen = ", ".join(f"{self._shown(output.item)} AS {quote(output.name)}" for output in self.outputs)
        where = f" WHERE {self.where.sql()}" if self.where else ""
        groups = f" GROUP BY {', '.join(sorted(map(quote, self.groups)))}" if self.groups else ""
        return f"SELECT {chosen} FROM {quote(self.table)}{where}{groups}"  # noqa: S608 - every part is quoted

    def job(self) -> str:
        """The SQL to run: per cell the groups, how many entities, their sketch, the rows, and four or five columns a
        measure.

        An entity has one number in every query of every version (`entity_number`). How many have a measure, and their
        sketch, are NULL where it is all of them. Values are read with TRY_CAST: one that does not fit its declared
        type is missing, never an error, for an error would say something about it. Rows without an entity are left out:
        nobody could be counted for them.
        """
        groups = {group: self.fields[group].datatype for group in self.groups}
        measures = {measure: self.fields[measure] for measure in self.measures}
        return cell_sql([f"base AS ({self._base()})"], groups, measures, self.where, dominance=self.dominance)

    def _base(self) -> str:
        key = quote(self.entity_key)
        columns = [f"{typed(name, field)} AS {quote(name)}" for name, field in sorted(self.fields.items())]
        known = [quote(name) for name in self.contents]
        # Of records that are alike in everything each has a number.
        alike = f"row_number() OVER (PARTITION BY {', '.join([key, *known])})"
        numbered = [
            f"{entity_number(f'CAST({key} AS VARCHAR)')} AS {quote(_ENTITY)}",
            f"{named(*known, alike)} AS {quote(_RECORD)}",
        ]
        chosen = ", ".join([*columns, *numbered])
        return f"SELECT {chosen} FROM {quote(self.table)} WHERE {key} IS NOT NULL"  # noqa: S608 - every part is quoted

    def _shown(self, item: Group | Aggregate) -> str:
        match item:
            case Group(column):
                return quote(column)
            case Count():
                return "count(*)"
            case Entities():
                return f"count(DISTINCT {quote(self.entity_key)})"
            case Sum(measure):
                return f"sum({quote(measure)})"
            case Average(measure):
                return f"avg({quote(measure)})"


@dataclass(frozen=True)
class Reviewed:
    """A question that may be asked. `job_sql` is written anew from what was understood, never the consumer's text."""

    query: Query
    canonical_sql: str
    job_sql: str

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates, in the order of the SELECT list."""
        return self.query.aggregates

    @property
    def digest(self) -> str:
        """Names the question."""
        return digest({"query": self.canonical_sql})


def cell_sql(
    common: Sequence[str],
    groups: Mapping[str, str],
    measures: Mapping[str, Field],
    where: Condition | None,
    *,
    dominance: bool,
    repeated: bool = False,
) -> str:
    """The SQL that makes cells of the relation ``base``, which is defined in `common` and names entity and record.

    `groups` has the datatype of each group. With `repeated` a record may stand in several rows of ``base``; it then
    counts once in a cell, and so does each value of the record that `own_record` names beside the measure.
    """
    keys = [quote(group) for group in groups]
    rows = f"count(DISTINCT {quote(_RECORD)})" if repeated else "count(*)"
    mark = _mark(_RECORD, repeated=repeated)
    per_entity = [*keys, quote(_ENTITY), f"{rows} AS {quote(_ROWS)}", f"{mark} AS {quote(_MARK)}"]
    per_bucket = [
        *keys,
        f"{quote(_ENTITY)} % {WIDTH} AS {quote(_BUCKET)}",
        f"sum({quote(_ROWS)}) AS {quote(_ROWS)}",
        *_sketched("", quote(_MARK)),
    ]
    per_cell = [
        *(f"CAST({quote(group)} AS VARCHAR)" if kind == "date" else quote(group) for group, kind in groups.items()),
        "CAST(sum(n) AS BIGINT)",
        _buckets(""),
        f"CAST(sum({quote(_ROWS)}) AS BIGINT)",
    ]
    for index, (measure, field) in enumerate(measures.items()):
        per_entity += _per_entity(index, measure, field, repeated=repeated)
        per_bucket += _per_bucket(index, dominance=dominance)
        per_cell += _per_cell(index, dominance=dominance, repeated=repeated)
    filtered = f" WHERE {where.sql()}" if where else ""
    base = "base"
    if repeated:
        base, common = "once", [*common, f"once AS ({_once(keys, measures)})"]
    entities = f"SELECT {', '.join(per_entity)} FROM {base}{filtered} GROUP BY {', '.join([*keys, quote(_ENTITY)])}"  # noqa: S608
    buckets = f"SELECT {', '.join(per_bucket)} FROM entities GROUP BY {', '.join([*keys, quote(_BUCKET)])}"  # noqa: S608
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    return (
        f"WITH {', '.join(common)}, entities AS ({entities}), buckets AS ({buckets}) "  # noqa: S608 - every part is quoted
        f"SELECT {', '.join(per_cell)} FROM buckets{grouped}"
    )


def own_record(measure: str) -> str:
    """The column of ``base`` that names the record a measure's value is of, where rows may repeat it."""
    return f"{measure}_record"


def _once(keys: Sequence[str], measures: Iterable[str]) -> str:
    """``base`` with each value of a record once in a cell, and missing in all other rows of that record."""
    columns = [*keys, quote(_ENTITY), quote(_RECORD)]
    for measure in measures:
        record, value = quote(own_record(measure)), quote(measure)
        first = f"row_number() OVER (PARTITION BY {', '.join([*keys, record, value])}) = 1"
        columns += [record, f"CASE WHEN {first} THEN {value} END AS {value}"]
    return f"SELECT {', '.join(columns)} FROM base"  # noqa: S608 - every part is quoted


def _per_entity(index: int, measure: str, field: Field, *, repeated: bool) -> list[str]:
    value, record = quote(measure), own_record(measure) if repeated else _RECORD
    having = f" FILTER (WHERE {value} IS NOT NULL)"
    clipped = value
    if field.low is not None:
        # greatest and least skip NULLs in DuckDB: without the guard a missing value would count as a bound.
        bounded = f"greatest({_number(field.low)}, least({_number(field.high)}, {value}))"
        clipped = f"CASE WHEN {value} IS NOT NULL THEN {bounded} END"
    return [
        f"sum({clipped}) AS c{index}",
        f"count({value}) AS p{index}",
        f"{_mark(record, having, repeated=repeated)} AS m{index}",
    ]


def _sketched(which: str, mark: str, having: str = "") -> list[str]:
    """A bucket of a sketch (`privacy.differencing.Sketch`): how many entities, their numbers, and they by records."""
    entity = quote(_ENTITY)
    return [
        f"count(*){having} AS n{which}",
        f"bit_xor({entity}){having} AS x{which}",
        f"bit_xor({named(entity, mark)}){having} AS y{which}",
    ]


def _buckets(which: str) -> str:
    """The sketch, as `Sketch.read` reads it."""
    one = f"format('{{:04x}}{{:016x}}{{:016x}}', {quote(_BUCKET)}, x{which}, y{which})"
    return f"coalesce(string_agg({one}, '') FILTER (WHERE n{which} > 0), '')"


def _per_bucket(index: int, *, dominance: bool) -> list[str]:
    c, p = f"c{index}", f"p{index}"
    sums = [f"sum({one}) AS {one}" for one in (c, p)]
    largest = [f"max(abs(CAST({c} AS DOUBLE)), 2) AS t{index}"] if dominance else []
    return [*sums, *_sketched(str(index), f"m{index}", f" FILTER (WHERE {p} > 0)"), *largest]


def _per_cell(index: int, *, dominance: bool, repeated: bool) -> list[str]:
    c, p = f"c{index}", f"p{index}"
    # Where every record has a value, the sketch is the cell's own and need not be sent again.
    some = "TRUE" if repeated else f"sum({p}) < sum({quote(_ROWS)})"
    columns = [
        f"CAST(sum({c}) AS DOUBLE)",
        f"CAST(sum({p}) AS BIGINT)",
        f"CASE WHEN {some} THEN CAST(sum(n{index}) AS BIGINT) END",
        f"CASE WHEN {some} THEN {_buckets(str(index))} END",
    ]
    return [*columns, f"list_slice(list_reverse_sort(flatten(list(t{index}))), 1, 2)"] if dominance else columns


def _mark(record: str, which: str = "", *, repeated: bool) -> str:
    """Names a set of records of one entity: their names combined, as are those of sets that have none in common."""
    distinct = "DISTINCT " if repeated else ""
    return f"bit_xor({distinct}{quote(record)}){which}"


def entity_number(key: str) -> str:
    """The number of an entity, alike in every query and version: 52 bits of its key's MD5.

    Two of a million share one with a probability of 1 in 9,000; they then count as one, which is on the safe side.
    """
    return f"CAST(md5_number_lower({key}) & {ENTITY_BITS} AS BIGINT)"


def named(*parts: str) -> str:
    """What names these parts together. Hashed twice: DuckDB's hash of several is linear in the last one's, so that of
    two rows that are alike in the others any two would differ by the same.
    """
    return f"hash(hash({', '.join(parts)}))"


def quote(name: str) -> str:
    """An identifier that cannot be anything else."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any, datatype: str) -> str:
    """A literal of `datatype` that cannot be anything else."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value)
    text = "'" + value.replace("'", "''") + "'"
    return f"DATE {text}" if datatype == "date" else text


def typed(name: str, field: Field) -> str:
    """The column read as its declared datatype; what does not fit, and what is not a finite number, is missing."""
    value = f"TRY_CAST({quote(name)} AS {SQL_TYPES[field.datatype]})"
    return f"CASE WHEN isfinite({value}) THEN {value} END" if field.datatype == "number" else value


def _number(value: float | None) -> str:
    return repr(value)
