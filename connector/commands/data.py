"""``hexi connector data``: what is delivered to this participant, and where it lies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, Wait, show_some
from connector.commands.progress import FOLLOW_SECONDS, bar
from hexi.cli import REFUSED

if TYPE_CHECKING:
    from connector.client import ConnectorClient
    from connector.deliveries.answers import Delivery

app = typer.Typer(no_args_is_help=True, help="Data delivered here: fetch, follow, find. 收到的数据。")

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER", help="The transfer it came with. 传输编号。")]
COLUMNS = ("transfer", "state", "bytes", "size", "digest", "path", "error", "reason")


@app.command()
def fetch(
    transfer: TransferId,
    to: Annotated[
        Path | None, typer.Option(help="Where it shall lie at the connector, as a new file. 存放位置。")
    ] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Fetch the data of a started transfer, with a progress bar; it goes on where it was interrupted. 取回数据。

    The connector fetches, and checks the digest of the whole: this command only follows, and may be stopped and
    repeated.

    Example: hexi connector data fetch urn:uuid:... --to visits.csv --home planner
    """
    client = client_of(home)
    begun = client.fetch(transfer, str(to.resolve()) if to else None)
    _show(_followed(client, transfer) if wait else begun, as_json)


@app.command("list")
def list_(home: Home = HOME, as_json: AsJson = False) -> None:
    """List what was delivered here, newest first. 列出收到的数据。

    Example: hexi connector data list --home planner
    """
    show_some(client_of(home).deliveries(), COLUMNS, as_json)


@app.command("show")
def show_(
    transfer: TransferId,
    follow: Annotated[bool, typer.Option("--follow", help="Until it is here, with a progress bar. 跟踪进度。")] = False,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show how far a delivery is, where it lies, and what went wrong. 查看交付。

    Example: hexi connector data show urn:uuid:... --follow --home planner
    """
    client = client_of(home)
    _show(_followed(client, transfer) if follow else client.delivery(transfer), as_json)


def _followed(client: "ConnectorClient", transfer: str) -> "Delivery":
    with bar(transfer) as report:
        return client.wait_delivery(
            transfer, FOLLOW_SECONDS, seen=lambda found: report(found.state, found.bytes, found.size)
        )


def _show(delivery: "Delivery", as_json: bool) -> None:
    """Print it; one that has failed, or will never come, ends the command with exit code 1."""
    show_some(delivery, COLUMNS, as_json)
    if delivery.is_over and delivery.state != "DONE":
        raise typer.Exit(REFUSED)
