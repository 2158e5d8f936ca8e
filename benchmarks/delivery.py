"""How fast does a file leave a connector over TLS, and what does an interruption cost? Against nginx, in the same run.

    python -m benchmarks.delivery             throughput, then 2 GiB through two kills each way; some minutes
    python -m benchmarks.delivery --rates     throughput only
    python -m benchmarks.delivery --kills     the kills only

nginx must be installed (Debian: ``apt-get install nginx-light``; it need not run, and no root is needed): it is found
on PATH or in /usr/sbin and started on a free port with a configuration of its own. Both serve the same file with the
same certificate to the same client, which reads and throws away; by turns, so that whoever else uses the machine
disturbs both. One connection, TLS 1.3, the same cipher (that is checked). The connector serves as it always does: with
a token checked, the grant asked, the volume admitted and metered in its database. CPU is the kernel's count for the
server. "To disk" is the consumer's connector instead of that client: asked for, fetched, written, digested, made
durable. Everything is over TLS with a certificate authority of its own, and on PostgreSQL with durable commits.
"""

import argparse
import http.client
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import URL

from benchmarks.interruption import interrupt
from benchmarks.machine import busy_seconds, cpu_seconds, description
from benchmarks.peers.certificates import Certificates
from benchmarks.peers.database import database_server
from benchmarks.peers.files import FilePair, file_pair, write_blocks
from connector.sources.files import Digests
from examples.longyizhen.processes import free_ports
from examples.longyizhen.scenario import eventually

GIB = 1024**3
RATE_BYTES, KILL_BYTES = GIB, 2 * GIB
# Turns for each server; the median counts.
TURNS = 9
READ_BYTES = 1024 * 1024
GOAL_SHARE, GOAL_MEGABYTES = 0.8, 150
START_SECONDS = 10.0
PULL, PUSH = "HttpData-PULL", "HttpData-PUSH"


@dataclass(frozen=True)
class Rate:
    """One turn: MiB a second as the client saw it, and the server's CPU seconds a GiB."""

    mib_per_second: float
    cpu_per_gib: float


def main() -> int:
    """Print both tables; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", action="store_true", help="throughput only")
    parser.add_argument("--kills", action="store_true", help="interruptions only")
    asked = parser.parse_args()
    print(description())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = Certificates(folder)
        os.environ["SSL_CERT_FILE"] = str(certificates.authority)  # what everybody here trusts
        reached = True
        with database_server(folder / "postgresql") as (server, _):
            if not asked.kills:
                reached &= rates(folder / "rates", certificates, server)
            if not asked.rates:
                reached &= kills(folder / "kills", certificates, server)
    return 0 if reached else 1


def rates(folder: Path, certificates: Certificates, database: URL) -> bool:
    """Throughput of both; whether ours reaches its share of nginx's."""
    file = _file(folder, RATE_BYTES)
    with (
        nginx(folder, file, certificates) as (theirs, server),
        file_pair(folder, file, certificates=certificates, server=database) as pair,
    ):
        to_disk = _to_disk(pair, folder)
        address = pair.data_address(pair.consumer.client.transfer(pair.agreement, PULL).id)
        ours = address["endpoint"]
        shown = {"Authorization": f"Bearer {address['authorization']}"}
        _fetch(ours, shown, server.pid), _fetch(theirs, {}, server.pid)  # the digest, the page cache
        busy, begun = busy_seconds() - _own(pair, server.pid), time.monotonic()
        turns = [(_fetch(ours, shown, pair.provider.pid), _fetch(theirs, {}, server.pid)) for _ in range(TURNS)]
        others = (busy_seconds() - _own(pair, server.pid) - busy) / (time.monotonic() - begun)
    connectors, nginxs = (_median(column) for column in zip(*turns, strict=True))
    print(f"\n{'one file of 1 GiB over TLS':<30}{'MiB/s':>8}{'CPU s/GiB':>12}")
    for what, rate in (("nginx", nginxs), ("connector", connectors)):
        print(f"{what:<30}{rate.mib_per_second:>8.0f}{rate.cpu_per_gib:>12.2f}")
    print(f"{'connector to connector, to disk':<30}{to_disk:>7.0f}")
    share = connectors.mib_per_second / nginxs.mib_per_second
    shares = sorted(o.mib_per_second / n.mib_per_second for o, n in turns)
    print(f"{share:.0%} of nginx ({shares[0]:.0%} to {shares[-1]:.0%} by turn); goal {GOAL_SHARE:.0%}")
    print(f"others kept {others:.1f} cores busy meanwhile")
    return share >= GOAL_SHARE


