"""The commands, against a space in memory: what they print, and what they refuse."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from hexi.canonical import parse, pretty, system_clock
from hexi.errors import DataspaceError, Malformed, RemoteProblem
from marketplace import books_store, cli, space_cli
from marketplace.client import MarketplaceClient
from marketplace.settings import SpaceSettings
from tests.marketplace.builders import DECLARED
from tests.marketplace.test_space import HOSPITAL, PLANNER, Town, found
from tests.registry import builders as members


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """A town in the present, since commands use the machine's clock; the hosts stand in for the network."""
    town = found(tmp_path / "space", system_clock)
    monkeypatch.setattr(cli, "MarketplaceClient", partial(MarketplaceClient, transport=town.hosts))
    # Unconfigured, structlog writes to standard output, which is for results.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for did, name in ((HOSPITAL, "hospital"), (PLANNER, "planner")):
        home = tmp_path / name
        home.mkdir()
        members.identity(did).key.save(home / "identity.pem")
        (home / cli.CREDENTIAL_FILE).write_text(town.credentials[did])
    yield town
    structlog.reset_defaults()
    town.space.database.dispose()


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ask(*arguments: str | Path) -> dict[str, object]:
    value: dict[str, object] = parse(run(*arguments, "--json").stdout)
    return value


def test_the_road_by_commands(town: Town, tmp_path: Path) -> None:
    hospital, planner, operator = (("--home", tmp_path / name) for name in ("hospital", "planner", "space"))
    declarations = tmp_path / "declarations.json"
    declarations.write_text(pretty(dict(DECLARED)))
    checked = run("certify", town.product, "--check-only", "--declare", "disputes=none", *hospital).stdout
    assert "C06 failed" in checked
    certified = run("certify", town.product, "--declarations", declarations, *hospital).stdout
    assert "simulated" in certified
    assert "not yet" in certified
    listing = str(ask("list-product", town.product, "--price-fen", "1250", *hospital)["id"])
    assert "12.50 yuan a run" in run("list", "医保").stdout
    assert "1250" in run("listing", listing, "--json").stdout
    agreement = str(town.agree().document["id"])
    ordered = run("order", listing, "--agreement", agreement, "--runs", "3", "--price-fen", "1250", *planner).stdout
    assert "placed  0/3 runs at 12.50 yuan" in ordered
    order = town.market(PLANNER).orders()[0].order
    town.run(order)
    assert "12.50 = 12.50 yuan" in run("statement", *planner).stdout
    assert "0/3" not in run("orders", *planner).stdout
    with town.space.database.reading() as session:
        statement = books_store.statements(session)[0].document["id"]
    assert "payable:fund" in run("settle", str(statement), *operator).stdout
    assert "bank  12.50" in run("accounts", *operator).stdout
    assert "payable" in run("accounts", "--mine", *hospital).stdout
    assert run("anomalies", *operator).stdout == ""


def test_a_listing_goes_through_its_states(town: Town, tmp_path: Path) -> None:
    hospital = ("--home", tmp_path / "hospital")
    town.market(HOSPITAL).certify(town.product, DECLARED)
    listing = str(ask("list-product", town.product, "--price-fen", "5", "--draft", *hospital)["id"])
    steps = [("sell", "listed"), ("suspend", "suspended"), ("resume", "listed"), ("withdraw", "withdrawn")]
    for command, state in steps:
        assert ask(command, listing, *hospital)["state"] == state
    with pytest.raises(RemoteProblem) as refused:
        run("price", listing, "--price-fen", "6", *hospital)
    assert refused.value.code == "market.step-impossible"


def test_bad_input_is_told(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        cli._declared(None, ["disputes"])
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[]")
    with pytest.raises(Malformed):
        cli._declared(wrong, [])


def test_a_home_without_a_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataspaceError):
        cli._client(tmp_path, "http://127.0.0.1:8080")


def test_space_init_twice_is_one_space_and_its_bundle_verifies(tmp_path: Path, free_port: int) -> None:
    options = ["--home", str(tmp_path / "space"), "--port", str(free_port), "--json"]
    runner = CliRunner()
    first = runner.invoke(space_cli.app, ["init", *options])
    assert first.exit_code == 0
    assert first.stdout == runner.invoke(space_cli.app, ["init", *options]).stdout
    bundled = runner.invoke(space_cli.app, ["bundle", str(tmp_path / "bundle"), *options])
    assert parse(bundled.stdout)["entries"] == 1
    assert "no chain record" in bundled.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": {"provider": 9_999}},
        {"quality_weights": {"accuracy": 99}},
        {"certificate_years": 6},
        {"owner_code": "short"},
        {"registrar_region": "620"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SpaceSettings(**wrong)  # type: ignore[arg-type]
