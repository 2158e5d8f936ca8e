"""ServerSentEvents-PULL: a stream of events behind the contract, read with the token of the transfer.

One transfer is one use of the stream, however often its connection breaks; its events are records. Each batch is
admitted before it is sent, so the terms hold for every event. What a reader has is known to the reader alone: it says
so with Last-Event-ID, and nothing about it is kept here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from connector.contracts.resources import Resource
from connector.deliveries import store as delivery_store
from connector.deliveries.errors import LastEventIdInvalid
from connector.planes import NotDeliverable, sse
from connector.planes.access import Access
from connector.planes.handovers import HandoverRefused, Handovers
from connector.planes.offered import kept_here, resource_of
from connector.protocol.processes import Process
from connector.sources import SourceUnavailable
from connector.sources.descriptions import read_description
from connector.sources.errors import ResourceUnusable
from connector.sources.ndjson import NdjsonStream
from connector.sources.services import NdjsonDescription, StreamDescription
from connector.streams import EventSource, Extent
from connector.streams import store as stream_store
from connector.streams.appended import AppendedStream, Streams
from connector.usage import store as usage_store
from connector.usage.grants import Grant, Use
from hexi.canonical import Json
from hexi.database import Database

FORMAT = "ServerSentEvents-PULL"


@dataclass(frozen=True)
class Reading:
    """A reader, and the position of the last event it has."""

    transfer: str
    source: EventSource
    position: int
    # The IP address it reads from.
    network: str | None = None


@dataclass(frozen=True)
class Written:
    """What is sent next, and the reader's position after it."""

    content: bytes
    position: int


@dataclass(frozen=True)
class Idle:
    """A reader has everything up to `newest`."""

    transfer: str
    source: EventSource
    newest: int


@dataclass(frozen=True)
class StreamPlane:
    """Implements `connector.planes.DataPlane`."""

    database: Database
    streams: Streams
    handovers: Handovers
    access: Access

    @property
    def format(self) -> str:
        return FORMAT

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json]:
        """The address to read from, and fresh tokens."""
        try:
            self._source(resource_of(session, grant))
        except SourceUnavailable as error:
            raise NotDeliverable(error.detail) from error
        return self.access.give(session, process, grant)

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: every batch asks the grant, and an idle reader is woken when it ends."""

    def enter(self, transfer: str, token: str | None, position: int | None, network: str | None) -> Reading:
        """Let a reader in that has everything up to `position`; None: from the oldest event there is.

        Raises `DataTokenInvalid`, `HandoverRefused`, `SourceUnavailable`.
        """
        grant = self.access.enter(transfer, token, FORMAT)
        with self.database.reading() as session:
            source = self._source(resource_of(session, grant))
        extent = source.extent()
        if position is not None and position > extent.newest:
            raise LastEventIdInvalid("this stream has not come so far; connect without Last-Event-ID")
        return Reading(transfer, source, extent.before_oldest if position is None else position, network)

    def next(self, reading: Reading) -> Written | Idle:
        """What comes next, admitted. Raises `HandoverRefused`, `SourceUnavailable`."""
        self.handovers.check(reading.transfer)
        extent = reading.source.extent()
        if reading.position < extent.before_oldest:
            return Written(sse.gap(reading.position, extent.before_oldest), extent.before_oldest)
        events = reading.source.after(reading.position)
        while events:
            use = Use(volume=sum(e.size for e in events), records=len(events), network=reading.network)
            try:
                self.handovers.admit(reading.transfer, use)
            except HandoverRefused as refused:
                if len(events) > 1:  # fewer may still be allowed
                    events = events[: len(events) // 2]
                    continue
                if refused.is_used_up:
                    self.handovers.finish(reading.transfer, 0)
                raise
            return Written(b"".join(map(sse.written, events)), events[-1].position)
        return Idle(reading.transfer, reading.source, extent.newest)

    def stirred(self, idle: Collection[Idle]) -> list[bool]:
        """Which of those that had nothing to read must look again: two queries for all of them."""
        appended = {one.source.name for one in idle if isinstance(one.source, AppendedStream)}
        with self.database.reading() as session:
            extents = stream_store.extents(session, appended)
            served = usage_store.active(session, {one.transfer for one in idle})
        return [one.transfer not in served or _newest(one.source, extents) != one.newest for one in idle]

    def begin(self, reading: Reading) -> None:
        """Count the one use of a transfer, when its first reader comes. Raises `HandoverRefused`."""
        with self.database.transaction() as session:
            found = delivery_store.handover(session, reading.transfer, lock=True)
            if found.begun:
                return
            use = Use(count=1, records=0, network=reading.network, unfinished=True)
            self.handovers.admit_within(session, reading.transfer, use)
            delivery_store.save_handover(session, replace(found, begun=True))

    def _source(self, resource: Resource) -> EventSource:
        with kept_here(resource):
            match read_description(resource.source):
                case StreamDescription():
                    return self.streams.source(resource.name)
                case NdjsonDescription(path=path):
                    return NdjsonStream(path)
            raise ResourceUnusable("the resource is no stream")


def _newest(source: EventSource, known: Mapping[str, Extent]) -> int | None:
    if isinstance(source, AppendedStream):
        return known.get(source.name, Extent()).newest
    try:
        return source.extent().newest
    except SourceUnavailable:  # looking again says so
        return None
