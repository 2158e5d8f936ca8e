"""Uploads: one object written into S3-compatible storage, in parts, and taken up where it was interrupted.

What storage holds is asked of storage; here stand only the upload's id, the state of the source it belongs to, and,
from the moment when everything is there, the tag that the whole will have. So a crash at any point, also between
storage's last answer and our noting it, neither sends twice nor counts twice. Memory holds one part.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import structlog

from connector.deliveries import store
from connector.planes import Refused
from connector.planes.s3_push import UNNAMED, read_storage
from connector.protocol.callbacks import peer_transport
from connector.s3.answers import Part
from connector.s3.errors import StorageRefused
from connector.s3.objects import StoredObject
from connector.sources import Chunks, Content
from hexi.canonical import Clock, system_clock
from hexi.database import Database
from hexi.errors import DataspaceError

log = structlog.get_logger("connector.data")

# Parts of an upload: at least this large, in bytes, and at most so many (Amazon S3 User Guide, multipart limits).
PART_BYTES = 8 * 1024**2
MAX_PARTS = 10_000
# A part is held in memory, so it is no larger than this, in bytes; the largest object is MAX_PARTS times that.
MAX_PART_BYTES = 64 * 1024**2

# Opens the source from an offset on, admitted and metered.
Opens = Callable[[int], AbstractContextManager[Chunks]]


class UploadRefused(DataspaceError):
    """The storage refused the data for good."""

    code = "connector.upload-refused"
    status = 502
    title = "The storage refused the data"


@dataclass(frozen=True)
class Uploads:
    """Carries uploads out."""

    database: Database
    unsafe_allow_loopback: bool
    # Storage compares what is signed with its own clock.
    clock: Clock = system_clock

    def send(self, push: store.Push, content: Content, opens: Opens) -> None:
        """Write `content` where the push goes. Raises `Refused`, `UploadRefused`, `StorageUnreachable`.

        (1) What storage has of this very content is kept. (2) The rest goes in parts. (3) Which tag the whole will
        have is noted, then the parts are made one object. (4) Storage says how large that is.
        """
        size = part_size(content)
        stored = self._stored(push, content.name)
        try:
            upload, parts = self._taken_up(push, content, stored, size)  # (1)
            if upload is None:
                return
            with opens(sum(part.size for part in parts)) as chunks:  # (2)
                for body in in_parts(chunks, size):
                    if not body and parts:
                        break
                    parts.append(stored.put_part(upload, len(parts) + 1, body))
            self._note(push, content, {"id": upload, "name": content.name, "etag": _tag_of(parts)})  # (3)
            stored.complete(upload, parts)
            written = stored.facts()  # (4)
            if content.size is not None and written.size != content.size:
                raise UploadRefused(f"storage holds {written.size} bytes of {content.size}")
        except StorageRefused as error:
            raise UploadRefused(error.detail) from error
        finally:
            stored.close()

    def abort(self, push: store.Push) -> None:
        """Let storage forget the parts of an upload that will not be finished; twice is once.

        Storage that says no keeps them, which is logged. Raises `StorageUnreachable`.
        """
        noted = _noted(self.database, push)
        if noted is None or noted.upload is None:
            return
        upload = noted.upload
        try:
            stored = self._stored(push, upload.get("name", UNNAMED))
            try:
                stored.abort(upload["id"])
            finally:
                stored.close()
        except (Refused, StorageRefused) as error:
            if error.context.get("storageStatus") != 404:
                log.warning("parts stay in storage", transfer=push.transfer, upload=upload["id"], why=error.detail)

    def _taken_up(
        self, push: store.Push, content: Content, stored: StoredObject, size: int
    ) -> tuple[str | None, list[Part]]:
        """The upload to go on with and its parts so far; no upload where the object is complete."""
        noted = _noted(self.database, push)
        known = noted.upload if noted is not None and noted.version == _version(content) else None
        if known is not None and content.is_resumable:
            try:
                return known["id"], _usable(stored.parts(known["id"]), size, content.size)
            except StorageRefused as error:
                if error.context.get("storageStatus") != 404:
                    raise
                if _is_there(stored, content, known.get("etag")):
                    return None, []
        elif noted is not None and noted.upload is not None:
            self.abort(push)
        upload = stored.begin()
        self._note(push, content, {"id": upload, "name": content.name})
        return upload, []

    def _note(self, push: store.Push, content: Content, upload: dict[str, str]) -> None:
        with self.database.transaction() as session:
            noted = store.push(session, push.transfer, lock=True) or push
            store.save_push(session, replace(noted, version=_version(content), upload=upload))

    def _stored(self, push: store.Push, name: str) -> StoredObject:
        allowed = self.unsafe_allow_loopback
        location, credentials = read_storage(push.destination, name, unsafe_allow_loopback=allowed)
        return StoredObject(location, credentials, self.clock, peer_transport(unsafe_allow_loopback=allowed))


def part_size(content: Content) -> int:
    """How large the parts of `content` are, in bytes. Raises `UploadRefused` where it has too many."""
    size = PART_BYTES if content.size is None else max(PART_BYTES, math.ceil(content.size / MAX_PARTS))
    if size > MAX_PART_BYTES:
        raise UploadRefused(f"one object takes at most {MAX_PARTS * MAX_PART_BYTES} bytes")
    return MAX_PART_BYTES if content.size is None else size


def in_parts(chunks: Chunks, size: int) -> Iterator[bytes]:
    """`chunks` joined and cut into parts of `size` bytes; the last one may be smaller, and the only one empty."""
    held, count = bytearray(), 0
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
            count += 1
    if held or not count:
        yield bytes(held)


def _usable(listed: dict[int, Part], size: int, whole: int | None) -> list[Part]:
    """The parts from the first on that have the size they must have."""
    usable: list[Part] = []
    while (part := listed.get(len(usable) + 1)) is not None:
        left = size if whole is None else whole - size * len(usable)
        if part.size != min(size, left):
            break
        usable.append(part)
    return usable


def _tag_of(parts: list[Part]) -> str:
    """The tag of the object that `parts` make, empty where storage gives others than the digests of the parts."""
    if not all(part.tells for part in parts):
        return ""
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _is_there(stored: StoredObject, content: Content, etag: str | None) -> bool:
    """Whether the upload was completed, and only nobody noted it. `etag` None: it never came so far."""
    if etag is None:
        return False
    try:
        found = stored.facts()
    except StorageRefused:
        return False
    return found.size == content.size and etag in {"", found.etag.strip('"')}


def _version(content: Content) -> str:
    return content.version or ""


def _noted(database: Database, push: store.Push) -> store.Push | None:
    with database.reading() as session:
        return store.push(session, push.transfer)
