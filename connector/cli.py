"""``hexi connector``: set up and run a connector, and work with it through its management API.

What belongs to a subject stands in `connector.commands`; here is what is about the connector itself.
"""

from pathlib import Path
from typing import Annotated

import typer

from connector.commands import (
    agreements,
    algorithms,
    data,
    federated,
    jobs,
    negotiations,
    offers,
    products,
    reviews,
    transfers,
    webhooks,
)
from connector.commands.asked import Program, Query, text_of
from connector.commands.homes import HOME, SETTINGS_FILE, Home, client_of, saved, settings_of
from connector.commands.output import AsJson, of_product, read_object, show, show_answer, to_json
from hexi.canonical import Json, encode, pretty
from hexi.cli import REFUSED, start_as_service
from hexi.errors import Conflict, Malformed
from sandbox.preview import PRODUCT_FILE, TwinFormat

app = typer.Typer(no_args_is_help=True, help="A participant's node: products, contracts, permits, runs. 接入连接器。")
resource_app = typer.Typer(no_args_is_help=True, help="Tables on this machine. 数据资源。")
app.add_typer(resource_app, name="resource")
app.add_typer(products.app, name="product")
app.add_typer(offers.app, name="offer")
app.add_typer(negotiations.app, name="negotiate")
app.add_typer(agreements.app, name="agreement")
app.add_typer(transfers.app, name="transfer")
app.add_typer(data.app, name="data")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(jobs.app, name="job")
app.add_typer(reviews.reviewers, name="reviewer")
app.add_typer(reviews.app, name="review")
app.add_typer(algorithms.app, name="algorithm")
app.add_typer(federated.app, name="federated")


