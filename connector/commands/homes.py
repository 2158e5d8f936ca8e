"""Whose connector a command is for: its folder, the settings kept there, and the client that asks it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.settings import ConnectorSettings
from hexi.canonical import parse
from hexi.errors import Malformed
from hexi.settings import build

if TYPE_CHECKING:
    from connector.client import ConnectorClient

# What `init` was told, so that the other commands need only --home.
SETTINGS_FILE = "connector.json"
HOME = Path(".hexi")

Home = Annotated[
    Path,
    typer.Option("--home", envvar="HEXI_HOME", help="Its folder, with key, token and database. 连接器目录。"),
]

ReviewerToken = Annotated[
    str, typer.Option("--token", envvar="HEXI_REVIEWER_TOKEN", help="The reviewer's own token. 审核人令牌。")
]
ProviderUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="HEXI_REVIEWER_URL",
        help="The provider's connector, for a reviewer elsewhere; left out: the one in --home. 提供方地址。",
    ),
]


def saved(home: Path) -> dict[str, Any]:
    """What `init` was told. Raises `Malformed` if the file was spoilt."""
    path = home / SETTINGS_FILE
    found = parse(path.read_bytes()) if path.exists() else {}
    if not isinstance(found, dict):
        raise Malformed(f"{path} is not an object; make it anew with: hexi connector init")
    return found


def settings_of(home: Path) -> ConnectorSettings:
    """The settings of the connector in `home`; the environment wins over what `init` was told."""
    prefix = str(ConnectorSettings.model_config.get("env_prefix"))
    told = {name: value for name, value in saved(home).items() if prefix + name.upper() not in os.environ}
    return build(ConnectorSettings, home=home, **told)


def client_of(home: Path) -> "ConnectorClient":
    """A client of the connector in `home`. Raises `Malformed` if there is none."""
    from connector.management.token import TOKEN_FILE

    path = home / TOKEN_FILE
    if not path.exists():
        raise Malformed(f"there is no connector in {home}; make one with: hexi connector init --home {home}")
    from connector.client import ConnectorClient

    return ConnectorClient(settings_of(home).url, path.read_text(encoding="ascii").strip())
