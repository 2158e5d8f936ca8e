"""``hexi connector job``: runs that wait at a provider."""

import time
from typing import Annotated

import typer

from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show_some
from connector.management.answers import Job
from hexi.cli import REFUSED

app = typer.Typer(no_args_is_help=True, help="Jobs: runs that wait at their provider. 计算任务。")

Transfer = Annotated[str, typer.Argument(help="The transfer it is asked under; it must have STARTED. 传输。")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run, from 'submit' or 'list'. 计算编号。")]
COLUMNS = ("run", "state", "attempts", "product", "submitted", "finished", "reason", "answer")
# How often --wait asks, in seconds.
ASK_SECONDS = 0.5


@app.command()
def submit(
    transfer: Transfer,
    query: Annotated[str, typer.Argument(help="SQL over the product's tables.")],
    purpose: Annotated[str | None, typer.Option(help="Left out: the purpose of the agreement.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="A urn:uuid of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Let a query wait at the provider's sandbox, and print the job. 提交计算任务。

    Example: hexi connector job submit urn:uuid:... "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex" --home planner
    """
    _print(client_of(home).jobs.submit(transfer, query, purpose=purpose, run=run_id), as_json)


@app.command()
def show(
    transfer: Transfer,
    run: RunId,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the job has ended. 等待结束。")] = False,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show how a job stands, and its answer once there is one. 查看任务。

    Example: hexi connector job show urn:uuid:... urn:uuid:... --wait --home planner
    """
    client = client_of(home)
    job = client.jobs.show(transfer, run)
    while wait and job.finished is None:
        time.sleep(ASK_SECONDS)
        job = client.jobs.show(transfer, run)
    _print(job, as_json)


@app.command()
def cancel(transfer: Transfer, run: RunId, home: Home = HOME, as_json: AsJson = False) -> None:
    """End a job. One that waits costs nothing; one under way is stopped, and counts. 取消任务。

    Example: hexi connector job cancel urn:uuid:... urn:uuid:... --home planner
    """
    show_some(client_of(home).jobs.cancel(transfer, run), COLUMNS, as_json)


@app.command("list")
def list_jobs(transfer: Transfer, home: Home = HOME, as_json: AsJson = False) -> None:
    """List our newest jobs at the provider of a transfer. 任务列表。

    Example: hexi connector job list urn:uuid:... --home planner
    """
    show_some(client_of(home).jobs.list(transfer), COLUMNS, as_json)


def _print(job: Job, as_json: bool) -> None:
    show_some(job, COLUMNS, as_json)
    if job.state in {"failed", "cancelled"} or (job.answer is not None and job.answer.verdict == "refused"):
        raise typer.Exit(REFUSED)