def kills(folder: Path, certificates: Certificates, database: URL) -> bool:
    """2 GiB through a kill of each end, pulled and pushed; whether memory stays below the goal."""
    file = _file(folder, KILL_BYTES)
    print(
        f"\n{'2 GiB, both ends killed':<18}{'provider at':>14}{'consumer at':>14}{'digest':>9}{'s':>7}{'peak MB':>16}"
    )
    reached = True
    with file_pair(folder, file, certificates=certificates, server=database) as pair:
        _, digest = Digests().of(file)
        for format_ in (PULL, PUSH):
            target = folder / "arrived.bin"
            seen = interrupt(pair, format_, target)
            target.unlink()
            right = seen.digest == seen.delivery.digest == digest and seen.delivery.state == "DONE"
            kept = "".join(f"{seen.kept[end] / 1024**2:>12.0f} MiB" for end in pair.ends)
            peaks = " / ".join(f"{end.peak:.0f}" for end in pair.ends.values())
            print(f"{format_:<18}{kept}{'right' if right else 'WRONG':>9}{seen.seconds:>6.0f}{peaks:>14}")
            reached &= right and max(end.peak for end in pair.ends.values()) < GOAL_MEGABYTES
    print(f"peak: most resident memory of one process, provider / consumer; goal under {GOAL_MEGABYTES} MB")
    return reached


@contextmanager
def nginx(folder: Path, file: Path, certificates: Certificates) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """nginx in front of `file`: its address there, and its process."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise SystemExit("nginx is the peer of this benchmark and is not installed: apt-get install nginx-light")
    (port,), place = free_ports(1), folder / "nginx"
    place.mkdir()
    configuration = place / "nginx.conf"
    temporary = " ".join(f"{kind}_temp_path {place};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read our files
    configuration.write_text(
        f"""
        {user} daemon off; worker_processes 1; pid {place}/pid; error_log stderr crit;
        events {{ worker_connections 64; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; {temporary}
          server {{
            listen 127.0.0.1:{port} ssl;
            ssl_certificate {certificates.server}; ssl_certificate_key {certificates.key}; ssl_protocols TLSv1.3;
            location = /file {{ alias {file}; }}
          }}
        }}
        """,
        "utf-8",
    )
    process = subprocess.Popen([found, "-p", str(place), "-e", "stderr", "-c", str(configuration)])
    url = f"https://127.0.0.1:{port}/file"
    try:
        eventually("nginx", lambda: _answers(url), bool)
        yield url, process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _file(folder: Path, size: int) -> Path:
    folder.mkdir()
    write_blocks(folder / "large.bin", size)
    return folder / "large.bin"


def _fetch(url: str, headers: dict[str, str], server: int) -> Rate:
    """Read all of `url` and throw it away."""
    parts, used, begun = urlsplit(url), cpu_seconds(server), time.monotonic()
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context)
    buffer, read = memoryview(bytearray(READ_BYTES)), 0
    try:
        connection.request("GET", parts.path, headers=headers)
        cipher = connection.sock.cipher()
        answer = connection.getresponse()
        while count := answer.readinto(buffer):
            read += count
    finally:
        connection.close()
    if (answer.status, read, cipher[0]) != (200, RATE_BYTES, "TLS_AES_256_GCM_SHA384"):
        raise RuntimeError(f"{url} answered {answer.status}, {read} bytes, {cipher}")
    seconds = time.monotonic() - begun
    return Rate(read / 1024**2 / seconds, (cpu_seconds(server) - used) / (read / GIB))


def _to_disk(pair: FilePair, folder: Path) -> float:
    """MiB a second from the request for a transfer until the consumer's connector has it all, checked."""
    begun = time.monotonic()
    transfer = pair.consumer.client.transfer(pair.agreement, PULL, to=str(folder / "arrived.bin")).id
    found = eventually("the delivery", lambda: pair.consumer.client.delivery(transfer), lambda d: d.state != "WAITING")
    if found.state != "DONE":
        raise RuntimeError(f"the delivery failed: {found.error}")
    return RATE_BYTES / 1024**2 / (time.monotonic() - begun)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=1.0)
    try:
        connection.request("HEAD", parts.path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _own(pair: FilePair, server: int) -> float:
    return sum(map(cpu_seconds, (pair.provider.pid, pair.consumer.pid, server, os.getpid())))


def _median(turns: tuple[Rate, ...]) -> Rate:
    return Rate(
        statistics.median(turn.mib_per_second for turn in turns), statistics.median(turn.cpu_per_gib for turn in turns)
    )


if __name__ == "__main__":
    sys.exit(main())
