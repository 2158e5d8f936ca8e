"""An object in S3-compatible storage as a source. The provider says where; the ETag says whether it changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from connector.s3.errors import StorageRefused, StorageUnreachable
from connector.s3.location import Location
from connector.s3.objects import StoredObject
from connector.s3.signing import Credentials
from connector.sources import Chunks, Content, SourceUnavailable
from connector.sources.files import media_type_of
from hexi.canonical import Clock


@dataclass(frozen=True)
class S3Source:
    """`credentials` open `location`, and are shown to nobody."""

    location: Location
    credentials: Credentials = field(repr=False)
    clock: Clock
    transport: httpx.BaseTransport | None = field(default=None, repr=False)

    def content(self) -> Content:
        with self._stored() as stored:
            facts = stored.facts()
        name = self.location.key.rstrip("/").rpartition("/")[2]
        return Content(name, media_type_of(name), facts.size, version=facts.etag or None)

    @contextmanager
    def open(self, content: Content, offset: int = 0) -> Iterator[Chunks]:
        if content.size is None or not content.version:
            raise SourceUnavailable("storage does not say which state of the object this is")
        with self._stored() as stored:
            yield _told(stored.read(offset, content.size, content.version))

    @contextmanager
    def _stored(self) -> Iterator[StoredObject]:
        stored = StoredObject(self.location, self.credentials, self.clock, self.transport or httpx.HTTPTransport())
        try:
            yield stored
        except (StorageRefused, StorageUnreachable) as error:
            raise _unavailable(error) from error
        finally:
            stored.close()


def _told(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (StorageRefused, StorageUnreachable) as error:
        raise _unavailable(error) from error


def _unavailable(error: StorageRefused | StorageUnreachable) -> SourceUnavailable:
    # The consumer is not told which bucket or object it is.
    code = error.context.get("storageCode") or type(error).__name__
    return SourceUnavailable(f"the storage behind this data does not give them now ({code})")
