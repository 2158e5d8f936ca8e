"""``hexi registry`` against a registry on a real socket."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
import uvicorn
from typer.testing import CliRunner, Result

from hexi.canonical import parse, system_clock
from hexi.errors import DataspaceError
from registry.app import create_app
from registry.cli import app
from registry.client import RegistryClient
from registry.presentation import present
from registry.settings import RegistrySettings
from tests.asgi import Hosts
from tests.registry.builders import HOSPITAL, application, identity, participant_app, signed_product

CODE = "691620000000000000X6210A1B2C3D41"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "space"


@pytest.fixture
def url(home: Path, free_port: int) -> Iterator[str]:
    # The service shares its standard output with the commands under test here; outside it has its own.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = RegistrySettings(home=home, port=free_port, insecure_http_did_web=True)
    service = create_app(settings, transport=Hosts({"127.0.0.1:8081": participant_app(HOSPITAL)}))
    server = uvicorn.Server(uvicorn.Config(service, port=free_port, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    yield settings.url
    server.should_exit = True
    thread.join()
    service.state.database.dispose()
    structlog.reset_defaults()


@pytest.fixture
def public(url: str) -> Iterator[RegistryClient]:
    with closing(RegistryClient(url)) as client:
        yield client


def hexi(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_operators_day(home: Path, url: str, public: RegistryClient) -> None:
    applied = public.apply(application())
    listed = hexi("applications", "--home", str(home), "--url", url)
    assert listed.exit_code == 0, listed.output
    assert f"applied  {applied.id}  {HOSPITAL}  第一医院" in listed.stdout

    approved = hexi("approve", applied.id, "--home", str(home), "--url", url, "--json")
    state = parse(approved.stdout)
    assert state["state"] == "active"
    operator = public.operator().did
    authorise = lambda: present(identity(), operator, state["credential"], system_clock)  # noqa: E731
    with closing(RegistryClient(url, authorise)) as hospital:
        hospital.publish(signed_product(identifier=hospital.allocate()))

    found = hexi("search", "医保", "--facets", "--url", url)
    assert "门诊医保结算" in found.stdout
    assert "theme: 教育文化 1" in found.stdout
    assert "1 found" in found.stderr
    nothing = {"total": 0, "offset": 0, "items": [], "exact": True}
    assert parse(hexi("search", "nothing", "--url", url, "--json").stdout) == nothing

    revoked = hexi("revoke", HOSPITAL, "--reason", "contract ended", "--home", str(home), "--url", url)
    assert revoked.stdout.startswith(f"revoked  {HOSPITAL}")
    everybody = hexi("participants", "--url", url)
    assert "active  did:web:127.0.0.1" in everybody.stdout
    assert f"revoked  {HOSPITAL}" in everybody.stdout


def test_an_application_is_turned_away(home: Path, url: str, public: RegistryClient) -> None:
    applied = public.apply(application())
    assert hexi("reject", applied.id, "--home", str(home), "--url", url).exit_code == 2
    rejected = hexi("reject", applied.id, "--reason", "no letter", "--home", str(home), "--url", url)
    assert rejected.stdout == f"rejected  {HOSPITAL}\n"


def test_without_the_operators_key_nothing_is_decided(tmp_path: Path, url: str) -> None:
    refused = hexi("applications", "--home", str(tmp_path / "elsewhere"), "--url", url)
    assert isinstance(refused.exception, DataspaceError)
    assert refused.exception.code == "hexi.key-unusable"


def test_an_identifier_is_checked_without_a_network() -> None:
    held = hexi("identifiers", "check", f"{CODE}.old-7")
    assert held.exit_code == 0
    assert "kind  product" in held.stdout
    assert parse(hexi("identifiers", "check", CODE, "--json").stdout)["owner"] == "91620000000000000X"
    refused = hexi("identifiers", "check", CODE[:-1] + "2")
    assert isinstance(refused.exception, DataspaceError)
    assert refused.exception.code == "registry.identifier-check-digit"


@pytest.mark.parametrize(
    "command",
    [[], ["applications"], ["approve"], ["reject"], ["revoke"], ["participants"], ["search"], ["identifiers"]],
)
def test_help_teaches(command: list[str]) -> None:
    told = hexi(*command, "--help")
    assert told.exit_code == 0
    assert "--help" in told.stdout
