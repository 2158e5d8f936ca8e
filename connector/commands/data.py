"""``hexi connector data``: what is delivered to this participant, and where it lies."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, client_of, settings_of
from connector.commands.output import AsJson, Wait, show, show_some
from connector.commands.progress import FOLLOW_SECONDS, bar
from hexi.cli import REFUSED
from hexi.errors import Malformed

if TYPE_CHECKING:
    from connector.client import ConnectorClient
    from connector.management.delivery_answers import Delivery

app = typer.Typer(no_args_is_help=True, help="Data delivered here: fetch, read, follow, find. 收到的数据。")

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


@app.command()
def follow(
    transfer: TransferId,
    to: Annotated[
        Path | None,
        typer.Option(help="Append to this file, and go on behind what it holds. 输出文件。", dir_okay=False),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Begin behind the event with this id. 起始事件。")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events. 事件数。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Follow a stream: its events as lines of JSON, to standard output or a file, until the transfer ends. 跟踪数据流。

    A line is {"data", "event", "id"}. With --to the command may be stopped and repeated: no event is missing and none
    stands there twice; one file for one stream. Without, --after goes on behind the last line you have. It connects
    again where it was interrupted and waits while the transfer is suspended.

    Example: hexi connector data follow urn:uuid:... --to beds.ndjson --home planner
    """
    from connector.planes.event_file import open_events

    events = partial(client_of(home).data.events, transfer, unsafe_allow_loopback=settings_of(home).allows_loopback)
    if to is None:
        for event in islice(events(after, waits=lambda why: typer.echo(f"{transfer} waits: {why}", err=True)), count):
            typer.echo(event.line(), nl=False)
        return
    if after is not None:
        raise Malformed("with --to the file itself says behind which event to go on; leave --after away")
    with open_events(to) as file, bar(transfer) as report:
        came = 0
        for event in islice(events(file.last, waits=lambda why: report(f"waits: {why}", file.size, None)), count):
            file.append(event)
            came += 1
            report("FOLLOWED", file.size, None)
        said = {"transfer": transfer, "events": came, "last": file.last, "bytes": file.size, "path": str(to)}
    show(said, as_json)


@app.command()
def table(
    transfer: TransferId,
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Left out: the only one. 表名。")] = None,
    to: Annotated[Path | None, typer.Option(help="A new file: .csv, or else Parquet. Left out: TABLE.parquet.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="May be repeated; left out: all that the terms allow. 列。")
    ] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Read a table of a started transfer into a file, whole or not at all. 读取数据表。

    Where the connection breaks it goes on behind the last row; a command that was stopped begins anew.

    Example: hexi connector data table urn:uuid:... visits --to visits.csv --home planner
    """
    data, loopback = client_of(home).data, settings_of(home).allows_loopback
    if name is None:
        names = data.tables(transfer, unsafe_allow_loopback=loopback)
        if len(names) != 1:
            raise Malformed(f"this transfer delivers {len(names)} tables, name one: {', '.join(names)}")
        (name,) = names
    target = to or Path(f"{name}.parquet")
    with bar(f"{transfer} {name}", rows=True) as report:
        fetched = data.table(
            transfer,
            name,
            target,
            columns=column,
            unsafe_allow_loopback=loopback,
            progress=lambda rows: report("READING", rows, None),
        )
    said = {"transfer": transfer, "table": name, "rows": fetched.rows, "bytes": fetched.size, "path": str(target)}
    show(said, as_json)


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
