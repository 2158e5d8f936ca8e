"""Outputs of programs, and what reviewers are told of them, for people at a terminal."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hexi.canonical import Json
from sandbox.programs.charts import svg


def print_outputs(outputs: Iterable[Mapping[str, Json]]) -> None:
    """Tables as tables, models by their terms."""
    console = Console(soft_wrap=True)
    for output in outputs:
        if output["kind"] == "model":
            title = f"{output['name']}: {output['family']} model of {output['outcome']}, n = {output['n']}"
            rows = [[term["name"], term["coefficient"], term["error"]] for term in output["terms"]]
            table = _table(title, ["term", "coefficient", "standard error"], rows)
        else:
            names = [column["name"] for column in output["columns"]]
            table = _table(f"{output['name']} ({output['kind']})", names, output["rows"])
        console.print(table)


def draw_charts(outputs: Iterable[Mapping[str, Json]], folder: Path) -> None:
    """Released charts as SVG files, named for themselves: their names are letters, digits and underscores."""
    for output in outputs:
        if output["kind"] == "chart":
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{output['name']}.svg").write_text(svg(output), encoding="utf-8")


def print_review(seen: Mapping[str, Json], *, with_outputs: bool = True) -> None:
    """What a reviewer sees of a held output: the output itself, and every rule."""
    console = Console(soft_wrap=True)
    console.print(f"[bold]held for review[/bold], run {seen['run']}: {seen['votes']} of {seen['required']} votes")
    if with_outputs:
        print_outputs((seen["output"] or {}).get("outputs", ()))
    print_report(seen["report"])


def print_report(report: Iterable[Mapping[str, Json]]) -> None:
    """Rule by rule, and where to look."""
    console = Console(soft_wrap=True)
    for rule in report:
        console.print(f"  {'passed' if rule['passed'] else 'LOOK  '}  {rule['rule']}: {rule['says']}", highlight=False)


def _table(title: str, names: Iterable[str], rows: Iterable[Iterable[Json]]) -> Table:
    table = Table(*names, title=title)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table
