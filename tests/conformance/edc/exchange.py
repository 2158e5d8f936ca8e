"""A space, our connector and two EDCs, all as processes on loopback, ready to deal with each other.

Ours is the real connector on PostgreSQL, a member of a real space; one EDC plays the provider, the other the consumer.
Everything between us and an EDC goes through a relay, one before each of us.
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
from connector.protocol.messages import PATH
from examples.longyizhen.processes import Service, Services, free_ports
from hexi.canonical import system_clock
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.presentation import present
from tests.conformance.edc.management import Management
from tests.conformance.edc.relay import Relay
from tests.conformance.edc.runtime import Edc, launch_edc
from tests.conformance.edc.web import Web
from tests.connector.business import description

# How long a process of the protocol may take to get where it should, in seconds. On two busy cores EDC takes one.
PATIENCE_SECONDS = 60.0
TABLE, LARGE, SLOW = "table", "large", "slow"
# What we deliver: enough that a reader who takes his time is still at it when the delivery is stopped.
DELIVERED = bytes(range(256)) * 262_144
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ours:
    """Our connector: what its people use, and where its peers ask."""

    client: ConnectorClient
    did: str
    dsp_url: str
    product: str
    file: str
    relay: Relay


@dataclass(frozen=True)
class Theirs:
    """One EDC. `dsp_url` is the relay's address, `own_url` its own: the relay passes on no headers, such as Link."""

    participant: str
    management: Management
    dsp_url: str
    own_url: str
    relay: Relay


@dataclass(frozen=True)
class Exchange:
    """Everybody, up."""

    ours: Ours
    provider: Theirs
    consumer: Theirs
    # Where EDC's assets lie, and where anybody's data may be pushed to.
    web: Web


@contextmanager
def exchange(folder: Path, space_database: str, our_database: str) -> Iterator[Exchange]:
    """Start everybody below `folder`; at the end everybody is stopped, whatever happened."""
    with Services(folder) as services:
        edcs = [launch_edc(services, name) for name in ("edc-provider", "edc-consumer")]
        space = _space(services, space_database)
        space.wait()
        for edc in edcs:
            edc.service.wait()
        theirs = [_theirs(services, edc) for edc in edcs]
        connector, relay = _connector(services, our_database, space.url, theirs)
        ours = _joined(services, connector, relay, space.url)
        web = services.enter_context(Web())
        _offer_assets(theirs[0], web)
        yield Exchange(ours, *theirs, web)


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


def _connector(services: Services, database: str, space_url: str, theirs: list[Theirs]) -> tuple[Service, Relay]:
    (port,) = free_ports(1)
    relay = services.enter_context(Relay(f"http://127.0.0.1:{port}"))
    peers = [f"--peer={edc.participant}={edc.dsp_url}" for edc in theirs]
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
            "HEXI_CONNECTOR_PUBLIC_URL": relay.url,
            "HEXI_CONNECTOR_SPACE_URL": space_url,
            "HEXI_CONNECTOR_DATABASE_URL": database,
            # EDC signs nothing. Agreements with it prove nothing to third parties; here they only have to come about.
            "HEXI_CONNECTOR_UNSAFE_ACCEPT_UNSIGNED_AGREEMENTS": "true",
        },
        log=services.folder / "logs" / "connector.log",
    )
    services.callback(service.stop)
    service.start()
    return service, relay


def _joined(services: Services, connector: Service, relay: Relay, space_url: str) -> Ours:
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
    product, file = _published(client, services.folder), _delivered(client, services.folder)
    return Ours(client, did_web(relay.url), relay.url + PATH, product, file, relay)


def _published(client: ConnectorClient, folder: Path) -> str:
    table = folder / "visits.csv"
    rows = (f"p{number},{'f' if number % 2 else 'm'},{number % 900}" for number in range(200))
    table.write_text("\n".join(["person,sex,cost", *rows]) + "\n", encoding="utf-8")
    client.add_resource("visits", {"visits": str(table)})
    rights = {"rights": ["holding", "processing-use", "product-operation"]}
    return client.publish("visits", description(**rights)).identifier


def _delivered(client: ConnectorClient, folder: Path) -> str:
    """A product of ours that is delivered as a file; returns its identifier."""
    file = folder / "delivered.bin"
    file.write_bytes(DELIVERED)
    client.add_resource("delivered", source={"type": "file", "path": str(file)})
    figures = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")
    product = description(
        tables=[],
        modes=["file"],
        title={"zh": "文件", "en": "File"},
        hasPersonalInformation=False,
        quality=dict.fromkeys(figures, 1.0) | {"assessedAt": "2026-11-23"},
        rights=["holding"],
    )
    return client.publish("delivered", product).identifier


def _theirs(services: Services, edc: Edc) -> Theirs:
    management = Management.at(edc.management_url)
    services.callback(management.http.close)
    management.open_to_everybody()
    base, path = edc.dsp_url.partition("/protocol")[0], edc.dsp_url.partition("/protocol")[2]
    relay = services.enter_context(Relay(base))
    return Theirs(edc.participant, management, f"{relay.url}/protocol{path}", edc.dsp_url, relay)


def _offer_assets(provider: Theirs, web: Web) -> None:
    """What EDC has to offer: a table, a large file, and one that never ends by itself."""
    web.files |= {TABLE: b"person,sex,cost\n" + b"p1,f,12\n" * 20_000, LARGE: DELIVERED}
    for name in (TABLE, LARGE, SLOW):
        provider.management.offer_asset(name, web.url(name))


def _operator(home: Path, url: str) -> str:
    did = did_web(url)
    return present(Identity.load(home, did), did, None, system_clock)
