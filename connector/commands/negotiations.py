"""``hexi connector negotiate``: contract negotiations, in either role."""

from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import PROCESS, AsJson, Wait, show_history, show_process, show_some

app = typer.Typer(no_args_is_help=True, help="Contract negotiations: ask, follow, give up. 合约协商。")

NegotiationId = Annotated[str, typer.Argument(metavar="NEGOTIATION", help="Its id, from 'list'. 协商编号。")]


@app.command()
def request(
    product: Annotated[str, typer.Argument(help="The product's identifier. 产品标识。")],
    provider: Annotated[str | None, typer.Option(help="Insist on this provider's DID. 指定提供方。")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for; it becomes part of the agreement. 使用目的。")] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Negotiate for a product on the terms published. 发起协商。

    Example: hexi connector negotiate request 6916... --purpose research --home planner
    """
    client = client_of(home)
    asked = client.negotiate(product, provider=provider, purpose=purpose, request_id=request_id)
    show_process(client.wait_negotiation(asked.id) if wait else asked, as_json)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as FINALIZED. 状态。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List negotiations, newest first, in either role. 列出协商。

    Example: hexi connector negotiate list --state REQUESTED --home planner
    """
    show_some(client_of(home).negotiations(state=state), PROCESS, as_json)


@app.command("show")
def show_(negotiation: NegotiationId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show a negotiation; if it was terminated, why. 查看协商。

    Example: hexi connector negotiate show urn:uuid:... --home planner
    """
    show_some(client_of(home).negotiation(negotiation), ("role", *PROCESS, "created", "updated"), as_json)


@app.command()
def history(negotiation: NegotiationId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show every message of a negotiation and the state it led to, oldest first. 协商历史。

    Sent is ->, received <-, decided here alone --.

    Example: hexi connector negotiate history urn:uuid:... --home planner
    """
    show_history(client_of(home).negotiation_history(negotiation), as_json)


@app.command()
def end(
    negotiation: NegotiationId,
    reason: Annotated[str, typer.Option(help="Why; the other end is told. 原因。")] = "ended by its owner",
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Give up a negotiation, and tell the other end why. 终止协商。

    Example: hexi connector negotiate end urn:uuid:... --reason "found another source" --home planner
    """
    show_some(client_of(home).end_negotiation(negotiation, reason), PROCESS, as_json)
