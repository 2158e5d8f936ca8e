"""``hexi connector offer``: what this participant offers to whom, and what others offer."""

from pathlib import Path
from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import PROCESS, AsJson, read_object, show, show_some, to_json

app = typer.Typer(no_args_is_help=True, help="Offers: products on terms. 合约要约。")


Name = Annotated[str, typer.Argument(help="The definition's name: small letters, digits and -. 要约名称。")]
COLUMNS = ("name", "revision", "acceptance", "selector")


@app.command("list")
def list_(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the offer definitions in force, by name. 列出要约定义。

    Example: hexi connector offer list --home hospital
    """
    show_some(client_of(home).offers(), COLUMNS, as_json)


@app.command("show")
def show_(name: Name, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show an offer definition. 查看要约定义。

    Example: hexi connector offer show research --home hospital
    """
    show(to_json(client_of(home).offer(name)), as_json)


@app.command()
def define(
    name: Name,
    file: Annotated[Path, typer.Argument(help="access, contract, selector, acceptance, rules (JSON). 要约文件。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Put an offer definition in force, or change it. 设定要约。

    The file says who may see the offer (access), what is agreed on (contract), for which products (selector) and who
    answers (acceptance: automatic, manual, scripted with rules):
    {"contract": {"permission": [{"action": "use"}]}, "selector": {"themes": ["C0000"]}, "acceptance": "manual"}

    Example: hexi connector offer define research offer.json --home hospital
    """
    show_some(client_of(home).define_offer(name, read_object(file)), COLUMNS, as_json)


@app.command()
def withdraw(name: Name, home: Home = HOME, as_json: AsJson = False) -> None:
    """Offer on a definition no more; what was agreed stays. 撤回要约。

    Example: hexi connector offer withdraw research --home hospital
    """
    show_some(client_of(home).withdraw_offer(name), COLUMNS, as_json)


@app.command()
def make(
    consumer: Annotated[str, typer.Argument(help="The consumer's DID. 使用方。")],
    product: Annotated[str, typer.Argument(help="A product published from here. 产品标识。")],
    terms: Annotated[Path | None, typer.Option(help="Terms for it alone, as ODRL (JSON). 条款文件。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Offer a product to one consumer that has not asked. 主动发出要约。

    Example: hexi connector offer make did:web:planner.example 6916... --terms terms.json --home hospital
    """
    given = None if terms is None else read_object(terms)
    show_some(client_of(home).offer_product(consumer, product, given), PROCESS, as_json)


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
        {
            "product": dataset.id,
            "offer": offer.get("@id"),
            "formats": list(dataset.formats),
            "lanes": list(dict.fromkeys(dataset.lanes.values())),
        }
        for dataset in found.datasets
        for offer in dataset.offers
    ]
    show(to_json(found) if as_json else rows, as_json)
