"""Settings say what is wrong with them; the command line ends in an exit code, never in a stack trace."""

from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hexi.cli import DONE, REFUSED, UNREACHABLE, USAGE, app, exit_code, main
from hexi.errors import Conflict, DataspaceError, Malformed, RemoteProblem, Unavailable
from hexi.settings import ServiceSettings, SettingsInvalid, build

PACKAGES = ("hexi", "connector", "registry", "ledger", "sandbox", "privacy", "marketplace")


def test_given_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXI_PORT", "1234")
    monkeypatch.setenv("HEXI_HOST", "127.0.0.2")
    settings = build(ServiceSettings, port=4321, host=None)
    assert (settings.port, settings.host) == (4321, "127.0.0.2")
    assert settings.url == "http://127.0.0.2:4321"


def test_tls_needs_both_files() -> None:
    with pytest.raises(SettingsInvalid, match="both"):
        build(ServiceSettings, tls_certificate=Path("cert.pem"))


def test_a_setting_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXI_PORT", "eighty")
    with pytest.raises(SettingsInvalid, match="port"):
        build(ServiceSettings)
    with pytest.raises(SettingsInvalid, match="port"):
        build(ServiceSettings, port=65_536)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Malformed("x"), USAGE),
        (RemoteProblem(422, {}, "the connector"), USAGE),
        (Conflict("x"), REFUSED),
        (RemoteProblem(409, {}, "the connector"), REFUSED),
        (Unavailable("x"), UNREACHABLE),
        (DataspaceError("x"), UNREACHABLE),
    ],
)
def test_exit_codes(error: DataspaceError, code: int) -> None:
    assert exit_code(error) == code


def test_help_teaches_and_version_prints() -> None:
    helped = CliRunner().invoke(app, ["--help"])
    assert helped.exit_code == DONE
    assert "河西" in helped.output
    assert CliRunner().invoke(app, ["--version"]).output.startswith("hexi ")


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == USAGE


def test_a_folder_that_cannot_be_used_is_one_line_and_no_stack_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = tmp_path / "file"
    home.touch()
    monkeypatch.setattr("sys.argv", ["hexi", "connector", "init", "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"hexi: {home} cannot be used")
    assert said.count("\n") == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_installs_a_package_of_our_name(package: str) -> None:
    # With an editable install a stranger's `registry` in site-packages would win outside the repository.
    assert set(packages_distributions().get(package, [])) <= {"hexi-dataspace"}
