"""``hexi sandbox``: try queries on a product, see what may be asked, measure the isolation of this machine."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import typer
from rich.console import Console
from rich.table import Table

from hexi.canonical import Json, digest, encode, parse, pretty, system_clock
from hexi.cli import DONE, REFUSED
from hexi.errors import DataspaceError, Malformed
from hexi.web import configure_logging
from registry.catalogue import Product
from registry.lanes import NoLane, lane_of
from sandbox.airlock.decisions import Decision
from sandbox.bench import Bench, bench_twin, dry_bench, open_bench, read_bench_product
from sandbox.cubes.register_cli import register
from sandbox.datasets import Dataset
from sandbox.errors import ProductUnusable
from sandbox.isolation.levels import BUILT
from sandbox.isolation.processes import IsolationSettings
from sandbox.isolation.processes import probe as probe_isolation
from sandbox.messages import RunAnswer
from sandbox.preview import MAX_TWIN_ROWS, PRODUCT_FILE, TwinFormat
from sandbox.preview.shown import show_dry_run
from sandbox.programs.environment import default_folder, open_environment, seal_environment
from sandbox.programs.source import read_text
from sandbox.programs.telling import draw_charts, print_outputs, print_report, print_review
from sandbox.queries.query import MAX_QUERY_CHARACTERS, PROGRAM_MODE, SQL_MODE
from sandbox.settings import SandboxSettings

app = typer.Typer(no_args_is_help=True, help="Sandboxed computation: usable but invisible. 可用不可见的沙箱计算。")

app.command()(register)

# The exit code for an answer that waits for reviewers: neither released nor refused.
HELD = 4
# One line of the stream, in bytes: a query in JSON with every character escaped takes six each; and some room.
MAX_LINE_BYTES = 12 * MAX_QUERY_CHARACTERS

_HOW = """Ask with --query 'SELECT ...', or with --query - to read queries from standard input; or run a Python program
with --program FILE (docs/reference/programs.md; --as-reviewer NAME shows what it declared).

