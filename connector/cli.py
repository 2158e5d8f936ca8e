"""``hexi connector``: set up and run a connector, and work with it through its management API."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from connector.settings import ConnectorSettings
from hexi.canonical import Json, encode, parse, pretty
from hexi.cli import start_as_service
from hexi.errors import Malformed
from hexi.settings import build

if TYPE_CHECKING:
    from connector.business_answers import Negotiation, Transfer
    from connector.client import ConnectorClient

# What `init` was told, so that the other commands need only --home.
SETTINGS_FILE = "connector.json"

app = typer.Typer(no_args_is_help=True, help="A participant's node: products, contracts, permits, runs. 接入连接器。")
resource_app = typer.Typer(no_args_is_help=True, help="Tables on this machine. 数据资源。")
product_app = typer.Typer(no_args_is_help=True, help="Data products made from them. 数据产品。")
app.add_typer(resource_app, name="resource")
app.add_typer(product_app, name="product")

Home = Annotated[Path, typer.Option("--home", help="The connector's folder: its key, token and database.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")]
HOME = Path(".hexi")

P = TypeVar("P", "Negotiation", "Transfer")


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
    """Make the folder, key and management token of a connector, and print its DID. Running it again changes nothing.

    Example: hexi connector init --home clinic --port 8081 --space-url http://127.0.0.1:8080
    """
    from connector.management_token import management_token
    from registry.identity import Identity, did_web

    told = {
        "host": host,
        "port": port,
        "public_url": public_url,
        "space_url": space_url,
        "database_url": database_url,
    }
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    saved = _saved(home) | {name: value for name, value in told.items() if value is not None}
    (home / SETTINGS_FILE).write_bytes(encode(saved))
    settings = _settings(home)
    identity = Identity.load_or_create(home, did_web(settings.url))
    management_token(home)
    _show({"did": identity.did, "url": settings.url, "space": settings.space_url, "home": str(home)}, as_json)


@app.command()
def serve(home: Home = HOME) -> None:
    """Run the connector until it is told to stop.

    Example: hexi connector serve --home clinic
    """
    start_as_service()
    from connector.app import create_app
    from hexi.web import configure_logging
    from hexi.web import serve as listen

    settings = _settings(home)
    configure_logging()
    listen(create_app(settings), settings)


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
    """Apply for membership of the space; the connector must be serving, because the space checks its DID document.

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
    _show(_json(_client(home).apply(about)), as_json)


@app.command()
def status(home: Home = HOME, as_json: AsJson = False) -> None:
    """Show who this connector is, where it stands with the space, and what waits to be delivered.

    Example: hexi connector status --home clinic
    """
    _show(_json(_client(home).status()), as_json)


