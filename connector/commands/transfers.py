"""``hexi connector transfer``: ask for delivery or computation under an agreement, and steer it."""

from pathlib import Path
from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import PROCESS, AsJson, Wait, show_process, show_some

app = typer.Typer(no_args_is_help=True, help="Transfers: ask, follow, steer. 数据传输（含计算）。")

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER", help="Its id, from 'list'. 传输编号。")]
Reason = Annotated[str, typer.Option(help="Why; the other end is told. 原因。")]
BY_OWNER = "ended by its owner"


@app.command()
def request(
    agreement: Annotated[str, typer.Argument(help="A concluded agreement. 合约编号。")],
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="Such as HexiSandbox-SQL. 传输方式。")
    ] = "HexiSandbox-SQL",
    order: Annotated[
        Path | None, typer.Option(help="The file with the order confirmation. 订单凭证。", exists=True, dir_okay=False)
    ] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Ask for use under an agreement; where use is paid for, show the order. 请求传输。

    Example: hexi connector transfer request urn:uuid:... HexiSandbox-SQL --order order.jws --home planner
    """
    client = client_of(home)
    shown = order.read_text(encoding="ascii").strip() if order else None
    asked = client.transfer(agreement, format_, order=shown, request_id=request_id)
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
def show_(transfer: TransferId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show a transfer; if it was refused or suspended, why. 查看传输。

    Example: hexi connector transfer show urn:uuid:... --home planner
    """
    show_some(client_of(home).transfer_status(transfer), ("role", *PROCESS, "created", "updated"), as_json)


@app.command()
def terminate(transfer: TransferId, reason: Reason = BY_OWNER, home: Home = HOME, as_json: AsJson = False) -> None:
    """End a transfer for good, and tell the other end why. 终止传输。

    Example: hexi connector transfer terminate urn:uuid:... --reason "no longer needed" --home planner
    """
    show_some(client_of(home).end_transfer(transfer, reason), PROCESS, as_json)
