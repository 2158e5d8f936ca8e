"""``hexi connector algorithm``: programs of ours in providers' repositories, and judging those sent to us."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, client_of, settings_of
from connector.commands.output import AsJson, read_object, show, show_some, to_json
from sandbox.algorithms.algorithm import read_parameters

if TYPE_CHECKING:
    from sandbox.algorithms.client import JudgeClient

app = typer.Typer(no_args_is_help=True, help="Algorithms: reviewed programs, run by their digest. 算法库。")

Digest = Annotated[str, typer.Argument(help="The algorithm's digest, from 'list'. 算法摘要。")]
Provider = Annotated[str, typer.Option("--provider", help="The provider's DID. 提供方。")]
Reason = Annotated[str, typer.Option("--reason", help="Why. 理由。")]
Token = Annotated[
    str, typer.Option("--token", envvar="HEXI_REVIEWER_TOKEN", help="The reviewer's own token. 审核人令牌。")
]
SUMMARY = ("digest", "name", "version", "author", "state")


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The algorithm's description (JSON).", exists=True, dir_okay=False)],
    provider: Provider,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Send an algorithm of ours to a provider's repository. 提交算法。

    Example: hexi connector algorithm submit means.json --provider did:web:clinic.example --home university
    """
    show_some(client_of(home).algorithms.submit(provider, read_object(file)), SUMMARY, as_json)


@app.command("list")
def list_(provider: Provider, home: Home = HOME, as_json: AsJson = False) -> None:
    """List what a provider accepted, and ours there in every state. 列出算法。

    Example: hexi connector algorithm list --provider did:web:clinic.example --home university
    """
    show_some(client_of(home).algorithms.listing(provider), SUMMARY, as_json)


@app.command("show")
def show_algorithm(digest: Digest, provider: Provider, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show an algorithm with its trials and what was said of it. 查看算法。

    Example: hexi connector algorithm show sha256:... --provider did:web:clinic.example --home university
    """
    show(to_json(client_of(home).algorithms.show(digest, provider)), as_json)


@app.command()
def pending(token: Token, home: Home = HOME, as_json: AsJson = False) -> None:
    """List all algorithms sent to us, in every state, as a reviewer. 列出送审算法。

    Example: hexi connector algorithm pending --home clinic (with HEXI_REVIEWER_TOKEN set)
    """
    show_some(_judge(home, token).algorithms(), SUMMARY, as_json)


@app.command("try")
def try_(
    digest: Digest,
    product: Annotated[str, typer.Option("--product", help="Try it on a twin of this product. 数据产品。")],
    version: Annotated[int, typer.Option("--version", help="Which version of it. 版本。")],
    token: Token,
    given: Annotated[list[str] | None, typer.Option("--parameter", help="name=value, once for each. 参数。")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Try an algorithm on a synthetic twin of a product, as a reviewer. 试运行算法。

    Example: hexi connector algorithm try sha256:... --product 6916... --version 1 --parameter group=sex
    """
    found = to_json(_judge(home, token).try_out(digest, product, version, read_parameters(given or ())))
    show(found if as_json else {**{name: found[name] for name in SUMMARY}, **found["trials"][-1]}, as_json)


@app.command()
def approve(digest: Digest, token: Token, reason: Reason, home: Home = HOME, as_json: AsJson = False) -> None:
    """Agree that an algorithm may be run, as a reviewer. 同意算法。

    Example: hexi connector algorithm approve sha256:... --reason "counts and means only" --home clinic
    """
    show_some(_judge(home, token).judge(digest, reason, agrees=True), SUMMARY, as_json)


@app.command()
def reject(digest: Digest, token: Token, reason: Reason, home: Home = HOME, as_json: AsJson = False) -> None:
    """Decide against an algorithm, as a reviewer. 拒绝算法。

    Example: hexi connector algorithm reject sha256:... --reason "line 7 picks one person" --home clinic
    """
    show_some(_judge(home, token).judge(digest, reason, agrees=False), SUMMARY, as_json)


def _judge(home: Path, token: str) -> "JudgeClient":
    from sandbox.algorithms import client

    return client.JudgeClient(settings_of(home).url, token)
