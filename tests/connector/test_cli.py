"""The command line: what it makes, what it refuses, and that its help teaches."""

import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from connector.cli import app
from hexi.canonical import parse
from hexi.errors import DataspaceError, Malformed


def commands(
    group: click.Command = typer.main.get_command(app), *path: str
) -> Iterator[tuple[list[str], click.Command]]:
    """Every command there is, with its words."""
    if not isinstance(group, click.Group):
        yield list(path), group
        return
    for name, command in group.commands.items():
        yield from commands(command, *path, name)


COMMANDS = [words for words, _ in commands()]


def call(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, DataspaceError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_init_makes_a_key_and_a_token_once(tmp_path: Path) -> None:
    home = tmp_path / "clinic"
    words = ["init", "--home", str(home), "--port", "8181", "--space-url", "http://127.0.0.1:9000", "--json"]

    made = parse(call(*words))
    files = {name: (home / name).read_bytes() for name in ("identity.pem", "management.token")}

    assert (made["did"], made["space"]) == ("did:web:127.0.0.1%3A8181", "http://127.0.0.1:9000")
    assert parse(call("init", "--home", str(home), "--json")) == made
    for name, content in files.items():
        assert (home / name).read_bytes() == content
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_the_environment_wins_over_what_init_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("init", "--home", str(tmp_path), "--port", "8181")
    monkeypatch.setenv("HEXI_CONNECTOR_PORT", "8282")

    assert parse(call("init", "--home", str(tmp_path), "--json"))["url"] == "http://127.0.0.1:8282"


def test_a_folder_without_a_connector_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="hexi connector init --home"):
        call("status", "--home", str(tmp_path))


def test_tables_are_written_as_name_and_path(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="name=path"):
        call("resource", "add", "claims", "/data/visits.csv", "--home", str(tmp_path))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches_with_an_example(command: list[str]) -> None:
    said = " ".join(call(*command, "--help").split())
    assert f"Example: hexi connector {' '.join(command)} " in said
    assert "--json" in said or command in (["serve"], ["worker"])
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said), "nothing in Chinese"
