"""The command ``hexi``. Other packages hang their command groups in through the entry points ``hexi.commands``.

Exit codes: 0 done; 1 refused, or something does not verify; 2 wrong usage or input; 3 a service does not answer;
130 interrupted. Results go to standard output, talk and errors to standard error.
"""

import gc
import sys
from importlib.metadata import entry_points
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

from hexi import __version__
from hexi.errors import DataspaceError, Malformed, Unavailable

GROUP = "hexi.commands"

# What our libraries load when they find it, and a service has no use for: terminal output (structlog, httpx), the
# former generation of pydantic (FastAPI), watching source files (uvicorn), coroutines (SQLAlchemy). Each of them treats
# these as optional. Together they are 8 MB of memory and a tenth of a second at every start.
NOT_FOR_SERVICES = ("rich", "pygments", "pydantic.v1", "watchfiles", "greenlet")

# How many containers a service makes, and does not let go of, before it looks through them for garbage. Python's own
# 700 are fewer than one message makes, and loading a service made it look hundreds of times, a sixth of every
# start. What Python counts by itself does not wait for it: only cycles do.
COLLECT_AFTER = 20_000

DONE, REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


class _Groups(TyperGroup):
    """Command groups loaded when they are asked for, so that one does not wait for the imports of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(point.name for point in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in entry_points(group=GROUP, name=cmd_name):
            command = typer.main.get_command(point.load())
            command.name = cmd_name
            return command
        return None


app = typer.Typer(
    cls=_Groups,
    name="hexi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hexi, a trusted data space: connectors, sandboxed computation, a checkable ledger, a market.\n\n"
    "河西可信数据空间：连接器、可用不可见的沙箱计算、可核验的账本、数据市场。",
)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Print the version, or go on to the command."""
    if version:
        typer.echo(f"hexi {__version__}")
        raise typer.Exit(DONE)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def start_as_service() -> None:
    """What a command that serves calls before it imports anything: what stands in `NOT_FOR_SERVICES` counts as missing,
    and garbage is looked for less often.

    (None in ``sys.modules`` is Python's own word for "do not import this"; see the reference of the import system.)
    """
    gc.set_threshold(COLLECT_AFTER)
    for name in NOT_FOR_SERVICES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def exit_code(error: DataspaceError) -> int:
    """The exit code for `error`."""
    if isinstance(error, Unavailable) or error.status >= 500:
        return UNREACHABLE
    # A service that could not read what it was asked says so with the status of `Malformed`.
    return USAGE if isinstance(error, Malformed) or error.status == Malformed.status else REFUSED


def main() -> None:
    """Run ``hexi``; what we expect to go wrong ends in one line and an exit code, never in a stack trace."""
    try:
        sys.exit(app(standalone_mode=True))
    except DataspaceError as error:
        typer.echo(f"hexi: {error.detail} [{error.code}]", err=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(DONE)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"hexi: {error.filename} cannot be used: {error.strerror} [{Malformed.code}]", err=True)
        sys.exit(USAGE)