One SELECT over one table: dimensions and count(*), count(DISTINCT <entity key>), sum(<measure>), avg(<measure>);
WHERE compares dimensions with literals; GROUP BY names exactly the dimensions shown.
`hexi sandbox explain --product FILE` lists them."""

ProductFile = Annotated[Path, typer.Option("--product", help="Product description (JSON).", dir_okay=False)]


@app.command("try")
def try_(
    product: Annotated[
        Path | None,
        typer.Option("--product", help="Product description; left out: product.json in --tables.", dir_okay=False),
    ] = None,
    tables: Annotated[Path | None, typer.Option("--tables", help="Folder with <table>.csv or <table>.parquet.")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Remember releases here across calls.")] = None,
    query: Annotated[str | None, typer.Option("--query", help="One SELECT, or - for a stream of them.")] = None,
    program: Annotated[Path | None, typer.Option("--program", help="A Python program.", dir_okay=False)] = None,
    as_reviewer: Annotated[
        str | None, typer.Option("--as-reviewer", metavar="NAME", help="Show what the provider's reviewers would see.")
    ] = None,
    decide: Annotated[Decision | None, typer.Option("--decide", help="Decide as that reviewer.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why it was decided so.")] = "on the bench",
    charts: Annotated[Path | None, typer.Option("--charts", help="Draw released charts into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of it; no tables needed.")] = False,
) -> None:
    """Ask a product, as a consumer would: review, isolation, disclosure control, receipt. No service, no contract.

    With --dry-run only the description is looked at: whether the query may be asked, by which rules, and how far off
    the numbers will be. The folder of 'hexi connector twin' has all that is needed: --tables twin.
    """
    described = read_bench_product(_product_file(product, tables))
    if query is None and program is None:
        print(_HOW)
        return
    if program is not None and query is not None:
        raise Malformed("a --program is run by itself, without --query")
    configure_logging("ERROR")
    if dry_run:
        _dry_run(described, query, program, as_json=as_json)
        return
    if tables is None:
        raise Malformed("name the folder with the tables (--tables), or ask what would come of it (--dry-run)")
    with open_bench(described, tables, state, system_clock) as bench:
        if query == "-":
            _stream(lambda text: _shown(bench.ask(text)), sys.stdin.buffer, sys.stdout)
            return
        answer = bench.ask(query or "") if program is None else bench.run_program(read_text(program))
        seen, answer = _reviewed(bench, answer, as_reviewer, decide, reason)
        said = bench.said
    _tell(answer, seen, said, as_json=as_json)
    if charts is not None:
        draw_charts(answer.outputs, charts)
    raise typer.Exit({"released": DONE, "held": HELD}.get(answer.verdict, REFUSED))


@app.command()
def twin(
    product: ProductFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables, product.json and twin.json; it is made.")],
    state: Annotated[Path | None, typer.Option("--state", help="A folder of 'try': draw from its cube.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, max=MAX_TWIN_ROWS, help="Rows of each table.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed gives another twin.")] = None,
    format_: Annotated[TwinFormat, typer.Option("--format", help="csv or parquet.")] = TwinFormat.CSV,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sidecar as JSON.")] = False,
) -> None:
    """Write synthetic tables of a product, on which anybody may try queries. No row is anybody's.

    They are drawn from the description alone, or, where 'try --state' has published the product's cube, from the
    numbers in it. The same again gives the same bytes.
    """
    made = bench_twin(read_bench_product(product), state, system_clock, rows=rows, seed=seed)
    described = product.read_bytes()
    said = made.write(out, format_)
    (out / PRODUCT_FILE).write_bytes(described)
    print(pretty(said)) if as_json else print(f"{', '.join(said['files'])} in {out}, drawn from the {said['source']}")


@app.command()
def explain(product: ProductFile, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What may be asked of a product, and what comes back."""
    described = read_bench_product(product)
    if isinstance(lane := lane_of(described, SQL_MODE), NoLane):
        raise ProductUnusable(f"no SQL may be asked of this product: {lane.why}")
    if described.lattice is not None:
        _explain_lattice(described, as_json=as_json)
        return
    if described.controlled is not None:
        _explain_controlled(described, as_json=as_json)
        return
    asked = [_askable(described, index) for index in range(len(described.tables))]
    if as_json:
        print(pretty({"tables": asked, "disclosure": described.disclosure.model_dump(mode="json", by_alias=True)}))
        return
    console = Console(soft_wrap=True)
    for table in asked:
        console.print(
            f"[bold]{table['table']}[/bold], about: {table['entityKey'] or 'nobody, so nothing can be asked'}"
        )
        for kind in ("dimensions", "measures"):
            console.print(f"  {kind}: {', '.join(str(one['name']) for one in table[kind]) or 'none'}")
        console.print(f"  for example: {table['example']}", highlight=False)
    rules = described.disclosure
    console.print(
        f"Groups of fewer than {rules.minimum_entities} are left out; counts and sums are rounded to {rules.rounding}; "
        f"at most {rules.maximum_rows} rows; isolation of level {rules.minimum_isolation} or better."
    )


