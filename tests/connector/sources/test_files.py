"""Files and directories as sources: whole, from any offset, and never the rest of something else."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from connector.sources import Source, SourceUnavailable
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
