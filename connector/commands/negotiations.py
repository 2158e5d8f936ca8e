"""``hexi connector negotiate``: contract negotiations, in either role."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import PROCESS, AsJson, Wait, read_object, show_history, show_process, show_some

if TYPE_CHECKING:
    from connector.client import ConnectorClient
    from connector.management.answers import Negotiation

app = typer.Typer(no_args_is_help=True, help="Contract negotiations: ask, accept, counter, give up. 合约协商。")

NegotiationId = Annotated[str, typer.Argument(metavar="NEGOTIATION", help="Its id, from 'list'. 协商编号。")]


@app.command()
def request(
    product: Annotated[str, typer.Argument(help="The product's identifier. 产品标识。")],
    offer: Annotated[str | None, typer.Option(help="One of its offers, by id, from 'offer find'. 要约编号。")] = None,
    provider: Annotated[str | None, typer.Option(help="Insist on this provider's DID. 指定提供方。")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for; it becomes part of the agreement. 使用目的。")] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of yours, for asking again safely.")] = None,
    wait: Wait = True,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Negotiate for a product on the terms published, or on an offer of its provider's catalogue. 发起协商。

    Example: hexi connector negotiate request 6916... --purpose research --home planner
    """
    client = client_of(home)
    if offer is None:
        asked = client.negotiate(product, provider=provider, purpose=purpose, request_id=request_id)
    elif provider is None:
        raise typer.BadParameter("an offer is its provider's: say --provider as well")
    else:
        asked = _negotiate_offer(client, provider, product, offer, purpose, request_id)
    show_process(client.wait_negotiation(asked.id) if wait else asked, as_json)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as FINALIZED. 状态。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List negotiations, newest first, in either role; ourTurn: it waits for one of us. 列出协商。

    Example: hexi connector negotiate list --state REQUESTED --home planner
    """
    show_some(client_of(home).negotiations(state=state), (*PROCESS, "ourTurn"), as_json)


@app.command("show")
def show_(negotiation: NegotiationId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show a negotiation; if it was terminated, why. 查看协商。

    Example: hexi connector negotiate show urn:uuid:... --home planner
    """
    shown = ("role", *PROCESS, "ourTurn", "offer", "created", "updated")
    show_some(client_of(home).negotiation(negotiation), shown, as_json)


@app.command()
def history(negotiation: NegotiationId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show every message of a negotiation and the state it led to, oldest first. 协商历史。

    Sent is ->, received <-, decided here alone --.

    Example: hexi connector negotiate history urn:uuid:... --home planner
    """
    show_history(client_of(home).negotiation_history(negotiation), as_json)


@app.command()
def accept(negotiation: NegotiationId, wait: Wait = True, home: Home = HOME, as_json: AsJson = False) -> None:
    """Accept what the other end asks for or offers. 接受。

    Example: hexi connector negotiate accept urn:uuid:... --home hospital
    """
    client = client_of(home)
    accepted = client.accept_negotiation(negotiation)
    show_process(client.wait_negotiation(negotiation) if wait else accepted, as_json)


@app.command()
def counter(
    negotiation: NegotiationId,
    terms: Annotated[Path, typer.Argument(help="Other terms, as ODRL (JSON). 条款文件。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Propose other terms for what is on the table ('show' tells whose turn it is). 还价。

    Example: hexi connector negotiate counter urn:uuid:... terms.json --home planner
    """
    show_some(client_of(home).counter_negotiation(negotiation, read_object(terms)), PROCESS, as_json)


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


def _negotiate_offer(
    client: "ConnectorClient", provider: str, product: str, offer: str, purpose: str | None, request_id: str | None
) -> "Negotiation":
    """Ask for an offer as it stands in its provider's catalogue. Raises `OfferUnknown` if it is not there for us."""
    from connector.contracts.agreements import PURPOSE
    from connector.contracts.errors import OfferUnknown

    found = client.peer_catalogue(provider, filter_={"id": product})
    offers = {str(one.get("@id")): one for dataset in found.datasets if dataset.id == product for one in dataset.offers}
    if offer not in offers:
        raise OfferUnknown(f"{provider} offers us {product} as {', '.join(offers) or 'nothing'}, not as {offer}")
    declared = {PURPOSE: purpose} if purpose else {}
    return client.negotiate_offer(provider, {**offers[offer], **declared}, request_id=request_id)
