"""HttpData-PULL: the consumer fetches from a place of ours, with a token; what stands behind it stays hidden.

The answer is whole or one range (RFC 9110), with the digest of the whole (RFC 9530), which is the strong ETag as well.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from sqlmodel import Session

from connector.planes import NotDeliverable
from connector.planes.access import Access
from connector.planes.handovers import Handovers, Span, at_most
from connector.planes.offered import kept_here, resource_of
from connector.planes.ranges import read_range
from connector.protocol.processes import Process
from connector.sources import Chunks, Content, Source, SourceUnavailable
from connector.sources.descriptions import Sources
from connector.sources.digests import etag, repr_digest
from connector.sources.files import DirectorySource
from connector.usage.grants import Grant
from hexi.canonical import Json
from hexi.database import Database
from hexi.errors import NotFound

FORMAT = "HttpData-PULL"


class MemberUnknown(NotFound):
    """The data delivered are no directory, or have no such member."""

    code = "connector.member-unknown"


@dataclass(frozen=True)
class Asked:
    """A request for data. `member`: one file of a directory."""

    transfer: str
    token: str | None
    method: str = "GET"
    range: str | None = None
    if_range: str | None = None
    member: str | None = None


@dataclass(frozen=True)
class Answer:
    """What is answered. `body` admits the bytes and opens them, or is None where there are none to send.

    Opening raises `HandoverRefused`, `SourceUnavailable`.
    """

    status: int
    headers: Mapping[str, str]
    body: Callable[[], AbstractContextManager[Chunks]] | None


@dataclass(frozen=True)
class PullPlane:
    """Implements `connector.planes.DataPlane`."""

    database: Database
    sources: Sources
    handovers: Handovers
    access: Access

    @property
    def format(self) -> str:
        return FORMAT

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json]:
        """A data address with fresh tokens. Those of an earlier start count no more."""
        try:
            source_of(session, grant, self.sources)
        except SourceUnavailable as error:
            raise NotDeliverable(error.detail) from error
        return self.access.give(session, process, grant)

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: every answer asks the grant, before it begins and while it runs."""

    def serve(self, asked: Asked) -> Answer:
        """The data, or what is said about them; nothing is counted before its body is opened.

        Raises `DataTokenInvalid`, `HandoverRefused`, `RangeRefused`, `SourceUnavailable`, `MemberUnknown`.
        """
        source = self._opened(asked)
        content = source.content()
        span, headers = _span(content, asked), _headers(content)
        status = 200
        if content.size is not None and span.wanted != content.size:
            status = 206
            headers["Content-Range"] = f"bytes {span.offset}-{span.offset + (span.wanted or 0) - 1}/{content.size}"
            headers.pop("Content-Digest", None)
        if span.wanted is not None:
            headers["Content-Length"] = str(span.wanted)
        if asked.method == "HEAD":
            return Answer(status, headers, None)
        counted = span if asked.member is None else replace(span, size=None if span.size is None else 2**62)

        @contextmanager
        def body() -> Iterator[Chunks]:
            with source.open(content, span.offset) as chunks:  # first, for what is not there is nobody's use
                admitted = self.handovers.begin(asked.transfer, counted)
                wanted = chunks if span.wanted is None else at_most(chunks, span.wanted)
                metered = self.handovers.metered(asked.transfer, counted, admitted, wanted)
                try:
                    yield metered
                finally:
                    metered.close()

        return Answer(status, headers, body)

    def members(self, asked: Asked) -> list[dict[str, Json]]:
        """The files of a directory, with sizes and digests. Raises what `serve` raises."""
        source = self._opened(replace(asked, member=None))
        if not isinstance(source, DirectorySource):
            raise MemberUnknown("the data of this transfer are no directory")
        listed = [(name, file.content()) for name, file in source.members().items()]
        return [{"name": n, "bytes": c.size, "digest": c.digest, "mediaType": c.media_type} for n, c in listed]

    def _opened(self, asked: Asked) -> Source:
        """The source behind the transfer, once the token counts and the transfer is served."""
        grant = self.access.enter(asked.transfer, asked.token, self.format)
        with self.database.reading() as session:
            source = source_of(session, grant, self.sources)
        return source if asked.member is None else _member(source, asked.member)


def source_of(session: Session, grant: Grant, sources: Sources) -> Source:
    """The source that a grant delivers from. Raises `SourceUnavailable`, which keeps to itself what is wrong here."""
    resource = resource_of(session, grant)
    with kept_here(resource):
        return sources.of(resource.name, resource.source)


def _member(source: Source, name: str) -> Source:
    """One file of a directory: looked up among its members, so that no path can lead elsewhere."""
    found = source.members().get(name) if isinstance(source, DirectorySource) else None
    if found is None:
        raise MemberUnknown(f"the data of this transfer have no member {name!r}")
    return found


def _span(content: Content, asked: Asked) -> Span:
    size = content.size
    if size is None or not content.is_resumable or asked.range is None:
        return Span(0, size, size, content.digest)
    if asked.if_range is not None and asked.if_range != etag(content):
        return Span(0, size, size, content.digest)  # it has changed since: the whole of what it is now
    return Span(*read_range(asked.range, size), size, content.digest)


def _headers(content: Content) -> dict[str, str]:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in content.name)
    headers = {
        "Content-Type": content.media_type,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "Accept-Ranges": "bytes" if content.is_resumable else "none",
    }
    if (tag := etag(content)) is not None:
        headers["ETag"] = tag
    if content.digest is not None:
        headers["Repr-Digest"] = headers["Content-Digest"] = repr_digest(content.digest)
    return headers
