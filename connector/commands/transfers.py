"""``hexi connector transfer``: ask for delivery or computation under an agreement, and steer it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import PROCESS, AsJson, Wait, read_object, show_history, show_process, show_some
from connector.commands.progress import followed
from connector.protocol.transfer import State
from hexi.cli import REFUSED

if TYPE_CHECKING:
    from connector.client import ConnectorClient
    from connector.management.answers import Transfer

app = typer.Typer(no_args_is_help=True, help="Transfers: ask, follow, steer. 数据传输（含计算）。")

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER", help="Its id, from 'list'. 传输编号。")]
Follow = Annotated[bool, typer.Option("--follow", help="Show how far it is until it has ended. 跟踪进度。")]
Reason = Annotated[str, typer.Option(help="Why; the other end is told. 原因。")]


@app.command()
def request(
    agreement: Annotated[str, typer.Argument(help="A concluded agreement. 合约编号。")],
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="Such as HexiSandbox-SQL. 传输方式。")
    ] = "HexiSandbox-SQL",
    order: Annotated[
        Path | None, typer.Option(help="The file with the order confirmation. 订单凭证。", exists=True, dir_okay=False)
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Where the data shall lie at the connector, as a new file. 存放位置。")
    ] = None,
    destination: Annotated[
        Path | None,
        typer.Option(help="Where to push, as JSON. 推送目的地文件。", exists=True, dir_okay=False),
    ] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    follow: Follow = False,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Ask for use under an agreement; where use is paid for, show the order. 请求传输。

    With --follow it stays until the transfer has ended, and shows on standard error how far it is. A destination is a
    file, because it may hold a key: {"type": "HttpData", "baseUrl": "https://..."}, or an S3 bucket as Eclipse EDC
    writes it, {"type": "AmazonS3", "bucketName": "...", "accessKeyId": "...", ...}.

    Example: hexi connector transfer request urn:uuid:... HttpData-PULL --to visits.csv --follow --home planner

    Example: hexi connector transfer request urn:uuid:... AmazonS3-PUSH --destination bucket.json --home planner
    """
    client = client_of(home)
    shown = order.read_text(encoding="ascii").strip() if order else None
    asked = client.transfer(
        agreement,
        format_,
        order=shown,
        request_id=request_id,
        to=str(to.resolve()) if to else None,
        destination=read_object(destination) if destination else None,
    )
    if follow:
        show_process(followed(client, asked.id), as_json)
    else:
        show_process(client.wait_transfer(asked.id) if wait else asked, as_json)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as STARTED. 状态。")] = None,
    agreement: Annotated[str | None, typer.Option(help="Only those under this agreement. 合约。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List transfers, newest first, in either role. 列出传输。

    Example: hexi connector transfer list --state STARTED --home planner
    """
    show_some(client_of(home).transfers(state=state, agreement=agreement), PROCESS, as_json)


@app.command("show")
def show_(transfer: TransferId, follow: Follow = False, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show a transfer; if it was refused or suspended, why. 查看传输。

    Example: hexi connector transfer show urn:uuid:... --home planner
    """
    client = client_of(home)
    found = followed(client, transfer) if follow else client.transfer_status(transfer)
    show_some(found, ("role", *PROCESS, "created", "updated"), as_json)


@app.command()
def history(transfer: TransferId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show every message of a transfer and the state it led to, oldest first. 传输历史。

    Sent is ->, received <-, decided here alone --.

    Example: hexi connector transfer history urn:uuid:... --home planner
    """
    show_history(client_of(home).transfer_history(transfer), as_json)


@app.command()
def suspend(
    transfer: TransferId,
    reason: Reason = "suspended by its owner",
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Pause a transfer; as provider nothing is handed over meanwhile. 暂停传输。

    Example: hexi connector transfer suspend urn:uuid:... --reason maintenance --home clinic
    """
    client = client_of(home)
    _steered(client, client.suspend_transfer(transfer, reason), State.SUSPENDED, wait, as_json)


@app.command()
def resume(transfer: TransferId, wait: Wait = True, home: Home = HOME, as_json: AsJson = False) -> None:
    """Take up a suspended transfer again. 恢复传输。

    What the provider suspended, only the provider resumes. A computation is not resumed: request a new transfer.

    Example: hexi connector transfer resume urn:uuid:... --home clinic
    """
    client = client_of(home)
    _steered(client, client.resume_transfer(transfer), State.STARTED, wait, as_json)


@app.command()
def complete(transfer: TransferId, wait: Wait = True, home: Home = HOME, as_json: AsJson = False) -> None:
    """End a transfer because all was delivered. 完成传输。

    Example: hexi connector transfer complete urn:uuid:... --home planner
    """
    client = client_of(home)
    _steered(client, client.complete_transfer(transfer), State.COMPLETED, wait, as_json)


@app.command()
def terminate(
    transfer: TransferId,
    reason: Reason = "ended by its owner",
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """End a transfer for good, and tell the other end why. 终止传输。

    Example: hexi connector transfer terminate urn:uuid:... --reason "no longer needed" --home planner
    """
    client = client_of(home)
    _steered(client, client.end_transfer(transfer, reason), State.TERMINATED, wait, as_json)


def _steered(client: "ConnectorClient", asked: "Transfer", wanted: State, wait: bool, as_json: bool) -> None:
    """Print the transfer, once it is in the state wanted. Exit code 1 if it ended in another."""
    found = client.wait_transfer(asked.id, state=wanted) if wait else asked
    show_some(found, PROCESS, as_json)
    if wait and found.state is not wanted:
        raise typer.Exit(REFUSED)
