"""``hexi connector federated``: what all the other participants offer, kept here and searched at once."""

from typing import Annotated, Any

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show, show_some, to_json

app = typer.Typer(no_args_is_help=True, help="The federated catalogue: what others offer us. 联邦目录。")

Participant = Annotated[str, typer.Argument(help="The participant's DID. 参与方标识。")]
PEER = (
    "participant",
    "state",
    "datasets",
    "checked",
    "completed",
    "due",
    "failures",
    "reason",
    "leftOut",
    "leftOutWhy",
)
DATASET = ("provider", "id", "title", "formats")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="Words; all must occur. Empty means everything. 检索词。")] = "",
    theme: Annotated[str | None, typer.Option(help="Only of this theme, such as C0000. 主题。")] = None,
    keyword: Annotated[str | None, typer.Option(help="Only with this keyword. 关键词。")] = None,
    provider: Annotated[str | None, typer.Option(help="Only of this participant. 提供方。")] = None,
    dataset: Annotated[str | None, typer.Option("--id", help="Only the dataset of this id. 数据集标识。")] = None,
    limit: Annotated[int, typer.Option(help="At most so many datasets. 条数。", min=1, max=200)] = 50,
    facets: Annotated[
        bool, typer.Option(help="Count what matches by provider, theme, keyword instead. 分面统计。")
    ] = False,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Search what all the other participants offer us, as far as it was found. 检索联邦目录。

    With --json come offers that can be negotiated as they stand.

    Example: hexi connector federated search visits --theme C0000 --home planner
    """
    asked = {"text": text or None, "theme": theme, "keyword": keyword, "provider": provider, "id": dataset}
    wanted = {name: value for name, value in asked.items() if value is not None}
    found = client_of(home).federated.page(wanted, limit=limit, facets=facets)
    if as_json:
        show(to_json(found), as_json)
    elif facets:
        show([_counted(name, one) for name, values in (found.facets or {}).items() for one in values], as_json)
    else:
        show_some(found.items, DATASET, as_json)
    if found.next is not None and not as_json:
        typer.echo("there is more; narrow the search, or raise --limit", err=True)
    if found.incomplete:
        typer.echo(f"not read to the end yet: {', '.join(found.incomplete)}", err=True)


@app.command()
def peers(home: Home = HOME, as_json: AsJson = False) -> None:
    """List whose catalogues are crawled, where each stands, and why it failed if it did. 列出采集对象。

    Example: hexi connector federated peers --home planner
    """
    show_some(client_of(home).federated.peers(), PEER, as_json)


@app.command()
def add(
    participant: Participant,
    address: Annotated[str | None, typer.Option(help="Its protocol endpoint, if not the registry's. 地址。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Crawl a participant's catalogue, whether the registry lists it as a provider or not. 添加采集对象。

    Example: hexi connector federated add did:web:clinic.example --home planner
    """
    show_some(client_of(home).federated.add(participant, address), PEER, as_json)


@app.command()
def remove(participant: Participant, home: Home = HOME, as_json: AsJson = False) -> None:
    """Take back that a participant was added; what was found there goes, unless the registry lists it. 移除采集对象。

    Example: hexi connector federated remove did:web:clinic.example --home planner
    """
    show_some(client_of(home).federated.remove(participant), PEER, as_json)


@app.command()
def crawl(
    participant: Annotated[
        str | None, typer.Argument(help="One participant's DID; left out: all. 参与方标识。")
    ] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Ask one participant, or all, at once, also those being left alone after a failure; 'peers' shows. 立即采集。

    Example: hexi connector federated crawl did:web:clinic.example --home planner
    """
    show_some(client_of(home).federated.crawl(participant), PEER, as_json)


def _counted(name: str, one: Any) -> dict[str, Any]:
    return {"property": name, "value": one.value, "datasets": one.count}
