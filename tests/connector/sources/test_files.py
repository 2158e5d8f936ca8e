"""Files and directories as sources: whole, from any offset, and never the rest of something else."""

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connector.sources import Source, SourceUnavailable
from connector.sources.descriptions import Sources
from connector.sources.errors import ResourceUnusable
from connector.sources.files import Digests, DirectorySource, FileSource


def whole(source: Source, offset: int = 0) -> bytes:
    with source.open(source.content(), offset) as chunks:
        return b"".join(chunks)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two and a half chunks."""
    (tmp_path / "visits.csv").write_bytes(os.urandom(2_621_440))
    return tmp_path / "visits.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"b.txt": b"b" * 700, "a/deep.csv": b"1,2\n", "empty": b"", "文件.txt": b"zh"}.items():
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(content)
    return tmp_path / "scans"


def test_a_file_from_any_offset(large: Path) -> None:
    source, content = FileSource(large, Digests(), "visits.csv"), large.read_bytes()
    said = source.content()
    assert (said.size, said.digest, said.media_type) == (len(content), digest(content), "text/csv")
    for offset in (0, 1, 1_048_576, len(content) - 1, len(content)):
        assert whole(source, offset) == content[offset:]


def test_a_file_that_changes_is_not_gone_on_with(large: Path) -> None:
    source = FileSource(large, Digests(), "visits.csv")
    before = source.content()
    with source.open(before) as chunks:
        next(chunks)
        with large.open("ab") as file:
            file.write(b"more")
        with pytest.raises(SourceUnavailable, match="changed"):
            next(chunks)
    with pytest.raises(SourceUnavailable, match="changed"), source.open(before, 1):
        pass


def test_a_symbolic_link_is_no_file(large: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(large)
    with pytest.raises(SourceUnavailable):
        FileSource(tmp_path / "link", Digests(), "link").content()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_not_read_and_holds_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "other")
    with pytest.raises(SourceUnavailable, match="no regular file"):
        FileSource(tmp_path / "other", Digests(), "other").content()


def test_a_digest_is_computed_once_and_only_who_wants_it_waits(tmp_path: Path) -> None:
    digests, begun, go_on, computed = Digests(), threading.Event(), threading.Event(), []

    def slowly() -> str:
        computed.append("large")
        begun.set()
        assert go_on.wait(30)
        return "sha256:large"

    with ThreadPoolExecutor() as threads:
        both = [threads.submit(digests.once, tmp_path / "large", "now", slowly) for _ in range(2)]
        assert begun.wait(30)
        try:
            small = threads.submit(digests.once, tmp_path / "small", "now", lambda: "sha256:small")
            assert small.result(timeout=30) == "sha256:small"
        finally:
            go_on.set()
        assert [one.result() for one in both] == ["sha256:large", "sha256:large"]
    assert computed == ["large"]


@pytest.mark.parametrize("path", ["", "identity.json", "secrets/warehouse", ".."])
def test_the_connectors_own_folder_is_not_delivered(tmp_path: Path, path: str) -> None:
    home = tmp_path / "clinic"
    for folder in (home / "secrets", home / "received"):
        folder.mkdir(parents=True)
    sources = Sources(home)
    for kind in ("file", "directory", "ndjson"):
        with pytest.raises(ResourceUnusable, match="its keys"):
            sources.check("data", {"type": kind, "path": str(home / path)})
    (tmp_path / "link").symlink_to(home)
    with pytest.raises(ResourceUnusable, match="its keys"):
        sources.check("data", {"type": "directory", "path": str(tmp_path / "link")})
    sources.check("data", {"type": "directory", "path": str(home / "received")})


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    for kind in ("file", "directory", "ndjson"):
        with pytest.raises(ResourceUnusable, match="absolute path"):
            Sources(tmp_path / "clinic").check("data", {"type": kind, "path": "/data/\0visits.csv"})


def test_a_directory_is_an_archive_that_tar_reads_from_any_offset(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    source = DirectorySource(folder, Digests(), "scans")
    archive = whole(source)
    said = source.content()
    assert (said.size, said.digest, said.name) == (len(archive), digest(archive), "scans.tar")
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        members = {member.name: read.extractfile(member) for member in read.getmembers()}
        found = {name: file.read() for name, file in members.items() if file}
    assert found == {"a/deep.csv": b"1,2\n", "b.txt": b"b" * 700, "empty": b"", "文件.txt": b"zh"}
    assert whole(DirectorySource(folder, Digests(), "scans")) == archive
    for offset in range(0, len(archive), 97):
        assert whole(source, offset) == archive[offset:]


def test_a_directory_that_changes_is_not_gone_on_with(folder: Path) -> None:
    source = DirectorySource(folder, Digests(), "scans")
    before = source.content()
    (folder / "b.txt").write_bytes(b"c" * 700)
    assert source.content().version != before.version
    with pytest.raises(SourceUnavailable, match="changed"), source.open(before, 512):
        pass


def test_only_what_is_in_the_archive_has_a_name(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    members = DirectorySource(folder, Digests(), "scans").members()
    assert sorted(members) == ["a/deep.csv", "b.txt", "empty", "文件.txt"]
    assert whole(members["a/deep.csv"]) == b"1,2\n"
