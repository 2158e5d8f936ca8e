"""Cells over persons: at the top of a query stand groups by declared values, and aggregates of plain columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from privacy.disclosure import Aggregate, Average, Count, Entities, Sum
from registry.controlled import Level
from sandbox.controlled.columns import Columns, Source, Value, level_reason
from sandbox.controlled.parts import Part, parts_of, rows_of
from sandbox.controlled.relations import RelationCompiler
from sandbox.controlled.rows import Seen
from sandbox.queries.grammar import aliased, rows_wanted
from sandbox.queries.query import Field, Group, Output, cell_sql, own_record, quote
from sandbox.queries.review import MAX_GROUPS, MAX_OUTPUTS, ROWS
from sandbox.reasons import Reason, Refused

# The values of a boolean, which need not be declared.
_BOOLEANS = (False, True)


@dataclass(frozen=True)
class Cells:
    """A question whose answer is a table of cells: the SQL that computes them, and how to read what it returns.

    `bases` says which column each measure is made of; `values` are the public values of each group; `sensitive` are the
    groups along which a class must not give itself away; `order` and `limit` are for the rows that leave, `rollup` says
    that totals are wanted, which are made of these. `parts` are what the numbers are made of, of each table by itself
    (`sandbox.controlled.parts`): no column of the answer, and each must be large enough by itself.
    """

    sql: str
    groups: tuple[str, ...]
    outputs: tuple[Output, ...]
    bases: Mapping[str, Source]
    values: Mapping[str, int]
    sensitive: frozenset[str]
    simple: bool
    order: tuple[tuple[int, bool], ...] = ()
    limit: int | None = None
    rollup: bool = False
    parts: Mapping[str, Part] = field(default_factory=dict)
    # What its rows are compared as; empty where a row was made of records of several tables.
    rows: str = ""
    dominance: bool = True

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates, in the order of the SELECT list."""
        return tuple(output.item for output in self.outputs if not isinstance(output.item, Group))

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures asked for, and the parts, in the order in which the SQL returns them."""
        return tuple(sorted((*self.bases, *self.parts)))

    @property
    def size(self) -> int:
        """How many cells the answer can have, from the declared values alone."""
        count = 1
        for group in self.groups:
            count *= self.values[group]
        return count


class CellCompiler:
    """Compiles one query into cells."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._relations = RelationCompiler(columns)

    @property
    def tables(self) -> set[str]:
        """The tables that were read."""
        return self._relations.tables

    def compile(self, select: exp.Select) -> Cells:
        """The cells asked for. Raises `Refused`."""
        seen = Seen(self._relations.withs(select, {}))
        rows = self._relations.from_(select, seen)
        if rows.entity is None:
            raise Refused(
                Reason(
                    "sandbox.entity-not-carried",
                    "none of these tables has an entity key, so nobody could be counted in a cell; join one that has",
                )
            )
        keys = self._groups(select, seen)
        outputs, measures = self._outputs(select, seen, keys)
        named = {name: value.source for name, (_, value) in keys.items()}
        chosen = [f"{quote(column)} AS {quote(name)}" for name, (column, _) in keys.items()]
        for name, (column, value) in measures.items():
            chosen += [f"{quote(column)} AS {quote(name)}"]
            chosen += [f"{quote(value.record) if value.record else rows.record} AS {quote(own_record(name))}"]
        parts = parts_of(rows, outputs, measures)
        for name, part in parts.items():
            chosen += [f"{part.value} AS {quote(name)}", f"{part.record} AS {quote(own_record(name))}"]
        chosen += [f"{rows.entity} AS hexi_entity", f"{rows.record} AS hexi_record"]
        base = f"SELECT {', '.join(chosen)} FROM {rows.text}{self._relations.where(select, seen)}"  # noqa: S608 - all is quoted
        sources = {name: source for name, source in named.items() if source is not None}
        sql = cell_sql(
            [*self._relations.common, f"base AS ({base})"],
            {name: str(source.column.datatype) for name, source in sources.items()},
            {name: Field("number") for name in sorted((*measures, *parts))},
            None,
            dominance=True,
            repeated=not rows.simple or rows.joined,
        )
        return Cells(
            sql,
            tuple(keys),
            outputs,
            {name: value.source for name, (_, value) in measures.items() if value.source},
            {name: self._levels(source) + 1 for name, source in sources.items()},
            frozenset(name for name, one in sources.items() if self._columns.sensitive(one)),
            simple=rows.simple,
            order=self._order(select, outputs),
            limit=_limit(select),
            rollup=_rollup(select) is not None,
            parts=parts,
            rows=rows_of(rows),
        )

    # At the top --------------------------------------------------------------------------------------------------

    def _groups(self, select: exp.Select, seen: Seen) -> dict[str, tuple[str, Value]]:
        """The keys of the cells: our name for each, the column, its value."""
        nodes = _rollup(select) or (select.args["group"].expressions if select.args.get("group") else [])
        if len(nodes) > MAX_GROUPS:
            raise Refused(Reason("sandbox.query-too-large", f"a query groups by at most {MAX_GROUPS} columns"))
        keys: dict[str, tuple[str, Value]] = {}
        for node in nodes:
            if not isinstance(node, exp.Column):
                raise Refused(Reason("sandbox.query-group", "GROUP BY names columns; expressions are not allowed"))
            _, name, value = seen.scope.find(node)
            source = value.source
            if source is not None and source.is_entity:
                raise Refused(_singling_out(source))
            if source is None or source.level not in {Level.PLAINTEXT, Level.GROUP_BY}:
                raise Refused(*(level_reason(s, "grouped by") for s in value.below_plaintext()))
            self._check_levels(source)
            if name not in {column for column, _ in keys.values()}:
                keys[f"g{len(keys)}"] = name, value
        return keys

    def _levels(self, source: Source) -> int:
        """How many values it has, from what is declared."""
        if source.column.datatype == "boolean" or source.column.domain:
            return len(source.column.domain or _BOOLEANS)
        return self._columns.policy.maximum_levels

    def _check_levels(self, source: Source) -> None:
        most, domain = self._columns.policy.maximum_levels, source.column.domain
        if not self._columns.protects:
            return  # without persons anybody may ask which values there are
        if not domain and source.column.datatype != "boolean":
            raise Refused(
                Reason(
                    "sandbox.query-group",
                    f"{source.name} declares no domain, and the values somebody has must not become known by being "
                    "answered; group by one that does, or ask the provider for a version that declares it",
                )
            )
        if len(domain or ()) > most:
            raise Refused(
                Reason(
                    "sandbox.query-too-large",
                    f"{source.name} has {len(domain or ())} levels; at most {most} may be grouped by",
                )
            )

    def _outputs(
        self, select: exp.Select, seen: Seen, keys: Mapping[str, tuple[str, Value]]
    ) -> tuple[tuple[Output, ...], dict[str, tuple[str, Value]]]:
        measures: dict[str, tuple[str, Value]] = {}
        outputs = [self._output(node, seen, keys, measures) for node in select.expressions]
        shown = [output.item.column for output in outputs if isinstance(output.item, Group)]
        if len(shown) == len(outputs):
            raise Refused(Reason("sandbox.query-rows", "a query needs at least one aggregate, such as count(*)"))
        if sorted(shown) != sorted(keys):
            raise Refused(
                Reason("sandbox.query-group", "the columns in SELECT and in GROUP BY must be the same, each once")
            )
        names = [output.name.lower() for output in outputs]
        if len(set(names)) < len(names) or len(names) > MAX_OUTPUTS:
            raise Refused(
                Reason("sandbox.query-alias", f"at most {MAX_OUTPUTS} columns, each with a name of its own; use AS")
            )
        return tuple(outputs), measures

    def _output(
        self,
        node: exp.Expr,
        seen: Seen,
        keys: Mapping[str, tuple[str, Value]],
        measures: dict[str, tuple[str, Value]],
    ) -> Output:
        alias, expression = aliased(node)
        if isinstance(expression, exp.Star) or (
            isinstance(expression.this, exp.Star) and isinstance(expression, exp.Column)
        ):
            raise Refused(ROWS)
        if isinstance(expression, exp.Column):
            return self._shown(expression, seen, keys, alias)
        name, item = self._aggregate(expression, seen, measures)
        return Output(alias or name, item)

    def _shown(self, node: exp.Column, seen: Seen, keys: Mapping[str, tuple[str, Value]], alias: str | None) -> Output:
        _, name, value = seen.scope.find(node)
        if value.source is not None and value.source.is_entity:
            raise Refused(_singling_out(value.source))
        key = next((key for key, (column, _) in keys.items() if column == name), None)
        if key is None:
            wrong = [s for s in value.below_plaintext() if s.level is not Level.GROUP_BY]
            reasons = [level_reason(source, "shown") for source in wrong]
            raise Refused(
                *(reasons or [Reason("sandbox.query-group", f"{node.name!r:.80} is shown but not grouped by")])
            )
        return Output(alias or node.name.lower(), Group(key))

    def _aggregate(self, node: exp.Expr, seen: Seen, measures: dict[str, tuple[str, Value]]) -> tuple[str, Aggregate]:
        if isinstance(node, exp.Count):
            return self._counted(node, seen)
        if not isinstance(node, exp.Sum | exp.Avg):
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} is not allowed here; groups are, and count(*), "
                    "count(DISTINCT entity key), sum and avg",
                )
            )
        if not isinstance(node.this, exp.Column):
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key}() takes one column as it stands, not {node.this.key.upper()}: computed, it could "
                    "choose whose value counts",
                )
            )
        _, name, value = seen.scope.find(node.this)
        self._relations.measure(value, node.key)
        measure = next((key for key, (column, _) in measures.items() if column == name), f"v{len(measures)}")
        measures[measure] = name, value
        kind = "sum" if isinstance(node, exp.Sum) else "avg"
        return f"{kind}_{node.this.name.lower()}", Sum(measure) if kind == "sum" else Average(measure)

    def _counted(self, node: exp.Count, seen: Seen) -> tuple[str, Aggregate]:
        if isinstance(node.this, exp.Star):
            return "count", Count()
        if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
            (counted,) = node.this.expressions
            if isinstance(counted, exp.Column) and seen.scope.find(counted)[1] in seen.keys:
                return "entities", Entities()
        raise Refused(
            Reason("sandbox.query-function", "count is allowed as count(*) and as count(DISTINCT entity key)")
        )

    def _order(self, select: exp.Select, outputs: Sequence[Output]) -> tuple[tuple[int, bool], ...]:
        names, found = [output.name for output in outputs], []
        for one in select.args["order"].expressions if select.args.get("order") else ():
            if not isinstance(one.this, exp.Column) or one.this.name.lower() not in names:
                raise Refused(
                    Reason("sandbox.query-clause", f"ORDER BY names columns of the answer: {', '.join(names)}")
                )
            found.append((names.index(one.this.name.lower()), bool(one.args.get("desc"))))
        return tuple(found)


def _rollup(select: exp.Select) -> list[exp.Expr] | None:
    """The columns of GROUP BY ROLLUP (...), or None."""
    nodes = select.args["group"].expressions if select.args.get("group") else []
    return list(nodes[0].expressions) if len(nodes) == 1 and isinstance(nodes[0], exp.Rollup) else None


def _singling_out(source: Source) -> Reason:
    return Reason(
        "sandbox.singling-out",
        f"{source.name} names single entities: it may be joined on, and counted as "
        f"count(DISTINCT {source.column.name})",
    )


def _limit(select: exp.Select) -> int | None:
    limit = select.args.get("limit")
    return rows_wanted(limit.expression) if limit else None