@app.command()
def init(
    home: Home = HOME,
    host: Annotated[str | None, typer.Option(help="The address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen at.")] = None,
    public_url: Annotated[str | None, typer.Option(help="The address others reach it at.")] = None,
    space_url: Annotated[str | None, typer.Option(help="The space it belongs to.")] = None,
    database_url: Annotated[str | None, typer.Option(help="postgresql://... instead of a file in --home.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the folder, key and management token of a connector, and print its DID. 初始化连接器。

    Running it again changes nothing.

    Example: hexi connector init --home clinic --port 8081 --space-url http://127.0.0.1:8080
    """
    from connector.management.token import management_token
    from registry.identity import Identity, did_web

    told = {
        "host": host,
        "port": port,
        "public_url": public_url,
        "space_url": space_url,
        "database_url": database_url,
    }
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    told_so_far = saved(home) | {name: value for name, value in told.items() if value is not None}
    (home / SETTINGS_FILE).write_bytes(encode(told_so_far))
    settings = settings_of(home)
    identity = Identity.load_or_create(home, did_web(settings.url))
    management_token(home)
    show({"did": identity.did, "url": settings.url, "space": settings.space_url, "home": str(home)}, as_json)


@app.command()
def serve(home: Home = HOME) -> None:
    """Run the connector until it is told to stop. 启动连接器。

    Example: hexi connector serve --home clinic
    """
    start_as_service()
    from connector.app import create_app
    from hexi.web import configure_logging
    from hexi.web import serve as listen

    settings = settings_of(home)
    configure_logging()
    listen(create_app(settings), settings)


@app.command()
def worker(home: Home = HOME) -> None:
    """Execute queued runs beside the connector, until told to stop. 沙箱计算节点。

    Any number of workers may run, on any hosts that reach the connector's database, its folder and the products' files
    under the same names. How many runs each executes at a time: HEXI_SANDBOX_JOBS. On a host without isolation runs
    are left to others.

    Example: hexi connector worker --home clinic
    """
    start_as_service()
    from connector.computing import computing_worker
    from hexi.web import configure_logging

    configure_logging()
    with computing_worker(settings_of(home)) as working:
        working.serve()


@app.command()
def apply(
    name: Annotated[str, typer.Option(help="The organisation's name in English.")],
    name_zh: Annotated[str, typer.Option(help="Its name in Chinese.")],
    owner_code: Annotated[str, typer.Option(help="Its unified social credit code, 18 characters.")],
    contact: Annotated[str, typer.Option(help="Whom the operator asks.")],
    region: Annotated[str, typer.Option(help="Four digits of its administrative division.")] = "6210",
    role: Annotated[list[str] | None, typer.Option(help="provider, consumer or auditor; may be repeated.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Apply for membership of the space. 申请加入空间。

    The connector must be serving, because the space checks its DID document.

    Example: hexi connector apply --home clinic --name "First Hospital" --name-zh 第一医院
    --owner-code 91620000000000000X --contact it@clinic.example --role provider
    """
    about = {
        "name": name,
        "nameZh": name_zh,
        "ownerCode": owner_code,
        "region": region,
        "roles": role or ["provider", "consumer"],
        "contact": contact,
    }
    show(to_json(client_of(home).apply(about)), as_json)


@app.command()
def status(home: Home = HOME, as_json: AsJson = False) -> None:
    """Show who this connector is, where it stands with the space, and what waits. 连接器状态。

    Example: hexi connector status --home clinic
    """
    show(to_json(client_of(home).status()), as_json)


@resource_app.command("add")
def resource_add(
    name: str,
    tables: Annotated[list[str] | None, typer.Argument(help="table=path, once for every table.")] = None,
    source: Annotated[
        Path | None, typer.Option(help="What is delivered, as JSON. 交付来源文件。", exists=True, dir_okay=False)
    ] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Name tables on this machine (CSV, Parquet) that stay here, or a source to be delivered. 登记数据资源。

    A source file says where the data lie: {"type": "file", "path": "/data/visits.csv"}, or a directory, a PostgreSQL
    query, an HTTP server, an S3 object, an API, a stream. Passwords and keys are named in it and stand in the folder
    'secrets' of the connector's home.

    Example: hexi connector resource add claims visits=/data/visits.csv --home clinic

    Example: hexi connector resource add export --source export.json --home clinic
    """
    pairs = [table.partition("=") for table in tables or ()]
    if not all(table and path for table, _, path in pairs):
        raise Malformed("write each table as name=path, such as visits=/data/visits.csv")
    if not pairs and source is None:
        raise Malformed("give tables as name=path, or a --source file that says what is delivered")
    absolute = {table: str(Path(path).resolve()) for table, _, path in pairs}
    described = None if source is None else read_object(source)
    show(to_json(client_of(home).add_resource(name, absolute, source=described)), as_json)


@resource_app.command("list")
def resource_list(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the resources. 列出数据资源。

    Example: hexi connector resource list --home clinic
    """
    show(to_json(client_of(home).resources()), as_json)


@app.command()
def catalogue(
    query: Annotated[str, typer.Argument(help="Words in Chinese or English; empty means everything.")] = "",
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Search the space's catalogue. 检索空间目录。

    Example: hexi connector catalogue 医保 --home planner
    """
    found = client_of(home).catalogue(query)
    show(to_json(found) if as_json else [of_product(item) for item in found.items], as_json)


@app.command()
def run(
    transfer: Annotated[str, typer.Argument(help="A transfer that has STARTED.")],
    query: Query = "",
    program: Program = None,
    purpose: Annotated[str | None, typer.Option(help="Left out: the purpose of the agreement.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="A urn:uuid of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Have the provider's sandbox compute, and print what may leave, or why nothing does. 沙箱计算。

    What people of the provider look at first is held: the command says how to ask again. An algorithm is run by a file
    that names it, {"algorithm": "sha256:...", "parameters": {"group": "sex"}}, as --program.

    Example: hexi connector run urn:uuid:... "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex" --home planner
    """
    text = text_of(query, program)
    answer = client_of(home).run(transfer, text, purpose=purpose, run=run_id)
    if answer.verdict == "held":
        typer.echo(f"held: ask the same again with --run {answer.run}, or give it up with 'withdraw-run'", err=True)
    show_answer(answer, as_json)


@app.command("withdraw-run")
def withdraw_run(
    transfer: Annotated[str, typer.Argument(help="The transfer it was asked under.")],
    run: Annotated[str, typer.Argument(help="The run that is held. 计算编号。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Give up a run that its provider holds for review; twice is once. 撤回待审核的计算。

    Example: hexi connector withdraw-run urn:uuid:... urn:uuid:... --home planner
    """
    show_answer(client_of(home).withdraw_run(transfer, run), as_json)


@app.command("dry-run")
def dry_run(
    product: Annotated[str, typer.Argument(help="The product's identifier in the space's catalogue.")],
    query: Query = "",
    program: Program = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Say what would come of a query or a program, before anything is agreed. 试算。

    Its provider looks at the text and the published description, at no data: whether it may be asked, by which rules,
    how far off the numbers will be, how long it takes. The price of a run is that of the space's market.

    Example: hexi connector dry-run 6916... "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex" --home planner

    Example: hexi connector dry-run 6916... --program costs.py --home planner
    """
    from sandbox.preview.shown import show_dry_run
    from sandbox.queries.query import PROGRAM_MODE, SQL_MODE

    mode = SQL_MODE if program is None else PROGRAM_MODE
    found = client_of(home).jobs.dry_run(product, text_of(query, program), mode)
    show(found.to_json(), as_json) if as_json else show_dry_run(found)
    if found.reasons:
        raise typer.Exit(REFUSED)


@app.command()
def twin(
    product: Annotated[str, typer.Argument(help="The product's identifier in the space's catalogue.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables, product.json and twin.json; it is made.")],
    format_: Annotated[TwinFormat, typer.Option("--format", help="csv or parquet.")] = TwinFormat.CSV,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Fetch synthetic tables of a product, on which anybody may try queries: no row is anybody's. 合成孪生数据。

    The product's signed description comes with them (product.json), so that queries and programs may be tried at once,
    and are answered by the provider's rules: hexi sandbox try --tables twin --query "SELECT ..."

    Example: hexi connector twin 6916... --out twin --home planner
    """
    jobs = client_of(home).jobs
    said, signed = to_json(jobs.twin(product)), jobs.described(product)
    if signed.digest != said["productDigest"]:
        raise Conflict("the product was published anew just now, and its twin is of another version; ask again")
    out.mkdir(parents=True, exist_ok=True)
    for table in said["rows"]:
        (out / f"{table}.{format_}").write_bytes(jobs.twin_table(product, table, format_))
    described = {"document": signed.document, "signatures": signed.signatures}
    (out / PRODUCT_FILE).write_text(pretty(described) + "\n", encoding="utf-8")
    (out / "twin.json").write_text(pretty(said) + "\n", encoding="utf-8")
    show(said, as_json)


@app.command("encrypted-sum")
def encrypted_sum(
    query: Annotated[str, typer.Argument(help="SQL that gives one number at every provider.")],
    transfers: Annotated[list[str], typer.Argument(help="A started transfer for every provider, three at least.")],
    job: Annotated[str | None, typer.Option(help="An id of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Add up several providers' numbers without anybody seeing a single one. 密文求和。

    Example: hexi connector encrypted-sum "SELECT SUM(cost) AS total FROM visits" urn:uuid:1 urn:uuid:2 urn:uuid:3
    """
    answer = to_json(client_of(home).encrypted_sum(transfers, query, job=job))
    show(answer if as_json else {k: answer[k] for k in ("job", "total", "contributors", "refused")}, as_json)
    if answer["total"] is None:
        raise typer.Exit(REFUSED)


@app.command()
def evidence(home: Home = HOME, as_json: AsJson = False) -> None:
    """List what this connector has put on the ledger, and whether the receipt has come. 存证列表。

    Example: hexi connector evidence --home clinic --json
    """
    found = to_json(list(client_of(home).evidence()))
    short = [{"kind": e["kind"], "subject": e["subject"], "receipt": _index(e["receipt"])} for e in found]
    show(found if as_json else short, as_json)


def _index(receipt: Json) -> Json:
    return receipt["index"] if receipt else "waiting"
