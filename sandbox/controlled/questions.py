"""May this be asked in the controlled lane? A decision over the query's text and the published product only."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlglot import exp

from hexi.canonical import Json, digest
from privacy.disclosure import Sum
from registry.catalogue import Product, Table
from registry.controlled import Controlled
from sandbox.controlled.cells import CellCompiler, Cells
from sandbox.controlled.columns import Columns, Source, level_reason
from sandbox.controlled.grammar import PERSONS, PLAIN
from sandbox.controlled.plain import PlainRewriter
from sandbox.queries.grammar import foreign_nodes, parse_query, parse_select
from sandbox.queries.query import SQL_MODE, SUM_MODE
from sandbox.reasons import Reason, Refusal, Refused


@dataclass(frozen=True)
class Question:
    """A query that may be asked: what runs, over which tables, and how what comes out is read.

    `cells` is there over persons, and where the rows of one table without persons are `guarded` one by one; otherwise
    the rows leave as they are, under `names`.
    """

    canonical_sql: str
    job_sql: str
    tables: tuple[Table, ...]
    names: tuple[str, ...]
    cells: Cells | None = None
    guarded: str | None = None

    @property
    def digest(self) -> str:
        """Names the question, however it was spelled."""
        form: dict[str, Json] = {"sql": self.job_sql, "names": list(self.names)}
        if self.cells:
            form |= {
                "order": [list(one) for one in self.cells.order],
                "limit": self.cells.limit,
                "rollup": self.cells.rollup,
            }
        return digest(form)

    @property
    def query_sets(self) -> int:
        """How many cells it asks for, from declared values alone."""
        return self.cells.size if self.cells else 1

    def report(self) -> dict[str, Json]:
        """The rules it is held to, as the receipt and the reviewer see them: of text and policy alone."""
        return {
            "lane": "controlled",
            "persons": self.cells is not None and self.guarded is None,
            "guarded": self.guarded,
            "tables": [table.name for table in self.tables],
            "querySets": self.query_sets,
        }


def review(text: str, product: Product, mode: str) -> Question | Refusal:
    """The question, or why it may not be asked; for an encrypted sum, one number. Never raises on any text."""
    if mode not in {SQL_MODE, SUM_MODE} or product.controlled is None:
        return Refusal((_NO_POLICY,))
    columns = Columns(product, product.controlled)
    try:
        question = _over_persons(text, columns) if columns.protects else _plain(text, columns)
        if mode == SUM_MODE:
            _check_one_sum(question)
        return question
    except Refused as refused:
        return Refusal(tuple(dict.fromkeys(refused.reasons)))
    except RecursionError:
        return Refusal((Reason("sandbox.query-too-large", "the query is nested too deep; ask in several queries"),))


_NO_POLICY = Reason("sandbox.no-lane", "this product declares no controlled policy, or is not asked in this mode")


def _check_one_sum(question: Question) -> None:
    cells = question.cells
    if cells is None or question.guarded:
        raise Refused(
            Reason("sandbox.query-not-one-sum", "an encrypted sum counts entities, and this product has none to count")
        )
    if cells.groups or not cells.simple or len(cells.outputs) != 1 or not isinstance(cells.outputs[0].item, Sum):
        raise Refused(
            Reason(
                "sandbox.query-not-one-sum", "an encrypted sum is exactly SELECT sum(measure) FROM table [WHERE ...]"
            )
        )
    (source,) = cells.bases.values()
    if source.column.range is None:
        raise Refused(
            Reason(
                "sandbox.query-no-range",
                f"{source.name} has no declared range, without which no sum is encrypted; ask the provider to publish "
                "a version with a range",
            )
        )


def _over_persons(text: str, columns: Columns) -> Question:
    select = parse_select(text)
    if foreign := list(foreign_nodes(select, PERSONS)):
        raise Refused(*foreign)
    compiler = CellCompiler(columns)
    cells = compiler.compile(select)
    tables = tuple(table for table in columns.product.tables if table.name in compiler.tables or table.entity_key)
    names = tuple(output.name for output in cells.outputs)
    return Question(_canonical(select), cells.sql, tables, names, cells)


def _plain(text: str, columns: Columns) -> Question:
    query = parse_query(text)
    if foreign := list(foreign_nodes(query, PLAIN)):
        raise Refused(*foreign)
    rewriter = PlainRewriter(columns)
    rewritten = rewriter.rewrite(query)
    tables = tuple(table for table in columns.product.tables if table.name in rewriter.tables)
    if rewriter.summed and columns.product.disclosure.minimum_entities > 1:
        return _guarded(text, columns, rewriter.summed)
    names = tuple(output.visible.lower() for output in rewritten.outputs)
    return Question(_canonical(query), rewritten.query.sql(dialect="duckdb", copy=False), tables, names)


def _guarded(text: str, columns: Columns, summed: Collection[Source]) -> Question:
    """A question that names columns which may only be summed: answered as over persons, each row of their table one."""
    named = sorted(summed, key=lambda source: source.name)
    tables = sorted({name.partition(".")[0] for source in named for name in source.names})
    if len(tables) > 1:
        rule = f"a question names such columns of one table, and this one of {' and '.join(tables)}; ask each by itself"
        raise Refused(*(level_reason(source, "asked for with the others", rule) for source in named))
    guarded = Columns(columns.product, columns.policy, guarded=tables[0])
    try:
        return replace(_over_persons(text, guarded), guarded=tables[0])
    except Refused as refused:
        rule = f"what names it is answered as over persons, every row of {tables[0]} counting as one"
        raise Refused(level_reason(named[0], "used in every way", rule), *refused.reasons) from refused


def _canonical(query: exp.Query) -> str:
    # Not a copy: nobody needs the tree any more.
    return query.sql(dialect="duckdb", normalize=True, comments=False, copy=False)


def explained(product: Product) -> dict[str, Json]:
    """What may be asked, for people and programs: of the published description alone. The product has a policy."""
    policy = product.controlled or Controlled()
    columns, disclosure = Columns(product, policy), product.disclosure
    tables: list[Json] = [
        {
            "table": table.name,
            "entityKey": table.entity_key,
            "columns": [_use(columns, source) for source in columns.sources(table).values()],
        }
        for table in product.tables
    ]
    who = [f"asked by {one.group}: {', '.join(one.members)}" for one in policy.analysts]
    rules = [
        *who,
        f"at most {disclosure.maximum_rows} rows; isolation of level {disclosure.minimum_isolation} or better",
    ]
    if columns.protects:
        rules += [
            f"cells of fewer than {disclosure.minimum_entities} entities, and one more of each line, are left out",
            f"counts and sums are rounded to {disclosure.rounding}, means and totals made of rounded numbers",
            f"groups have a declared domain of at most {policy.maximum_levels} values",
        ]
    elif disclosure.minimum_entities > 1:
        rules.append(
            f"what names an aggregate-only column is asked for in groups of {disclosure.minimum_entities} or more rows,"
            f" its sums rounded to {disclosure.rounding}"
        )
    if policy.query_sets is not None:
        rules.append(f"one group of analysts asks for at most {policy.query_sets} cells, over all versions")
    if policy.airlock:
        rules.append("people of the provider look at every answer before it leaves")
    about = "about entities" if columns.protects else "about no persons"
    return {"lane": "controlled", "about": about, "tables": tables, "rules": list(rules)}


def _use(columns: Columns, source: Source) -> dict[str, Json]:
    joins = sorted({one for pair in columns.policy.joins for one in pair if source.name in pair} - {source.name})
    return {
        "name": source.column.name,
        "datatype": str(source.column.datatype),
        "level": str(source.level),
        "literals": columns.comparable(source),
        "joins": list(joins),
    }
