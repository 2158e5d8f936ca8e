"""A provider with one large file and a consumer who has agreed on it: real processes beside a space, on SQLite."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import peak_megabytes
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

    def restart_with_tls(self, certificate: tuple[Path, Path]) -> None:
        """Start it again as a server of TLS only.

        Who it is stays as it was: on loopback a space looks for participants over plain HTTP, so it joins without.
        """
        self.service.stop()
        told = {"PUBLIC_URL": self.service.url, "TLS_CERTIFICATE": certificate[0], "TLS_KEY": certificate[1]}
        self.service.environment |= {f"HEXI_CONNECTOR_{name}": str(value) for name, value in told.items()}
        self.service.url = self.service.url.replace("http:", "https:")
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
        database = Database(f"sqlite:///{self.consumer.home / 'hexi.sqlite'}")
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
def file_pair(folder: Path, file: Path) -> Iterator[FilePair]:
    """Start everything below `folder`, agree on `file`, and stop everything at the end."""
    with Services(folder) as services:
        space_port, *ports = free_ports(3)
        told = {"HEXI_SPACE_INSECURE_HTTP_DID_WEB": "true", "HEXI_SPACE_CHAIN_SECONDS": "0.2"}
        space = _launched(services, "space", space_port, ["space", "serve"], told)
        ends = [_connector(services, member.key, port, space.url) for member, port in zip(_MEMBERS, ports, strict=True)]
        registry = RegistryClient(space.url, authorise=lambda: _operator(folder / "space", space.url))
        services.callback(registry.close)
        for member, end in zip(_MEMBERS, ends, strict=True):
            services.callback(end.client.close)
            registry.approve(str(end.client.apply(member.application()).id))
            eventually("membership", end.client.status, lambda seen: seen.membership.state == "active")
        provider, consumer = ends
        provider.client.add_resource("delivered", source={"type": "file", "path": str(file)})
        product = provider.client.publish("delivered", _description()).identifier
        asked = consumer.client.negotiate(product)
        ended = consumer.client.wait_negotiation(asked.id)
        assert ended.state == "FINALIZED", ended
        yield FilePair(provider, consumer, file, str(ended.agreement))


_MEMBERS: tuple[Member, ...] = (HOSPITALS[0], PLANNER)


def _launched(
    services: Services, name: str, port: int, arguments: list[str], environment: Mapping[str, str]
) -> Service:
    """A service that answers; its folder has its name."""
    prefix = f"HEXI_{arguments[0].upper()}_"
    told = {prefix + "HOME": str(services.folder / name), prefix + "PORT": str(port), **environment}
    service = services.launch(name, arguments, port=port, environment=told)
    service.wait()
    return service


def _connector(services: Services, name: str, port: int, space_url: str) -> End:
    home = services.folder / name
    made = run_hexi(["connector", "init", "--home", str(home), "--port", str(port), "--space-url", space_url])
    if made.returncode:
        raise RuntimeError(f"hexi connector init: {made.stderr.strip()}")
    told = {"HEXI_CONNECTOR_SPACE_URL": space_url, "HEXI_CONNECTOR_WORKER_SECONDS": "0.05"}
    service = _launched(services, name, port, ["connector", "serve", "--home", str(home)], told)
    token = (home / "management.token").read_text(encoding="utf-8").strip()
    return End(service, home, ConnectorClient(service.url, token))


def _description() -> dict[str, object]:
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
        "modes": ["file"],
        "policy": {"permission": [{"action": "use"}]},
        "quality": dict.fromkeys(_FIGURES, 1.0) | {"assessedAt": "2026-11-23"},
        "rights": ["holding"],
    }


def _operator(home: Path, url: str) -> str:
    did = did_web(url)
    return present(Identity.load(home, did), did, None, system_clock)
