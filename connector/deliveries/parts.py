"""Part files: a delivery on its way into a file of ours.

What has come lies in ``<name>.part`` beside its final place, locked by who writes it. The final name appears at once
and only when everything is there and its digest is the one announced; a file with another digest is kept aside as
``<name>.mismatch``, for whoever has to find out why. A part file is known by its inode: whatever else has come to lie
in its place is somebody else's, and neither written nor removed.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexi.errors import Conflict, DataspaceError, Malformed

# The most one delivery may be, in bytes: a limit against endless streams, not a promise of space.
MAX_DELIVERY_BYTES = 1024**4
# What stays free on the disk whatever is sent, in bytes: the connector's own database lives there too.
MIN_FREE_BYTES = 256 * 1024**2
# How often the free space is looked at, in bytes received.
LOOK_BYTES = 64 * 1024**2
# What is read at once to take up a digest where it was left, in bytes.
_REREAD_BYTES = 1024 * 1024


class DigestMismatch(DataspaceError):
    """What arrived is not what was announced."""

    code = "connector.digest-mismatch"
    status = 422
    title = "The data that arrived are not those that were announced"


class DeliveryTooLarge(DataspaceError):
    """A delivery over the limit, or over what the disk has left."""

    code = "connector.delivery-too-large"
    status = 413
    title = "There is no room for this delivery"


class DeliveryBusy(Conflict):
    """Another request, or another process, is writing this delivery now."""

    code = "connector.delivery-busy"


class PlaceTaken(Malformed):
    """A delivery cannot be put where it is wanted."""

    code = "connector.place-taken"
    title = "The delivery cannot be put there"


@dataclass
class Part:
    """An open part file, positioned at its end. Made by `open_part`."""

    path: Path
    inode: str
    _descriptor: int
    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    _looked: int = 0

    def write(self, chunk: bytes) -> None:
        """Append. Raises `DeliveryTooLarge`."""
        self.make_room(len(chunk), self._looked + LOOK_BYTES)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._digest.update(chunk)
        self.size += len(chunk)

    def make_room(self, more: int, look_from: int = 0) -> None:
        """Raise `DeliveryTooLarge` unless `more` bytes may and can be taken."""
        if self.size + more > MAX_DELIVERY_BYTES:
            raise DeliveryTooLarge(f"deliveries are limited to {MAX_DELIVERY_BYTES} bytes here")
        if self.size + more >= look_from:
            self._looked = self.size
            if shutil.disk_usage(self.path.parent).free < more + MIN_FREE_BYTES:
                raise DeliveryTooLarge("the disk has too little space left for this delivery")

    def restart(self) -> None:
        """Throw away what has come: it belongs to other content."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size, self._digest, self._looked = 0, hashlib.sha256(), 0

    def take_up(self) -> None:
        """Go on where it was left: read what is there, and make it durable before anybody relies on it."""
        os.fsync(self._descriptor)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while chunk := os.read(self._descriptor, _REREAD_BYTES):
            self._digest.update(chunk)
            self.size += len(chunk)

    def finish(self, final: Path, announced: str | None) -> str:
        """Give it its `final` name, durably; returns its digest. Raises `DigestMismatch`, the file then set aside, and
        `PlaceTaken`."""
        found = f"sha256:{self._digest.hexdigest()}"
        os.fsync(self._descriptor)
        if announced is not None and found != announced:
            aside = self.path.with_name(self.path.name + ".mismatch")
            _part(self.path).replace(aside)
            raise DigestMismatch(f"{announced} was announced, {found} arrived; the file is kept aside")
        try:
            final.hardlink_to(_part(self.path))  # unlike a rename it never replaces what is there already
        except FileExistsError as error:
            raise PlaceTaken("there is a file of this name already; it is not overwritten") from error
        _part(self.path).unlink()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return found


@contextmanager
def open_part(path: Path, inode: str | None) -> Iterator[Part]:
    """The part file of what shall be `path`, for this writer alone; with `inode`, that one or a new one.

    Raises `DeliveryBusy`, `PlaceTaken`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, made = _opened(_part(path))
    except OSError as error:
        raise PlaceTaken(f"the delivery cannot be written there ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeliveryBusy("this delivery is being written now; try again in a moment") from error
        if path.exists():
            if made:
                _part(path).unlink()
            raise PlaceTaken("there is a file of this name already; it is not overwritten")
        found = str(os.fstat(descriptor).st_ino)
        if not _lies_there(_part(path), found):  # removed between opening and locking
            raise DeliveryBusy("this delivery was just cleared up; try again in a moment")
        if not made and inode not in {None, found}:
            raise PlaceTaken(f"{_part(path).name} was replaced by a file that is not ours; it is not written")
        yield Part(path, found, descriptor)
    finally:
        os.close(descriptor)


def remove_part(path: Path, inode: str) -> None:
    """Remove the part file of what was to be `path`, if it is still the one with this inode.

    A link, a folder or another file in its place stays. Raises `DeliveryBusy` while somebody writes it.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _remove_from(folder, _part(path).name, inode)
    finally:
        os.close(folder)


def _remove_from(folder: int, name: str, inode: str) -> None:
    try:  # never waiting for the writer of a named pipe
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or str(found.st_ino) != inode:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    except BlockingIOError as error:
        raise DeliveryBusy("this delivery is being written now") from error
    finally:
        os.close(descriptor)


def _opened(part: Path) -> tuple[int, bool]:
    """A descriptor of the file, and whether it was made."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(part, flags | os.O_CREAT, 0o600), False


def received(path: Path) -> int:
    """How many bytes of what shall be `path` have come so far."""
    for candidate in (path, _part(path)):
        try:
            return candidate.stat().st_size
        except OSError:
            continue
    return 0


def _lies_there(part: Path, inode: str) -> bool:
    try:
        return str(part.lstat().st_ino) == inode
    except OSError:
        return False


def has_part(path: Path) -> bool:
    """Whether anything lies where the part file of `path` would."""
    return os.path.lexists(_part(path))


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
