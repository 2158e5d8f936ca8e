"""Eclipse EDC as a process: put together by Maven, told who it is, awaited, and surely stopped.

with Services(folder) as services:
    provider = start_edc(services, "edc-provider")
    print(version(), provider.dsp_url)
"""

import re
from dataclasses import dataclass
from pathlib import Path

from examples.longyizhen.processes import Service, Services, free_ports
from tests.conformance.maven import class_path, jars, tool

FOLDER = Path(__file__).parent
ON_POSTGRESQL = FOLDER / "postgresql"
MAIN = "org.eclipse.edc.boot.system.runtime.BaseRuntime"
DSP = "2025-1"
PROTOCOL = f"dataspace-protocol-http:{DSP}"


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database for EDC's stores. It makes its tables itself."""

    url: str
    user: str
    password: str


@dataclass(frozen=True)
class Edc:
    """A running EDC. `management_url` is where its people ask, `dsp_url` where its peers do."""

    participant: str
    service: Service
    management_url: str
    dsp_url: str


def version() -> str:
    """EDC's version, by the name of the jar that will be run: its manifest says nothing."""
    (found,) = {match[1] for jar in jars(FOLDER) if (match := re.fullmatch(r"connector-core-(.+)\.jar", jar.name))}
    return found


def start_edc(
    services: Services, participant: str, *, tick_milliseconds: int | None = 50, database: Database | None = None
) -> Edc:
    """Start EDC as `participant` and wait until it is healthy. It is stopped when `services` are.

    `tick_milliseconds` is how long its state machines rest between two looks; None leaves EDC's own choice, a second.
    """
    edc = launch_edc(services, participant, tick_milliseconds=tick_milliseconds, database=database)
    edc.service.wait()
    return edc


def launch_edc(
    services: Services, participant: str, *, tick_milliseconds: int | None = 50, database: Database | None = None
) -> Edc:
    """The same without waiting: ``edc.service.wait()`` does."""
    default, control, management, protocol = free_ports(4)
    said = _properties(participant, default, control, management, protocol)
    said |= {} if tick_milliseconds is None else _ticks(tick_milliseconds)
    said |= {} if database is None else _stores(database)
    folder = services.folder / participant
    folder.mkdir(parents=True)
    file = folder / "edc.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in said.items()), encoding="utf-8")
    file.chmod(0o600)
    classes = class_path(FOLDER if database is None else ON_POSTGRESQL)
    service = Service(
        name=participant,
        # `Service.wait` asks for /health below this.
        url=f"http://127.0.0.1:{default}/api/check",
        command=[tool("java"), f"-Dedc.fs.config={file}", "-cp", classes, MAIN],
        environment={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"},
        log=services.folder / "logs" / f"{participant}.log",
    )
    services.callback(service.stop)
    service.launch()
    base = "http://127.0.0.1"
    return Edc(participant, service, f"{base}:{management}/management", f"{base}:{protocol}/protocol/{DSP}")


def _properties(participant: str, default: int, control: int, management: int, protocol: int) -> dict[str, str]:
    ports = {"": (default, "/api"), ".control": (control, "/control")}
    ports |= {".management": (management, "/management"), ".protocol": (protocol, "/protocol")}
    said = {
        "edc.participant.id": participant,
        "edc.hostname": "127.0.0.1",
        "edc.dsp.callback.address": f"http://127.0.0.1:{protocol}/protocol",
        # EDC wants names for the keys of its pull tokens, also where nothing is pulled.
        "edc.transfer.proxy.token.signer.privatekey.alias": "private-key",
        "edc.transfer.proxy.token.verifier.publickey.alias": "public-key",
    }
    for name, (port, path) in ports.items():
        said |= {f"web.http{name}.port": str(port), f"web.http{name}.path": path}
    return said


def _ticks(milliseconds: int) -> dict[str, str]:
    machines = ("negotiation.consumer", "negotiation.provider", "transfer", "dataplane")
    return {f"edc.{machine}.state-machine.iteration-wait-millis": str(milliseconds) for machine in machines}


def _stores(database: Database) -> dict[str, str]:
    source = "edc.datasource.default"
    return {
        f"{source}.url": database.url,
        f"{source}.user": database.user,
        f"{source}.password": database.password,
        "edc.sql.schema.autocreate": "true",
    }
