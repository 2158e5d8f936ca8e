"""``hexi space``: run the shared services of a data space, and write the auditor's bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexi.canonical import Json, pretty, system_clock
from hexi.cli import start_as_service
from hexi.errors import DataspaceError
from hexi.settings import build as build_settings
from marketplace.settings import SpaceSettings

if TYPE_CHECKING:
    from marketplace.space import Space

app = typer.Typer(
    no_args_is_help=True,
    help="The shared services of a data space in one process: registry, ledger, marketplace, neutral adder.\n\n"
    "Start with: hexi space init; hexi space serve. Every option is also an environment variable HEXI_SPACE_*.\n\n"
    "可信数据空间的公共服务：注册、账本、市场、聚合。",
)

Home = Annotated[Path | None, typer.Option("--home", help="Keys and the SQLite file live here. [.hexi-space]")]
Host = Annotated[str | None, typer.Option("--host", help="The address to listen at. [127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", help="The port to listen at. [8080]")]
PublicUrl = Annotated[
    str | None, typer.Option("--public-url", help="The address others reach the space at; its DID follows from it.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="postgresql://... instead of an SQLite file in the home folder.")
]
Name = Annotated[str | None, typer.Option("--name", help="The operator's name in English.")]
NameZh = Annotated[str | None, typer.Option("--name-zh", help="The operator's name in Chinese.")]
Insecure = Annotated[
    bool | None,
    typer.Option(
        "--insecure-http-did-web",
        help="Fetch participants' DID documents over http and from private addresses: one machine only.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of lines for people.")]


@app.command()
def init(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    database_url: DatabaseUrl = None,
    name: Name = None,
    name_zh: NameZh = None,
    as_json: AsJson = False,
) -> None:
    """Make the operator's key, the log's key and the tables, and show who the operator is. Running it again is safe.

    The DID follows from the public address, so give the address that participants will use.
    """
    from marketplace.space import build

    space = build(_settings(home, host, port, public_url, database_url, name=name, name_zh=name_zh))
    _show({"did": space.identity.did, "url": space.settings.url, "logKey": space.log.vkey}, as_json)
    space.database.dispose()


@app.command()
def serve(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    database_url: DatabaseUrl = None,
    name: Name = None,
    name_zh: NameZh = None,
    insecure_http_did_web: Insecure = None,
) -> None:
    """Serve the space until it is told to stop. Makes what `init` makes, if it is not there yet.

    Example: hexi space serve --home space --port 8080 --public-url https://space.example
    """
    start_as_service()
    from hexi.web import configure_logging
    from hexi.web import serve as serve_app
    from marketplace.space import create_app

    settings = _settings(
        home,
        host,
        port,
        public_url,
        database_url,
        name=name,
        name_zh=name_zh,
        insecure_http_did_web=insecure_http_did_web,
    )
    configure_logging()
    serve_app(create_app(settings), settings)


@app.command()
def status(
    url: Annotated[
        str, typer.Option("--url", envvar="HEXI_SPACE_URL", help="The space's address.")
    ] = "http://127.0.0.1:8080",
    as_json: AsJson = False,
) -> None:
    """Ask a running space how it is: operator, log size, last anchor, products on sale. Exit code 3 if it is down."""
    from ledger.checkpoint import open_checkpoint
    from ledger.client import LedgerClient
    from marketplace.client import MarketplaceClient

    ledger, market = LedgerClient(url), MarketplaceClient(url)
    health = ledger.public("/health")
    size = open_checkpoint(ledger.checkpoint(), ledger.vkey()).size
    anchor = next(iter(ledger.anchors()), None)
    _show(
        {
            "status": health["status"],
            "version": health["version"],
            "operator": ledger.public("/.well-known/did.json")["id"],
            "logSize": size,
            "anchoredSize": anchor.size if anchor else 0,
            "listings": len(market.listings()),
        },
        as_json,
    )


@app.command()
def bundle(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one to be made.")],
    documents: Annotated[
        list[Path] | None,
        typer.Option("--document", help="A file with an agreement or run receipt a participant hands in. Repeatable."),
    ] = None,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write the auditor's bundle: the log, identities, products, certificates, statements, receipts, chain record.

    It reads the space's database, so give the options the space is served with. If the space is running, it is first
    asked to put its newest checkpoint on the chain. Check the result with: hexi ledger verify DIR
    """
    from marketplace.bundle import read_documents, write
    from marketplace.space import build

    handed_in = read_documents(documents or [])
    space = build(_settings(home, host, port, public_url, database_url))
    _anchor(space)
    written = write(space, folder, handed_in)
    space.database.dispose()
    if not written.anchored:
        typer.echo("hexi: the newest checkpoint is not on the chain; the bundle has no chain record", err=True)
    _show(
        {
            "folder": str(folder),
            "entries": written.entries,
            "documents": written.documents,
            "anchored": written.anchored,
        },
        as_json,
    )


def _anchor(space: "Space") -> None:
    from ledger.client import LedgerClient
    from registry.presentation import present

    identity = space.identity
    try:
        LedgerClient(space.settings.url, authorise=lambda: present(identity, identity.did, None, system_clock)).anchor()
    except DataspaceError as error:
        typer.echo(f"hexi: not anchored just now: {error.detail}", err=True)


def _settings(
    home: Path | None,
    host: str | None,
    port: int | None,
    public_url: str | None,
    database_url: str | None,
    **more: object,
) -> SpaceSettings:
    return build_settings(
        SpaceSettings, home=home, host=host, port=port, public_url=public_url, database_url=database_url, **more
    )


def _show(value: dict[str, Json], as_json: bool) -> None:
    if as_json:
        typer.echo(pretty(value))
        return
    for name, said in value.items():
        typer.echo(f"{name}: {said}")
