"""``hexi connector webhook``: programs that are told of what happens here."""

from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show_some

app = typer.Typer(no_args_is_help=True, help="Webhooks: signed CloudEvents for your own programs. 事件订阅。")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, from 'list'. 订阅编号。")]
WEBHOOK = ("id", "url", "types", "waiting", "failed", "ended", "secret")
DELIVERY = ("id", "type", "subject", "outcome", "attempts", "queued", "next", "error")


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are posted to. 接收地址。")],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Which: hexi.transfer.*; may be repeated. Left out: all. 类型。")
    ] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Have events posted to an address, and print the secret that they are signed with. 订阅事件。

    The same again is the same webhook. Its receiver checks the signature after Standard Webhooks, or with
    connector.webhooks.signing.verify.

    Example: hexi connector webhook add https://apps.example/hexi --type "hexi.transfer.*" --home clinic
    """
    show_some(client_of(home).subscribe(url, types or ()), WEBHOOK, as_json)


@app.command("list")
def list_(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the webhooks, with what waits and what was given up. 列出订阅。

    Example: hexi connector webhook list --home clinic
    """
    show_some(client_of(home).webhooks(), WEBHOOK, as_json)


@app.command()
def remove(webhook: WebhookId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Send no more; what waits is cancelled. 取消订阅。

    Example: hexi connector webhook remove urn:uuid:... --home clinic
    """
    show_some(client_of(home).unsubscribe(webhook), WEBHOOK, as_json)


@app.command()
def ping(webhook: WebhookId, home: Home = HOME, as_json: AsJson = False) -> None:
    """Send an event that says nothing, to see whether it arrives; 'deliveries' shows. 测试投递。

    Example: hexi connector webhook ping urn:uuid:... --home clinic
    """
    show_some(client_of(home).ping_webhook(webhook), WEBHOOK, as_json)


@app.command()
def deliveries(
    webhook: WebhookId,
    outcome: Annotated[str | None, typer.Option(help="Only taken, waiting, failed or cancelled. 结果。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show what was queued for a webhook, newest first, and what the last attempt met. 投递记录。

    Example: hexi connector webhook deliveries urn:uuid:... --outcome failed --home clinic
    """
    show_some(client_of(home).event_deliveries(webhook, outcome=outcome), DELIVERY, as_json)


@app.command()
def retry(
    webhook: WebhookId,
    event: Annotated[str, typer.Argument(help="The event's id, from 'deliveries'. 事件编号。")],
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Try an event anew that was given up, or at once one that waits. 重新投递。

    Example: hexi connector webhook retry urn:uuid:... urn:uuid:... --home clinic
    """
    show_some(client_of(home).retry_event(webhook, event), DELIVERY, as_json)
