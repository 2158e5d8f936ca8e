"""A space, our connector and two EDCs, all as processes on loopback, ready to deal with each other.

Ours is the real connector on PostgreSQL, a member of a real space; one EDC plays the provider, the other the consumer.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.client import ConnectorClient
from connector.messages import PATH
from examples.longyizhen.processes import Service, Services, free_ports
from hexi.canonical import system_clock
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.presentation import present
from tests.conformance.edc.management import Management
from tests.conformance.edc.runtime import Edc, launch_edc
from tests.connector.business import description

# How long a process of the protocol may take to get where it should, in seconds. On two busy cores EDC takes one.
PATIENCE_SECONDS = 60.0
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ours:
    """Our connector: what its people use, and where its peers ask."""

    client: ConnectorClient
    did: str
    dsp_url: str
    product: str


@dataclass(frozen=True)
class Theirs:
    """One EDC."""

    participant: str
    management: Management
    dsp_url: str


@dataclass(frozen=True)
class Exchange:
    """Everybody, up."""

    ours: Ours
    provider: Theirs
    consumer: Theirs


@contextmanager
def exchange(folder: Path, space_database: str, our_database: str) -> Iterator[Exchange]:
    """Start everybody below `folder`; at the end everybody is stopped, whatever happened."""
    with Services(folder) as services:
        edcs = [launch_edc(services, name) for name in ("edc-provider", "edc-consumer")]
        space = _space(services, space_database)
        space.wait()
        for edc in edcs:
            edc.service.wait()
        connector = _connector(services, our_database, space.url, edcs)
        ours = _joined(services, connector, space.url)
        theirs = [_theirs(services, edc) for edc in edcs]
        yield Exchange(ours, *theirs)


def eventually(what: str, look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What `look` gives once it is `wanted`; fails, saying what was seen last, if that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, f"{what} took more than {PATIENCE_SECONDS} s; last seen: {seen}"
        time.sleep(0.05)
    return seen


def _space(services: Services, database: str) -> Service:
    (port,) = free_ports(1)
    environment = {
        "HEXI_SPACE_HOME": str(services.folder / "space"),
        "HEXI_SPACE_PORT": str(port),
        "HEXI_SPACE_DATABASE_URL": database,
        "HEXI_SPACE_INSECURE_HTTP_DID_WEB": "true",
    }
    return services.launch("space", ["space", "serve"], port=port, environment=environment)


def _connector(services: Services, database: str, space_url: str, edcs: list[Edc]) -> Service:
    (port,) = free_ports(1)
    peers = [f"--peer={edc.participant}={edc.dsp_url}" for edc in edcs]
    service = Service(
        name="connector",
        url=f"http://127.0.0.1:{port}",
        command=[sys.executable, "-m", "tests.conformance.edc.connector", *peers],
        environment={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "HOME": str(services.folder),
            "LANG": "C.UTF-8",
            "HEXI_CONNECTOR_HOME": str(services.folder / "connector"),
            "HEXI_CONNECTOR_PORT": str(port),
            "HEXI_CONNECTOR_SPACE_URL": space_url,
            "HEXI_CONNECTOR_DATABASE_URL": database,
            # EDC signs nothing. Agreements with it prove nothing to third parties; here they only have to come about.
            "HEXI_CONNECTOR_UNSAFE_ACCEPT_UNSIGNED_AGREEMENTS": "true",
        },
        log=services.folder / "logs" / "connector.log",
    )
    services.callback(service.stop)
    service.start()
    return service


def _joined(services: Services, connector: Service, space_url: str) -> Ours:
    """Our connector as a member of the space, with one product to offer."""
    token = (services.folder / "connector" / "management.token").read_text(encoding="utf-8").strip()
    client = ConnectorClient(connector.url, token)
    services.callback(client.close)
    about = {"name": "Ours", "nameZh": "我方", "ownerCode": "91620000000000000X", "region": "6210", "contact": "us"}
    application = client.apply({**about, "roles": ["provider", "consumer"]})
    registry = RegistryClient(space_url, authorise=lambda: _operator(services.folder / "space", space_url))
    services.callback(registry.close)
    registry.approve(str(application.id))
    eventually("membership", client.status, lambda seen: seen.membership.state == "active")
    return Ours(client, did_web(connector.url), connector.url + PATH, _published(client, services.folder))


def _published(client: ConnectorClient, folder: Path) -> str:
    table = folder / "visits.csv"
    rows = (f"p{number},{'f' if number % 2 else 'm'},{number % 900}" for number in range(200))
    table.write_text("\n".join(["person,sex,cost", *rows]) + "\n", encoding="utf-8")
    client.add_resource("visits", {"visits": str(table)})
    rights = {"rights": ["holding", "processing-use", "product-operation"]}
    return client.publish("visits", description(**rights)).identifier


def _theirs(services: Services, edc: Edc) -> Theirs:
    management = Management.at(edc.management_url)
    services.callback(management.http.close)
    management.open_to_everybody()
    return Theirs(edc.participant, management, edc.dsp_url)


def _operator(home: Path, url: str) -> str:
    did = did_web(url)
    return present(Identity.load(home, did), did, None, system_clock)
