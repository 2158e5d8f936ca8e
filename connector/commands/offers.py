"""``hexi connector offer``: what this participant offers to whom, and what others offer."""

from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show, to_json

app = typer.Typer(no_args_is_help=True, help="Offers: products on terms. 合约要约。")


@app.command()
def find(
    participant: Annotated[str, typer.Argument(help="The participant's DID. 参与方。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show what a participant offers us, read from its own catalogue. 查看对方提供的要约。

    Example: hexi connector offer find did:web:hospital.example --home planner
    """
    found = client_of(home).peer_catalogue(participant)
    rows = [
        {"product": dataset.id, "offer": offer.get("@id"), "formats": list(dataset.formats)}
        for dataset in found.datasets
        for offer in dataset.offers
    ]
    show(to_json(found) if as_json else rows, as_json)
