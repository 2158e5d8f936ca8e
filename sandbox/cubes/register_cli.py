"""``hexi sandbox register``: what a provider's published cubes have given away, family by family."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hexi.canonical import pretty
from hexi.database import Database
from sandbox import store
from sandbox.cubes.register import Ledger, ledgers


def register(
    state: Annotated[Path | None, typer.Option("--state", help="What `hexi sandbox try` kept.", exists=True)] = None,
    database: Annotated[str, typer.Option("--database", help="Or a connector's database, as a URL.")] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What published cubes have given away of any one person, by population and family, and what they still may.

    mu is that of the theorem: whoever knows all others guesses a bit right with probability Phi(mu / 2).
    """
    if state is not None and (state / "sandbox.sqlite").is_file() and not database:
        database = f"sqlite:///{state / 'sandbox.sqlite'}"
    elif state is not None or not database:
        raise typer.BadParameter("say --state DIR, of a state that is there, or --database URL", param_hint="--state")
    found = _read(database)
    if as_json:
        print(pretty([asdict(one) for one in found]))  # noqa: T201 - this is a command
        return
    table = Table("population", "family", "products", "mu", "of at most")
    for one in found:
        cap = "not said" if one.cap is None else f"{one.cap:.3f}"
        table.add_row(one.population or "all", one.family, ", ".join(one.products), f"{one.mu:.3f}", cap)
    Console().print(table if found else "No cube is published.")


def _read(url: str) -> list[Ledger]:
    from sandbox.cubes.cubes import charge_in  # and with it a parser of SQL

    database = Database(url)
    try:
        database.migrate("sandbox")
        with database.reading() as session:
            rows = store.every_charge(session)
    finally:
        database.dispose()
    populations = sorted({row.population for row in rows})
    return [
        ledger
        for population in populations
        for ledger in ledgers(population, [charge_in(row) for row in rows if row.population == population])
    ]
