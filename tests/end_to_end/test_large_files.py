"""A large file between two processes, over TLS: it survives SIGKILL at either end in little memory; fetched by command.

The kills with 2 GiB: ``python -m benchmarks.delivery --kills``.
"""

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from benchmarks.interruption import interrupt
from benchmarks.peers.certificates import Certificates
from benchmarks.peers.files import FilePair, file_pair, write_blocks
from connector.sources.files import Digests
from examples.longyizhen.processes import HEXI, run_hexi
from hexi.canonical import parse
from hexi.client import tls_context

pytestmark = pytest.mark.process

# Large enough that a kill in its midst is one, on any machine.
SIZE = 256 * 1024**2
# The most that any process of either end may ever hold, in megabytes: the same for 2 GiB.
MEGABYTES = 150


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgresql_url: str) -> Iterator[FilePair]:
    """As in production: TLS between all, each on PostgreSQL."""
    folder = tmp_path_factory.mktemp("delivery")
    certificates = Certificates(folder)
    write_blocks(folder / "large.bin", SIZE)
    server = make_url(postgresql_url).set(drivername="postgresql")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(certificates.authority))
        tls_context.cache_clear()  # others of these tests may have asked with the certificates that httpx brings
        with file_pair(folder, folder / "large.bin", certificates=certificates, server=server) as pair:
            yield pair
    tls_context.cache_clear()


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    """A command that trusts our authority."""
    return run_hexi(words, {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]})


@pytest.mark.parametrize("format_", ["HttpData-PULL", "HttpData-PUSH"])
def test_a_large_file_survives_the_death_of_both_ends(pair: FilePair, tmp_path: Path, format_: str) -> None:
    seen = interrupt(pair, format_, tmp_path / "arrived.bin")
    size, digest = Digests().of(pair.file)
    assert 0 < seen.kept["provider"] < seen.kept["consumer"] < size
    assert (seen.delivery.state, seen.delivery.size, seen.delivery.digest) == ("DONE", size, digest)
    assert seen.digest == digest
    assert [path.name for path in tmp_path.iterdir()] == ["arrived.bin"]
    assert max(end.peak for end in pair.ends.values()) < MEGABYTES
    ended = pair.consumer.client.transfer_status(seen.delivery.transfer)
    assert (ended.state, ended.reason) == ("COMPLETED", ())
    (theirs,) = [t for t in pair.provider.client.transfers() if t.peer_id == ended.id]
    assert theirs.state == "COMPLETED"


def test_a_command_fetches_and_the_same_again_goes_on(pair: FilePair, tmp_path: Path) -> None:
    """Killed while it waits, run again, run again when all is done: one delivery, one file."""
    transfer = pair.consumer.client.transfer(pair.agreement, "HttpData-PULL").id
    pair.consumer.client.wait_transfer(transfer)
    target, home = tmp_path / "arrived.bin", ("--home", str(pair.consumer.home))
    fetch = ["connector", "data", "fetch", transfer, "--to", str(target), *home]
    with subprocess.Popen([HEXI, *fetch], stderr=subprocess.PIPE) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline().decode().split() == [transfer, "WAITING"]
        watching.kill()
    done = command(*fetch, "--json")
    assert done.returncode == 0, done.stderr
    size, digest = Digests().of(pair.file)
    said = parse(done.stdout)
    assert isinstance(said, dict)
    assert (said["state"], said["bytes"], said["size"], said["digest"]) == ("DONE", size, size, digest)
    assert done.stderr.splitlines()[-1] == f"{transfer} DONE"
    assert Digests().of(target) == (size, digest)
    pair.consumer.client.wait_transfer(transfer, to_the_end=True)
    said["transferState"] = "COMPLETED"  # the provider knows by now
    shown = command("connector", "data", "show", transfer, *home, "--json")
    assert parse(shown.stdout) == said
    listed = command("connector", "data", "list", *home, "--json")
    assert said in parse(listed.stdout)
    assert f"{size / 1e6:.1f}/{size / 1e6:.1f} MB" in on_a_terminal(fetch)


def test_a_command_says_why_nothing_can_be_fetched(pair: FilePair, tmp_path: Path) -> None:
    transfer = pair.consumer.client.transfer(pair.agreement, "HttpData-PULL").id
    (tmp_path / "taken").write_text("mine", "utf-8")
    words = ("--to", str(tmp_path / "taken"), "--home", str(pair.consumer.home))
    taken = command("connector", "data", "fetch", transfer, *words)
    assert (taken.returncode, "a file that does not exist yet" in taken.stderr) == (2, True)
    unknown = command("connector", "data", "show", transfer, "--home", str(pair.consumer.home))
    assert (unknown.returncode, "hexi connector data fetch" in unknown.stderr) == (1, True)
    assert (tmp_path / "taken").read_text("utf-8") == "mine"


def on_a_terminal(words: list[str]) -> str:
    """What a command shows on standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run([HEXI, *words], env=os.environ | {"COLUMNS": "200"}, stderr=theirs, check=True)
        os.set_blocking(ours, False)
        return os.read(ours, 1024 * 1024).decode()
    finally:
        os.close(ours)
        os.close(theirs)
