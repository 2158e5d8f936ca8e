"""``hexi connector product``: what this participant publishes."""

from pathlib import Path
from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, of_product, read_object, show, to_json

app = typer.Typer(no_args_is_help=True, help="Data products: publish them and see them. 数据产品。")


@app.command()
def publish(
    file: Annotated[
        Path, typer.Argument(help="The product description, as JSON. 产品描述文件。", exists=True, dir_okay=False)
    ],
    resource: Annotated[str, typer.Option(help="The resource it is made of. 所用数据资源。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Publish a product, or its next version. 发布数据产品。

    Rows, persons and quality are counted from the files. The same again changes nothing.

    Example: hexi connector product publish claims.json --resource claims --home clinic
    """
    published = client_of(home).publish(resource, read_object(file)).to_json()
    show(published if as_json else {k: v for k, v in published.items() if k != "receipt"}, as_json)


@app.command("list")
def list_(
    resource: Annotated[str | None, typer.Option(help="Only those made of this resource. 只看此数据资源。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List the products published from here. 列出已发布的产品。

    Example: hexi connector product list --home clinic
    """
    found = list(client_of(home).products(resource=resource))
    show(to_json(found) if as_json else [of_product(item.document) for item in found], as_json)


@app.command("show")
def show_(
    product: Annotated[str, typer.Argument(help="The product's identifier. 产品标识。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show a product: its document as signed, and the ledger's receipt. 查看产品。

    Example: hexi connector product show 691620000000000000X6210A1B2C3D41 --home clinic
    """
    found = client_of(home).product(product).to_json()
    show(found if as_json else {**of_product(found["document"]), **_told(found)}, as_json)


@app.command()
def withdraw(
    product: Annotated[str, typer.Argument(help="The product's identifier. 产品标识。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Offer a product no more, here and in the space's catalogue. 下架数据产品。

    Agreements about it go on; end those with 'agreement'. Publishing it again makes its next version.

    Example: hexi connector product withdraw 691620000000000000X6210A1B2C3D41 --home clinic
    """
    found = client_of(home).withdraw(product).to_json()
    show(found if as_json else {**of_product(found["document"]), **_told(found)}, as_json)


def _told(found: dict[str, object]) -> dict[str, object]:
    return {name: found[name] for name in ("resource", "digest")}
