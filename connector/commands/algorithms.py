"""``hexi connector algorithm``: programs of ours in providers' repositories, and judging those sent to us."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, ProviderUrl, ReviewerToken, client_of, settings_of
from connector.commands.output import AsJson, read_object, show, show_some, show_under, to_json
from sandbox.algorithms.algorithm import read_parameters

if TYPE_CHECKING:
    from sandbox.algorithms.client import JudgeClient
    from sandbox.algorithms.messages import AlgorithmBody

app = typer.Typer(no_args_is_help=True, help="Algorithms: reviewed programs, run by their digest. 算法库。")

Digest = Annotated[str, typer.Argument(help="The algorithm's digest, from 'list'. 算法摘要。")]
Provider = Annotated[str, typer.Option("--provider", help="The provider's DID. 提供方。")]
Repository = Annotated[
    str | None, typer.Option("--provider", help="The provider's DID; left out: what was sent to us. 提供方。")
]
Reason = Annotated[str, typer.Option("--reason", help="Why. 理由。")]
TRIAL = ("product", "version", "parameters", "passed", "environment", "at")
SUMMARY = ("digest", "name", "version", "author", "state")


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The algorithm's description (JSON).", exists=True, dir_okay=False)],
    provider: Provider,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Send an algorithm of ours to a provider's repository. 提交算法。

    Its 'products' name those of the provider's products that it is for. Then it is tried on their twins and reviewed by
    two people of two organisations; 'show' tells how it stands, and what they said.

    Example: hexi connector algorithm submit means.json --provider did:web:clinic.example --home university
    """
    show_some(client_of(home).algorithms.submit(provider, read_object(file)), SUMMARY, as_json)


@app.command("list")
def list_(provider: Repository = None, home: Home = HOME, as_json: AsJson = False) -> None:
    """List what a provider accepted, and ours there in every state; without one all that was sent to us. 列出算法。

    Example: hexi connector algorithm list --provider did:web:clinic.example --home university

    Example: hexi connector algorithm list --home clinic
    """
    show_some(client_of(home).algorithms.listing(provider), SUMMARY, as_json)


@app.command("show")
def show_algorithm(digest: Digest, provider: Repository = None, home: Home = HOME, as_json: AsJson = False) -> None:
    """Show an algorithm with its trials and what was said of it. 查看算法。

    Example: hexi connector algorithm show sha256:... --provider did:web:clinic.example --home university
    """
    _show_whole(client_of(home).algorithms.show(digest, provider), as_json)


@app.command()
def withdraw(digest: Digest, provider: Repository = None, home: Home = HOME, as_json: AsJson = False) -> None:
    """Have an algorithm run no more: ours at a provider, or any that was sent to us. 撤回算法。

    Example: hexi connector algorithm withdraw sha256:... --provider did:web:clinic.example --home university
    """
    show_some(client_of(home).algorithms.withdraw(digest, provider), SUMMARY, as_json)


@app.command()
def pending(token: ReviewerToken, url: ProviderUrl = None, home: Home = HOME, as_json: AsJson = False) -> None:
    """List the algorithms for a reviewer, in every state. 列出送审算法。

    The provider's own reviewers see all; those of another organisation what is for products named for them alone.

    Example: hexi connector algorithm pending --home clinic (with HEXI_REVIEWER_TOKEN set)

    Example: hexi connector algorithm pending --url https://clinic.example (for a reviewer elsewhere)
    """
    show_some(_judge(home, url, token).algorithms(), SUMMARY, as_json)


@app.command()
def examine(
    digest: Digest, token: ReviewerToken, url: ProviderUrl = None, home: Home = HOME, as_json: AsJson = False
) -> None:
    """Show an algorithm with its source, trials and what others said, as a reviewer. 审阅算法。

    Example: hexi connector algorithm examine sha256:... --home clinic (with HEXI_REVIEWER_TOKEN set)
    """
    _show_whole(_judge(home, url, token).show(digest), as_json)


@app.command("try")
def try_(
    digest: Digest,
    product: Annotated[str, typer.Option("--product", help="Try it on a twin of this product. 数据产品。")],
    version: Annotated[int, typer.Option("--version", help="Which version of it. 版本。")],
    token: ReviewerToken,
    given: Annotated[list[str] | None, typer.Option("--parameter", help="name=value, once for each. 参数。")] = None,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Try an algorithm on a synthetic twin of a product, as a reviewer. 试运行算法。

    It may be approved once it has passed on a twin of every product it is for. No row of a product is read.

    Example: hexi connector algorithm try sha256:... --product 6916... --version 1 --parameter group=sex
    """
    found = to_json(_judge(home, url, token).try_out(digest, product, version, read_parameters(given or ())))
    if as_json:
        show(found, as_json)
        return
    trial = found["trials"][-1]
    show({name: found[name] for name in SUMMARY} | {"passed": trial["passed"]}, as_json)
    show_under("report", trial["report"])


@app.command()
def approve(
    digest: Digest,
    token: ReviewerToken,
    reason: Reason,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Agree that an algorithm may be run, as a reviewer. 同意算法。

    Two people of two organisations accept it, neither of them its author's.

    Example: hexi connector algorithm approve sha256:... --reason "counts and means only" --home clinic
    """
    show_some(_judge(home, url, token).judge(digest, reason, agrees=True), SUMMARY, as_json)


@app.command()
def reject(
    digest: Digest,
    token: ReviewerToken,
    reason: Reason,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Decide against an algorithm, as a reviewer; the author reads the reason. 拒绝算法。

    Example: hexi connector algorithm reject sha256:... --reason "line 7 picks one person" --home clinic
    """
    show_some(_judge(home, url, token).judge(digest, reason, agrees=False), SUMMARY, as_json)


def _judge(home: Path, url: str | None, token: str) -> "JudgeClient":
    from sandbox.algorithms import client

    return client.JudgeClient(url or settings_of(home).url, token)


def _show_whole(algorithm: "AlgorithmBody", as_json: bool) -> None:
    """As JSON; for people what it is, what was found, what was said, and its source as it is written."""
    if as_json:
        show(to_json(algorithm), as_json)
        return
    show_some(algorithm, SUMMARY, as_json)
    described = to_json(algorithm.algorithm)
    show({name: described[name] for name in ("title", "description", "products", "parameters", "outputs")}, as_json)
    for number, trial in enumerate(to_json(algorithm.trials), 1):
        show_under(f"trial {number}", {name: trial[name] for name in TRIAL})
        show_under(f"report of trial {number}", trial["report"])
    show_under("judgements", to_json(algorithm.judgements))
    typer.echo(f"\nsource\n{algorithm.algorithm.source}")
