"""``hexi connector agreement``: what was agreed."""

from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show, show_some

app = typer.Typer(no_args_is_help=True, help="Agreements, with signatures and receipts. 数字合约。")

COLUMNS = ("id", "role", "state", "counterparty", "product", "created")


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as ENDED. 状态。")] = None,
    product: Annotated[str | None, typer.Option(help="Only those about this product. 数据产品。")] = None,
    counterparty: Annotated[str | None, typer.Option(help="Only those with this participant, a DID. 对方。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List the agreements, newest first, in either role. 列出合约。

    Example: hexi connector agreement list --state CONCLUDED --home planner
    """
    found = client_of(home).agreements(state=state, product=product, counterparty=counterparty)
    show_some(found, COLUMNS, as_json)


@app.command("show")
def show_(
    agreement: Annotated[str, typer.Argument(help="Its id, from 'list'. 合约编号。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show an agreement with its signatures and the ledger's receipt. 查看合约。

    Example: hexi connector agreement show urn:uuid:... --home planner
    """
    show(client_of(home).agreement(agreement).to_json(), as_json)


@app.command()
def end(
    agreement: Annotated[str, typer.Argument(help="Its id, from 'list'. 合约编号。")],
    reason: Annotated[str, typer.Option(help="Why; the other end is told. 原因。")] = "ended by its owner",
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """End an agreement: its transfers end at once, the other end is told, the evidence stays. 终止合约。

    Example: hexi connector agreement end urn:uuid:... --reason "the study is over" --home hospital
    """
    show_some(client_of(home).end_agreement(agreement, reason), COLUMNS, as_json)


@app.command()
def perform(
    agreement: Annotated[str, typer.Argument(help="Its id, from 'list'. 合约编号。")],
    duty: Annotated[str, typer.Argument(help="What was done: delete or anonymize. 义务。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Put on the ledger that what the terms ask of the consumer after the use was done. 履行义务。

    Example: hexi connector agreement perform urn:uuid:... delete --home planner
    """
    show_some(client_of(home).perform_duty(agreement, duty), ("kind", "subject", "created", "receipt"), as_json)
