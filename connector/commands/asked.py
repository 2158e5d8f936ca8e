"""What a command asks: a query, or a program from a file."""

from pathlib import Path
from typing import Annotated

import typer

from hexi.errors import Malformed

Query = Annotated[str, typer.Argument(help="SQL over the product's tables.")]
Program = Annotated[
    Path | None,
    typer.Option(
        "--program", help="A Python program, or a file that names an algorithm. 程序文件。", exists=True, dir_okay=False
    ),
]


def text_of(query: str, program: Path | None) -> str:
    """The text that is asked. Raises `Malformed` unless it is either a query or a program that can be read."""
    if bool(query) == (program is not None):
        raise Malformed("give either a query or a --program")
    if program is None:
        return query
    from sandbox.programs.source import read_text

    return read_text(program)