@resource_app.command("add")
def resource_add(
    name: str,
    tables: Annotated[list[str], typer.Argument(help="table=path, once for every table.")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Name tables that lie on the connector's machine, as CSV or Parquet. They stay where they are.

    Example: hexi connector resource add claims visits=/data/visits.csv --home clinic
    """
    pairs = [table.partition("=") for table in tables]
    if not all(table and path for table, _, path in pairs):
        raise Malformed("write each table as name=path, such as visits=/data/visits.csv")
    absolute = {table: str(Path(path).resolve()) for table, _, path in pairs}
    _show(_json(_client(home).add_resource(name, absolute)), as_json)


@resource_app.command("list")
def resource_list(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the resources.

    Example: hexi connector resource list --home clinic
    """
    _show(_json(_client(home).resources()), as_json)


@product_app.command("publish")
def product_publish(
    file: Annotated[Path, typer.Argument(help="The product description, as JSON.", exists=True, dir_okay=False)],
    resource: Annotated[str, typer.Option(help="The resource it is made of.")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Publish a product, or its next version. Rows, persons and quality are counted from the files.

    Example: hexi connector product publish claims.json --resource claims --home clinic
    """
    published = _json(_client(home).publish(resource, _object(file)))
    _show(published if as_json else {k: v for k, v in published.items() if k != "receipt"}, as_json)


@product_app.command("list")
def product_list(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the products published from here.

    Example: hexi connector product list --home clinic
    """
    found = list(_client(home).products())
    _show(_json(found) if as_json else [_product(item.document) for item in found], as_json)


@app.command()
def catalogue(
    query: Annotated[str, typer.Argument(help="Words in Chinese or English; empty means everything.")] = "",
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Search the space's catalogue.

    Example: hexi connector catalogue 医保 --home planner
    """
    found = _client(home).catalogue(query)
    _show(_json(found) if as_json else [_product(item) for item in found.items], as_json)


@app.command()
def negotiate(
    product: Annotated[str, typer.Argument(help="The product's identifier.")],
    provider: Annotated[str | None, typer.Option(help="Insist on this provider's DID.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for; it becomes part of the agreement.")] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Negotiate for a product on the terms published.

    Example: hexi connector negotiate 6916... --purpose research --home planner
    """
    client = _client(home)
    asked = client.negotiate(product, provider=provider, purpose=purpose, request_id=request_id)
    _outcome(asked, client.wait_negotiation, wait, as_json)


@app.command()
def agreements(
    agreement: Annotated[str | None, typer.Argument(help="One agreement, with its ledger receipt.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List the agreements, or show one with its signatures and the ledger's receipt.

    Example: hexi connector agreements --home planner
    """
    client = _client(home)
    if agreement is not None:
        _show(_json(client.agreement(agreement)), as_json)
        return
    found = _json(list(client.agreements()))
    _show(found if as_json else [{k: v for k, v in a.items() if k != "agreement"} for a in found], as_json)


@app.command()
def transfer(
    agreement: str,
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="Such as HexiSandbox-SQL.")] = "HexiSandbox-SQL",
    order: Annotated[Path | None, typer.Option(help="The file with the order confirmation.", exists=True)] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Ask for use under an agreement; where use is paid for, show the order.

    Example: hexi connector transfer urn:uuid:... HexiSandbox-SQL --order order.jws --home planner
    """
    client = _client(home)
    shown = order.read_text(encoding="ascii").strip() if order else None
    asked = client.transfer(agreement, format_, order=shown, request_id=request_id)
    _outcome(asked, client.wait_transfer, wait, as_json)


@app.command()
def transfers(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the newest transfers, in either role.

    Example: hexi connector transfers --home planner
    """
    _show(_json(list(_client(home).transfers())), as_json)


@app.command()
def run(
    transfer: Annotated[str, typer.Argument(help="A transfer that has STARTED.")],
    query: Annotated[str, typer.Argument(help="SQL over the product's tables.")],
    purpose: Annotated[str | None, typer.Option(help="Left out: the purpose of the agreement.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="A urn:uuid of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Have the provider's sandbox compute, and print what may leave, or why nothing does.

    Example: hexi connector run urn:uuid:... "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex" --home planner
    """
    answer = _json(_client(home).run(transfer, query, purpose=purpose, run=run_id))
    if as_json:
        _show(answer, as_json)
    elif answer["verdict"] == "released":
        _show([dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]], as_json)
    else:
        _show(answer["reasons"], as_json)
    if answer["verdict"] != "released":
        raise typer.Exit(1)


@app.command("encrypted-sum")
def encrypted_sum(
    query: Annotated[str, typer.Argument(help="SQL that gives one number at every provider.")],
    transfers: Annotated[list[str], typer.Argument(help="A started transfer for every provider, three at least.")],
    job: Annotated[str | None, typer.Option(help="An id of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Add up several providers' numbers without anybody seeing a single one.

    Example: hexi connector encrypted-sum "SELECT SUM(cost) AS total FROM visits" urn:uuid:1 urn:uuid:2 urn:uuid:3
    """
    answer = _json(_client(home).encrypted_sum(transfers, query, job=job))
    _show(answer if as_json else {k: answer[k] for k in ("job", "total", "contributors", "refused")}, as_json)
    if answer["total"] is None:
        raise typer.Exit(1)


@app.command()
def evidence(home: Home = HOME, as_json: AsJson = False) -> None:
    """List what this connector has put on the ledger, and whether the receipt has come.

    Example: hexi connector evidence --home clinic --json
    """
    found = _json(list(_client(home).evidence()))
    short = [{"kind": e["kind"], "subject": e["subject"], "receipt": _index(e["receipt"])} for e in found]
    _show(found if as_json else short, as_json)


def _saved(home: Path) -> dict[str, Any]:
    path = home / SETTINGS_FILE
    saved = parse(path.read_bytes()) if path.exists() else {}
    if not isinstance(saved, dict):
        raise Malformed(f"{path} is not an object; make it anew with: hexi connector init")
    return saved


def _settings(home: Path) -> ConnectorSettings:
    """The settings of the connector in `home`; the environment wins over what `init` was told."""
    prefix = str(ConnectorSettings.model_config.get("env_prefix"))
    saved = {name: value for name, value in _saved(home).items() if prefix + name.upper() not in os.environ}
    return build(ConnectorSettings, home=home, **saved)


def _client(home: Path) -> "ConnectorClient":
    from connector.management_token import TOKEN_FILE

    path = home / TOKEN_FILE
    if not path.exists():
        raise Malformed(f"there is no connector in {home}; make one with: hexi connector init --home {home}")
    from connector.client import ConnectorClient

    return ConnectorClient(_settings(home).url, path.read_text(encoding="ascii").strip())


def _outcome(asked: P, look: Callable[[str], P], wait: bool, as_json: bool) -> None:
    """Print the process, once its state stands where `wait` says so; a refusal is exit code 1."""
    process = _json(look(asked.id) if wait else asked)
    shown = ("id", "state", "counterparty", "product", "agreement", "reason")
    _show(process if as_json else {name: process[name] for name in shown if process[name]}, as_json)
    if process["state"] == "TERMINATED":
        raise typer.Exit(1)


def _json(value: BaseModel | Sequence[BaseModel]) -> Json:
    """What the connector answered, as it travelled."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return [_json(item) for item in value]


def _object(file: Path) -> dict[str, Json]:
    described = parse(file.read_bytes())
    if not isinstance(described, dict):
        raise Malformed(f"{file} is not a product description (a JSON object)")
    return described


def _product(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "identifier": document.get("identifier"),
        "version": document.get("version"),
        "title": document.get("title", {}).get("zh"),
        "provider": document.get("provider"),
    }


def _index(receipt: Json) -> Json:
    return receipt["index"] if receipt else "waiting"


def _show(value: Json, as_json: bool) -> None:
    if as_json:
        typer.echo(pretty(value))
    elif isinstance(value, dict):
        width = max(map(len, value), default=0)
        for name, item in value.items():
            typer.echo(f"{name:<{width}}  {_flat(item)}")
    elif value:
        _show_table(value)
    else:
        typer.echo("nothing")


def _show_table(rows: list[dict[str, Json]]) -> None:
    columns = list(rows[0])
    cells = [columns, *([_flat(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _flat(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={_flat(item)}" for name, item in value.items())
    return "" if value is None else str(value)
