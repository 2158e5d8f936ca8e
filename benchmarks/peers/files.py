"""A provider with one large file and a consumer who has agreed on it: real processes beside a space."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.machine import peak_megabytes
from benchmarks.peers.certificates import Certificates
from benchmarks.peers.database import fresh_database
from connector.client import ConnectorClient
from connector.planes.data_address import properties_of
from connector.protocol import store
from examples.longyizhen.cast import HOSPITALS, PLANNER, Member
from examples.longyizhen.processes import Service, Services, free_ports, run_hexi
from examples.longyizhen.scenario import eventually
from hexi.canonical import system_clock
from hexi.database import Database
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.presentation import present

BLOCK_BYTES = 1024 * 1024
_NUMBER_BYTES = 8
_FIGURES = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")


@dataclass
class End:
    """A connector: its process, its management API, and the most memory any process of it has held, in megabytes."""

    service: Service
    home: Path
    database: str
    client: ConnectorClient
    peak: float = 0.0

    @property
    def pid(self) -> int:
        """The process."""
        assert self.service.process is not None
        return self.service.process.pid

    def kill(self) -> None:
        """SIGKILL, as a power cut does it; the peak is noted first."""
        self.note_peak()
        self.service.kill()

    def restart(self) -> None:
        """Start it again, and wait until it answers."""
        self.service.start()

    def note_peak(self) -> None:
        """Take the peak of the living process into account."""
        self.peak = max(self.peak, peak_megabytes(self.pid))


@dataclass(frozen=True)
class FilePair:
    """Both ends, and the agreement about the file."""

    provider: End
    consumer: End
    file: Path
    agreement: str
    ends: Mapping[str, End] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", {"provider": self.provider, "consumer": self.consumer})

    def data_address(self, transfer: str) -> dict[str, str]:
        """Where the consumer is to fetch, and with what token; once the transfer is started."""
        eventually("the start", lambda: self.consumer.client.transfer_status(transfer), lambda t: t.state == "STARTED")
        database = Database(self.consumer.database)
        try:
            with database.reading() as session:
                process = store.read_process(session, transfer)
            assert process is not None
            return properties_of(process.data_address)
        finally:
            database.dispose()


def write_blocks(path: Path, size: int) -> None:
    """A file of `size` bytes in which no two blocks are alike, so that none can stand in for another."""
    filler = random.Random(7).randbytes(BLOCK_BYTES - _NUMBER_BYTES)
    with path.open("wb") as file:
        for number in range(size // BLOCK_BYTES):
            file.write(number.to_bytes(_NUMBER_BYTES, "big") + filler)


@contextmanager
def file_pair(
    folder: Path, file: Path, *, certificates: Certificates | None = None, server: URL | None = None
) -> Iterator[FilePair]:
    """Start `members` below `folder`, agree on `file`, and stop everything at the end."""
    with members(folder, certificates=certificates, server=server) as (provider, consumer):
        provider.client.add_resource("delivered", source={"type": "file", "path": str(file)})
        product = provider.client.publish("delivered", described()).identifier
        yield FilePair(provider, consumer, file, agree(consumer, product))


@contextmanager
def members(
    folder: Path, *, certificates: Certificates | None = None, server: URL | None = None, tables: bool = False
) -> Iterator[tuple[End, End]]:
    """A provider and a consumer, members of one space; with `tables` the provider has a port for them.

    All over plain HTTP and on SQLite; with `certificates` over TLS alone (this process must trust them as well), with
    `server` each on a database of its own there.
    """
    with Services(folder) as services:
        ground = _Ground(services, certificates, server)
        allowed = "INSECURE_HTTP_DID_WEB" if certificates is None else "UNSAFE_ALLOW_PRIVATE_DID_HOSTS"
        told = {f"HEXI_SPACE_{allowed}": "true", "HEXI_SPACE_CHAIN_SECONDS": "0.2"}
        space = ground.launch("space", ["space", "serve"], told)
        flight = {"HEXI_CONNECTOR_FLIGHT_PORT": str(free_ports(1)[0])} if tables else {}
        ends = [_connector(ground, who.key, space.url, more) for who, more in zip(_MEMBERS, (flight, {}), strict=True)]
        registry = RegistryClient(space.url, authorise=lambda: _operator(folder / "space", space.url))
        services.callback(registry.close)
        for member, end in zip(_MEMBERS, ends, strict=True):
            services.callback(end.client.close)
            registry.approve(str(end.client.apply(member.application()).id))
            eventually("membership", end.client.status, lambda seen: seen.membership.state == "active")
        yield ends[0], ends[1]


def agree(consumer: End, product: str) -> str:
    """The agreement about a product, on the terms it is published with."""
    ended = consumer.client.wait_negotiation(consumer.client.negotiate(product).id)
    assert ended.state == "FINALIZED", ended
    return str(ended.agreement)


@dataclass(frozen=True)
class _Ground:
    """What the services of a pair stand on."""

    services: Services
    certificates: Certificates | None
    server: URL | None

    def launch(self, name: str, arguments: list[str], told: Mapping[str, str]) -> Service:
        """A service that answers; its folder has its name."""
        (port,) = free_ports(1)
        prefix, home = f"HEXI_{arguments[0].upper()}_", self.services.folder / name
        database = f"sqlite:///{home / 'hexi.sqlite'}" if self.server is None else fresh_database(self.server)
        own = {"HOME": str(home), "PORT": str(port), "DATABASE_URL": database}
        trust: dict[str, str] = {}
        if self.certificates is not None:
            own |= {"TLS_CERTIFICATE": str(self.certificates.server), "TLS_KEY": str(self.certificates.key)}
            trust = {"SSL_CERT_FILE": str(self.certificates.authority)}
        environment = {prefix + key: value for key, value in own.items()} | trust | dict(told)
        service = self.services.launch(name, arguments, port=port, environment=environment)
        if self.certificates is not None:
            service.url = service.url.replace("http:", "https:")
        service.wait()
        return service


_MEMBERS: tuple[Member, ...] = (HOSPITALS[0], PLANNER)


def _connector(ground: _Ground, name: str, space_url: str, more: Mapping[str, str]) -> End:
    home = ground.services.folder / name
    told = {"HEXI_CONNECTOR_SPACE_URL": space_url, **more}
    service = ground.launch(name, ["connector", "serve", "--home", str(home)], told)
    # What its commands must be told besides their --home.
    made = run_hexi(["connector", "init", "--home", str(home), "--public-url", service.url])
    if made.returncode:
        raise RuntimeError(f"hexi connector init: {made.stderr.strip()}")
    token = (home / "management.token").read_text(encoding="utf-8").strip()
    return End(service, home, service.environment["HEXI_CONNECTOR_DATABASE_URL"], ConnectorClient(service.url, token))


def described(mode: str = "file") -> dict[str, object]:
    """What a product says of its data, whatever they are."""
    title = {"zh": "大文件", "en": "A large file"}
    return {
        "title": title,
        "description": title,
        "theme": "C0000",
        "industry": "0084",
        "region": "6210",
        "deliveryForm": "002",
        "updateFrequency": "007",
        "securityLevel": "003",
        "qualityLevel": "001",
        "sourceType": "001",
        "hasPersonalInformation": False,
        "classification": {"grade": "general", "level": 3, "scheme": "GB/T 43697-2024"},
        "temporal": {"start": "2025-01-01", "end": "2026-06-30"},
        "tables": [],
        "evidence": {"source": "generated", "authorisation": "nobody's data"},
        "modes": [mode],
        "policy": {"permission": [{"action": "use"}]},
        "quality": dict.fromkeys(_FIGURES, 1.0) | {"assessedAt": "2026-11-23"},
        "rights": ["holding"],
    }


def _operator(home: Path, url: str) -> str:
    did = did_web(url)
    return present(Identity.load(home, did), did, None, system_clock)
