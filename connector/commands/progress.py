"""Following a transfer to its end, with a progress bar on standard error.

Where standard error is no terminal, each new state is one line, so that logs stay readable.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from connector.formats import FORMATS
from hexi.errors import NotFound, RemoteProblem

if TYPE_CHECKING:
    from connector.client import ConnectorClient
    from connector.management.answers import Transfer
    from connector.management.delivery_answers import Delivery

# The state, the bytes that have arrived, and how many there will be if that is known.
Report = Callable[[str, int, int | None], None]
# How long a transfer is followed, in seconds: a month, the longest a permit lives.
FOLLOW_SECONDS = 30 * 24 * 3600.0


def followed(client: "ConnectorClient", pid: str) -> "Transfer":
    """The transfer once it is COMPLETED or TERMINATED."""
    with bar(pid) as report:

        def seen(transfer: "Transfer") -> None:
            arrived = _arrived(client, pid) if transfer.format in FORMATS["file"] else None
            report(transfer.state, arrived.bytes if arrived else 0, arrived.size if arrived else None)

        return client.wait_transfer(pid, FOLLOW_SECONDS, to_the_end=True, seen=seen)


def _arrived(client: "ConnectorClient", pid: str) -> "Delivery | None":
    """What has arrived here of a transfer; None while nothing was asked to arrive here."""
    try:
        return client.delivery(pid)
    except RemoteProblem as problem:
        if problem.status == NotFound.status:
            return None
        raise


@contextmanager
def bar(what: str, *, rows: bool = False) -> Iterator[Report]:
    """Gives the function to report with; with `rows` it is told rows instead of bytes."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    counted = (TextColumn("{task.completed:,} rows"),) if rows else (DownloadColumn(), TransferSpeedColumn())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *counted)
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=None)

        def report(state: str, done: int, size: int | None) -> None:
            shown.update(task, description=f"{what} {state}", completed=done, total=size)

        yield report


def _lines(what: str) -> Report:
    said = ""

    def report(state: str, _done: int, _size: int | None) -> None:
        nonlocal said
        if state != said:
            said = state
            typer.echo(f"{what} {state}", err=True)

    return report
