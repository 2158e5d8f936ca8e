"""Our own pair: two connectors and a space as processes of their own, on one real PostgreSQL with durable commits."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from benchmarks.machine import resident_megabytes
from benchmarks.peers import SETTLE_SECONDS, Connection, Seen
from benchmarks.peers.database import database_server, fresh_database
from connector.client import ConnectorClient
from examples.longyizhen.cast import HOSPITALS, PLANNER, Member, cube_of
from examples.longyizhen.processes import Service, Services, free_ports, run_hexi
from examples.longyizhen.scenario import SQL_FORMAT, eventually
from hexi.canonical import system_clock
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.presentation import present

# Free to use, so that nothing but the protocol stands between an agreement and a transfer.
POLICY = {"permission": [{"action": "use"}]}


@dataclass(frozen=True)
class OurPair:
    """Two connectors of ours, members of one space; the provider publishes one product."""

    name: str
    consumer: Service
    provider: Service
    space: Service
    database_server: int
    token: str
    product: str
    start_seconds: Sequence[float]
    idle_megabytes: Sequence[float]
    databases: Mapping[str, str]

    @property
    def ends(self) -> Mapping[str, int]:
        """Consumer and provider."""
        return {name: _pid(service) for name, service in (("consumer", self.consumer), ("provider", self.provider))}

    @property
    def others(self) -> Mapping[str, int]:
        """The database server and the space."""
        return {"PostgreSQL": self.database_server, "space": _pid(self.space)}

    def client(self) -> "OurClient":
        """A client for one thread."""
        return OurClient(self)

    def query(self, end: str, statement: str) -> list[tuple[Any, ...]]:
        """Look into an end's database: for checks after the load, never during it."""
        with psycopg.connect(self.databases[end]) as connection:
            return connection.execute(statement.encode()).fetchall()


class OurClient:
    """The consumer's management API."""

    def __init__(self, pair: OurPair) -> None:
        port = int(pair.consumer.url.rsplit(":", 1)[1])
        self._product = pair.product
        self._http = Connection("127.0.0.1", port, {"Authorization": f"Bearer {pair.token}"})

    def negotiate(self) -> str:
        """Start a negotiation over the one product."""
        return str(self._http.call("POST", "/management/negotiations", {"product": self._product})["id"])

    def negotiation(self, process: str) -> Seen:
        """How it stands."""
        return _seen(self._http.call("GET", f"/management/negotiations/{quote(process)}"), "FINALIZED")

    def transfer(self, agreement: str) -> str:
        """Ask for a transfer in a sandbox format."""
        asked = {"agreement": agreement, "format": SQL_FORMAT}
        return str(self._http.call("POST", "/management/transfers", asked)["id"])

    def transfer_status(self, process: str) -> Seen:
        """How it stands."""
        return _seen(self._http.call("GET", f"/management/transfers/{quote(process)}"), "STARTED")


@contextmanager
def our_pair(folder: Path) -> Iterator[OurPair]:
    """Start everything below `folder`, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with database_server(folder) as (server, pid), Services(folder) as services:
        ports = free_ports(3)
        databases = {name: fresh_database(server) for name in ("space", "consumer", "provider")}
        space = services.launch(
            "space",
            ["space", "serve"],
            port=ports[0],
            environment={
                "HEXI_SPACE_HOME": str(folder / "space"),
                "HEXI_SPACE_PORT": str(ports[0]),
                "HEXI_SPACE_DATABASE_URL": databases["space"],
                "HEXI_SPACE_INSECURE_HTTP_DID_WEB": "true",
            },
        )
        space.wait()
        registry = RegistryClient(space.url, authorise=lambda: _operator(folder / "space", space.url))
        joined, started, idle = {}, [], []
        for name, member, port in zip(("consumer", "provider"), (PLANNER, HOSPITALS[0]), ports[1:], strict=True):
            service, client, seconds = _connector(services, name, port, space.url, databases[name])
            time.sleep(SETTLE_SECONDS)
            idle.append(resident_megabytes(_pid(service)))
            _join(client, registry, member)
            joined[name] = service, client
            started.append(seconds)
        registry.close()
        product = _publish(joined["provider"][1], folder)
        token = (folder / "consumer" / "management.token").read_text(encoding="utf-8").strip()
        for _, client in joined.values():
            client.close()
        yield OurPair(
            "Hexi, PostgreSQL, durable",
            joined["consumer"][0],
            joined["provider"][0],
            space,
            pid,
            token,
            product,
            started,
            idle,
            databases,
        )


def _connector(
    services: Services, name: str, port: int, space_url: str, database: str
) -> tuple[Service, ConnectorClient, float]:
    home = services.folder / name
    environment = {
        "HEXI_CONNECTOR_HOME": str(home),
        "HEXI_CONNECTOR_PORT": str(port),
        "HEXI_CONNECTOR_SPACE_URL": space_url,
        "HEXI_CONNECTOR_DATABASE_URL": database,
        "PYTHONPATH": str(_without_demo(services.folder)),
    }
    made = run_hexi(
        ["connector", "init", "--home", str(home), "--port", str(port), "--space-url", space_url], environment
    )
    if made.returncode:
        raise RuntimeError(f"hexi connector init: {made.stderr.strip()}")
    begun = time.monotonic()
    service = services.launch(name, ["connector", "serve", "--home", str(home)], port=port, environment=environment)
    service.wait()
    seconds = time.monotonic() - begun
    token = (home / "management.token").read_text(encoding="utf-8").strip()
    return service, ConnectorClient(service.url, token), seconds


def _without_demo(folder: Path) -> Path:
    """A folder of modules that hide what only the dependency group for the demonstrations brings.

    A participant does not install it; but where pandas is, pyarrow imports it unasked, and the memory would count.
    """
    hiding = folder / "without-demo"
    hiding.mkdir(exist_ok=True)
    (hiding / "pandas.py").write_text("raise ImportError('not part of an installation')\n", encoding="utf-8")
    return hiding


def _join(client: ConnectorClient, registry: RegistryClient, member: Member) -> None:
    registry.approve(str(client.apply(member.application()).id))
    eventually("membership", client.status, lambda seen: seen.membership.state == "active")


def _publish(provider: ConnectorClient, folder: Path) -> str:
    table = folder / "visits.csv"
    table.write_text("person_id,plan_year,coinsurance,plan,health,limitation,chronic_diseases,visits\n", "utf-8")
    with table.open("a", encoding="utf-8") as rows:
        for person in range(200):
            rows.write(f"{person},{person % 5 + 1},25,family,good,no,{person % 60},{person % 80}\n")
    provider.add_resource("visits", {"visits": str(table)})
    description = cube_of(HOSPITALS[0]) | {"policy": POLICY}
    return provider.publish("visits", description).identifier


def _operator(home: Path, url: str) -> str:
    did = did_web(url)
    return present(Identity.load(home, did), did, None, system_clock)


def _pid(service: Service) -> int:
    assert service.process is not None
    return service.process.pid


def _seen(process: dict[str, Any], wanted: str) -> Seen:
    state = process["state"]
    return Seen(
        state, state == wanted, state == "TERMINATED", process["agreement"], "; ".join(map(str, process["reason"]))
    )
