"""``hexi connector job``: runs that wait at a provider."""

from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.asked import Program, Query, text_of
from connector.commands.homes import HOME, Home, client_of
from connector.commands.output import AsJson, show_output, show_some, show_under, to_json
from connector.management.answers import Job
from hexi.cli import REFUSED

if TYPE_CHECKING:
    from sandbox.messages import JobEvent

app = typer.Typer(no_args_is_help=True, help="Jobs: runs that wait at their provider. 计算任务。")

Transfer = Annotated[str, typer.Argument(help="The transfer it is asked under; it must have STARTED. 传输。")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run, from 'submit' or 'list'. 计算编号。")]
COLUMNS = ("run", "state", "attempts", "product", "submitted", "finished", "reason")


@app.command()
def submit(
    transfer: Transfer,
    query: Query = "",
    program: Program = None,
    purpose: Annotated[str | None, typer.Option(help="Left out: the purpose of the agreement.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="A urn:uuid of yours, for asking again safely.")] = None,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Let a query or a program wait at the provider's sandbox, and print the job. 提交计算任务。

    Which of the two a transfer takes is a matter of its format: HexiSandbox-SQL or HexiSandbox-Program.

    Example: hexi connector job submit urn:uuid:... "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex" --home planner

    Example: hexi connector job submit urn:uuid:... --program costs.py --home planner
    """
    text = text_of(query, program)
    _print(client_of(home).jobs.submit(transfer, text, purpose=purpose, run=run_id), as_json)


@app.command()
def show(
    transfer: Transfer,
    run: RunId,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the job has ended. 等待结束。")] = False,
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show how a job stands, and its answer once there is one. 查看任务。

    With --wait every state that it enters is told on standard error as it happens.

    Example: hexi connector job show urn:uuid:... urn:uuid:... --wait --home planner
    """
    jobs = client_of(home).jobs
    _print(jobs.wait(transfer, run, _tell) if wait else jobs.show(transfer, run), as_json)


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


def _tell(event: "JobEvent") -> None:
    why = f": {event.reason.message} [{event.reason.code}]" if event.reason else ""
    attempt = f" (attempt {event.attempt})" if event.attempt > 1 else ""
    typer.echo(f"{event.at} {event.state}{attempt}{why}", err=True)


def _print(job: Job, as_json: bool) -> None:
    show_some(job, COLUMNS, as_json)
    if job.answer is not None and not as_json:
        show_under(job.answer.verdict, to_json(job.answer.reasons))
        show_output(to_json(job.answer))
    if job.state in {"failed", "cancelled"} or (job.answer is not None and job.answer.verdict == "refused"):
        raise typer.Exit(REFUSED)
