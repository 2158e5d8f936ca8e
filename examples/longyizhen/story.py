"""Telling the story: numbered steps, one line a fact, in English and Chinese. Results go to files, this is the talk."""

import time

from rich.console import Console
from rich.table import Table


class Story:
    """What the reader sees on the terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.started = time.monotonic()

    def title(self, english: str, chinese: str) -> None:
        """The first line."""
        self.console.rule(f"[bold]{english}[/bold]  {chinese}")

    def step(self, number: int, english: str, chinese: str) -> None:
        """A chapter."""
        elapsed = time.monotonic() - self.started
        self.console.print(
            f"\n[bold cyan]{number}/7[/bold cyan] [bold]{english}[/bold]  [dim]{chinese}  {elapsed:.1f} s[/dim]"
        )

    def fact(self, text: str) -> None:
        """One thing that happened."""
        self.console.print(f"    [green]✓[/green] {text}")

    def refusal(self, text: str) -> None:
        """One thing that was refused, as it should be."""
        self.console.print(f"    [yellow]✗[/yellow] {text}")

    def table(self, title: str, columns: list[str], rows: list[list[object]]) -> None:
        """A small table."""
        shown = Table(title=title, title_justify="left", title_style="dim", header_style="bold", pad_edge=False)
        for column in columns:
            shown.add_column(column, justify="right" if column[:1].islower() else "left")
        for row in rows:
            shown.add_row(*["·" if value is None else str(value) for value in row])
        self.console.print(shown)

    def summary(self, lines: list[tuple[str, str]]) -> None:
        """The end: what was asked, released, refused, what it cost, what was proved."""
        self.console.print()
        self.console.rule("[bold]In short[/bold]  小结")
        for label, text in lines:
            self.console.print(f"  [bold]{label:<22}[/bold] {text}")
