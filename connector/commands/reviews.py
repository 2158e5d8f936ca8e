"""``hexi connector reviewer`` and ``review``: who decides over held outputs, and their decisions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.homes import HOME, Home, ProviderUrl, ReviewerToken, client_of, settings_of
from connector.commands.output import AsJson, show_output, show_some, show_under, to_json
from hexi.canonical import Json

if TYPE_CHECKING:
    from sandbox.airlock.messages import ReviewBody
    from sandbox.client import ReviewClient

reviewers = typer.Typer(no_args_is_help=True, help="Reviewers: who decides over held outputs and algorithms. 审核人。")
app = typer.Typer(no_args_is_help=True, help="Reviews: decide over outputs that the sandbox holds. 结果审核。")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run, from 'list'. 计算编号。")]
Reason = Annotated[str, typer.Option("--reason", help="Why; of a rejection the consumer reads it. 理由。")]
OptionalToken = Annotated[
    str | None,
    typer.Option("--token", envvar="HEXI_REVIEWER_TOKEN", help="A reviewer's: list what is for them. 审核人令牌。"),
]
Name = Annotated[str, typer.Argument(help="The reviewer's name. 姓名。")]
REVIEWER = ("name", "organisation", "products", "added", "removed", "token")
REVIEW = ("run", "state", "holder", "product", "version", "votes", "required", "expires", "ended")


@reviewers.command()
def add(
    name: Name,
    organisation: Annotated[str | None, typer.Option(help="The DID they speak for; left out: ours. 所属机构。")] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(
            help="One of another organisation sees its outputs and algorithms; again for more. 可审核的产品。"
        ),
    ] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Let a person decide over held outputs and algorithms, and print their token, once. 添加审核人。

    Our own see everything that is held and sent to us. Those of another organisation see the outputs of each --product,
    and the algorithms that are for such products alone; nothing without one. The same again prints a fresh token; the
    old one counts no more, and the products are those named now. Hand it to the person alone.

    Example: hexi connector reviewer add wang.li --home clinic

    Example: hexi connector reviewer add cy --organisation did:web:institute.example --product 6916... --home clinic
    """
    show_some(client_of(home).airlock.add_reviewer(name, organisation, product or ()), REVIEWER, as_json)


@reviewers.command("list")
def list_reviewers(home: Home = HOME, as_json: AsJson = False) -> None:
    """List the reviewers. 列出审核人。

    Example: hexi connector reviewer list --home clinic
    """
    show_some(client_of(home).airlock.reviewers(), REVIEWER, as_json)


@reviewers.command()
def remove(name: Name, home: Home = HOME, as_json: AsJson = False) -> None:
    """Take a reviewer's voice away; votes that were cast stay. 移除审核人。

    Example: hexi connector reviewer remove wang.li --home clinic
    """
    show_some(client_of(home).airlock.remove_reviewer(name), REVIEWER, as_json)


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended. 含已结束。")] = False,
    token: OptionalToken = None,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """List the outputs that wait for reviewers, oldest first. 列出待审核结果。

    Example: hexi connector review list --home clinic

    Example: hexi connector review list --url https://clinic.example (for a reviewer, with HEXI_REVIEWER_TOKEN set)
    """
    asked = client_of(home).airlock if token is None else _reviewer(home, url, token)
    show_some(asked.reviews(every=every), REVIEW, as_json)


@app.command("show")
def show_review(
    run: RunId, token: ReviewerToken, url: ProviderUrl = None, home: Home = HOME, as_json: AsJson = False
) -> None:
    """Show a held output with lineage, rule report and earlier releases, as a reviewer. 查看待审核结果。

    Example: hexi connector review show urn:uuid:... --home clinic (with HEXI_REVIEWER_TOKEN set)
    """
    _show_whole(_reviewer(home, url, token).look(run), as_json)


@app.command()
def approve(
    run: RunId,
    token: ReviewerToken,
    reason: Reason,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Vote for releasing a held output, as a reviewer. 同意放行。

    Example: hexi connector review approve urn:uuid:... --reason "counts over 10 only"
    """
    show_some(_reviewer(home, url, token).vote(run, "approve", reason), REVIEW, as_json)


@app.command()
def reject(
    run: RunId,
    token: ReviewerToken,
    reason: Reason,
    url: ProviderUrl = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Vote against releasing a held output, as a reviewer. 不予放行。

    Example: hexi connector review reject urn:uuid:... --reason "group by year instead"
    """
    show_some(_reviewer(home, url, token).vote(run, "reject", reason), REVIEW, as_json)


def _show_whole(review: "ReviewBody", as_json: bool) -> None:
    """As JSON; for people the output, what the rules say, where it comes from, what went before, and who did what."""
    show_some(review, REVIEW, as_json)
    if as_json:
        return
    if review.output is not None:
        typer.echo("\noutput")
        show_output(review.output)
    show_under("report", to_json(review)["report"])
    lineage = dict(review.lineage or {})
    source = lineage.pop("source", None)
    show_under("lineage", {name: _in_short(item) for name, item in lineage.items()})
    for earlier in review.earlier:
        typer.echo(f"\nreleased earlier, to {earlier['holder']}, {earlier['ended']}")
        show_output(earlier["output"])
    show_under("votes", to_json(review)["votesSeen"])
    show_under("audit", to_json(review)["audit"])
    if source is not None:
        typer.echo(f"\nsource\n{source}")


def _in_short(item: Json) -> Json:
    """An environment by its digest, isolation by its level; --json shows all."""
    return item.get("digest", item.get("level", item)) if isinstance(item, dict) else item


def _reviewer(home: Path, url: str | None, token: str) -> "ReviewClient":
    from sandbox.client import ReviewClient

    return ReviewClient(url or settings_of(home).url, token)
