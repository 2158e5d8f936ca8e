"""Files and directories as sources. A directory is delivered as one tar archive, or member by member.

The archive is never written anywhere: it is computed while it is sent, and the same directory gives the same bytes, so
it has a size and a digest beforehand and can be resumed like a file. Symbolic links are passed over: what they point
at was not offered.
"""

import hashlib
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from connector.sources import CHUNK_BYTES, Chunks, Content, SourceUnavailable

TAR = "application/x-tar"
OCTETS = "application/octet-stream"
# Larger directories belong into archives of their own. Counted in files.
MAX_MEMBERS = 10_000

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".zip": "application/zip",
}


def media_type_of(name: str) -> str:
    """The media type that a file's name speaks for."""
    return _MEDIA_TYPES.get(Path(name).suffix.lower(), OCTETS)


# What tells that a file is the one that was read before: inode, size, time of change.
_Signature = tuple[int, int, int]


@dataclass
class _Computed:
    """The digest of one state of a path. `computing` is held by whoever computes it; the others wait for that."""

    state: object
    computing: threading.Lock = field(default_factory=threading.Lock)
    digest: str | None = None


class Digests:
    """Digests of files, computed once for every state a file is in. For several threads: only those that want the
    same digest wait for each other."""

    def __init__(self) -> None:
        self._known: dict[Path, _Computed] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> tuple[int, str]:
        """Size and digest of the file at `path`. Raises `SourceUnavailable`."""
        with _opened(path) as file:
            signature = _signature(file)

            def computed() -> str:
                found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
                if _signature(file) != signature:
                    raise SourceUnavailable("the file is being written; ask again when it is complete")
                return found

            return signature[1], self.once(path, signature, computed)

    def once(self, path: Path, state: object, compute: Callable[[], str]) -> str:
        """The digest of what is at `path` in this `state`, computed if it is not known yet."""
        with self._lock:
            known = self._known.get(path)
            if known is None or known.state != state:
                known = self._known[path] = _Computed(state)
        with known.computing:
            if known.digest is None:
                known.digest = compute()
            return known.digest


@dataclass(frozen=True)
class FileSource:
    """One file."""

    path: Path
    digests: Digests
    # As others see it; the path stays here.
    name: str
    media_type: str = ""

    def content(self) -> Content:
        size, found = self.digests.of(self.path)
        kind = self.media_type or media_type_of(self.path.name)
        return Content(self.name, kind, size, found, version=found)

    @contextmanager
    def open(self, content: Content, offset: int = 0) -> Iterator[Chunks]:
        # Not that content any more: the digest is of another state of the file.
        if self.digests.of(self.path) != (content.size, content.digest):
            raise SourceUnavailable("the file has changed since; ask again from its beginning")
        with _opened(self.path) as file:
            yield _read(file, offset)


@dataclass(frozen=True)
class DirectorySource:
    """All files below one directory, as one archive; or each for itself, by `member`."""

    path: Path
    digests: Digests
    name: str

    def content(self) -> Content:
        return self._described(self._plan())

    @contextmanager
    def open(self, content: Content, offset: int = 0) -> Iterator[Chunks]:
        plan = self._plan()
        if self._described(plan) != content:
            raise SourceUnavailable("the directory has changed since; ask again from its beginning")
        yield _archived(plan, offset)

    def _described(self, plan: list["_Part"]) -> Content:
        def computed() -> str:
            whole = hashlib.sha256()
            for chunk in _archived(plan, 0):
                whole.update(chunk)
            return f"sha256:{whole.hexdigest()}"

        size = sum(len(part.head) + part.size + part.padding for part in plan)
        found = self.digests.once(self.path, plan, computed)
        return Content(f"{self.name}.tar", TAR, size, found, version=found)

    def members(self) -> dict[str, FileSource]:
        """The files by their names in the archive: what is not in here cannot be named, whatever a path says."""
        return {name: FileSource(path, self.digests, Path(name).name) for name, path in self._files()}

    def _files(self) -> list[tuple[str, Path]]:
        if not self.path.is_dir():
            raise SourceUnavailable("the directory is not there any more")
        found = []
        for folder, folders, files in os.walk(self.path, followlinks=False):
            folders.sort()
            for file in files:
                path = Path(folder) / file
                if stat.S_ISREG(path.lstat().st_mode):
                    found.append((path.relative_to(self.path).as_posix(), path))
        if len(found) > MAX_MEMBERS:
            raise SourceUnavailable(f"the directory holds more than {MAX_MEMBERS} files; offer an archive instead")
        return sorted(found)

    def _plan(self) -> list["_Part"]:
        parts = [_Part.of(name, path) for name, path in self._files()]
        return [*parts, _Part(bytes(2 * tarfile.BLOCKSIZE), None, 0)]


@dataclass(frozen=True)
class _Part:
    """A header, and the file that follows it; the archive ends with two empty blocks."""

    head: bytes
    path: Path | None
    size: int
    signature: _Signature | None = None

    @classmethod
    def of(cls, name: str, path: Path) -> "_Part":
        with _opened(path) as file:
            signature = _signature(file)
        info = tarfile.TarInfo(name)
        info.size = signature[1]  # owners and times stay at home
        return cls(info.tobuf(tarfile.PAX_FORMAT), path, info.size, signature)

    @property
    def padding(self) -> int:
        """Zeros that fill the last block."""
        return -self.size % tarfile.BLOCKSIZE


def _archived(plan: list[_Part], offset: int) -> Iterator[bytes]:
    skip = offset
    for part in plan:
        if skip < len(part.head):
            yield part.head[skip:]
        skip = max(0, skip - len(part.head))
        if part.path is not None and skip < part.size:
            with _opened(part.path) as file:
                if _signature(file) != part.signature:
                    raise SourceUnavailable("a file has changed since; ask again from the beginning")
                yield from _read(file, skip)
        skip = max(0, skip - part.size)
        if skip < part.padding:
            yield bytes(part.padding - skip)
        skip = max(0, skip - part.padding)


def _read(file: FileIO, offset: int) -> Iterator[bytes]:
    """The file from `offset` to the end it had when it was opened; raises if it was touched on the way."""
    before = _signature(file)
    file.seek(offset)
    while chunk := file.read(CHUNK_BYTES):
        if _signature(file) != before:
            raise SourceUnavailable("the file was changed while it was read")
        yield chunk


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    try:
        # Without waiting: a pipe without a writer would hold the thread before it could be seen to be one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SourceUnavailable(f"the file cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a folder has no bytes, and a device may have no end of them
        os.close(descriptor)
        raise SourceUnavailable("what stands there is no regular file")
    with FileIO(descriptor) as file:
        yield file


def _signature(file: FileIO) -> _Signature:
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns
