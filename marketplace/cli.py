"""``hexi market``: certify and list products, order runs, state and settle."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hexi.canonical import Json, parse, pretty, system_clock
from hexi.errors import Malformed
from hexi.keys import read_unverified
from marketplace.client import MarketplaceClient
from marketplace.messages import ListingAnswer, OrderAnswer
from marketplace.pricing import yuan
from registry.identity import Identity, did_web
from registry.presentation import present

app = typer.Typer(
    no_args_is_help=True,
    help="The marketplace of a space: certificates, listings, orders, statements, settlements.\n\n"
    "The road: certify a product, list it with a price; a consumer with an agreement orders runs at that price; runs "
    "on the log become a statement; the operator settles it. Looking at listings and certificates needs no identity, "
    "everything else the home folder of a connector (or of the space, for the operator).\n\n"
    "数据市场：产权登记、挂牌、订单、计量、结算。",
)

CREDENTIAL_FILE = "membership.jwt"

Url = Annotated[
    str, typer.Option("--url", envvar="HEXI_SPACE_URL", help="The space's address, e.g. http://127.0.0.1:8080.")
]
Home = Annotated[
    Path,
    typer.Option("--home", envvar="HEXI_HOME", help="Whose folder: identity.pem and, for members, membership.jwt."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of lines for people.")]
ListingId = Annotated[str, typer.Argument(metavar="LISTING", help="The listing's id, from 'list'.")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")]
Fen = Annotated[int, typer.Option("--price-fen", min=0, help="Price of one run, in fen (100 fen are 1 yuan).")]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_HOME = Path(".hexi")


@app.command("list")
def listings(
    query: Annotated[str, typer.Argument(help="Words in Chinese or English; all must occur.")] = "",
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List products on sale. Public."""
    found = MarketplaceClient(url).listings(product=product, q=query)
    _print([item.model_dump(by_alias=True) for item in found], as_json, [_listing(item) for item in found])


@app.command()
def listing(listing: ListingId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show a listing with every state and price it had. Public."""
    found = MarketplaceClient(url).listing(listing)
    history = [
        f"  {e.number}. {e.at} {e.step} -> {e.state}, {yuan(e.unit_price_fen)} yuan a run" for e in found.history
    ]
    _print(found.model_dump(by_alias=True), as_json, [_listing(found), *history])


@app.command()
def certificate(
    number: Annotated[str, typer.Argument(help="The number, e.g. SJ6212026110001.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show a rights certificate. Public."""
    found = MarketplaceClient(url).certificate(number)
    _print(found.model_dump(by_alias=True), as_json, _certificate(found.certificate["document"], found.on_chain))


@app.command()
def certify(
    product: Annotated[str, typer.Argument(help="The product's identifier (6...).")],
    declarations: Annotated[
        Path | None, typer.Option("--declarations", help="JSON file with the evidence: disputes, crossBorder, ...")
    ] = None,
    declare: Annotated[
        list[str] | None, typer.Option("--declare", help="One piece of evidence, NAME=TEXT. Repeatable.")
    ] = None,
    check_only: Annotated[bool, typer.Option("--check-only", help="Only show what the gate would say.")] = False,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Have your product assessed (checks C01 to C15) and its rights certified. For its provider.

    Example: hexi market certify 6... --declare disputes=none --declare crossBorder=forbidden
    --declare "prohibitedContentScan=texts and values, 2026-11-20, nothing found"
    """
    client, declared = _client(home, url), _declared(declarations, declare or [])
    if check_only:
        report = client.assess(product, declared)
        _print(report, as_json, [report["verdict"], *_checks(report)])
        return
    found = client.certify(product, declared)
    _print(found.model_dump(by_alias=True), as_json, _certificate(found.certificate["document"], found.on_chain))


@app.command("list-product")
def list_product(
    product: Annotated[str, typer.Argument(help="The product's identifier (6...).")],
    price_fen: Fen,
    terms_zh: Annotated[str, typer.Option(help="Terms of sale in Chinese.")] = "按次计费",
    terms_en: Annotated[str, typer.Option(help="Terms of sale in English.")] = "Charged by the run",
    draft: Annotated[bool, typer.Option("--draft", help="Prepare it only; 'sell' puts it on sale.")] = False,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Put your certified product on sale. For its provider."""
    terms = {"zh": terms_zh, "en": terms_en}
    _print_listing(_client(home, url).list_product(product, price_fen, terms, draft=draft), as_json)


@app.command()
def sell(listing: ListingId, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Put a draft on sale. For its provider."""
    _print_listing(_client(home, url).put_on_sale(listing), as_json)


@app.command()
def price(
    listing: ListingId, price_fen: Fen, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Change the price for what is ordered from now on. For its provider. Orders taken keep theirs."""
    _print_listing(_client(home, url).reprice(listing, price_fen), as_json)


@app.command()
def suspend(listing: ListingId, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Take no orders for a while. For its provider and the operator."""
    _print_listing(_client(home, url).suspend(listing), as_json)


@app.command()
def resume(listing: ListingId, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Take orders again. For its provider and the operator."""
    _print_listing(_client(home, url).resume(listing), as_json)


@app.command()
def withdraw(listing: ListingId, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """End a listing for good. For its provider and the operator."""
    _print_listing(_client(home, url).withdraw(listing), as_json)


@app.command()
def order(
    listing: ListingId,
    agreement: Annotated[str, typer.Option("--agreement", help="Your agreement about the product, on the log.")],
    runs: Annotated[int, typer.Option("--runs", min=1, help="How many runs.")],
    price_fen: Fen,
    order_id: Annotated[
        str | None, typer.Option("--id", help="Your own id (urn:uuid:...): repeating the command orders once.")
    ] = None,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Order runs at the price you saw. Keep the confirmation: the provider's connector asks for it.

    If the price has changed meanwhile, nothing is ordered and you are told the present one.
    """
    client = _client(home, url)
    _print_order(client.order(listing, agreement, runs=runs, unit_price_fen=price_fen, order_id=order_id), as_json)


@app.command()
def orders(home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the orders you placed or serve."""
    found = _client(home, url).orders()
    _print([item.model_dump(by_alias=True) for item in found], as_json, [_order(item) for item in found])


@app.command()
def cancel(order: OrderId, home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Cancel an order that nobody began to serve. For its consumer."""
    _print_order(_client(home, url).cancel(order), as_json)


@app.command()
def statement(
    consumer: Annotated[str | None, typer.Option(help="Whose, by DID; yours if left out. For the operator.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this instant, e.g. 2026-12-01T00:00:00Z.")] = None,
    show: Annotated[str | None, typer.Option("--show", help="Show this statement again; make none.")] = None,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make the statement of what was used since the last one. For the consumer and the operator."""
    client = _client(home, url)
    found = client.statement(show) if show else client.state(consumer, until)
    document = found.document
    lines = [
        f"  {line['product']}  {line['runs']} runs ({line['refusedRuns']} refused) x {yuan(line['unitPriceFen'])}"
        f" = {yuan(line['amountFen'])} yuan"
        for line in document["lines"]
    ]
    total = f"  total {yuan(document['totalFen'])} yuan"
    _print(found.to_json(), as_json, [f"{document['id']}  {document['consumer']}", *lines, total])


@app.command()
def settle(
    statement: Annotated[str, typer.Argument(metavar="STATEMENT", help="The statement's id.")],
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Book that a statement was paid, and divide it. For the operator. Doing it again changes nothing."""
    found = _client(home, url).settle(statement)
    document = found.document
    shares = [f"  {share['account']}  {yuan(share['fen'])} yuan" for share in document["shares"]]
    _print(found.to_json(), as_json, [f"{document['id']}  {yuan(document['totalFen'])} yuan", *shares])


@app.command()
def accounts(
    mine: Annotated[bool, typer.Option("--mine", help="Only what you owe and are owed. For any member.")] = False,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show the balances of all accounts; together they are zero. For the operator, unless --mine."""
    client = _client(home, url)
    found = client.own_accounts() if mine else client.accounts()
    _print(found, as_json, [f"{name}  {yuan(fen)}" for name, fen in found.items()])


@app.command()
def anomalies(home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List logged runs that were not charged, and why. For the operator."""
    found = _client(home, url).anomalies()
    _print(found, as_json, [f"{a['index']}  {a['run']}  {a['reason']}: {a['detail']}" for a in found])


def _client(home: Path, url: str) -> MarketplaceClient:
    """A client that calls as whoever `home` belongs to: a member with its credential, or else the operator.

    The audience follows from the address that was typed, never from what answers there.
    """
    space = did_web(url)
    file = home / CREDENTIAL_FILE
    credential = file.read_text(encoding="utf-8").strip() if file.exists() else None
    identity = Identity.load(home, _holder(credential) if credential else space)
    return MarketplaceClient(url, authorise=lambda: present(identity, space, credential, system_clock))


def _holder(credential: str) -> str:
    """Whose credential it is. Not verified: the space does that, and the key either fits or does not."""
    claims = read_unverified(credential)
    if not isinstance(claims, dict) or not isinstance(claims.get("sub"), str):
        raise Malformed(f"the {CREDENTIAL_FILE} in the home folder is no membership credential; fetch it anew")
    return str(claims["sub"])


def _declared(file: Path | None, pairs: Iterable[str]) -> dict[str, str]:
    declared: dict[str, str] = {}
    if file is not None:
        value = parse(file.read_bytes())
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise Malformed(f"{file} is not an object of texts")
        declared |= value
    for pair in pairs:
        name, mark, text = pair.partition("=")
        if not mark:
            raise Malformed(f"--declare takes NAME=TEXT, not {pair!r}")
        declared[name] = text
    return declared


def _listing(found: ListingAnswer) -> str:
    title = f"{found.title.zh} {found.title.en}"
    return f"{found.id}  {found.state}  {yuan(found.unit_price_fen)} yuan a run  {title}  ({found.product})"


def _order(found: OrderAnswer) -> str:
    order = found.order
    return f"{order.id}  {order.state}  {order.used}/{order.runs} runs at {yuan(order.unit_price_fen)} yuan"


def _certificate(document: Json, on_chain: bool) -> list[str]:
    simulated = "  (simulated: no accredited registrar 模拟登记)" if document["simulated"] else ""
    return [
        f"{document['number']}{simulated}",
        f"  {document['title']['zh']} {document['title']['en']}, version {document['version']}",
        f"  {document['holder']['nameZh']}: {', '.join(document['rights'])}",
        f"  {document['validFrom']} to {document['validUntil']}; on the chain: {'yes' if on_chain else 'not yet'}",
    ]


def _checks(report: Json) -> list[str]:
    lines = []
    for check in report["checks"]:
        why = f": {check['reason']}" if "reason" in check else ""
        help_ = f"; {check['wayOut']}" if "wayOut" in check else ""
        lines.append(f"  {check['id']} {check['outcome']:14} {check['title']['zh']} {check['title']['en']}{why}{help_}")
    return lines


def _print_listing(found: ListingAnswer, as_json: bool) -> None:
    _print(found.model_dump(by_alias=True), as_json, [_listing(found)])


def _print_order(found: OrderAnswer, as_json: bool) -> None:
    _print(found.model_dump(by_alias=True), as_json, [_order(found), found.confirmation])


def _print(value: Json, as_json: bool, lines: Iterable[str]) -> None:
    if as_json:
        typer.echo(pretty(value))
        return
    for line in lines:
        typer.echo(line)
