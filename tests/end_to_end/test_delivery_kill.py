"""SIGKILL at the provider and then at the consumer, in the midst of a large file: it goes on, in little memory.

The same with 2 GiB over TLS: ``python -m benchmarks.delivery --kills``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.interruption import interrupt
from benchmarks.peers.files import FilePair, file_pair, write_blocks
from connector.sources.files import Digests

pytestmark = pytest.mark.process

# Large enough that a kill in its midst is one, on any machine.
SIZE = 256 * 1024**2
# The most that any process of either end may ever hold, in megabytes: the same for 2 GiB.
MEGABYTES = 150


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilePair]:
    folder = tmp_path_factory.mktemp("delivery")
    write_blocks(folder / "large.bin", SIZE)
    with file_pair(folder, folder / "large.bin") as pair:
        yield pair


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
