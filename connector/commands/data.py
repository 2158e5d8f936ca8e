"""``hexi connector data``: what was delivered to this participant."""

import typer

app = typer.Typer(no_args_is_help=True, help="Data delivered here. 收到的数据。")