@app.command()
def probe(
    level: Annotated[int, typer.Option(min=0, max=BUILT, help="What the product demands; 3 starts gVisor.")] = 0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the isolation that a job would have on this machine."""
    isolation = probe_isolation(IsolationSettings(runsc=SandboxSettings().runsc), level)
    if as_json:
        print(pretty({"level": isolation.level, "layers": dict(isolation.layers)}))
        return
    table = Table("layer", "measured", title=f"isolation of level {isolation.level}")
    for name, value in isolation.layers.items():
        table.add_row(name, str(value))
    Console().print(table)


def _product_file(product: Path | None, tables: Path | None) -> Path:
    """The description that is named, or lies beside the tables."""
    if product is None and tables is None:
        raise Malformed(f"name the product's description (--product), or a folder with {PRODUCT_FILE} (--tables)")
    return product or (tables or Path()) / PRODUCT_FILE


def _dry_run(product: Product, query: str | None, program: Path | None, *, as_json: bool) -> None:
    ask = dry_bench(product, system_clock, SQL_MODE if program is None else PROGRAM_MODE)
    if query == "-":
        _stream(lambda text: ask(text).to_json(), sys.stdin.buffer, sys.stdout)
        return
    found = ask(query or "" if program is None else read_text(program))
    print(pretty(found.to_json())) if as_json else show_dry_run(found)
    raise typer.Exit(REFUSED if found.reasons else DONE)


@app.command()
def algorithm(
    file: Annotated[Path, typer.Argument(help="The algorithm's description (JSON).", exists=True, dir_okay=False)],
    product: ProductFile,
    given: Annotated[list[str] | None, typer.Option("--parameter", help="name=value, once for each.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Try an algorithm on a synthetic twin of a product, before submitting it: its digest, and the rule report."""
    from sandbox.algorithms.algorithm import read_algorithm, read_parameters
    from sandbox.algorithms.trial import try_out

    described, read = read_bench_product(product), read_algorithm(parse(file.read_bytes()))
    dataset = Dataset(described, digest(described.identifier), {})
    if not read.is_for(described.identifier):
        typer.echo(f"its 'products' do not name {described.identifier}: a provider would not run it there", err=True)
    passed, report, environment = try_out(read, dataset, read_parameters(given or ()), SandboxSettings())
    found: dict[str, Json] = {"digest": read.digest, "passed": passed, "report": report, "environment": environment}
    if as_json:
        print(pretty(found))
    else:
        print(f"{read.name} {read.version}, {read.digest}: {'passed' if passed else 'failed'} on a twin")
        print_report(report)
    raise typer.Exit(DONE if passed else REFUSED)


@app.command()
def environment(
    seal: Annotated[bool, typer.Option("--seal", help="Measure it, and write that down.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What programs may import on this machine, as it was sealed: packages, versions, digest."""
    folder = (SandboxSettings().environment or default_folder()).absolute()
    found = (seal_environment if seal else open_environment)(folder).to_json()
    if as_json:
        print(pretty(found))
        return
    table = Table("package", "version", title=f"{found['python']}, {found['digest']}")
    for name, version in found["packages"].items():
        table.add_row(name, version)
    Console().print(table)


def _tell(answer: RunAnswer, seen: dict[str, Json] | None, said: str | None, *, as_json: bool) -> None:
    if said is not None:
        typer.echo(f"the program failed, which a provider would tell nobody: {said}", err=True)
    if as_json:
        print(pretty(_shown(answer) | ({"review": seen} if seen else {}) | ({"said": said} if said else {})))
        return
    if seen:
        print_review(seen, with_outputs=answer.verdict != "released")
    _print(answer)


def _reviewed(
    bench: Bench, answer: RunAnswer, name: str | None, decision: Decision | None, reason: str
) -> tuple[dict[str, Json] | None, RunAnswer]:
    """What a reviewer of the bench sees of a held answer, and the answer after their decision."""
    if decision is not None and name is None:
        raise Malformed("--decide needs --as-reviewer NAME: decisions are somebody's")
    if name is None or answer.verdict != "held":
        return None, answer
    reviewer = bench.reviewer(name)
    seen = bench.airlock.look(reviewer, answer.run)
    if decision is not None:
        bench.airlock.vote(reviewer, answer.run, decision, reason)
    return seen.model_dump(mode="json", by_alias=True), bench.answer(answer.run)


def _stream(ask: Callable[[str], Json], source: BinaryIO, target: TextIO) -> None:
    """One query a line in, one answer a line out. A line that is none is refused; the stream goes on."""
    for line in _lines(source):
        target.write(encode(_answered(ask, line)).decode() + "\n")
        target.flush()


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines of bounded length: of a longer one, the rest is skipped and what is left does not parse."""
    while line := source.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            while (rest := source.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        if line.strip():
            yield line


def _answered(ask: Callable[[str], Json], line: bytes) -> Json:
    try:
        query = parse(line)
        encode(query)  # refuses text that is none, such as half a surrogate pair
    except Malformed:
        query = None
    if not isinstance(query, str):
        return _refused("sandbox.query-unreadable", "each line is one query as a JSON string")
    try:
        return ask(query)
    except DataspaceError as error:
        return _refused(error.code, error.detail)


def _shown(answer: RunAnswer) -> dict[str, Json]:
    value = answer.to_json()
    shown = {name: value[name] for name in ("verdict", "columns", "rows", "reasons", "receipt")}
    return shown | ({"outputs": value["outputs"]} if value["outputs"] else {})


def _refused(code: str, message: str) -> dict[str, Json]:
    reasons = [{"code": code, "message": message}]
    return {"verdict": "refused", "columns": [], "rows": [], "reasons": reasons, "receipt": None}


def _print(answer: RunAnswer) -> None:
    for reason in answer.reasons:
        typer.echo(f"{answer.verdict}: {reason.message} [{reason.code}]", err=True)
    if answer.receipt is None or answer.verdict == "refused":
        return
    receipt = answer.receipt["document"]
    if answer.outputs:
        print_outputs(answer.outputs)
        typer.echo(f"released by reviewers; {_how_protected(receipt)}", err=True)
        return
    columns = _columns(answer.columns)
    table = Table(*columns)
    for row in answer.rows:
        table.add_row(*(_text(row[index], row[index + 1 : index + width]) for index, width in columns.values()))
    Console().print(table)
    typer.echo(f"groups too small to show are left out; {_how_protected(receipt)}", err=True)


def _explain_lattice(product: Product, *, as_json: bool) -> None:
    """The levels and measures of the cube, and what each profile would give away: what a provider signs."""
    from sandbox.cubes.gate import gate

    shown = gate(product)
    if as_json:
        print(pretty(shown))
        return
    console = Console(soft_wrap=True)
    console.print(
        "[bold]A published cube answers, never the table.[/bold] A row is an entity; numbers come with 95 % intervals."
    )
    for one in shown["attributes"]:
        levels = "; ".join(f"{level['name']} ({len(level['labels'])})" for level in one["levels"])
        console.print(f"  {one['name']}: {levels}", highlight=False)
    measures = [one["name"] for one in shown["measures"] if "labels" not in one]
    console.print(f"  measures: {', '.join(measures) or 'none, only count(*)'}")
    for one in (one for one in shown["measures"] if "labels" in one):
        console.print(f"  sensitive column {one['name']}: {', '.join(one['labels'])}", highlight=False)
    for first, second in shown.get("correlations", []):
        console.print(f"  correlated: {first} and {second}")
    console.print(
        f"Tables join at most {shown['together']} attributes and have {shown['mincell']} entities to a cell on average."
    )
    table = Table("profile", "family", "mu", "knows all others", "knows attributes only", "error of a fine cell's sum")
    for told in shown["exposures"]:
        table.add_row(
            told["profile"],
            told["family"],
            f"{told['mu']:.2f}",
            f"{100 * told['insiderAccuracy']:.1f} % of bits",
            f"+{100 * told['outsiderGain']:.1f} points",
            f"{told['typicalError']:.0f} x range",
        )
    console.print(table)


def _explain_controlled(product: Product, *, as_json: bool) -> None:
    """What each column may be used for, and what holds for every answer."""
    from sandbox.controlled.questions import explained

    shown = explained(product)
    if as_json:
        print(pretty(shown))
        return
    console = Console(soft_wrap=True)
    console.print(f"[bold]SQL over the tables[/bold], {shown['about']}.")
    for table in shown["tables"]:
        grid = Table("column", "datatype", "level", "with literals", "joined with", title=table["table"])
        for column in table["columns"]:
            literals = "yes" if column["literals"] else ""
            grid.add_row(column["name"], column["datatype"], column["level"], literals, ", ".join(column["joins"]))
        console.print(grid)
    for rule in shown["rules"]:
        console.print(f"  {rule}", highlight=False)


def _columns(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """By name: where a column begins and how many it takes; a number of the cube takes three, for its interval."""
    found, index = {}, 0
    while index < len(names):
        name = names[index]
        has_interval = tuple(names[index + 1 : index + 3]) == (f"{name}_low", f"{name}_high")
        found[name] = (index, 3 if has_interval else 1)
        index += found[name][1]
    return found


def _text(value: Json, interval: Sequence[Json]) -> str:
    shown = "" if value is None else str(value)
    return f"{shown} [{interval[0]}; {interval[1]}]" if interval else shown


def _how_protected(receipt: dict[str, Json]) -> str:
    if receipt["isolation"] is not None:
        return f"isolation of level {receipt['isolation']['level']}"
    if "budget" not in receipt["disclosure"]:
        return "answered before"
    budget = ", ".join(f"{one['family']} {float(one['mu']):.2f}" for one in receipt["disclosure"]["budget"])
    return f"from the published cube, with 95 % intervals; worst-case mu by family: {budget}"


def _askable(product: Product, index: int) -> dict[str, Json]:
    table = product.tables[index]
    by_role = {
        role: [
            {"name": column.name, "datatype": column.datatype, "domain": list(column.domain or ()) or None}
            for column in table.columns
            if column.role == role
        ]
        for role in ("dimension", "measure")
    }
    first = next((str(one["name"]) for one in by_role["dimension"]), None)
    example = f"SELECT {first}, count(*) FROM {table.name} GROUP BY {first}" if first else None  # noqa: S608 - shown only
    return {
        "table": table.name,
        "entityKey": table.entity_key,
        "dimensions": by_role["dimension"],
        "measures": by_role["measure"],
        "example": example or f"SELECT count(*) FROM {table.name}",  # noqa: S608 - shown only
    }
