"""Dry runs for people: verdict, errors, rules, time and price, in a few lines."""

import typer
from rich.console import Console
from rich.table import Table

from sandbox.preview import DryRun


def show_dry_run(found: DryRun) -> None:
    """Print a dry run: the numbers to standard output, the rest beside it."""
    for reason in found.reasons:
        typer.echo(f"refused: {reason.message} [{reason.code}]", err=True)
    if found.reasons:
        return
    if found.errors:
        table = Table("column", "standard error", "95 % interval, at most", title=f"{found.cells} cells")
        for error in found.errors:
            if error.smallest is None or error.largest is None or error.half_width is None:
                table.add_row(error.column, "open", "the noise may leave no answer")
                continue
            least, most = f"{error.smallest:g}", f"{error.largest:g}"
            between = least if least == most else f"{least} to {most}"
            table.add_row(error.column, between, f"± {error.half_width:g}")
        Console().print(table)
        if assumed := next((error.assumes for error in found.errors if error.assumes), ""):
            typer.echo(f"means are judged {assumed}", err=True)
    for rule in found.rules:
        typer.echo(f"{rule.rule}: {rule.says}", err=True)
    price = f"; price unknown: {found.price_unknown}" if found.price_unknown else ""
    if found.price is not None:
        price = f"; {found.price.amount / 100:.2f} {found.price.currency} a run"
    typer.echo(f"admissible in the lane {found.lane}; {found.run_time}{price}")
