"""How commands print: JSON for programs, columns for people. Results go to standard output, talk to standard error."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from hexi.canonical import Json, parse, pretty
from hexi.cli import REFUSED
from hexi.errors import Malformed

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs. 输出 JSON。")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome. 等待结果。")]

# What people see of a process; --json shows all of it.
PROCESS = ("id", "state", "counterparty", "product", "agreement", "format", "suspendedBy", "reason")


def to_json(value: BaseModel | Iterable[BaseModel]) -> Json:
    """What the connector answered, as it travelled."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return [to_json(item) for item in value]


def show(value: Json, as_json: bool) -> None:
    """Print an object as one name and value a line, a list of objects as a table."""
    if as_json:
        typer.echo(pretty(value))
    elif isinstance(value, dict):
        width = max(map(len, value), default=0)
        for name, item in value.items():
            typer.echo(f"{name:<{width}}  {_flat(item)}")
    elif value:
        _show_table(value)
    else:
        typer.echo("nothing")


def show_some(value: BaseModel | Iterable[BaseModel], columns: Sequence[str], as_json: bool) -> None:
    """Print all of an answer as JSON; for people only the `columns` that say something."""
    found = to_json(value)
    if as_json:
        show(found, as_json)
    elif isinstance(found, dict):
        show({name: found[name] for name in columns if found.get(name)}, as_json)
    else:
        used = [name for name in columns if any(item.get(name) for item in found)]
        show([{name: item.get(name) for name in used} for item in found], as_json)


def show_under(heading: str, found: Json) -> None:
    """Print for people, after a line that says what it is."""
    typer.echo(f"\n{heading}")
    show(found, as_json=False)


def show_output(output: Mapping[str, Any]) -> None:
    """Print for people what a run gave, or would: rows, and the tables and models of a program."""
    from sandbox.programs.telling import print_outputs

    if output["columns"]:
        show([dict(zip(output["columns"], row, strict=True)) for row in output["rows"]], as_json=False)
    print_outputs(output["outputs"])


def show_answer(answer: BaseModel, as_json: bool) -> None:
    """Print the answer to a run, or why there is none; one that was not released ends the command with exit code 1."""
    found = to_json(answer)
    if as_json:
        show(found, as_json)
    elif found["verdict"] == "released":
        show_output(found)
    else:
        show(found["reasons"], as_json)
    if found["verdict"] != "released":
        raise typer.Exit(REFUSED)


def show_process(process: BaseModel, as_json: bool) -> None:
    """Print a negotiation or a transfer; one that was TERMINATED ends the command with exit code 1."""
    show_some(process, PROCESS, as_json)
    if getattr(process, "state", None) == "TERMINATED":
        raise typer.Exit(REFUSED)


def show_history(history: BaseModel, as_json: bool) -> None:
    """Print the steps of a process, oldest first."""
    steps = to_json(history)["items"]
    show(to_json(history) if as_json else [_step(step) for step in steps], as_json)


def _step(step: dict[str, Any]) -> dict[str, Json]:
    said = {"sent": "->", "received": "<-", "here": "--"}[step["direction"]]
    outcome = "" if step["outcome"] == "taken" else step["outcome"]
    return {
        "at": step["at"],
        "": said,
        "message": step["message"],
        "state": step["state"],
        "outcome": outcome,
        "message id": step["messageId"],
        "reason": step["reason"],
    }


def of_product(document: Mapping[str, Any]) -> dict[str, Any]:
    """What people see of a product document."""
    return {
        "identifier": document.get("identifier"),
        "version": document.get("version"),
        "title": document.get("title", {}).get("zh"),
        "provider": document.get("provider"),
        "asked by": _asked_by(document),
    }


def _asked_by(document: Mapping[str, Any]) -> str:
    """Whom its sandbox answers; nothing where it has none, or the space's catalogue does not say."""
    from registry.catalogue import Product
    from registry.lanes import answers_named_only, lane_shown

    lanes = document.get("lanes")
    if lanes is None and "tables" in document:  # as its provider signed it
        product = Product.model_validate(document)
        lanes = {mode: lane for mode in product.modes if (lane := lane_shown(product, mode))}
    if not lanes:
        return ""
    return "analysts its provider named" if any(map(answers_named_only, lanes.values())) else "anybody under contract"


def read_object(file: Path) -> dict[str, Json]:
    """The JSON object in `file`. Raises `Malformed` if it holds anything else."""
    found = parse(file.read_bytes())
    if not isinstance(found, dict):
        raise Malformed(f"{file} does not hold a JSON object")
    return found


def _show_table(rows: list[dict[str, Json]]) -> None:
    columns = list(rows[0])
    cells = [columns, *([_flat(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _flat(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={_flat(item)}" for name, item in value.items())
    return "" if value is None else str(value)
